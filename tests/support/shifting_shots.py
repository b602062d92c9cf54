"""Shifting shots: a texture that moves by known whole pixels, with or without something that passes in front of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine import images
from tests.support import textures

__all__ = ["HEIGHT", "STEP_PX", "WIDTH", "change_of_hidden", "followed", "passing", "shifting_plate"]

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


def followed(here: np.ndarray, there: np.ndarray, frames: int = 1) -> np.ndarray:
    """(H, W) display codes: how a pixel differs from the same place of the texture so many frames before; NaN without.

    Args:
        here, there: (H, W, 3) in 0..1, a frame and an earlier one.
    """
    moved = STEP_PX * frames
    difference = np.full(here.shape[:2], np.nan)
    difference[:, : WIDTH - moved] = np.abs(here[:, : WIDTH - moved] - there[:, moved:]).mean(axis=2)
    return difference * 255


def change_of_hidden(here: np.ndarray, there: np.ndarray, hides: int) -> float:
    """Mean of :func:`followed` over what frame ``hides`` hid, between the frame after it and the one before."""
    back = passing(hides, hides=hides)
    # Away from the front's edges, and where the texture is in both frames.
    back[:6], back[-6:], back[:, :12], back[:, WIDTH - 2 * STEP_PX :] = False, False, False, False
    return float(followed(here, there, 2)[back].mean())
