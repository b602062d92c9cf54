"""Coherence: how many of the pixels around one go where it goes.

A surface moves as one, up to the edge where another hides it; there half of what is around still moves along. Where no
match was right, neighbors lead to places that have nothing to do with each other, and some of them look alike by
chance. Shown, those are crumbs of many strokes.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from engine.base.arrays import Floats

__all__ = ["coherence", "going_along"]

_AROUND = 3
"""Pixels on each side that are looked at."""
_ALIKE_PX = 2.0
"""Difference of two flows, along x and along y, up to which they are one surface's."""
_NONE, _ALL = 0.25, 0.5
"""Share of pixels that go along up to which a place has no hold, and from which it has all: a square corner has a
quarter, a straight edge half."""


def coherence(flow: Floats) -> Floats:
    """(H, W) in 0..1: 1 where enough of what is around a pixel moves along with it.

    Args:
        flow: (H, W, 2), pixels.
    """
    return np.clip((going_along(flow) - np.float32(_NONE)) / np.float32(_ALL - _NONE), 0, 1)


def going_along(flow: Floats) -> Floats:
    """(H, W) in 0..1: the share of the pixels around each whose flow (H, W, 2) is within two pixels of its own."""
    share = np.empty(flow.shape[:2], np.float32)
    _count(np.ascontiguousarray(flow, np.float32), _AROUND, np.float32(_ALIKE_PX), share)
    return share


@njit(nogil=True, cache=True, fastmath=True)
def _count(flow: Floats, around: int, alike_px: float, share: Floats) -> None:
    height, width = share.shape
    for y in range(height):
        top, bottom = max(y - around, 0), min(y + around, height - 1)
        for x in range(width):
            left, right = max(x - around, 0), min(x + around, width - 1)
            u, v = flow[y, x, 0], flow[y, x, 1]
            count = 0
            for row in range(top, bottom + 1):
                for column in range(left, right + 1):
                    near = abs(flow[row, column, 0] - u) < alike_px and abs(flow[row, column, 1] - v) < alike_px
                    count += near
            others = (bottom - top + 1) * (right - left + 1) - 1
            share[y, x] = (count - 1) / max(others, 1)
