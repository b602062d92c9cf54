"""Stored frames: the pixels of a sequence between its passes, one file a frame, each replaced whole.

A pass reads what the pass before left of a frame and what it wrote itself of its neighbors. Both come from these files
always, in half floats, so that a run that was stopped anywhere goes on to the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from engine.base.arrays import Floats
from engine.base.errors import InputError
from engine.base.foreign_json import parse_json
from engine.base.temporaries import clean_temporaries, output_error, replacing

__all__ = ["StoredFrames", "rounded"]

_REMEDY = "run again without --resume to start afresh"
_SUFFIX = ".safetensors"


@dataclass
class StoredFrames:
    """The frames of one sequence.

    Args:
        folder: where they lie; it is made.
        inputs: of each frame the hash of what it is painted from.

    Raises:
        OutputError, NoPermissionError: the folder cannot be made.
    """

    folder: Path
    inputs: dict[int, str]
    passes: dict[int, int] = field(default_factory=dict)
    """How many passes each frame has seen."""

    def __post_init__(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(self.folder, error) from error
        clean_temporaries(self.folder)
        self.passes = dict.fromkeys(self.inputs, 0)

    def find(self) -> None:
        """Take up what an earlier run left.

        Raises:
            InputError: a file is damaged, or was made from something else.
        """
        for frame, digest in self.inputs.items():
            path = self._path(frame)
            if path.is_file():
                facts, _ = self._read(path)
                if facts["inputs_sha256"] != digest:
                    why = f"frame {frame} was made from another plate, style image or setting"
                    raise InputError(why, path=path, remedy=_REMEDY)
                self.passes[frame] = int(facts["passes"])

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

    def write(self, frame: int, passes: int, pixels: Floats) -> None:
        """Keep what a pass made of a frame, (H, W, 3).

        Raises:
            OutputError: it cannot be written.
        """
        stored = np.ascontiguousarray(pixels, np.float16)
        facts = {"passes": passes, "inputs_sha256": self.inputs[frame], "pixels_sha256": _sha256(stored)}
        with replacing(self._path(frame)) as temporary:
            temporary.write_bytes(save({"pixels": stored}, metadata={"paintover": json.dumps(facts)}))
        self.passes[frame] = passes

    def read(self, frame: int) -> Floats:
        """What the last pass made of a frame, (H, W, 3).

        Raises:
            InputError: the file is missing or damaged.
        """
        return self._read(self._path(frame))[1].astype(np.float32)

    def _path(self, frame: int) -> Path:
        return self.folder / f"{frame:04d}{_SUFFIX}"

    def _read(self, path: Path) -> tuple[dict[str, Any], np.ndarray]:
        try:
            with safe_open(path, "numpy") as file:
                facts = parse_json((file.metadata() or {})["paintover"], 2**16)
                pixels = file.get_tensor("pixels")
            if facts["pixels_sha256"] != _sha256(pixels):
                raise ValueError("its pixels have changed")
            if pixels.dtype != np.float16 or pixels.ndim != 3 or pixels.shape[2] != 3 or int(facts["passes"]) < 1:
                raise ValueError("its values make no sense")
            str(facts["inputs_sha256"])
        except (SafetensorError, OSError, ValueError, KeyError, TypeError, MemoryError, OverflowError) as error:
            why = f"a frame of the sequence is damaged: {str(error)[:200]}"
            raise InputError(why, path=path, remedy=_REMEDY) from error
        return facts, pixels


def rounded(pixels: Floats) -> Floats:
    """Pixels (H, W, 3) as they come back when they were stored."""
    return pixels.astype(np.float16).astype(np.float32)


def _sha256(pixels: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()
