"""Track of one keyframe through a shot: where each pixel of a frame was in the keyframe, and how sure that is.

A track is carried on frame by frame. Each frame starts from the chained flow and is then matched with the keyframe
directly, which takes out the drift; pixel by pixel the better of the two goes on, and is registered with the keyframe
to about a tenth of a pixel. Confidence has no memory: it judges the pixel's present match, so that what was hidden and
comes back is carried again.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass

import cv2
import numpy as np

from engine.base.arrays import Bytes, Floats
from engine.color import shaper
from engine.motion.flow import compose, estimate, inside, luma8, pull
from engine.motion.registration import ImageGradients, image_gradients, refined

__all__ = ["FrameFeatures", "Track", "advance", "begin", "flatness", "frame_features"]

_DETAIL = 1.5
"""Sigma, pixels, of the window in which a match is judged."""
_SURROUND = 10.0
"""Sigma, pixels, of the surround whose brightness may differ: exposure and light change."""
_FLATTEST = 5
"""Percentile of the contrast that is taken for grain."""
_NOISIEST = 0.02
"""What is at most taken for grain: more is texture, in a picture without a flat part."""
_MISMATCH = 1.2
"""At which a match is worth a third."""
_LIGHT_PX = 81
"""Side, pixels, of the window in which a change of light is measured before colors are compared."""


@dataclass(frozen=True)
class FrameFeatures:
    """What a plate's frame is to the tracker."""

    gray: Bytes
    """(H, W), for flow."""
    color: Floats
    """(H, W, 3), working encoding, 0..1."""
    detail: Floats
    """(H, W, 3): color less its surround."""
    contrast: Floats
    """(H, W): how much detail there is around each pixel."""
    noise: float
    """The contrast that grain alone makes, as far as the flattest parts of the picture tell."""
    gradients: ImageGradients
    """For registration."""


@dataclass(frozen=True)
class Track:
    """The keyframe as seen from one frame."""

    to_key: Floats
    """(H, W, 2) flow, pixels: from this frame to the keyframe."""
    from_key: Floats
    """(H, W, 2) flow, pixels: from the keyframe to this frame."""
    confidence: Floats
    """(H, W) in 0..1."""


def frame_features(linear: Floats) -> FrameFeatures:
    """Prepare a plate's frame (H, W, 3), scene-linear working colorspace."""
    color = np.clip(shaper.encode(linear), 0.0, 1.0)
    detail = color - _blur(color, _SURROUND)
    contrast = np.sqrt(_blur(_mean(np.square(detail)), 2 * _DETAIL))
    noise = min(float(np.percentile(contrast, _FLATTEST)), _NOISIEST)
    return FrameFeatures(luma8(color), color, detail, contrast, noise, image_gradients(color))


def begin(key: FrameFeatures) -> Track:
    """The keyframe itself: every pixel at its place, fully sure."""
    height, width = key.gray.shape
    still = np.zeros((height, width, 2), np.float32)
    return Track(still, still, np.ones((height, width), np.float32))


def advance(
    previous: Track,
    step_back: Floats,
    step_forth: Floats,
    frame: FrameFeatures,
    key: FrameFeatures,
    pool: Executor | None = None,
) -> Track:
    """From one frame's track to its neighbor's.

    Args:
        previous: the track of the frame nearer to the keyframe.
        step_back: flow from the new frame to the previous one.
        step_forth: flow from the previous frame to the new one.
        frame, key: the new frame and the keyframe.
        pool: where one of the two directions may be computed meanwhile.
    """
    chained_from = compose(previous.from_key, step_forth)
    other = None if pool is None else pool.submit(_matched, chained_from, key, frame, coarse=True)
    to_key = _matched(compose(step_back, previous.to_key), frame, key)
    from_key = _matched(chained_from, key, frame, coarse=True) if other is None else other.result()
    return Track(to_key, from_key, _confidence(to_key, from_key, _mismatch(to_key, frame, key), frame, key))


def _matched(chained: Floats, here: FrameFeatures, there: FrameFeatures, *, coarse: bool = False) -> Floats:
    """The chained flow or the direct match that starts from it, whichever is better, registered."""
    flow, mismatch = _better(chained, estimate(here.gray, there.gray, chained), here, there)
    trusted = np.exp(-np.square(mismatch / _MISMATCH)).astype(np.float32)
    return refined(flow, trusted, here.gradients, there.gradients, coarse=coarse)


def _better(first: Floats, second: Floats, here: FrameFeatures, there: FrameFeatures) -> tuple[Floats, Floats]:
    """Of two flows the one that matches better, pixel by pixel, and its mismatch."""
    one, two = _mismatch(first, here, there), _mismatch(second, here, there)
    # A narrow blend: where both fit alike, switching from pixel to pixel would tear.
    share = np.clip(_blur((one - two) * 20 + 0.5, 2.0), 0, 1)[..., None]
    flow = np.asarray(first + share * (second - first), np.float32)
    return flow, np.minimum(one, two)


def _mismatch(flow: Floats, here: FrameFeatures, there: FrameFeatures) -> Floats:
    """(H, W): difference of detail after following ``flow``, relative to the contrast that there is."""
    difference = _mean(cv2.absdiff(here.detail, pull(there.detail, flow)))
    scale = _scale(np.maximum(here.contrast, pull(there.contrast, flow)))
    return np.asarray(_blur(difference / scale, _DETAIL), np.float32)


def _scale(contrast: Floats) -> Floats:
    """The difference that a mismatch is measured by, where there is so much contrast."""
    return 0.02 + 0.7 * contrast


def _confidence(to_key: Floats, from_key: Floats, mismatch: Floats, frame: FrameFeatures, key: FrameFeatures) -> Floats:
    noise = max(frame.noise, key.noise)
    contrast = np.maximum(frame.contrast, pull(key.contrast, to_key))
    # Grain is another one in every frame and says nothing against a track.
    mismatch = np.sqrt(np.maximum(np.square(mismatch) - np.square(noise / _scale(contrast)), 0))
    # Where there is nothing to see but grain, one place is as good as its neighbor.
    tolerance = 3.0 + 5.0 * _flat(contrast, noise)
    apart = to_key + pull(from_key, to_key)
    round_trip = np.hypot(apart[..., 0], apart[..., 1])
    here, there = _blur(frame.color, 4.0), _blur(np.asarray(pull(key.color, to_key), np.float32), 4.0)
    tone = _mean(np.abs(here - there * _light(here, there)[..., None]))
    against = np.square(mismatch / _MISMATCH) + np.square(round_trip / tolerance) + np.square(tone / 0.2)
    sure = np.exp(-against) * inside(to_key)
    return np.clip(_blur(sure.astype(np.float32), 1.0), 0, 1)


def flatness(frame: FrameFeatures) -> Floats:
    """(H, W) in 0..1: 1 where the plate shows nothing but grain."""
    return _flat(frame.contrast, frame.noise)


def _flat(contrast: Floats, noise: float) -> Floats:
    return np.asarray(np.clip(2 - contrast / (1.25 * noise + 0.002), 0, 1), np.float32)


def _light(here: Floats, there: Floats) -> Floats:
    """(H, W): the factor on the encoding by which the light around a pixel changed; up to some three stops."""
    window = (_LIGHT_PX, _LIGHT_PX)
    one, two = (cv2.blur(_mean(image), window, borderType=cv2.BORDER_REFLECT_101) for image in (here, there))
    return np.asarray(np.clip((one + 0.05) / (two + 0.05), 0.4, 2.5), np.float32)


def _mean(color: Floats) -> Floats:
    """(H, W): the mean of three channels (H, W, 3)."""
    return np.asarray(cv2.transform(color, np.full((1, 3), 1 / 3, np.float32)), np.float32)


def _blur(image: Floats, sigma: float) -> Floats:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101), np.float32)
