"""A drawn shot of two layers: a disk that crosses a background, each with a motion that is known, and its mattes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine import images
from engine.base.frames import FrameRange, SequencePath
from engine.shot.plate import Plate
from tests.support.textures import HEIGHT, WIDTH, moved, shifted, texture

BEHIND, OBJECT = (2.0, -1.0), (-4.0, 1.5)
"""What each layer's pixels were away in the frame before, pixels."""
_RADIUS = 28.0
_CENTER = (62.0, 50.0)


def drawn(frame: int) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3) in the working encoding, and the disk's matte (H, W), a pixel soft."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    away = np.hypot(x - (_CENTER[0] - OBJECT[0] * frame), y - (_CENTER[1] - OBJECT[1] * frame))
    matte = np.clip(_RADIUS - away + 0.5, 0, 1).astype(np.float32)
    behind, front = (
        moved(texture(seed), shifted(step[0] * frame, step[1] * frame)) for seed, step in ((3, BEHIND), (8, OBJECT))
    )
    share = matte[..., None]
    return (share * front + (1 - share) * behind).astype(np.float32), matte


def truth(frame: int) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 2): the flow to frame 0; and (H, W): whether the pixel is seen there, some pixels from the border."""
    matte, key = drawn(frame)[1], drawn(0)[1]
    flow = np.where(matte[..., None] >= 0.5, np.float32(OBJECT), np.float32(BEHIND)) * np.float32(frame)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    to_x, to_y = np.rint(x + flow[..., 0]).astype(int), np.rint(y + flow[..., 1]).astype(int)
    inside = (to_x >= 4) & (to_x < WIDTH - 4) & (to_y >= 4) & (to_y < HEIGHT - 4)
    there = key[np.clip(to_y, 0, HEIGHT - 1), np.clip(to_x, 0, WIDTH - 1)]
    return flow, inside & ((there >= 0.5) == (matte >= 0.5))


def edge(frame: int, reach_px: float = 6.0) -> np.ndarray:
    """(H, W): the pixels near the disk's outline."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    away = np.hypot(x - (_CENTER[0] - OBJECT[0] * frame), y - (_CENTER[1] - OBJECT[1] * frame))
    return np.asarray(np.abs(away - _RADIUS) <= reach_px)


def layered_shot(folder: Path, frames: int = 4) -> tuple[Plate, SequencePath]:
    """Plate and mattes as 8-bit files."""
    folder.mkdir(exist_ok=True)
    path, mattes = SequencePath.parse(folder / "plate.%04d.png"), SequencePath.parse(folder / "matte.%04d.png")
    for frame in range(frames):
        pixels, matte = drawn(frame)
        images.write(path.path(frame), pixels, bit_depth="uint8")
        images.write(mattes.path(frame), np.repeat(matte[..., None], 3, axis=2), bit_depth="uint8")
    return Plate(path, FrameRange.parse(f"0-{frames - 1}")), mattes
