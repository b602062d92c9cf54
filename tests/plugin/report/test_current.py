"""The record of what was shown: a damaged one means that it is made again."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugin.report.current import are_current, remember


@pytest.mark.parametrize("text", ["", "[", "[" * 100_000, '{"inputs":' * 100_000, "9" * 5000, "null", "\udcff"])
def test_a_damaged_record_is_none(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.html"
    page.write_text("x", encoding="utf-8")
    remember(tmp_path, [page], "ab")
    assert are_current(tmp_path, [page], "ab")
    (tmp_path / "shown.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert not are_current(tmp_path, [page], "ab")
