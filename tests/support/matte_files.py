"""Mattes as files: a soft-edged box for each frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.base.frames import SequencePath
from tests.support.pictures import write_exr


def box(height: int, width: int, left: int, right: int) -> np.ndarray:
    """(H, W): 1 between two columns and an eighth of the height from top and bottom, a quarter on one column beside."""
    found = np.zeros((height, width), np.float32)
    rows = slice(height // 8, height - height // 8)
    found[rows, max(0, left - 1) : right + 1] = 0.25
    found[rows, left:right] = 1.0
    return found


def write_mattes(folder: Path, mattes: dict[int, np.ndarray], channel: str = "A") -> SequencePath:
    """Float EXR of one channel, by frame number."""
    path = SequencePath.parse(folder / "matte.%04d.exr")
    for frame, matte in mattes.items():
        write_exr(path.path(frame), {channel: matte})
    return path
