"""Textures that move by a known number of pixels: plates for flow, tracks and STMaps."""

from __future__ import annotations

import cv2
import numpy as np

from tests.support import procedural

HEIGHT, WIDTH = 96, 160

BORDER = 64


def texture(seed: int = 3, height: int = HEIGHT + 2 * BORDER, width: int = WIDTH + 2 * BORDER) -> np.ndarray:
    """Working encoding, 0.05..0.95, detail down to 4 pixels: what flow can be expected to follow."""
    return np.clip(0.5 + 0.4 * procedural.noise(height, width, seed=seed, finest=4), 0.05, 0.95)


def moved(canvas: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The frame whose pixel p shows what is at ``matrix`` p of the keyframe (2x3, pixels of the keyframe)."""
    into = matrix.astype(np.float64).copy()
    into[:, 2] += BORDER
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.clip(cv2.warpAffine(canvas, into, (WIDTH, HEIGHT), flags=flags, borderMode=cv2.BORDER_REFLECT), 0, 1)


def shifted(dx: float, dy: float) -> np.ndarray:
    return np.array([[1, 0, dx], [0, 1, dy]], np.float64)
