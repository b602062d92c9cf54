"""Shifting shots: a texture that moves by known whole pixels, with or without something that passes in front of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine import images
from tests.support import textures

__all__ = ["HEIGHT", "STEP_PX", "WIDTH", "passing", "shifting_plate"]

HEIGHT, WIDTH, STEP_PX = 40, 56, 3


def passing(frame: int, *, hides: int | None) -> np.ndarray:
    """(H, W): what stands in front of the texture; nothing in any frame but ``hides``, there most of the picture."""
    front = np.zeros((HEIGHT, WIDTH), bool)
    if frame == hides:
        front[4:-4, 8:-8] = True
    return front


def shifting_plate(folder: Path, frames: int, *, hides: int | None = None) -> str:
    """Write frames 1 to ``frames`` as 8 bits; each shows what is :data:`STEP_PX` further right. Returns the pattern."""
    canvas = textures.texture(seed=4, height=HEIGHT, width=WIDTH + STEP_PX * frames)
    for frame in range(1, frames + 1):
        shown = canvas[:, STEP_PX * frame :][:, :WIDTH].copy()
        shown[passing(frame, hides=hides)] = (0.9, 0.1, 0.1)
        images.write(folder / f"plate.{frame}.png", shown.astype(np.float32), bit_depth="uint8")
    return str(folder / "plate.%d.png")
