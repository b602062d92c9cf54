"""Painted confidence: how far STMap sidecars carry what is really painted of their keyframes."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from engine.base.arrays import Floats
from engine.motion.flow import pull
from engine.motion.stmap import stmap_to_flow

__all__ = ["painted_confidence"]


def painted_confidence(planes: Floats, coverages: Sequence[Floats | None]) -> Floats:
    """(H, W, K) in 0..1: confidence of K sidecars as far as what they point at is painted.

    Args:
        planes: (H, W, 3K) u, v and confidence, as :func:`engine.motion.stmap.read_sidecars` gives them.
        coverages: for each keyframe (H', W') in 0..1; None where it is painted wholly.
    """
    confidence = np.array(planes[..., 2::3], np.float32)
    for key, coverage in enumerate(coverages):
        if coverage is not None:
            flow = stmap_to_flow(planes[..., 3 * key], planes[..., 3 * key + 1], *coverage.shape)
            confidence[..., key] *= pull(coverage, flow, border=cv2.BORDER_CONSTANT)
    return confidence
