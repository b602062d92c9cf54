"""Checkpoint of a frame that is painted with strokes: the strokes and their descent, and then the pixels."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from engine.base.errors import InputError
from engine.base.foreign_json import parse_json
from engine.base.temporaries import replacing
from engine.optimize.brushstrokes.curves import Brushstrokes
from engine.optimize.brushstrokes.descent import DescentState

__all__ = ["FILE", "StrokesCheckpoint"]

FILE = "checkpoint.safetensors"
_REMEDY = "run again without --resume to start afresh"
_FIELDS = ("location_px", "curve_px", "width_px", "color")


@dataclass(frozen=True, eq=False)
class StrokesCheckpoint:
    """Where a frame stands."""

    frame: int
    inputs_sha256: str
    """Of all that the painting is made from."""
    state: DescentState
    pixels: Tensor | None = None
    """(1, 3, H, W); None while the strokes still move."""
    iteration: int = 0
    """Of the pixels."""

    @property
    def where(self) -> tuple[str, int]:
        """What is in work, ``strokes`` or ``pixels``, and how many iterations it has had."""
        return ("strokes", self.state.done) if self.pixels is None else ("pixels", self.iteration)

    def to(self, device: torch.device) -> StrokesCheckpoint:
        """The same with its tensors on a device."""
        state = self.state
        first, second = (tuple(each.to(device) for each in part) for part in (state.first, state.second))
        state = replace(state, strokes=state.strokes.to(device), first=first, second=second)
        return replace(self, state=state, pixels=None if self.pixels is None else self.pixels.to(device))

    def save(self, folder: Path) -> None:
        """Write it, in one file that is replaced whole.

        Raises:
            OutputError: it cannot be written.
        """
        parts = (("strokes", self.state.strokes.tensors), ("first", self.state.first), ("second", self.state.second))
        tensors = {f"{part}.{name}": each for part, own in parts for name, each in zip(_FIELDS, own, strict=True)}
        if self.pixels is not None:
            tensors["pixels"] = self.pixels
        tensors = {name: each.detach().cpu().contiguous() for name, each in tensors.items()}
        facts = {
            "frame": self.frame,
            "inputs_sha256": self.inputs_sha256,
            "done": self.state.done,
            "unit": self.state.unit,
            "iteration": self.iteration,
            "tensors_sha256": _digest(tensors),
        }
        with replacing(folder / FILE) as temporary:
            temporary.write_bytes(save(tensors, metadata={"paintover": json.dumps(facts)}))

    @classmethod
    def load(cls, folder: Path, frame: int, inputs_sha256: str) -> StrokesCheckpoint | None:
        """The checkpoint of a frame; None where there is none, or it is another frame's.

        Raises:
            InputError: it is damaged, or was made from something else.
        """
        path = folder / FILE
        if not path.is_file():
            return None
        try:
            with safe_open(path, "pt") as file:
                facts = parse_json((file.metadata() or {})["paintover"], 2**16)
                tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
            if facts["tensors_sha256"] != _digest(tensors):
                raise ValueError("its values have changed")
            if any(each.dtype is not torch.float32 for each in tensors.values()):
                raise ValueError("its values make no sense")
            strokes, first, second = (
                [tensors[f"{part}.{name}"] for name in _FIELDS] for part in ("strokes", "first", "second")
            )
            state = DescentState(
                Brushstrokes(*strokes), tuple(first), tuple(second), int(facts["done"]), float(facts["unit"])
            )
            found = cls(
                int(facts["frame"]), str(facts["inputs_sha256"]), state, tensors.get("pixels"), int(facts["iteration"])
            )
        except (SafetensorError, OSError, ValueError, KeyError, TypeError, MemoryError, OverflowError) as error:
            why = f"the checkpoint is damaged: {str(error)[:200]}"
            raise InputError(why, path=path, remedy=_REMEDY) from error
        if found.frame != frame:
            return None
        if found.inputs_sha256 != inputs_sha256:
            why = "the checkpoint was made from another plate, style image or setting"
            raise InputError(why, path=path, remedy=_REMEDY)
        return found


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, each in sorted(tensors.items()):
        digest.update(f"{name} {tuple(each.shape)}".encode() + each.contiguous().numpy().tobytes())
    return digest.hexdigest()
