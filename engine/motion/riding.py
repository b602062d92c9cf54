"""Ridden tracks: where a surface was in the keyframe, remembered from the frame nearer to it.

A smooth surface that turns, or that its motion blurs, stops to match the keyframe in both directions long before it is
out of sight. Its track is then lost, although the motion from each frame to the next still tells where the surface
went. Strokes ride on by that. Nothing proves their place anew, so it is never called tracked; where a match is found
again, that takes over, and the plates must look alike as long as it rides.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from engine.base.arrays import Floats, Mask
from engine.motion.coherence import coherence
from engine.motion.flow import either, pull, squared_px
from engine.motion.track import FrameFeatures, Track, likeness

__all__ = ["RIDING", "Ridden", "nothing_ridden", "ride"]

RIDING = 0.9
"""Confidence of what rides at its best."""
_DOUBTED = 0.5
"""Confidence under which a track needs riding, and from which its own place is the one that goes on."""
_LEAST = 0.25
"""Confidence under which nothing rides."""
_AGREED_PX, _APART_PX = 0.5, 1.5
"""Error of the step to the neighbor and back up to which all rides, and from which nothing does."""
_FAINT, _SEEN = 0.01, 0.03
"""Contrast of the plate up to which it may be so many times as large, and from which it may not."""
_LENIENT = 4.0
_TORN_PX = 1.0
"""Difference between a place between pixels and the nearest pixel's from which these are two surfaces."""
_NEAR_PX = 3.0
"""How far the track of a frame may be from what rides for its place to be taken: it does not drift."""

_RICH = 0.08
"""Contrast from which a lost match speaks against riding; up to ``_SEEN`` it does not."""
_HALF_MATCHED, _LEFT = 0.25, 0.3
"""The track's confidence from which it no longer does, and what is left where the match is lost altogether."""
_ELSEWHERE_PX = 6.0
"""From how far away another pixel's claim to the same place counts."""
_MISSED_PX = 1.5
"""By how much it may miss that place."""


@dataclass(frozen=True)
class Ridden:
    """What one frame remembers of a keyframe."""

    flow: Floats
    """(H, W, 2) pixels: from this frame to the keyframe; the track's where that is sure."""
    kept: Floats
    """(H, W) in 0..1: how safe the way from the last sure track was."""
    confidence: Floats
    """(H, W) in 0..1: how sure that way and the likeness of the plates make its place; 0 where it leads elsewhere than
    the track, or too little of it is left."""

    def begun(self, track: Track) -> Track:
        """The track, led back to where its surface was, for the next frame to begin from."""
        flow = either(self.kept > _LEAST, self.flow, track.to_key)
        return Track(flow, track.from_key, track.confidence)

    def joined(self, track: Track) -> tuple[Track, Mask]:
        """The track, ridden on where it is doubted; and where that is, (H, W).

        What is sure by itself becomes surer where the way it came by leads to the same place.
        """
        better = self.confidence > track.confidence
        flow = either(better, self.flow, track.to_key)
        ridden = self.confidence * coherence(flow)
        confidence = np.where(better, ridden, track.confidence).astype(np.float32)
        return Track(flow, track.from_key, confidence), np.asarray(better & (track.confidence < _DOUBTED))


def nothing_ridden(height: int, width: int) -> Ridden:
    """That of the keyframe itself: everything is at its place."""
    everywhere = np.ones((height, width), np.float32)
    return Ridden(np.zeros((height, width, 2), np.float32), everywhere, everywhere)


def ride(
    previous: Ridden, steps: tuple[Floats, Floats], track: Track, frame: FrameFeatures, key: FrameFeatures
) -> Ridden:
    """From one frame to its neighbor that is farther from the keyframe.

    Args:
        previous: the neighbor's, nearer to the keyframe.
        steps: (H, W, 2) pixels each, flow from this frame to the neighbor, and the other way.
        track: this frame's.
        frame, key: this frame and the keyframe.
    """
    back, forth = steps
    nearest = back + pull(previous.flow, back, filter_=cv2.INTER_NEAREST)
    between = back + pull(previous.flow, back)
    torn = squared_px(between - nearest) > _TORN_PX**2
    flow = either(torn, nearest, between)
    apart = back + pull(forth, back)
    # Where there is little to see, a step is known less well, and matters less.
    faint = np.clip((_SEEN - frame.contrast) / (_SEEN - _FAINT), 0, 1)
    apart_px = np.hypot(apart[..., 0], apart[..., 1]) / (1 + (_LENIENT - 1) * faint)
    safe = np.clip((_APART_PX - apart_px) / (_APART_PX - _AGREED_PX), 0, 1)
    kept = pull(previous.kept, back, border=cv2.BORDER_CONSTANT) * safe
    near = squared_px(flow - track.to_key) < _NEAR_PX**2
    found = track.confidence >= _DOUBTED
    flow = either(near | found, track.to_key, flow)
    kept = np.asarray(np.where((found & ~near) | _claimed(flow, track), 0, kept), np.float32)
    # Where there is much to see, a match that fails says that it is another surface.
    smooth = np.clip((_RICH - frame.contrast) / (_RICH - _SEEN), 0, 1)
    matched = np.clip(track.confidence / _HALF_MATCHED, _LEFT, 1)
    confidence = RIDING * kept * likeness(flow, frame, key) * (smooth + (1 - smooth) * matched)
    confidence = np.asarray(confidence, np.float32)
    confidence[confidence < _LEAST] = 0
    return Ridden(flow, np.where(found, np.float32(1), kept), confidence)


def _claimed(flow: Floats, track: Track) -> Mask:
    """(H, W): where the place that a flow leads to is surely seen elsewhere in the frame: what is here hid it, or came
    out from behind it."""
    away = flow + pull(track.from_key, flow)
    missed = away + pull(track.to_key, away) - flow
    sure = pull(track.confidence, away, border=cv2.BORDER_CONSTANT) >= _DOUBTED
    far = squared_px(away) > _ELSEWHERE_PX**2
    return np.asarray(far & sure & (squared_px(missed) < _MISSED_PX**2))
