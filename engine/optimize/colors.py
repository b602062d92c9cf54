"""Color preservation: a painting in the plate's colors.

After Gatys et al., "Preserving color in neural artistic style transfer" (2016).
"""

from __future__ import annotations

import numpy as np

from engine.base.arrays import Floats

__all__ = ["LIGHTNESS", "color_map", "match_colors", "match_lightness", "with_lightness"]

_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]], np.float32)
_TO_RGB = np.linalg.inv(_TO_YIQ).astype(np.float32)
LIGHTNESS = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in it."""
_LEAST = 1e-4
"""Variance that a flat picture is taken to have."""


def match_colors(style: Floats, plate: Floats) -> Floats:
    """The style image, (H, W, 3) in 0..1, with the mean and covariance that the plate's colors have."""
    turn, offset = color_map(style, plate)
    matched = style.reshape(-1, 3).astype(np.float64) @ turn.T + offset
    return np.clip(matched, 0, 1).astype(np.float32).reshape(style.shape)


def color_map(source: Floats, target: Floats) -> tuple[np.ndarray, np.ndarray]:
    """Matrix (3, 3) and summand (3,) that give colors (..., 3) the mean and covariance of ``target``'s."""
    own, wanted = source.reshape(-1, 3).astype(np.float64), target.reshape(-1, 3).astype(np.float64)
    turn = _root(np.cov(wanted.T)) @ np.linalg.inv(_root(np.cov(own.T)))
    return turn, wanted.mean(0) - turn @ own.mean(0)


def match_lightness(style: Floats, plate: Floats) -> Floats:
    """The style image's lightness as a gray picture, with the mean and spread that the plate's has."""
    source, target = style @ _TO_YIQ[0], plate @ _TO_YIQ[0]
    spread = max(float(source.std()), _LEAST**0.5)
    matched = (source - source.mean()) * (float(target.std()) / spread) + target.mean()
    return np.repeat(np.clip(matched, 0, 1)[..., None], 3, axis=2).astype(np.float32)


def with_lightness(plate: Floats, painted: Floats) -> Floats:
    """The plate with the painting's lightness, (H, W, 3) in 0..1."""
    mixed = plate @ _TO_YIQ.T
    mixed[..., 0] = painted @ _TO_YIQ[0]
    return np.clip(mixed @ _TO_RGB.T, 0, 1).astype(np.float32)


def _root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric square root."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, _LEAST))) @ vectors.T
