"""Guided filter: smoothing that keeps the edges of another picture, in color (He, Sun and Tang 2010)."""

from __future__ import annotations

import cv2
import numpy as np

from engine.base.arrays import Floats

__all__ = ["guided_filter"]


def guided_filter(picture: Floats, guide: Floats, radius_px: int, epsilon: float) -> Floats:
    """(H, W, C): in every window the linear function of the guide's color that is nearest to the picture.

    Args:
        picture: (H, W, C).
        guide: (H, W, 3), values of about 0..1.
        radius_px: windows have a side of twice this and one.
        epsilon: variance of the guide from which an edge is kept.
    """

    def mean(values: Floats) -> Floats:
        size = (2 * radius_px + 1, 2 * radius_px + 1)
        blurred = cv2.blur(values, size, borderType=cv2.BORDER_REFLECT_101)
        return np.asarray(blurred, np.float32).reshape(values.shape)

    height, width = guide.shape[:2]
    # Less the mean of all, variances keep their digits in single precision.
    centered = guide - guide.mean(axis=(0, 1))
    about = mean(centered)
    variance = np.empty((height, width, 3, 3), np.float32)
    for row in range(3):
        for column in range(row, 3):
            part = mean(centered[..., row] * centered[..., column]) - about[..., row] * about[..., column]
            variance[..., row, column] = variance[..., column, row] = part
        variance[..., row, row] += np.float32(epsilon)
    inverse = np.linalg.inv(variance)
    out = np.empty_like(picture)
    for channel in range(picture.shape[2]):
        values = picture[..., channel]
        level = mean(values)
        together = np.stack(
            [mean(centered[..., axis] * values) - about[..., axis] * level for axis in range(3)], axis=2
        )
        slope = np.matmul(inverse, together[..., None])[..., 0]
        offset = level - (slope * about).sum(axis=2)
        out[..., channel] = (mean(slope) * centered).sum(axis=2) + mean(offset)
    return out
