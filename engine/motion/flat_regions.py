"""Flat regions: skies and bare walls, which move as a textured surface beside them or around the whole picture does.

Where a plate shows nothing but grain there is nothing to register, and a flow found there is that of the grain: strokes
would swim. The textured part of the picture tells a few affine motions, found one after the other by RANSAC (Fischler
and Bolles 1981). A flat region takes the one under which what little it shows, smoothed, agrees best between the two
frames, and with which its edges move.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt
from numba import njit

from engine.base.arrays import Bytes, Floats, Mask
from engine.motion.flow import pull

__all__ = ["FlatView", "settled"]

Ints = npt.NDArray[np.int64]

_PITCH_PX = 8
"""Between the points at which a motion is looked up."""
_WITHIN_PX = 0.5
"""How far a point may be from a motion that it belongs to."""
_MOST_MOTIONS = 4
_FEWEST_POINTS, _SMALLEST_SHARE = 16, 0.04
"""Points, and their share of all, that make a motion."""
_SMALLEST_REGION = 0.004
"""Share of the picture under which a region is left as it is: its surroundings are near enough."""
_AROUND_PX = 45
"""Side of the square by which a region is widened to what may belong to it."""
_JUDGED_PX = 2.0
"""Deviation of the neighborhood in which a pixel decides whether it moves with a region beside it."""
_FLAT_PX = 4.0
"""Deviation of the window in which a pixel's surroundings must be flat."""
_BARELY, _SURELY = 0.6, 0.9
"""Share of flat pixels in that window up to which a pixel keeps its flow, and from which it moves with the region."""
_RING_PX = 13
"""Side of the square by which a region's edge is widened to see what moves there."""
_TOGETHER_PX = 1.0
"""How far the edge may be from a motion that it moves with."""
_SMOOTH_PX = 4.0
"""Deviation of the blur under which grain is gone and the faintest shapes stay."""
_EDGE = 0.5
"""What a motion costs with which none of the edge moves, against the difference of the best one."""
_WORSE, _WORSE_BY = 1.7, 0.01
"""How much worse than under the flow that is there a region may match, as a factor and beyond it."""
_SAMPLES_PX = 3
"""Between the pixels, along each axis, by which a region is judged."""
_ROW = 30_000
"""Places that are looked up together."""
_LIGHT_ROUNDS, _GAIN = 4, 2.0
"""Of fitting a gain and bias of the light, and the largest gain either way, on the encoding."""
_KEEPS_SHAPE = 1.0
"""How much a motion is held to shift, turn and zoom, against what its points say of a change of shape."""
_FIT_PX, _FIT_ROUNDS = 0.15, 8
"""Distance from the fit at which a point counts a quarter, and rounds of the fit."""
_TRUSTED, _TEXTURED = 0.5, 2.5
"""From which trust, and from how many times the flat regions' grain on, a pixel tells of a motion."""
_FINE_PX = 2.0
"""Deviation of the blur that texture is finer than, and of the window in which it is measured."""
_LIKE = 0.05
"""Difference of color, working encoding, up to which a pixel beside a region may belong to it."""
_LOYAL = 0.003
"""Difference, likewise, by which it may match worse when it moves with the region."""
_ODD = 0.01
"""Difference, working encoding, that counts half of the most: what lies in front in the other frame says nothing."""

Affine = npt.NDArray[np.float64]
"""(2, 3): x and y of the other frame from x, y and 1."""


@dataclass(frozen=True, eq=False)
class FlatView:
    """A frame as its flat regions are settled; each part is looked at once, however often it is asked for."""

    color: Floats
    """(H, W, 3) working encoding."""
    flat: Floats
    """(H, W) in 0..1: 1 where the frame shows nothing but grain."""
    known: Mask | None = None
    """(H, W), which pixels are the picture's; None for all."""

    @cached_property
    def soft(self) -> Floats:
        """(H, W, 3): the picture without its grain."""
        return _blur(self.color, _SMOOTH_PX)

    @cached_property
    def share(self) -> Floats:
        """(H, W): how much of a pixel's surroundings is flat."""
        return _blur(self.flat if self.known is None else self.flat * self.known, _FLAT_PX)

    @cached_property
    def regions(self) -> tuple[npt.NDArray[np.int32], tuple[tuple[int, tuple[slice, slice]], ...]]:
        """(H, W): the number of each pixel's region; and for the large ones their number and part of the picture."""
        height, width = self.flat.shape
        count, labels, stats, _ = cv2.connectedComponentsWithStats(
            (self.share > _BARELY).astype(np.uint8), connectivity=4
        )
        least = _SMALLEST_REGION * height * width
        large = (n for n in range(1, count) if stats[n, cv2.CC_STAT_AREA] >= least)
        return np.asarray(labels, np.int32), tuple((n, _window(stats[n], height, width)) for n in large)

    @cached_property
    def textured(self) -> Mask:
        """(H, W): where there is enough to see to tell a motion by."""
        # Not by the flatness that is given: that counts a surround, and so holds the sky beside a roof for textured.
        texture = _texture(self.color)
        found = np.asarray(texture > _TEXTURED * float(texture[self.share > _BARELY].mean()))
        return found if self.known is None else found & self.known


def settled(flow: Floats, trusted: Floats, here: FlatView, there: FlatView) -> Floats:
    """A flow (H, W, 2), pixels, whose flat regions move as one with what is textured.

    Args:
        flow: from the frame to the other one.
        trusted: (H, W) in 0..1: how far the flow matches.
        here, there: the two frames.
    """
    labels, regions = here.regions
    if not regions:
        return flow
    textured = (trusted > _TRUSTED) & here.textured
    motions = _motions(flow, textured)
    if not motions:
        return flow
    own = _unlike(here.color, np.asarray(pull(there.color, flow), np.float32))
    found = np.array(flow, np.float32)
    for number, part in regions:
        # Nothing of a region reaches farther: all else stays as it is.
        region = labels[part] == number
        best = _best(motions, region, part, textured, flow, here.soft, there.soft)
        if best is not None:
            around = _around(region, part, best, own, here, there.color)
            _move(found[part], np.ascontiguousarray(here.share[part]), region, around, _said(best, *_places(part)))
    return found


def _window(stats: npt.NDArray[np.int32], height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns that a region's surroundings depend on."""
    left, top = (int(stats[name]) for name in (cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP))
    across, down = (int(stats[name]) for name in (cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT))
    rows = slice(max(0, top - 2 * _AROUND_PX), min(height, top + down + 2 * _AROUND_PX))
    return rows, slice(max(0, left - 2 * _AROUND_PX), min(width, left + across + 2 * _AROUND_PX))


def _places(part: tuple[slice, slice]) -> tuple[Floats, Floats]:
    """x, (w,), and y, (h, 1), of a part of a picture."""
    rows, columns = part
    down = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None]
    return np.arange(columns.start, columns.stop, dtype=np.float32), down


def _texture(color: Floats) -> Floats:
    """(H, W): energy of a picture's finest detail around each pixel, working encoding."""
    return np.sqrt(_blur(_mean_square(color, _blur(color, _FINE_PX)), _FINE_PX))


def _around(
    region: Mask, part: tuple[slice, slice], motion: Affine, own: Floats, here: FlatView, there: Floats
) -> Mask:
    """(h, w): what lies at a region's edge, has its color, and matches as well when it moves with it.

    Args:
        region: of a part of the frame.
        own: (H, W), of all of it, as is what follows: how unlike neighborhoods are under the flow that is there.
    """
    near = cv2.dilate(region.astype(np.uint8), np.ones((_AROUND_PX, _AROUND_PX), np.uint8))
    mean = _wide(_weighed(here.color[part], region))
    found = _like(near, mean, _blur(here.color[part], 1.0))
    rows, columns = (np.flatnonzero(found.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return found
    # The other frame is looked at only where that can still tell.
    margin = math.ceil(4 * _JUDGED_PX)
    top, left = part[0].start, part[1].start
    inner = (
        slice(max(0, int(rows[0]) - margin) + top, min(len(region), int(rows[-1]) + 1 + margin) + top),
        slice(max(0, int(columns[0]) - margin) + left, min(region.shape[1], int(columns[-1]) + 1 + margin) + left),
    )
    x, y = _places(inner)
    said = _said(motion, x, y)
    seen = cv2.remap(there, x + said[..., 0], y + said[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    unlike = _unlike(here.color[inner], np.asarray(seen, np.float32))
    looked_at = found[inner[0].start - top : inner[0].stop - top, inner[1].start - left : inner[1].stop - left]
    looked_at &= unlike < own[inner] + _LOYAL
    return found


def _wide(image: Floats) -> Floats:
    """(h, w, C), blurred as widely as a region is widened; at a quarter, since it is smooth."""
    height, width = image.shape[:2]
    size = (max(1, width // 4), max(1, height // 4))
    small = _blur(np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32), _AROUND_PX / 12)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _unlike(here: Floats, seen: Floats) -> Floats:
    """(H, W): how unlike the neighborhoods of pixels are to what is seen of them in the other frame."""
    return _blur(_mean_difference(here, seen), _JUDGED_PX)


def _blur(image: Floats, sigma: float) -> Floats:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101), np.float32)


def _said(motion: Affine, x: Floats, y: Floats) -> Floats:
    """The flow (..., 2) that a motion says of places."""
    (a, b, c), (d, e, f) = motion.tolist()
    return np.stack([(a - 1) * x + b * y + c, d * x + (e - 1) * y + f], axis=-1).astype(np.float32)


@njit(nogil=True, cache=True)
def _mean_difference(one: Floats, other: Floats) -> Floats:
    """(H, W): of two pictures (H, W, 3)."""
    height, width, _ = one.shape
    found = np.empty((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            total = abs(one[y, x, 0] - other[y, x, 0]) + abs(one[y, x, 1] - other[y, x, 1])
            found[y, x] = (total + abs(one[y, x, 2] - other[y, x, 2])) / np.float32(3)
    return found


@njit(nogil=True, cache=True)
def _mean_square(one: Floats, other: Floats) -> Floats:
    """(H, W): of the difference of two pictures (H, W, 3)."""
    height, width, _ = one.shape
    found = np.empty((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            a, b = one[y, x, 0] - other[y, x, 0], one[y, x, 1] - other[y, x, 1]
            c = one[y, x, 2] - other[y, x, 2]
            found[y, x] = (a * a + b * b + c * c) / np.float32(3)
    return found


@njit(nogil=True, cache=True)
def _weighed(color: Floats, region: Mask) -> Floats:
    """(h, w, 4): color in a region, nothing elsewhere; and 1 in it."""
    found = np.zeros((*region.shape, 4), np.float32)
    for y in range(region.shape[0]):
        for x in range(region.shape[1]):
            if region[y, x]:
                for c in range(3):
                    found[y, x, c] = color[y, x, c]
                found[y, x, 3] = 1
    return found


@njit(nogil=True, cache=True)
def _like(near: Bytes, mean: Floats, smoothed: Floats) -> Mask:
    """(h, w): what is near a region and has its color, (h, w, 4) times its share."""
    found = np.zeros(near.shape, np.bool_)
    for y in range(near.shape[0]):
        for x in range(near.shape[1]):
            weight = mean[y, x, 3]
            if near[y, x] == 0 or not weight > 1e-3:
                continue
            most = np.float32(0)
            for c in range(3):
                most = max(most, abs(smoothed[y, x, c] - mean[y, x, c] / weight))
            found[y, x] = most < _LIKE
    return found


@njit(nogil=True, cache=True)
def _move(found: Floats, share: Floats, region: Mask, around: Mask, motion: Floats) -> None:
    """Move a region and what is around it with a motion, (h, w, 2), in place."""
    barely, rest = np.float32(_BARELY), np.float32(_SURELY - _BARELY)
    for y in range(region.shape[0]):
        for x in range(region.shape[1]):
            weight = np.float32(0)
            if region[y, x]:
                weight = min(max((share[y, x] - barely) / rest, np.float32(0)), np.float32(1))
            if around[y, x]:
                weight = np.float32(1)
            if weight > 0:
                for axis in range(2):
                    found[y, x, axis] += weight * (motion[y, x, axis] - found[y, x, axis])


def _motions(flow: Floats, textured: Mask) -> list[Affine]:
    """The affine motions of what is textured, that of most points first."""
    height, width = textured.shape
    x, y = np.meshgrid(np.arange(_PITCH_PX // 2, width, _PITCH_PX), np.arange(_PITCH_PX // 2, height, _PITCH_PX))
    x, y = (each[textured[y, x]] for each in (x, y))
    sources = np.stack([x, y], axis=1).astype(np.float32)
    targets = sources + flow[y, x]
    fewest = max(_FEWEST_POINTS, _SMALLEST_SHARE * len(sources))
    found: list[Affine] = []
    while len(found) < _MOST_MOTIONS and len(sources) >= fewest:
        motion, inliers = cv2.estimateAffine2D(
            sources, targets, method=cv2.RANSAC, ransacReprojThreshold=_WITHIN_PX, maxIters=400, refineIters=10
        )
        if motion is None or not np.isfinite(motion).all():
            break
        inside = inliers.ravel() > 0
        if inside.sum() < fewest:
            break
        found.append(_fitted(motion, sources, targets))
        apart = _said(found[-1], sources[:, 0], sources[:, 1]) - (targets - sources)
        inside |= np.hypot(apart[:, 0], apart[:, 1]) < _WITHIN_PX
        sources, targets = sources[~inside], targets[~inside]
    return found


def _fitted(motion: Affine, sources: Floats, targets: Floats) -> Affine:
    """An affine motion fitted to points (n, 2), the nearer the more, towards one that keeps shapes as they are.

    Far from its points a surface is better told by a camera's turn, shift and zoom than by what noise makes of them.
    """
    middle = sources.mean(axis=0, dtype=np.float64)
    size = max(float(sources.std()), 1.0)
    x, y = ((sources - middle) / size).astype(np.float64).T
    goal = (targets.astype(np.float64) - sources) / size
    # Unknowns: shift of x and y, zoom, turn, and the two by which shapes change.
    rows_x = np.stack([np.ones_like(x), np.zeros_like(x), x, -y, x, y], axis=1)
    rows_y = np.stack([np.zeros_like(x), np.ones_like(x), y, x, -y, x], axis=1)
    apart = _said(motion, sources[:, 0], sources[:, 1]) - (targets - sources)
    for _ in range(_FIT_ROUNDS):
        odd = 1 + (apart**2).sum(axis=1) / _FIT_PX**2
        weight = (1 / (odd * odd)).astype(np.float64)
        normal = (rows_x * weight[:, None]).T @ rows_x + (rows_y * weight[:, None]).T @ rows_y
        right = (rows_x * weight[:, None]).T @ goal[:, 0] + (rows_y * weight[:, None]).T @ goal[:, 1]
        normal[4, 4] += _KEEPS_SHAPE * weight.sum()
        normal[5, 5] += _KEEPS_SHAPE * weight.sum()
        shift_x, shift_y, zoom, turn, one, two = np.linalg.solve(normal + 1e-9 * np.eye(6), right)
        said = np.stack(
            [rows_x @ [shift_x, shift_y, zoom, turn, one, two], rows_y @ [shift_x, shift_y, zoom, turn, one, two]],
            axis=1,
        )
        apart = ((said - goal) * size).astype(np.float32)
    linear = np.array([[1 + zoom + one, two - turn], [two + turn, 1 + zoom - one]])
    shift = np.array([shift_x, shift_y]) * size
    return np.concatenate([linear, (middle - linear @ middle + shift)[:, None]], axis=1)


def _best(
    motions: list[Affine],
    region: Mask,
    part: tuple[slice, slice],
    textured: Mask,
    flow: Floats,
    here: Floats,
    there: Floats,
) -> Affine | None:
    """The motion that explains a region and its edge; None where none does so well as the flow that is there.

    Args:
        region: (h, w), of a part of the picture.
        textured, flow, here, there: of all of it.
    """
    top, left = part[0].start, part[1].start
    places = _each(region, _SAMPLES_PX**2)
    rows, columns = places[:, 0] + top, places[:, 1] + left
    y, x = rows.astype(np.float32), columns.astype(np.float32)
    ring = cv2.dilate(region.astype(np.uint8), np.ones((_RING_PX, _RING_PX), np.uint8)) > 0
    beside = _each(ring & ~region & textured[part], 1)
    ring_y, ring_x = beside[:, 0] + top, beside[:, 1] + left
    there_is = flow[ring_y, ring_x]
    differences, strangers = [], []
    for motion in motions:
        differences.append(_difference(_said(motion, x, y), rows, columns, here, there))
        if len(ring_y):
            apart = _said(motion, ring_x.astype(np.float32), ring_y.astype(np.float32)) - there_is
            strangers.append(float((np.hypot(apart[:, 0], apart[:, 1]) > _TOGETHER_PX).mean()))
        else:
            strangers.append(1.0)
    own = _difference(flow[rows, columns], rows, columns, here, there)
    least = max(min(differences), 1e-6)
    if least > _WORSE * own + _WORSE_BY:
        return None
    costs = [difference / least + _EDGE * stranger for difference, stranger in zip(differences, strangers, strict=True)]
    return motions[int(np.argmin(costs))]


@njit(nogil=True, cache=True)
def _each(mask: Mask, step: int) -> Ints:
    """(n, 2): row and column of every pixel of a mask, row by row, or of one in ``step``."""
    count = 0
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            count += mask[y, x]
    found = np.empty(((count + step - 1) // step, 2), np.int64)
    number = 0
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            if mask[y, x]:
                if number % step == 0:
                    found[number // step, 0], found[number // step, 1] = y, x
                number += 1
    return found


def _difference(flow: Floats, rows: Ints, columns: Ints, here: Floats, there: Floats) -> float:
    """How unlike two frames are at places (n,) under a flow (n, 2), but for a change of the light."""
    height, width = here.shape[:2]
    to_x, to_y = columns.astype(np.float32) + flow[:, 0], rows.astype(np.float32) + flow[:, 1]
    inside = (to_x >= 0) & (to_y >= 0) & (to_x <= width - 1) & (to_y <= height - 1)
    if inside.sum() < 32:
        return np.inf
    to_x, to_y = to_x[inside], to_y[inside]
    # OpenCV takes no more places in a row.
    parts = (slice(start, start + _ROW) for start in range(0, len(to_x), _ROW))
    other = np.concatenate(
        [cv2.remap(there, to_x[None, part], to_y[None, part], cv2.INTER_LINEAR)[0] for part in parts]
    )
    return float(_oddness(here[rows[inside], columns[inside]], other))


@njit(nogil=True, cache=True, fastmath=True)
def _oddness(one: Floats, other: Floats) -> float:
    """In 0..1: what of colors (n, 3) no gain and bias explains, of each channel; robust."""
    count = len(one)
    a, b, counts = np.empty(count, np.float32), np.empty(count, np.float32), np.empty(count, np.float32)
    total = 0.0
    for c in range(3):
        for n in range(count):
            a[n], b[n], counts[n] = one[n, c], other[n, c], 1
        odd_ones = 0.0
        for _ in range(_LIGHT_ROUNDS):
            sum_ = mean_a = mean_b = 0.0
            for n in range(count):
                sum_ += counts[n]
                mean_a += counts[n] * a[n]
                mean_b += counts[n] * b[n]
            mean_a, mean_b = mean_a / sum_, mean_b / sum_
            spread = common = 0.0
            for n in range(count):
                spread += counts[n] * (b[n] - mean_b) * (b[n] - mean_b)
                common += counts[n] * (a[n] - mean_a) * (b[n] - mean_b)
            gain = min(max(common / max(spread, 1e-9), 1 / _GAIN), _GAIN)
            odd_ones = 0.0
            for n in range(count):
                rest = (a[n] - mean_a - gain * (b[n] - mean_b)) / _ODD
                like = 1 / (1 + rest * rest)
                odd_ones += 1 - like
                counts[n] = like * like
        total += odd_ones / count
    return total / 3
