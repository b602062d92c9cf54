"""Filling: values known in a part of the picture, continued smoothly over the rest."""

from __future__ import annotations

import cv2
import numpy as np

from engine.base.arrays import Floats, Mask

__all__ = ["filled"]


def filled(values: Floats, known: Mask) -> Floats:
    """(H, W, C): the values where they are known, and elsewhere what is known around, from near to far.

    Averages over a pyramid, after the pull-push of Gortler et al. 1996, "The lumigraph". Where nothing is known, zero.
    """
    if known.all():
        return values
    weight = known.astype(np.float32)
    levels = [(np.where(known[..., None], values, np.float32(0)), weight)]
    while max(levels[-1][1].shape) > 1 and levels[-1][1].min() == 0:
        sums, weight = levels[-1]
        size = (max(1, weight.shape[1] // 2), max(1, weight.shape[0] // 2))
        sums = _resized(sums, size, cv2.INTER_AREA)
        weight = np.asarray(cv2.resize(weight, size, interpolation=cv2.INTER_AREA), np.float32)
        # Full weight as soon as a quarter of the pixels below is known: what is near counts, not how much of it.
        gain = 1 / np.maximum(weight, 0.25)
        levels.append((np.asarray(sums * gain[..., None], np.float32), np.asarray(weight * gain, np.float32)))
    sums, weight = levels.pop()
    result = np.asarray(sums / np.maximum(weight, 1e-6)[..., None], np.float32)
    for sums, weight in reversed(levels):
        coarse = _resized(result, (weight.shape[1], weight.shape[0]), cv2.INTER_LINEAR)
        result = np.asarray(sums + (1 - weight[..., None]) * coarse, np.float32)
    return result


def _resized(values: Floats, size: tuple[int, int], how: int) -> Floats:
    """(h, w, C) of (H, W, C), also where C is 1, which OpenCV drops."""
    return np.asarray(cv2.resize(values, size, interpolation=how), np.float32).reshape(size[1], size[0], -1)
