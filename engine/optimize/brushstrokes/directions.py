"""Directions: which way an artist wants strokes to run, from an image of directions or a drawing of a few strokes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from engine import images
from engine.base.arrays import Floats
from engine.base.errors import ImageError

__all__ = ["Directions", "drawn_directions", "read_directions", "vector_directions"]

_GRAY = 4 / 255
"""Difference of channels up to which a picture is gray; JPEG makes that much of none."""
_REACH = 0.12
"""How far a drawn stroke's direction spreads, in units of the frame's shorter side."""
_LEAST_INK = 1e-3
"""Of the frame; below, nothing is drawn."""
_REMEDY = "draw lines on a transparent layer or white on black, or give x in red and y in green around middle gray"


@dataclass(frozen=True, eq=False)
class Directions:
    """A field of directions without a sign."""

    double: Floats
    """(H, W, 2) cosine and sine of twice the angle, from x (right) toward y (down); 0 where nothing is known."""
    weight: Floats
    """(H, W) in 0..1: how much the direction is wanted."""

    def shrunk(self, height: int, width: int) -> Directions:
        """The same field of a smaller frame."""
        if self.weight.shape == (height, width):
            return self
        # Where nothing is wanted, a direction does not count in the mean.
        packed = np.dstack([self.double * self.weight[..., None], self.weight])
        packed = cv2.resize(packed, (width, height), interpolation=cv2.INTER_AREA)
        length = np.hypot(packed[..., 0], packed[..., 1])[..., None]
        double = packed[..., :2] / np.maximum(length, 1e-6)
        return Directions(double.astype(np.float32), packed[..., 2].astype(np.float32))


def read_directions(path: Path, size: tuple[int, int]) -> Directions:
    """Read an artist's file for a frame.

    With transparency, or gray, it is a drawing: strokes run as its lines do, more so the nearer they are. Otherwise it
    holds vectors: x = 2 red - 1 (right), y = 2 green - 1 (down); middle gray wants nothing.

    Args:
        path: an image.
        size: width and height of the frame.

    Raises:
        ImageError: missing, damaged, of another size, with NaN or Inf, or it wants nothing anywhere.
    """
    image = images.read(path)
    if image.bad_pixels:
        why = f"{image.bad_pixels} pixels of the directions are NaN or Inf"
        raise ImageError(why, path=path, remedy="draw or render them again")
    high, wide = image.rgb.shape[:2]
    if (wide, high) != size:
        why = f"the directions are {wide}x{high}, and the plate {size[0]}x{size[1]}"
        raise ImageError(why, path=path, remedy="give an image of the plate's size")
    alpha = image.alpha
    if alpha is not None and float(np.ptp(alpha)) > 0:
        field = drawn_directions(np.clip(alpha, 0, 1))
    elif float(np.ptp(image.rgb, axis=2).max()) <= _GRAY:
        ink = np.clip(image.rgb.mean(2), 0, 1)
        # The lines are what there is less of: people draw black on white as well.
        field = drawn_directions(ink if float(ink.mean()) <= 0.5 else 1 - ink)
    else:
        field = vector_directions(image.rgb)
    if float(field.weight.max()) < 0.01:
        raise ImageError("the directions say nothing", path=path, remedy=_REMEDY)
    return field


def vector_directions(rgb: Floats) -> Directions:
    """The field of an image of directions, (H, W, 3); the longer a vector, the more it is wanted, up to length 1."""
    x, y = 2 * rgb[..., 0] - 1, 2 * rgb[..., 1] - 1
    length = np.hypot(x, y)
    # 8 bits have no exact middle.
    weight = np.clip((length - 0.02) / 0.98, 0, 1)
    double = np.stack([x * x - y * y, 2 * x * y], axis=2) / np.maximum(length**2, 1e-6)[..., None]
    return Directions((double * (weight > 0)[..., None]).astype(np.float32), weight.astype(np.float32))


def drawn_directions(ink: Floats) -> Directions:
    """The field of a drawing, (H, W) coverage in 0..1; a line's direction spreads about it and fades."""
    height, width = ink.shape
    if float(ink.mean()) < _LEAST_INK * 0.01:
        return Directions(np.zeros((height, width, 2), np.float32), np.zeros((height, width), np.float32))
    sigma = max(1.0, min(height, width) / 200)
    smooth = cv2.GaussianBlur(ink, (0, 0), sigma)
    gx, gy = (cv2.Scharr(smooth, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    # The gradient runs across a line: a quarter turn, which twice is the other sign.
    double = np.stack([gy * gy - gx * gx, -2 * gx * gy], axis=2)
    energy = np.hypot(double[..., 0], double[..., 1])
    near = [_spread(each, 2 * sigma) for each in (double[..., 0], double[..., 1], energy)]
    reach = min(height, width) * _REACH
    far = [_spread(each, reach) for each in (double[..., 0], double[..., 1], energy)]
    total = [
        a / max(float(near[2].max()), 1e-9) + 0.05 * b / max(float(far[2].max()), 1e-9)
        for a, b in zip(near, far, strict=True)
    ]
    length = np.hypot(total[0], total[1])
    unit = np.stack(total[:2], axis=2) / np.maximum(length, 1e-12)[..., None]
    # Full within the reach of a line; lines that cross at an angle want nothing together.
    distance = cv2.distanceTransform((smooth < 0.5 * float(smooth.max())).astype(np.uint8), cv2.DIST_L2, 5)
    weight = np.exp(-0.5 * (distance / reach) ** 2) * length / np.maximum(total[2], 1e-12)
    return Directions(unit.astype(np.float32), np.clip(weight, 0, 1).astype(np.float32))


def _spread(image: Floats, sigma_px: float) -> Floats:
    """A Gaussian blur, on a small image where the sigma is large."""
    factor = max(1, int(sigma_px / 4))
    height, width = image.shape
    small = cv2.resize(image, (max(1, width // factor), max(1, height // factor)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), max(0.5, sigma_px / factor))
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
