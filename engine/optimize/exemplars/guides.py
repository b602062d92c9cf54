"""Guides: what two plates are compared by, pixel by pixel: color, hue and gradient."""

from __future__ import annotations

import cv2
import numpy as np

from engine.base.arrays import Floats

__all__ = ["plate_guides"]

_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
_HUE, _GRADIENT = 0.5, 1.5
"""Weights beside the color's three channels."""


def plate_guides(plate: Floats, soft_px: float) -> Floats:
    """(H, W, 7) of a plate (H, W, 3) in sRGB: color, two of hue, gradient along x and y.

    How unlike two pixels are is the sum of the differences: about 3 from black to white, and 0.1 is hard to see.

    Args:
        soft_px: deviation of the blur before; strokes are wider than the plate's texture.
    """
    color = cv2.GaussianBlur(plate, (0, 0), soft_px, borderType=cv2.BORDER_REFLECT_101)
    red, green, blue = cv2.split(color)
    bright = (red + green + blue) / 3 + np.float32(0.15)
    gray = color @ _LUMA
    across, down = (cv2.Scharr(gray, cv2.CV_32F, *axis, scale=1 / 16) for axis in ((1, 0), (0, 1)))
    parts = [color, _HUE * (red - green) / bright, _HUE * (blue - green) / bright]
    return np.dstack([*parts, _GRADIENT * across, _GRADIENT * down]).astype(np.float32)
