"""Superpixels: the regions of like color that strokes begin from (SLIC, Achanta et al. 2012)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.base.arrays import Floats

__all__ = ["Superpixels", "superpixels"]

ROUNDS = 8
COMPACTNESS = 12.0
"""Lab distance that weighs as much as one grid step of place."""


@dataclass(frozen=True)
class Superpixels:
    """Regions, in no order that means anything; those without pixels are left out."""

    labels: NDArray[np.int64]
    """(H, W) index of each pixel's region."""
    pixels: Floats
    """(N,) how many each has."""
    center_px: Floats
    """(N, 2) x and y of pixel centers; the first pixel's center is at 0.5."""
    covariance_px: Floats
    """(N, 2, 2) of x and y."""


def superpixels(rgb: Floats, count: int) -> Superpixels:
    """Regions of a picture on a grid of at most ``count`` cells, so that each is about as large as the others.

    A pixel chooses among the nine centers of its cell and those around it, by color and place.

    Args:
        rgb: (H, W, 3) in 0..1, display-referred sRGB.
        count: from 1 up.
    """
    height, width = rgb.shape[:2]
    lab = np.asarray(cv2.cvtColor(np.ascontiguousarray(rgb, np.float32), cv2.COLOR_RGB2Lab), np.float32)
    rows = max(1, min(height, round((count * height / width) ** 0.5), count))
    columns = max(1, min(width, count // rows))
    y, x = (np.mgrid[:height, :width] + 0.5).astype(np.float32)
    step = (height * width / (rows * columns)) ** 0.5
    features = np.dstack([lab, x * (COMPACTNESS / step), y * (COMPACTNESS / step)])  # (H, W, 5)
    row, column = (y * rows / height).astype(np.int64), (x * columns / width).astype(np.int64)
    labels = row * columns + column
    flat = features.reshape(-1, 5)
    for _ in range(ROUNDS):
        centers, counted = _means(flat, labels, rows * columns)
        best = np.full((height, width), np.inf, np.float32)
        found = labels
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                near = np.clip(row + down, 0, rows - 1) * columns + np.clip(column + right, 0, columns - 1)
                distance = np.where(counted[near] > 0, ((features - centers[near]) ** 2).sum(2), np.inf)
                closer = distance < best
                best, found = np.where(closer, distance, best), np.where(closer, near, found)
        labels = found
    _, labels = np.unique(labels, return_inverse=True)
    labels = labels.reshape(height, width)
    place = np.stack([x, y], axis=2).reshape(-1, 2)
    center, counted = _means(place, labels, int(labels.max()) + 1)
    off = place - center[labels.ravel()]
    spread, _ = _means(off[:, [0, 0, 1, 1]] * off[:, [0, 1, 0, 1]], labels, len(counted))
    return Superpixels(labels, counted, center, spread.reshape(-1, 2, 2))


def _means(values: Floats, labels: NDArray[np.int64], count: int) -> tuple[Floats, Floats]:
    """(N, C) means of (P, C) values by label, 0 where there are none, and (N,) how many."""
    flat = labels.ravel()
    counted = np.bincount(flat, minlength=count).astype(np.float32)
    sums = [np.bincount(flat, values[:, channel], count) for channel in range(values.shape[1])]
    means = np.stack(sums, axis=1) / np.maximum(counted, 1)[:, None]
    return means.astype(np.float32), counted
