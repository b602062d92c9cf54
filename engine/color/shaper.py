"""Shaper: the network's encoding of scene-linear light, and its exact inverse.

One curve, odd in x: sRGB's transfer function (IEC 61966-2-1) up to 1, and above it a logarithm that continues with
the same value and slope::

    0 <= x <= 1      y = 12.92 x                      where x <= 0.0031308, else 1.055 x^(1/2.4) - 0.055
    x > 1            y = 1 + S ln(x)                  S = 1.055 / 2.4, the slope of the sRGB curve at 1
    x < 0            y = -encode(-x)

Scene-linear 65504, the largest half float, encodes to 5.88, so a network sees a bounded signal, and nothing is
clamped: 40 in a plate can come back as 40.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["CUT", "GAIN", "GAMMA", "LIMIT", "NAME", "OFFSET", "SLOPE", "TOE", "decode", "encode"]

NAME = "paintover-1"
TOE = 12.92
CUT = 0.0031308
GAIN = 1.055
OFFSET = 0.055
GAMMA = 2.4
SLOPE = GAIN / GAMMA
LIMIT = 65504.0
"""Magnitudes above the largest half float are held there: the inverse must fit a half float file."""


def encode(linear: NDArray[np.float32]) -> NDArray[np.float32]:
    """Encode scene-linear values (any shape, float32, unbounded) to the working encoding (about -5.9 .. 5.9)."""
    x = np.minimum(np.abs(linear.astype(np.float32, copy=False)), np.float32(LIMIT))
    # In place, and the logarithm only where there is something for it: pictures are large, and most of them have none.
    y = np.power(np.clip(x, CUT, 1.0), 1 / GAMMA)
    y *= GAIN
    y -= OFFSET
    y = np.where(x <= CUT, TOE * x, y)
    bright = ~(x <= 1.0)
    if np.any(bright):
        y = np.where(bright, 1.0 + SLOPE * np.log(np.maximum(x, 1.0)), y)
    return np.copysign(y, linear).astype(np.float32, copy=False)


def decode(encoded: NDArray[np.float32]) -> NDArray[np.float32]:
    """Invert :func:`encode`: working encoding (any shape, float32) to scene-linear values."""
    y = np.abs(encoded.astype(np.float32, copy=False))
    low = np.power((np.clip(y, TOE * CUT, 1.0) + OFFSET) / GAIN, GAMMA)
    high = np.exp(np.minimum((np.maximum(y, 1.0) - 1.0) / SLOPE, np.log(LIMIT)))
    x = np.where(y <= TOE * CUT, y / TOE, np.where(y <= 1.0, low, high))
    return np.copysign(x, encoded).astype(np.float32)
