"""Metrics: how far a picture is from the right one, and a sequence from the right sequence; numpy and OpenCV alone.

All pictures are float32 (H, W, 3), display-referred sRGB, 0..1; all results are Python floats.
"""

from __future__ import annotations

import cv2
import numpy as np

from engine.base.arrays import Floats
from engine.base.errors import ImageError

__all__ = ["Floats", "high_frequency", "l1", "psnr", "structure_distance", "temporal"]


_SCALES = (0.25, 0.25, 0.25, 0.25)
"""Weights of the structure distance, from full size down by halves."""
_SMALLEST_SIDE = 16
# Differences that the eye does not see in noise of 8-bit pictures: variance of light, and amplitude of a gradient.
_QUIET_VARIANCE, _QUIET_GRADIENT = 6e-4, 0.02


def _check(result: Floats, truth: Floats) -> None:
    if result.shape != truth.shape or result.ndim != 3 or result.shape[2] != 3:
        raise ImageError(f"cannot compare pictures of shapes {result.shape} and {truth.shape}")


def l1(result: Floats, truth: Floats) -> float:
    """Mean absolute error."""
    _check(result, truth)
    return float(np.abs(result - truth).mean())


def psnr(result: Floats, truth: Floats) -> float:
    """Peak signal to noise in decibels, 100 at most."""
    _check(result, truth)
    return float(-10 * np.log10(max(float(np.square(result - truth).mean()), 1e-10)))


def temporal(result: tuple[Floats, Floats], truth: tuple[Floats, Floats]) -> float:
    """``dt``: mean absolute error of the change between two neighboring frames, each (earlier, later).

    Flicker and swimming raise it; blur alone cannot lower it below the truth's own motion.
    """
    for mine, right in zip(result, truth, strict=True):
        _check(mine, right)
    return float(np.abs((result[1] - result[0]) - (truth[1] - truth[0])).mean())


def high_frequency(result: Floats, truth: Floats) -> float:
    """``hf``: deviation of the Laplacian over the truth's. 1 is right, less is washed out."""
    _check(result, truth)
    return float(cv2.Laplacian(result, cv2.CV_32F).std() / max(float(cv2.Laplacian(truth, cv2.CV_32F).std()), 1e-6))


def structure_distance(result: Floats, truth: Floats) -> float:
    """A distance of what is seen: structure, texture and color at four scales; 0 for the same picture.

    Structure is compared as in Wang et al. 2004 (SSIM); texture as local gradient energy along four directions,
    which tells blurred from sharp even where single strokes lie elsewhere. Compare it only with itself.

    Raises:
        ImageError: shapes differ.
    """
    _check(result, truth)
    mine, right = _lab(result), _lab(truth)
    total = spent = 0.0
    for weight in _SCALES:
        if min(mine.shape[:2]) < _SMALLEST_SIDE and spent:
            break
        total += weight * _at_scale(mine, right)
        spent += weight
        mine, right = (cv2.resize(x, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for x in (mine, right))
    return total / spent


def _lab(rgb: Floats) -> Floats:
    """CIE Lab over 100, so that light is 0..1."""
    return np.asarray(cv2.cvtColor(np.clip(rgb, 0, 1), cv2.COLOR_RGB2LAB) / 100, np.float32)


def _at_scale(mine: Floats, right: Floats) -> float:
    def local(x: Floats, sigma: float = 1.5) -> Floats:
        return np.asarray(cv2.GaussianBlur(x, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101), np.float32)

    a, b = mine[..., 0], right[..., 0]
    mean_a, mean_b = local(a), local(b)
    var_a, var_b = local(a * a) - mean_a * mean_a, local(b * b) - mean_b * mean_b
    covariance = local(a * b) - mean_a * mean_b
    structure = (2 * covariance + _QUIET_VARIANCE) / (var_a + var_b + _QUIET_VARIANCE)
    color = np.sqrt(np.square(local(mine) - local(right)).sum(axis=2))
    energies = []
    for light in (a, b):
        dx, dy = (cv2.Sobel(light, cv2.CV_32F, i, j, ksize=3) / 8 for i, j in ((1, 0), (0, 1)))
        energies.append(np.stack([local(np.abs(g), 3.0) for g in (dx, dy, (dx + dy) / 1.4142, (dx - dy) / 1.4142)]))
    texture = np.abs(energies[0] - energies[1]) / (energies[0] + energies[1] + _QUIET_GRADIENT)
    return 0.4 * float((1 - structure).mean()) / 2 + 0.3 * float(color.mean()) + 0.3 * float(texture.mean())
