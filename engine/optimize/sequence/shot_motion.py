"""Shot motion: flow between any two frames of a shot and where it can be trusted, at the size that is painted at."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np

from engine.base.arrays import Bytes, Floats
from engine.motion.flow import estimate, inside, one_thread, reliability
from engine.motion.flow_files import FlowFiles

__all__ = ["ShotMotion", "scaled_flow"]

_KEPT_BYTES = 2**28
"""Of gray frames that stay in memory; one that is needed again is read again."""


@dataclass
class ShotMotion:
    """The motion of one shot; memory does not grow with its length."""

    gray: Callable[[int], Bytes]
    """(H, W) of a frame, all of one size."""
    vectors: FlowFiles | None = None
    """Flow between neighbors from elsewhere, of any size; None to estimate it."""
    _kept: OrderedDict[int, Bytes] = field(default_factory=OrderedDict)

    def between(self, here: int, there: int) -> tuple[Floats, Floats]:
        """From one frame to another, however far apart.

        Returns:
            Flow, (H, W, 2) in pixels, and its reliability, (H, W) in 0..1: 0 where it leads out of the frame, to what
            is hidden there, or across a motion edge.

        Raises:
            ImageError: a frame or its vectors cannot be read.
        """
        one, two = self._gray(here), self._gray(there)
        if self.vectors is not None and abs(there - here) == 1:
            forth, back = (_given(self.vectors, *ends, one.shape) for ends in ((here, there), (there, here)))
        else:
            with one_thread():
                forth, back = estimate(one, two), estimate(two, one)
        trust = reliability(forth, back, exact=True)
        # Its smoothing leaves some trust beyond the border, where only the border's own pixels could be repeated.
        trust[~inside(forth)] = 0
        return forth, trust

    def _gray(self, frame: int) -> Bytes:
        found = self._kept.get(frame)
        if found is None:
            found = self._kept[frame] = self.gray(frame)
            while len(self._kept) > 2 and sum(each.nbytes for each in self._kept.values()) > _KEPT_BYTES:
                self._kept.popitem(last=False)
        self._kept.move_to_end(frame)
        return found


def _given(vectors: FlowFiles, here: int, there: int, size: tuple[int, ...]) -> Floats:
    flow = vectors.forward(here) if there > here else vectors.backward(here)
    return scaled_flow(flow, (size[0], size[1]))


def scaled_flow(flow: Floats, size: tuple[int, int]) -> Floats:
    """A flow (H, W, 2) in pixels of frames of another height and width."""
    high, wide = flow.shape[:2]
    if (high, wide) == size:
        return flow
    scaled = cv2.resize(flow, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(scaled * np.array([size[1] / wide, size[0] / high], np.float32), np.float32)
