"""Every Python block of docs/api.md runs, in order, and prints what the page shows."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

import engine
from engine import images
from tests.support import ROOT, lookfactory, procedural

PAGE = ROOT / "docs" / "api.md"
_BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> list[tuple[int, str, str | None]]:
    """For each Python block the line it begins on, its code, and the text block right after it."""
    found: list[tuple[int, str, str | None]] = []
    end = -1
    for match in _BLOCK.finditer(page):
        if match[1] == "python":
            found.append((page.count("\n", 0, match.start(2)), match[2], None))
        else:
            line, code, shown = found[-1]
            assert shown is None and not page[end : match.start()].strip(), f"{match[2]!r} follows no code"
            found[-1] = (line, code, match[2])
        end = match.end()
    return found


def test_the_page_runs_and_prints_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lookfactory.gain(tmp_path / "hero.onnx")
    for number, frame in enumerate((1001, 1002, 1003)):
        images.write(tmp_path / f"plate.{frame}.exr", procedural.plate(48, 64, shift=2 * number))
    images.write(tmp_path / "p1001.png", procedural.painting_of(procedural.plate(48, 64)))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    found = blocks(PAGE.read_text(encoding="utf-8"))
    assert len(found) >= 12
    for line, code, shown in found:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            # Empty lines in front, so that a traceback names the line of the page.
            exec(compile("\n" * line + code, str(PAGE), "exec"), names)
        assert printed.getvalue() == (shown or ""), f"docs/api.md, line {line + 1}"


def test_the_page_names_everything_that_is_public() -> None:
    page = PAGE.read_text(encoding="utf-8")
    missing = [name for name in engine.__all__ if not re.search(rf"`{name}`", page) and name != "__version__"]
    assert missing == []
