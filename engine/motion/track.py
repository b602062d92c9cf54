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
from numba import njit

from engine.base.arrays import Bytes, Floats, Mask
from engine.color import shaper
from engine.motion.coherence import coherence
from engine.motion.filling import filled
from engine.motion.flat_regions import FlatView, settled
from engine.motion.flow import compose, estimate, inside, luma8, pull, squared_px
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
_SCALE, _SCALE_BY_CONTRAST = 0.02, 0.7
"""The difference of detail that counts 1, and what is added to it for the contrast that there is."""
_TONE, _TONE_PX, _TONE_STEP = 0.2, 4.0, 2
"""Difference of tone at which a match is worth a third; deviation of the blur that leaves it; between its pixels."""
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
    """(H, W, 4): color less its surround, and the contrast once more: they are looked up together."""
    contrast: Floats
    """(H, W): how much detail there is around each pixel."""
    noise: float
    """The contrast that grain alone makes, as far as the flattest parts of the picture tell."""
    gradients: ImageGradients
    """For registration."""
    known: Floats | None = None
    """(H, W): 1 where pixels are the picture's, 0 where it is a layer and they are made up; None for 1 everywhere."""

    @cached_property
    def tone(self) -> Floats:
        """(h, w, 3): the colors without detail, of every other pixel."""
        return _tone(self.color[::_TONE_STEP, ::_TONE_STEP])

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
    detail = color - _wide_blur_of(color, _SURROUND, seen)
    contrast = np.sqrt(_blur_of(_mean(np.square(detail)), 2 * _DETAIL, seen))
    noise = min(float(np.percentile(contrast[::2, ::2], _FLATTEST)), _NOISIEST)
    both = np.asarray(cv2.merge([detail, contrast]), np.float32)
    return FrameFeatures(luma8(color), color, both, contrast, noise, image_gradients(color), seen)


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
    return Track(to_key, from_key, _confidence(to_key, from_key, frame, key))


def _matched(chained: Floats, here: FrameFeatures, there: FrameFeatures, *, coarse: bool = False) -> Floats:
    """The chained flow or the direct match that starts from it, whichever is better, registered."""
    flow, mismatch = _better(chained, estimate(here.gray, there.gray, chained, fast=coarse), here, there)
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
    one, two = _match(first, here, there)[0], _match(second, here, there)[0]
    # A narrow blend: where both fit alike, switching from pixel to pixel would tear.
    return _blended(first, second, _blur((one - two) * 20 + 0.5, 2.0)), np.minimum(one, two)


@njit(nogil=True, cache=True)
def _blended(first: Floats, second: Floats, share: Floats) -> Floats:
    """(H, W, 2): of two flows, the second one by its share."""
    found = np.empty_like(first)
    for y in range(share.shape[0]):
        for x in range(share.shape[1]):
            part = min(max(share[y, x], np.float32(0)), np.float32(1))
            for axis in range(2):
                found[y, x, axis] = first[y, x, axis] + part * (second[y, x, axis] - first[y, x, axis])
    return found


def _match(flow: Floats, here: FrameFeatures, there: FrameFeatures) -> tuple[Floats, Floats]:
    """(H, W) each: difference of detail after following ``flow``, by the contrast there is; and that, of either."""
    unlike, contrast = _unlike(here.detail, np.asarray(pull(there.detail, flow), np.float32))
    known = _known(flow, here, there)
    if known is not None:
        unlike = np.asarray(known * unlike + (1 - known) * np.float32(_UNSEEN), np.float32)
    return _blur_of(unlike, _DETAIL, here.known), contrast


@njit(nogil=True, cache=True)
def _unlike(detail: Floats, seen: Floats) -> tuple[Floats, Floats]:
    """Pixel by pixel what :func:`_match` returns, of detail (H, W, 4) here and as it is seen there."""
    height, width, _ = detail.shape
    unlike, most = np.empty((height, width), np.float32), np.empty((height, width), np.float32)
    third, least, share = np.float32(1 / 3), np.float32(_SCALE), np.float32(_SCALE_BY_CONTRAST)
    for y in range(height):
        for x in range(width):
            total = abs(detail[y, x, 0] - seen[y, x, 0]) + abs(detail[y, x, 1] - seen[y, x, 1])
            total += abs(detail[y, x, 2] - seen[y, x, 2])
            most[y, x] = max(detail[y, x, 3], seen[y, x, 3])
            unlike[y, x] = total * third / (least + share * most[y, x])
    return unlike, most


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


def _confidence(to_key: Floats, from_key: Floats, frame: FrameFeatures, key: FrameFeatures) -> Floats:
    mismatch, contrast = _match(to_key, frame, key)
    # Where there is nothing to see but grain, one place is as good as its neighbor.
    tolerance = 3.0 + 5.0 * _flat(contrast, max(frame.noise, key.noise))
    away = squared_px(to_key + pull(from_key, to_key))
    against = _unlikeness(to_key, mismatch, contrast, frame, key) + away / np.square(tolerance)
    sure = np.asarray(np.exp(-against), np.float32)
    if frame.known is not None:
        # A layer's soft edge shows another one as well: it is as sure as what is beside it.
        sure = filled(sure[..., None], frame.known > 0)[..., 0]
    sure = np.clip(_blur(np.asarray(sure * inside(to_key), np.float32), 1.0), 0, 1)
    return np.asarray(sure * coherence(to_key), np.float32)


def likeness(to_key: Floats, frame: FrameFeatures, key: FrameFeatures) -> Floats:
    """(H, W) in 0..1: how alike the plates are where a flow (H, W, 2) leads, whatever the way back says."""
    against = _unlikeness(to_key, *_match(to_key, frame, key), frame, key)
    return np.asarray(np.exp(-against) * inside(to_key), np.float32)


def _unlikeness(to_key: Floats, mismatch: Floats, contrast: Floats, frame: FrameFeatures, key: FrameFeatures) -> Floats:
    """(H, W), 0 and more: what detail and tone say against a flow."""
    known = _known(to_key, frame, key)
    seen = np.asarray(pull(key.color, to_key, step=_TONE_STEP), np.float32)
    if known is None:
        here, there = frame.tone, _tone(seen)
    else:
        known = known[::_TONE_STEP, ::_TONE_STEP]
        here, there = _tone(frame.color[::_TONE_STEP, ::_TONE_STEP], known), _tone(seen, known)
    height, width = mismatch.shape
    tone = cv2.resize(_apart(here, there, _surround(here), _surround(there)), (width, height))
    noise = np.float32(max(frame.noise, key.noise))
    # Grain is another one in every frame and says nothing against a track.
    grain = noise / (np.float32(_SCALE) + np.float32(_SCALE_BY_CONTRAST) * contrast)
    detail = np.maximum(np.square(mismatch) - np.square(grain), 0)
    return np.asarray(detail * np.float32(1 / _MISMATCH**2) + np.square(tone * np.float32(1 / _TONE)), np.float32)


@njit(nogil=True, cache=True)
def _apart(here: Floats, there: Floats, around_here: Floats, around_there: Floats) -> Floats:
    """(H, W): how far tones (H, W, 3) are apart, but for a change of the light around, (H, W) each."""
    found = np.empty_like(around_here)
    for y in range(found.shape[0]):
        for x in range(found.shape[1]):
            # The factor on the encoding by which the light changed; up to some three stops.
            light = (around_here[y, x] + np.float32(0.05)) / (around_there[y, x] + np.float32(0.05))
            light = min(max(light, np.float32(0.4)), np.float32(2.5))
            total = abs(here[y, x, 0] - there[y, x, 0] * light) + abs(here[y, x, 1] - there[y, x, 1] * light)
            found[y, x] = (total + abs(here[y, x, 2] - there[y, x, 2] * light)) * np.float32(1 / 3)
    return found


def flatness(frame: FrameFeatures) -> Floats:
    """(H, W) in 0..1: 1 where the plate shows nothing but grain."""
    return _flat(frame.contrast, frame.noise)


def _flat(contrast: Floats, noise: float) -> Floats:
    return np.asarray(np.clip(2 - contrast / (1.25 * noise + 0.002), 0, 1), np.float32)


def _tone(color: Floats, known: Floats | None = None) -> Floats:
    """(h, w, 3): of some pixels' color, what is left without detail."""
    return _blur_of(np.ascontiguousarray(color), _TONE_PX / _TONE_STEP, known)


def _surround(tone: Floats) -> Floats:
    """(h, w): how bright it is around a pixel."""
    window = (_LIGHT_PX // _TONE_STEP | 1,) * 2
    return np.asarray(cv2.blur(_mean(tone), window, borderType=cv2.BORDER_REFLECT_101), np.float32)


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


def _wide_blur_of(color: Floats, sigma: float, known: Floats | None) -> Floats:
    """The same of a picture (H, W, 3), at half its size, since what is left is smooth."""
    height, width = color.shape[:2]

    def half(image: Floats) -> Floats:
        small = cv2.resize(image, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA)
        return _blur(np.asarray(small, np.float32), sigma / 2)

    if known is None:
        near = half(color)
    else:
        near = half(color * known[..., None]) / np.maximum(half(known), np.float32(1e-3))[..., None]
    return np.asarray(cv2.resize(near, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
