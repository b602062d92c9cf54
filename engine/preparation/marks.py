"""Marks: what a painter put into a keyframe that its plate does not ask for, such as a sun in an empty sky.

A surface that no keyframe shows is painted with strokes of places whose plate looks alike; a mark among them would be
seen a second time. So places are left out whose painting departs from that of most places with such a plate. A
painting whose finest detail is the plate's, as that of a grade or a filter, has no strokes to lend at all: what it
looks like on a surface follows from that surface's own plate.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np

from engine import images
from engine.base.arrays import Floats, Mask
from engine.base.errors import ImageError

__all__ = ["OWN", "PLATES", "find_marks", "fine_correlation", "marks_of", "read_painting", "suffix_of"]

_ACROSS = 64
"""Cells along the width in which plate and painting are compared."""
_OTHERS = 24
"""Places with such a plate that a cell's painting is compared with."""
_NEAR = 3
"""Cells around it that are no other place: they may belong to the same mark."""
_SUCH = 0.15
"""Difference of two plates, summed over color and contrast, up to which one is such as the other."""
_DEPARTS, _SPREADS = 0.1, 4.0
"""Mean difference of the channels from the others' median that makes a mark, and how often their own spread more."""
_LARGEST = 0.04
"""Share of the picture above which a thing is no mark: there is enough of it to be a surface of its own."""

OWN, PLATES = 0.3, 0.6
"""Correlation of the finest detail of painting and plate up to which strokes are the painting's own, and from which
they are the plate's."""


def marks_of(path: Path, color: Floats, contrast: Floats) -> Mask | None:
    """What of a painting is not lent, (H, W): see :func:`find_marks`; None where there is none that can be read.

    All of a painting that follows its plate into the finest detail.
    """
    painting = read_painting(path, *contrast.shape)
    if painting is None:
        return None
    if fine_correlation(color, painting) > (OWN + PLATES) / 2:
        return np.ones(contrast.shape, bool)
    return find_marks(color, contrast, painting)


def fine_correlation(plate: Floats, painting: Floats) -> float:
    """Of what both, (H, W, 3), have within three pixels, -1..1; 1 where either has nothing there."""
    one, two = (gray - cv2.blur(gray, (3, 3)) for gray in (plate.mean(axis=2), painting.mean(axis=2)))
    scale = float(np.sqrt(np.square(one).mean() * np.square(two).mean()))
    return float((one * two).mean()) / scale if scale > 0 else 1.0


def suffix_of(marks: Mask | None) -> str:
    """What the hash of a sidecar ends with, where there are marks to be left out."""
    if marks is None or not marks.any():
        return ""
    return "+" + hashlib.sha256(marks.tobytes()).hexdigest()[:16]


def read_painting(path: Path, height: int, width: int) -> Floats | None:
    """A painting (H, W, 3) as its file has it, brought to a size; None where there is none that can be read."""
    try:
        pixels = images.read(path).rgb
    except ImageError:
        # Training says what is wrong with it; following keyframes needs no painting.
        return None
    pixels = np.nan_to_num(np.asarray(pixels, np.float32), nan=0.0, posinf=1.0, neginf=0.0)
    return np.asarray(cv2.resize(np.clip(pixels, 0, 1), (width, height), interpolation=cv2.INTER_AREA), np.float32)


def find_marks(color: Floats, contrast: Floats, painting: Floats) -> Mask:
    """(H, W): where a painting departs from that of places whose plate looks alike.

    Args:
        color: (H, W, 3), the plate, working encoding.
        contrast: (H, W), how much detail it has around each pixel.
        painting: (H, W, 3), 0..1.
    """
    height, width = contrast.shape
    columns = min(_ACROSS, width)
    rows = max(1, min(height, round(columns * height / width)))
    size = (columns, rows)
    stack = cv2.resize(np.dstack([color, 2 * contrast]).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    plate = stack.reshape(-1, 4)
    paint = cv2.resize(painting, size, interpolation=cv2.INTER_AREA).reshape(-1, 3)
    y, x = (axis.ravel() for axis in np.mgrid[0:rows, 0:columns])
    found = np.zeros(len(plate), bool)
    if len(plate) <= _OTHERS:
        return np.zeros((height, width), bool)
    for cell in range(len(plate)):
        unlike = np.abs(plate - plate[cell]).sum(axis=1)
        unlike[np.maximum(abs(y - y[cell]), abs(x - x[cell])) <= _NEAR] = np.inf
        others = np.argpartition(unlike, _OTHERS - 1)[:_OTHERS]
        others = others[unlike[others] < _SUCH]
        if len(others) < _OTHERS // 2:
            continue
        median = np.median(paint[others], axis=0)
        spread = float(np.median(np.abs(paint[others] - median).mean(axis=1)))
        found[cell] = np.abs(paint[cell] - median).mean() > _DEPARTS + _SPREADS * spread
    marks = found.reshape(rows, columns).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(marks, connectivity=8)
    for label in range(1, count):
        if stats[label, cv2.CC_STAT_AREA] > _LARGEST * marks.size:
            marks[labels == label] = 0
    # A cell more on all sides: a mark's edge lies within cells.
    marks = cv2.dilate(marks, np.ones((3, 3), np.uint8))
    return np.asarray(cv2.resize(marks, (width, height), interpolation=cv2.INTER_NEAREST) > 0)
