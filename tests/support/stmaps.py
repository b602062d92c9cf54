"""STMaps and what a look must read through them, written out."""

from __future__ import annotations

import numpy as np

from engine.color import shaper

TILE_TOLERANCE = 1e-4
"""Of the working encoding, after the contract; the halo leaves only float32 sums in another order."""


def identity_map(height: int, width: int) -> np.ndarray:
    """(H, W, 2): u, v after Nuke: pixel centers at (i + 0.5) / size, origin at the lower left."""
    u = (np.arange(width, dtype=np.float32) + 0.5) / width
    v = 1 - (np.arange(height, dtype=np.float32) + 0.5) / height
    return np.stack([np.broadcast_to(u, (height, width)), np.broadcast_to(v[:, None], (height, width))], 2)


def sampled(exemplar: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Bilinear in the working encoding, borders repeated: the reference, written out."""
    picture = shaper.encode(exemplar).astype(np.float16).astype(np.float64)
    height, width = picture.shape[:2]
    x = uv[..., 0].astype(np.float64) * width - 0.5
    y = (1 - uv[..., 1].astype(np.float64)) * height - 0.5
    left, top = np.floor(x), np.floor(y)
    total = np.zeros((*uv.shape[:2], 3))
    for dy in (0, 1):
        for dx in (0, 1):
            share = np.abs(1 - dx - (x - left)) * np.abs(1 - dy - (y - top))
            row = np.clip(top + dy, 0, height - 1).astype(int)
            column = np.clip(left + dx, 0, width - 1).astype(int)
            total += share[..., None] * picture[row, column]
    return total


def stmap(*parts: tuple[np.ndarray, float]) -> np.ndarray:
    layers = []
    for uv, confidence in parts:
        layers += [uv, np.full((*uv.shape[:2], 1), confidence, np.float32)]
    return np.concatenate(layers, 2).astype(np.float32)
