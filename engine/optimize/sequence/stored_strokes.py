"""Stored strokes: the brushstrokes of a sequence's frames, one file a frame, each replaced whole."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from engine.base.errors import InputError
from engine.base.foreign_json import parse_json
from engine.base.temporaries import clean_temporaries, output_error, replacing
from engine.optimize.brushstrokes.curves import Brushstrokes
from engine.optimize.brushstrokes.layout import Layout

__all__ = ["StoredStrokes"]

_REMEDY = "run again without --resume to start afresh"
_SUFFIX = ".safetensors"
_FIELDS = ("location_px", "curve_px", "width_px", "color")


@dataclass
class StoredStrokes:
    """The strokes of one sequence.

    Args:
        folder: where they lie; it is made.
        inputs: of each frame the hash of what it is painted from.

    Raises:
        OutputError, NoPermissionError: the folder cannot be made.
    """

    folder: Path
    inputs: dict[int, str]

    def __post_init__(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(self.folder, error) from error
        clean_temporaries(self.folder)

    def has(self, frame: int) -> bool:
        """Whether a frame's strokes are there."""
        return self._path(frame).is_file()

    def forget(self) -> None:
        """Remove what an earlier run left.

        Raises:
            OutputError: a file cannot be removed.
        """
        for path in self.folder.glob("*" + _SUFFIX):
            try:
                path.unlink()
            except OSError as error:
                raise output_error(path, error) from error

    def write(self, frame: int, layout: Layout) -> None:
        """Keep a frame's strokes.

        Raises:
            OutputError: they cannot be written.
        """
        found = zip(_FIELDS, layout.strokes.tensors, strict=True)
        tensors = {name: each.detach().cpu().contiguous() for name, each in found}
        facts = {"inputs_sha256": self.inputs[frame], "broad": layout.broad, "tensors_sha256": _sha256(tensors)}
        with replacing(self._path(frame)) as temporary:
            temporary.write_bytes(save(tensors, metadata={"paintover": json.dumps(facts)}))

    def read(self, frame: int) -> Layout:
        """A frame's strokes.

        Raises:
            InputError: the file is missing, damaged, or of something else.
        """
        path = self._path(frame)
        try:
            with safe_open(path, "pt") as file:
                facts = parse_json((file.metadata() or {})["paintover"], 2**16)
                tensors = {name: file.get_tensor(name) for name in _FIELDS}
            if facts["tensors_sha256"] != _sha256(tensors):
                raise ValueError("its values have changed")
            strokes = Brushstrokes(*(tensors[name] for name in _FIELDS))
            count, broad = len(strokes), int(facts["broad"])
            shapes = [tuple(each.shape) for each in strokes.tensors]
            if shapes != [(count, 2), (count, 3, 2), (count,), (count, 3)] or not 0 <= broad <= count:
                raise ValueError("its values make no sense")
            found = str(facts["inputs_sha256"])
        except (SafetensorError, OSError, ValueError, KeyError, TypeError, MemoryError, OverflowError) as error:
            why = f"the strokes of frame {frame} are damaged: {str(error)[:200]}"
            raise InputError(why, path=path, remedy=_REMEDY) from error
        if found != self.inputs[frame]:
            why = f"the strokes of frame {frame} were made from another plate, style image or setting"
            raise InputError(why, path=path, remedy=_REMEDY)
        return Layout(strokes, broad)

    def _path(self, frame: int) -> Path:
        return self.folder / f"{frame:04d}{_SUFFIX}"


def _sha256(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in _FIELDS:
        each = tensors[name]
        digest.update(f"{name} {tuple(each.shape)} {each.dtype}".encode())
        digest.update(each.contiguous().view(torch.uint8).numpy().tobytes() if each.numel() else b"")
    return digest.hexdigest()
