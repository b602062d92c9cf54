"""Track of a live stream: each picture's place in a keyframe of that stream, as far as the frame rate allows."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from statistics import median

import cv2
import numpy as np

from engine.base.arrays import Floats
from engine.motion.flow import estimate
from engine.motion.stmap import flow_to_stmap
from engine.motion.track import FrameFeatures, Track, advance, begin, frame_features

__all__ = ["LiveTrack"]

BUDGET_S = 0.16
"""A picture may be followed for so long; where that is not enough, it is followed at half the size."""
SMALLEST_PX = 80
"""Longest side at which nothing is halved any more."""
_JUDGED = 5
"""Pictures after which the time is judged."""
_LOST = 0.12
"""Mean confidence under which the next picture is matched with the keyframe anew, not from where the last one was."""


@dataclass(frozen=True, eq=False)
class _Followed:
    """The last picture, and where it was."""

    frame: FrameFeatures
    track: Track


class LiveTrack:
    """Follows one keyframe; for one thread at a time, pictures in their order. Some may be left out."""

    def __init__(self, key: Floats) -> None:
        """
        Args:
            key: (H, W, 3), the keyframe, scene-linear working colorspace.
        """
        self._key = key
        self._halvings = 0
        self._took: deque[float] = deque(maxlen=_JUDGED)
        self._features = frame_features(key)
        self._last = _Followed(self._features, begin(self._features))

    def warm_up(self) -> None:
        """Compile what is compiled when it is first used: seconds on a new machine."""
        still = self._last.track.to_key
        advance(self._last.track, still, still, self._features, self._features)

    def stmap(self, linear: Floats) -> Floats:
        """(H, W, 3): u, v and confidence of the keyframe for the next picture (H, W, 3), of the keyframe's size."""
        began = time.perf_counter()
        frame = frame_features(self._reduced(linear))
        last = self._last
        if float(last.track.confidence.mean()) < _LOST:
            last = _Followed(self._features, begin(self._features))
        back, forth = estimate(frame.gray, last.frame.gray), estimate(last.frame.gray, frame.gray)
        track = advance(last.track, back, forth, frame, self._features)
        self._last = _Followed(frame, track)
        height, width = linear.shape[:2]
        flow, confidence = track.to_key, track.confidence
        if self._halvings:
            rows, columns = confidence.shape
            scale = np.array([width / columns, height / rows], np.float32)
            flow = np.asarray(cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR) * scale, np.float32)
            confidence = np.asarray(cv2.resize(confidence, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
        u, v = flow_to_stmap(flow, height, width)
        self._took.append(time.perf_counter() - began)
        self._keep_pace()
        return np.stack([u, v, confidence], axis=2)

    def _reduced(self, linear: Floats) -> Floats:
        if not self._halvings:
            return linear
        height, width = linear.shape[:2]
        size = (max(1, width >> self._halvings), max(1, height >> self._halvings))
        return np.asarray(cv2.resize(linear, size, interpolation=cv2.INTER_AREA), np.float32)

    def _keep_pace(self) -> None:
        """Halve where pictures take too long."""
        smallest = max(self._key.shape[:2]) >> (self._halvings + 1) < SMALLEST_PX
        if len(self._took) < _JUDGED or median(self._took) <= BUDGET_S or smallest:
            return
        self._halvings += 1
        self._took.clear()
        self._features = frame_features(self._reduced(self._key))
        self._last = _Followed(self._features, begin(self._features))
