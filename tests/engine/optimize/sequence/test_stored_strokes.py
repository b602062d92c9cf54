"""Stored strokes: the same numbers back, and nothing damaged or foreign is taken for them."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training is not installed")

from engine.base.errors import InputError, PaintoverError
from engine.optimize.brushstrokes.curves import Brushstrokes
from engine.optimize.brushstrokes.layout import Layout
from engine.optimize.sequence.stored_strokes import StoredStrokes


def layout(count: int = 5) -> Layout:
    torch.manual_seed(0)
    shapes = ((count, 2), (count, 3, 2), (count,), (count, 3))
    return Layout(Brushstrokes(*(torch.rand(shape) for shape in shapes)), min(2, count))


@pytest.mark.parametrize("count", [5, 0])
def test_strokes_come_back(tmp_path: Path, count: int) -> None:
    stored, made = StoredStrokes(tmp_path / "strokes", {7: "a"}), layout(count)
    assert not stored.has(7)
    stored.write(7, made)
    found = StoredStrokes(tmp_path / "strokes", {7: "a"}).read(7)
    assert found.broad == made.broad
    assert all(torch.equal(one, two) for one, two in zip(found.strokes.tensors, made.strokes.tensors, strict=True))
    stored.forget()
    assert not stored.has(7)


def test_others_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    StoredStrokes(tmp_path, {7: "a"}).write(7, layout())
    with pytest.raises(InputError, match="the strokes of frame 7 were made from another plate, style image or setting"):
        StoredStrokes(tmp_path, {7: "b"}).read(7)
    file = tmp_path / "0007.safetensors"
    whole = file.read_bytes()
    for damaged in (whole[:-1] + bytes([whole[-1] ^ 1]), whole[:60], b""):
        file.write_bytes(damaged)
        with pytest.raises(InputError, match="the strokes of frame 7 are damaged: ") as caught:
            StoredStrokes(tmp_path, {7: "a"}).read(7)
        assert caught.value.remedy == "run again without --resume to start afresh"
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PaintoverError):
        StoredStrokes(tmp_path / "file" / "strokes", {})
