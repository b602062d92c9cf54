"""Checkpoint of strokes: the same again, and files that are damaged or of something else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training is not installed")

from engine.base.errors import InputError
from engine.optimize.brushstrokes.checkpoint import FILE, StrokesCheckpoint
from engine.optimize.brushstrokes.descent import DescentState
from tests.support.brushstrokes import scattered


def made() -> StrokesCheckpoint:
    state = DescentState.begin(scattered(6, 20, 30))
    state = replace(state, first=tuple(torch.rand_like(each) for each in state.first), done=17, unit=0.25)
    return StrokesCheckpoint(3, "abc", state)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    one = made()
    one.save(tmp_path)
    found = StrokesCheckpoint.load(tmp_path, 3, "abc")
    assert found is not None and found.where == ("strokes", 17)
    assert (found.frame, found.state.unit, found.pixels) == (3, 0.25, None)
    for part in ("first", "second"):
        assert all(map(torch.equal, getattr(found.state, part), getattr(one.state, part)))
    assert all(map(torch.equal, found.state.strokes.tensors, one.state.strokes.tensors))
    replace(one, pixels=torch.rand(1, 3, 4, 5), iteration=8).save(tmp_path)
    found = StrokesCheckpoint.load(tmp_path, 3, "abc")
    assert found is not None and found.where == ("pixels", 8)
    assert found.pixels is not None and found.pixels.shape == (1, 3, 4, 5)


def test_another_frames_is_none(tmp_path: Path) -> None:
    assert StrokesCheckpoint.load(tmp_path, 3, "abc") is None
    made().save(tmp_path)
    assert StrokesCheckpoint.load(tmp_path, 4, "abc") is None


def test_what_is_damaged_is_refused(tmp_path: Path) -> None:
    made().save(tmp_path)
    path = tmp_path / FILE
    whole = path.read_bytes()
    for data, said in ((whole[:-1] + b"\xff", "its values have changed"), (whole[:-9], ""), (b"none", "")):
        path.write_bytes(data)
        with pytest.raises(InputError, match=f"the checkpoint is damaged: .*{said}.*; run again without --resume"):
            StrokesCheckpoint.load(tmp_path, 3, "abc")
    path.write_bytes(whole)
    with pytest.raises(InputError, match="made from another plate, style image or setting"):
        StrokesCheckpoint.load(tmp_path, 3, "abd")
