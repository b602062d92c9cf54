"""A shot of drawn frames whose motion is known, for what is prepared beside a plate."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine import images
from engine.base.frames import FrameRange, SequencePath
from engine.shot.plate import Plate
from tests.support.textures import moved, shifted, texture

STEP = (2.0, -1.0)
"""What the drawn plate moves from frame to frame, pixels of the keyframe."""


def draw(folder: Path, frame: int, seed: int = 3) -> None:
    pixels = moved(texture(seed), shifted(STEP[0] * frame, STEP[1] * frame))
    images.write(folder / f"plate.{frame:04d}.png", pixels.astype(np.float32), bit_depth="uint8")


def shot(folder: Path, frames: int = 5) -> Plate:
    folder.mkdir(exist_ok=True)
    for frame in range(frames):
        draw(folder, frame)
    return Plate(SequencePath.parse(folder / "plate.%04d.png"), FrameRange.parse(f"0-{frames - 1}"))
