"""Track of one keyframe through a shot: where each pixel of a frame was in the keyframe, and how sure that is.

A track is carried on frame by frame. Each frame starts from the chained flow and is then matched with the keyframe
directly, which takes out the drift; pixel by pixel the better of the two goes on, and is registered with the keyframe
to about a tenth of a pixel. Flat regions then move with what is textured. Confidence has no memory: it judges the
pixel's present match, so that what was hidden and comes back is carried again.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from engine.base.arrays import Bytes, Floats, Mask
from engine.color import shaper
from engine.motion.filling import filled
from engine.motion.flat_regions import SMOOTH_PX, FlatView, settled
from engine.motion.flow import compose, estimate, inside, luma8, pull
from engine.motion.registration import ImageGradients, image_gradients, refined

__all__ = ["FrameFeatures", "Track", "advance", "begin", "features_of", "flatness", "frame_features", "likeness"]

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
_UNSEEN = 0.6
"""The mismatch of what a layer does not show: better than a bad match, worse than a good one."""
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
    known: Floats | None = None
    """(H, W): 1 where pixels are the picture's, 0 where it is a layer and they are made up; None for 1 everywhere."""

    @cached_property
    def flat_view(self) -> FlatView:
        """For flat regions."""
        return FlatView(self.color, flatness(self), None if self.known is None else np.asarray(self.known > 0))


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
    return features_of(np.clip(shaper.encode(linear), 0.0, 1.0))


def features_of(color: Floats, known: Mask | None = None) -> FrameFeatures:
    """The same for a frame that is in the working encoding, (H, W, 3) in 0..1.

    Args:
        known: (H, W), which pixels count; the rest is made up. None for all.
    """
    seen = None if known is None else known.astype(np.float32)
    detail = color - _blur_of(color, _SURROUND, seen)
    contrast = np.sqrt(_blur_of(_mean(np.square(detail)), 2 * _DETAIL, seen))
    noise = min(float(np.percentile(contrast, _FLATTEST)), _NOISIEST)
    return FrameFeatures(luma8(color), color, detail, contrast, noise, image_gradients(color), seen)


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
    to_key, from_key = _continued(to_key, frame, key), _continued(from_key, key, frame)
    return Track(to_key, from_key, _confidence(to_key, from_key, _mismatch(to_key, frame, key), frame, key))


def _matched(chained: Floats, here: FrameFeatures, there: FrameFeatures, *, coarse: bool = False) -> Floats:
    """The chained flow or the direct match that starts from it, whichever is better, registered."""
    flow, mismatch = _better(chained, estimate(here.gray, there.gray, chained), here, there)
    trusted = np.exp(-np.square(mismatch / _MISMATCH)).astype(np.float32)
    known = None if here.known is None else np.asarray(here.known > 0)
    flow = refined(flow, trusted, here.gradients, _other(there), coarse=coarse, known=known)
    return settled(flow, trusted, here.flat_view, there.flat_view)


def _other(there: FrameFeatures) -> ImageGradients:
    """The picture to register with; what is not its layer's is like nothing, not even like what is not the frame's."""
    if there.known is None:
        return there.gradients
    color = np.where(there.known[..., None] > 0, there.gradients.color, -there.gradients.color)
    return replace(there.gradients, color=color)


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
    scale = _scale(_contrast(flow, here, there))
    unlike = np.asarray(difference / scale, np.float32)
    known = _known(flow, here, there)
    if known is not None:
        unlike = known * unlike + (1 - known) * np.float32(_UNSEEN)
    return _blur_of(unlike, _DETAIL, here.known)


def _continued(flow: Floats, here: FrameFeatures, there: FrameFeatures) -> Floats:
    """A layer's flow where both pictures know it; what either does not see moves as the layer around it."""
    known = _known(flow, here, there)
    return flow if known is None else filled(flow, np.asarray(known > 0.5))


def _known(flow: Floats, here: FrameFeatures, there: FrameFeatures) -> Floats | None:
    """(H, W): 1 where ``flow`` joins what both pictures know; None for everywhere."""
    if here.known is None and there.known is None:
        return None
    known = np.ones(flow.shape[:2], np.float32) if here.known is None else here.known
    return known if there.known is None else np.asarray(known * pull(there.known, flow), np.float32)


def _scale(contrast: Floats) -> Floats:
    """The difference that a mismatch is measured by, where there is so much contrast."""
    return 0.02 + 0.7 * contrast


def _confidence(to_key: Floats, from_key: Floats, mismatch: Floats, frame: FrameFeatures, key: FrameFeatures) -> Floats:
    noise, contrast = max(frame.noise, key.noise), _contrast(to_key, frame, key)
    # Where there is nothing to see but grain, one place is as good as its neighbor.
    tolerance = 3.0 + 5.0 * _flat(contrast, noise)
    apart = to_key + pull(from_key, to_key)
    round_trip = np.hypot(apart[..., 0], apart[..., 1])
    against = _unlikeness(to_key, mismatch, contrast, frame, key) + np.square(round_trip / tolerance)
    sure = np.asarray(np.exp(-against), np.float32)
    if frame.known is not None:
        # A layer's soft edge shows another one as well: it is as sure as what is beside it.
        sure = filled(sure[..., None], frame.known > 0)[..., 0]
    return np.clip(_blur(np.asarray(sure * inside(to_key), np.float32), 1.0), 0, 1)


def likeness(to_key: Floats, frame: FrameFeatures, key: FrameFeatures) -> Floats:
    """(H, W) in 0..1: how alike the plates are where a flow (H, W, 2) leads, whatever the way back says."""
    against = _unlikeness(to_key, _mismatch(to_key, frame, key), _contrast(to_key, frame, key), frame, key)
    return np.asarray(np.exp(-against) * inside(to_key), np.float32)


def _contrast(flow: Floats, here: FrameFeatures, there: FrameFeatures) -> Floats:
    """(H, W): how much there is to see in either picture."""
    return np.asarray(np.maximum(here.contrast, pull(there.contrast, flow)), np.float32)


def _unlikeness(to_key: Floats, mismatch: Floats, contrast: Floats, frame: FrameFeatures, key: FrameFeatures) -> Floats:
    """(H, W), 0 and more: what detail and tone say against a flow."""
    noise = max(frame.noise, key.noise)
    # Grain is another one in every frame and says nothing against a track.
    mismatch = np.sqrt(np.maximum(np.square(mismatch) - np.square(noise / _scale(contrast)), 0))
    known = _known(to_key, frame, key)
    here = frame.flat_view.soft if known is None else _blur_of(frame.color, SMOOTH_PX, known)
    there = _blur_of(np.asarray(pull(key.color, to_key), np.float32), SMOOTH_PX, known)
    tone = _mean(np.abs(here - there * _light(here, there)[..., None]))
    return np.asarray(np.square(mismatch / _MISMATCH) + np.square(tone / 0.2), np.float32)


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


def _blur_of(image: Floats, sigma: float, known: Floats | None) -> Floats:
    """The blur of what is known, (H, W); zero where that is far."""
    if known is None:
        return _blur(image, sigma)
    shaped = known if image.ndim == 2 else known[..., None]
    weight = np.maximum(_blur(known, sigma), 1e-3)
    return np.asarray(_blur(image * shaped, sigma) / (weight if image.ndim == 2 else weight[..., None]), np.float32)
