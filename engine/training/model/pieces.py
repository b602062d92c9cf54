"""Pieces: a keyframe put together from other places of its own, as its strokes arrive where it shows no such surface.

Training shows the network crops that are partly made of them. What it is asked for there depends on the painting: its
own strokes are to be kept, in the tone that belongs there, and joined; a grade or a filter, whose detail is the
plate's, is to be translated from the plate.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from engine.base.arrays import Floats, Mask
from engine.color import shaper
from engine.motion.flow import pull
from engine.motion.repaint import repaint_elsewhere
from engine.motion.track import frame_features
from engine.preparation.marks import OWN, PLATES, fine_correlation

__all__ = ["Pieces", "find_pieces", "joined"]

_AROUND_PX = 6.0
"""Deviation of the blur by which two places of a painting are compared."""
_ALIKE = 0.15
"""Difference of their colors, mean of the channels, up to which one may stand for the other."""
_SEAM_PX = 1.5
"""Deviation of the blur over which pieces are joined."""
_TORN_PX = 2.0
"""Difference of neighbors' offsets that is a seam."""


@dataclass(frozen=True)
class Pieces:
    """Of one keyframe."""

    shift: Floats
    """(2, H, W) pixels, along x and y: from a pixel to the place that stands for it."""
    share: Floats
    """(H, W) in 0..1: the confidence with which it would arrive."""
    alike: Mask
    """(H, W): where the painting has about the same color at both places."""
    seam: Floats
    """(H, W) in 0..1: 1 where two pieces meet."""
    own: float
    """In 0..1: how far the painting's finest detail is its own and not the plate's."""


def find_pieces(plate: Floats, painting: Floats) -> Pieces:
    """The pieces of a keyframe, plate and painting (H, W, 3) in the working encoding."""
    found = repaint_elsewhere(frame_features(shaper.decode(plate)))
    soft = cv2.GaussianBlur(painting, (0, 0), _AROUND_PX)
    alike = np.abs(soft - pull(soft, found.flow)).mean(axis=2) < _ALIKE
    torn = np.zeros(found.found.shape, np.float32)
    for axis in (0, 1):
        step = np.abs(np.diff(found.flow, axis=axis)).max(axis=2) > _TORN_PX
        torn = np.maximum(torn, np.pad(step, [(0, 1) if a == axis else (0, 0) for a in (0, 1)]).astype(np.float32))
    seam = np.clip(3 * cv2.GaussianBlur(torn, (0, 0), _SEAM_PX), 0, 1)
    own = float(np.clip((PLATES - fine_correlation(plate, painting)) / (PLATES - OWN), 0, 1))
    return Pieces(np.ascontiguousarray(found.flow.transpose(2, 0, 1)), found.confidence, alike, seam, own)


def joined(pieces: Floats, painting: Floats, seam: Floats) -> Floats:
    """A painting made of pieces (H, W, C) in the tone of the right one, with its seams (H, W) smoothed over."""
    soft = cv2.GaussianBlur(pieces, (0, 0), _SEAM_PX)
    tone = cv2.GaussianBlur(painting - pieces, (0, 0), _AROUND_PX)
    return np.asarray(pieces + seam[..., None] * (soft - pieces) + tone, np.float32)
