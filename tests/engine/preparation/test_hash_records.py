"""Hash records: written again where they are wrong, and never read further than they can be right."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.base.errors import ImageError
from engine.preparation.hash_records import check_recorded, record, record_path


@pytest.mark.parametrize("kind", ["large", "empty", "folder", "pipe"])
def test_a_record_that_is_none_is_no_hash(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "1042.exr"
    path.write_bytes(b"frame")
    place = record_path(path)
    if kind == "large":
        with place.open("wb") as stream:
            stream.truncate(2**40)
    elif kind == "empty":
        place.write_bytes(b"")
    elif kind == "folder":
        place.mkdir()
    elif hasattr(os, "mkfifo"):
        os.mkfifo(place)
    with pytest.raises(ImageError, match="the STMap"):
        check_recorded(path, "0" * 64, "STMap of keyframe 1001", frame=1042)
    if kind != "folder":
        record([path])
        assert place.read_bytes().endswith(b"  1042.exr\n") and place.stat().st_size == 64 + 2 + 9
