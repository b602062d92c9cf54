"""Stored frames: what a stop leaves is found again, and nothing else is taken for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.base.errors import InputError, PaintoverError
from engine.optimize.sequence.stored_frames import StoredFrames

PIXELS = np.random.default_rng(1).random((6, 8, 3), dtype=np.float32)


def test_frames_are_found_again(tmp_path: Path) -> None:
    stored = StoredFrames(tmp_path / "frames", {7: "a", 8: "b"})
    stored.write(7, 2, PIXELS)
    assert stored.passes == {7: 2, 8: 0}
    again = StoredFrames(tmp_path / "frames", {7: "a", 8: "b"})
    again.find()
    assert again.passes == {7: 2, 8: 0}
    assert np.array_equal(again.read(7), PIXELS.astype(np.float16).astype(np.float32))
    again.write(7, 3, PIXELS)
    assert [path.name for path in (tmp_path / "frames").iterdir()] == ["0007.safetensors"]
    again.forget()
    assert list((tmp_path / "frames").iterdir()) == []


def test_frames_of_something_else_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    StoredFrames(tmp_path, {7: "a"}).write(7, 1, PIXELS)
    with pytest.raises(InputError, match="frame 7 was made from another plate, style image or setting"):
        StoredFrames(tmp_path, {7: "b"}).find()
    file = tmp_path / "0007.safetensors"
    whole = file.read_bytes()
    for damaged, why in (
        (whole[:-1] + bytes([whole[-1] ^ 1]), "its pixels have changed"),
        (whole[: len(whole) // 2], ""),
        (b"none", ""),
        (b"", ""),
    ):
        file.write_bytes(damaged)
        with pytest.raises(InputError, match=f"a frame of the sequence is damaged: {why}") as caught:
            StoredFrames(tmp_path, {7: "a"}).find()
        assert caught.value.remedy == "run again without --resume to start afresh"


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PaintoverError):
        StoredFrames(tmp_path / "file" / "frames", {})
