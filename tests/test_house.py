"""The house: modules that say what they hold, of a size that one can read, and names that mean one thing."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.support import ROOT

ROOMS = ("engine", "plugin", "nuke_gizmo", "resolve_fuse")
MOST_LINES = 500
LONGER = {"resolve_fuse/Paintover.fuse": 520}
"""A Fuse is one file; Resolve copies no other."""
WIDEST = 120
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "tools"}


def modules(*rooms: str) -> Iterator[Path]:
    for room in rooms:
        yield from sorted((ROOT / room).rglob("*.py"))


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def sources() -> list[Path]:
    """Python and Lua of the product and its tests."""
    found = list(modules(*ROOMS, "tests"))
    for room in (*ROOMS, "tests"):
        found += [path for path in sorted((ROOT / room).rglob("*")) if path.suffix in (".lua", ".fuse")]
    return found


def test_every_module_says_in_its_first_line_what_it_holds() -> None:
    wrong = {}
    for path in modules("engine", "plugin"):
        first = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
        if not first:
            wrong[named(path)] = "has no docstring"
        elif len(first) > WIDEST:
            wrong[named(path)] = f"its first line has {len(first)} characters"
        elif first[-1] not in ".:":
            wrong[named(path)] = f"its first line ends in the middle: {first!r}"
    assert wrong == {}


def test_no_module_is_too_long_to_read() -> None:
    long = {}
    for path in sources():
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > LONGER.get(named(path), MOST_LINES):
            long[named(path)] = lines
    assert long == {}


def test_no_two_classes_have_one_name() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in modules("engine", "plugin"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(named(path))
    twice = {name: where for name, where in places.items() if len(where) > 1}
    assert twice == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [named(path) for path in modules(*ROOMS, "tests") if path.stem in EMPTY_NAMES] == []
