"""The tests themselves: what they share is in tests/support, each module runs alone, pages name those that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ROOT = TESTS.parent


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_no_test_imports_another(path: Path) -> None:
    """Neither in its own lines nor in those of a program that it writes."""
    found = re.findall(r"^ *(?:from|import) +(tests\b[\w.]*)", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert [name for name in found if name.split(".")[:2] != ["tests", "support"]] == []


NAMED = re.compile(r"\b((?:tests/)?[\w/]*test_\w+\.py)(?:::(?:\w+::)?(test_\w+))?")
"""A test or its module, as a page names it."""


@pytest.mark.parametrize("page", sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]), ids=lambda page: page.name)
def test_a_test_that_a_page_names_is_there(page: Path) -> None:
    missing = [
        "::".join(filter(None, (path, name)))
        for path, name in NAMED.findall(page.read_text(encoding="utf-8"))
        if not (ROOT / path).is_file() or f"def {name}" not in (ROOT / path).read_text(encoding="utf-8")
    ]
    assert missing == []
