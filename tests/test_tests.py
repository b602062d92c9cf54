"""The tests themselves: what they share lies in tests/support, so that each module stands and runs alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_no_test_imports_another(path: Path) -> None:
    """Neither in its own lines nor in those of a program that it writes."""
    found = re.findall(r"^ *(?:from|import) +(tests\b[\w.]*)", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert [name for name in found if name.split(".")[:2] != ["tests", "support"]] == []
