"""Flat regions: skies and bare walls, which move as a textured surface beside them or around the whole picture does.

Where a plate shows nothing but grain there is nothing to register, and a flow found there is that of the grain: strokes
would swim. The textured part of the picture tells a few affine motions, found one after the other by RANSAC (Fischler
and Bolles 1981). A flat region takes the one under which what little it shows, smoothed, agrees best between the two
frames, and with which its edges move.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from engine.base.arrays import Floats, Mask
from engine.motion.flow import pull

__all__ = ["settled"]

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


def settled(
    flow: Floats, flat: Floats, trusted: Floats, here: Floats, there: Floats, known: Mask | None = None
) -> Floats:
    """A flow (H, W, 2), pixels, whose flat regions move as one with what is textured.

    Args:
        flow: from the frame to the other one.
        flat: (H, W) in 0..1: 1 where the frame shows nothing but grain.
        trusted: (H, W) in 0..1: how far the flow matches.
        here, there: the two frames, (H, W, 3) working encoding.
        known: (H, W), which pixels of ``here`` are the picture's; None for all.
    """
    height, width = trusted.shape
    flat = flat if known is None else flat * known
    share = _blur(flat, _FLAT_PX)
    count, labels, stats, _ = cv2.connectedComponentsWithStats((share > _BARELY).astype(np.uint8), connectivity=4)
    large = [n for n in range(1, count) if stats[n, cv2.CC_STAT_AREA] >= _SMALLEST_REGION * height * width]
    if not large:
        return flow
    # Not by the flatness that is given: that counts a surround, and so holds the sky beside a roof for textured.
    texture = _texture(here)
    textured = (trusted > _TRUSTED) & (texture > _TEXTURED * float(texture[share > _BARELY].mean()))
    if known is not None:
        textured &= known
    motions = _motions(flow, textured)
    if not motions:
        return flow
    soft_here, soft_there = _blur(here, _SMOOTH_PX), _blur(there, _SMOOTH_PX)
    own, smoothed = _unlike(flow, here, there), _blur(here, 1.0)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    found = flow.copy()
    for number in large:
        region = labels == number
        best = _best(motions, region, textured, flow, soft_here, soft_there)
        if best is None:
            continue
        motion = _said(best, x, y)
        weight = np.clip((share - _BARELY) / (_SURELY - _BARELY), 0, 1) * region
        # Nothing of a region reaches farther: all else stays as it is.
        part = _window(stats[number], height, width)
        # From the part's own corner.
        moved = motion[part] + np.array([part[1].start, part[0].start], np.float32)
        around = _around(region[part], moved, own[part], here[part], smoothed[part], there)
        weight[part] = np.maximum(weight[part], around)
        found += weight[..., None].astype(np.float32) * (motion - found)
    return found


def _window(stats: npt.NDArray[np.int32], height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns that a region's surroundings depend on."""
    left, top = (int(stats[name]) for name in (cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP))
    across, down = (int(stats[name]) for name in (cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT))
    rows = slice(max(0, top - 2 * _AROUND_PX), min(height, top + down + 2 * _AROUND_PX))
    return rows, slice(max(0, left - 2 * _AROUND_PX), min(width, left + across + 2 * _AROUND_PX))


def _texture(color: Floats) -> Floats:
    """(H, W): energy of a picture's finest detail around each pixel, working encoding."""
    return np.sqrt(_blur(np.square(color - _blur(color, _FINE_PX)).mean(axis=2), _FINE_PX))


def _around(region: Mask, motion: Floats, own: Floats, here: Floats, smoothed: Floats, there: Floats) -> Mask:
    """(h, w): what lies at a region's edge, has its color, and matches as well when it moves with it.

    Args:
        region, motion, own, here, smoothed: of a part of the frame; the motion leads from it to all of the other one.
        there: all of the other frame.
    """
    solid = region.astype(np.float32)
    near = cv2.dilate(region.astype(np.uint8), np.ones((_AROUND_PX, _AROUND_PX), np.uint8)) > 0
    mean = _wide(np.dstack([here * solid[..., None], solid]))
    weight = mean[..., 3]
    color = mean[..., :3] / np.maximum(weight, 1e-3)[..., None]
    like = np.abs(smoothed - color).max(axis=2) < _LIKE
    return near & (weight > 1e-3) & like & (_unlike(motion, here, there) < own + _LOYAL)


def _wide(image: Floats) -> Floats:
    """(h, w, C), blurred as widely as a region is widened; at a quarter, since it is smooth."""
    height, width = image.shape[:2]
    size = (max(1, width // 4), max(1, height // 4))
    small = _blur(np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32), _AROUND_PX / 12)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _unlike(flow: Floats, here: Floats, there: Floats) -> Floats:
    """(H, W): how unlike the neighborhoods of pixels are under a flow."""
    return _blur(np.abs(here - pull(there, flow)).mean(axis=2), _JUDGED_PX)


def _blur(image: Floats, sigma: float) -> Floats:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101), np.float32)


def _said(motion: Affine, x: Floats, y: Floats) -> Floats:
    """The flow (..., 2) that a motion says of places."""
    (a, b, c), (d, e, f) = motion.tolist()
    return np.stack([(a - 1) * x + b * y + c, d * x + (e - 1) * y + f], axis=-1).astype(np.float32)


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
    motions: list[Affine], region: Mask, textured: Mask, flow: Floats, here: Floats, there: Floats
) -> Affine | None:
    """The motion that explains a region and its edge; None where none does so well as the flow that is there."""
    rows, columns = np.nonzero(region)
    chosen = slice(None, None, max(1, _SAMPLES_PX**2))
    y, x = rows[chosen].astype(np.float32), columns[chosen].astype(np.float32)
    ring = (cv2.dilate(region.astype(np.uint8), np.ones((_RING_PX, _RING_PX), np.uint8)) > 0) & ~region & textured
    ring_y, ring_x = np.nonzero(ring)
    differences, strangers = [], []
    for motion in motions:
        differences.append(_difference(_said(motion, x, y), x, y, here, there))
        if len(ring_y):
            apart = _said(motion, ring_x.astype(np.float32), ring_y.astype(np.float32)) - flow[ring_y, ring_x]
            strangers.append(float((np.hypot(apart[:, 0], apart[:, 1]) > _TOGETHER_PX).mean()))
        else:
            strangers.append(1.0)
    own = _difference(flow[rows[chosen], columns[chosen]], x, y, here, there)
    least = max(min(differences), 1e-6)
    if least > _WORSE * own + _WORSE_BY:
        return None
    costs = [difference / least + _EDGE * stranger for difference, stranger in zip(differences, strangers, strict=True)]
    return motions[int(np.argmin(costs))]


def _difference(flow: Floats, x: Floats, y: Floats, here: Floats, there: Floats) -> float:
    """How unlike two frames are at places (n,) under a flow (n, 2), but for a change of the light."""
    height, width = here.shape[:2]
    to_x, to_y = x + flow[:, 0], y + flow[:, 1]
    inside = (to_x >= 0) & (to_y >= 0) & (to_x <= width - 1) & (to_y <= height - 1)
    if inside.sum() < 32:
        return np.inf
    to_x, to_y = to_x[inside], to_y[inside]
    one = here[y[inside].astype(int), x[inside].astype(int)]
    # OpenCV takes no more places in a row.
    parts = (slice(start, start + _ROW) for start in range(0, len(to_x), _ROW))
    other = np.concatenate(
        [cv2.remap(there, to_x[None, part], to_y[None, part], cv2.INTER_LINEAR)[0] for part in parts]
    )
    total = 0.0
    for a, b in zip(one.T, other.T, strict=True):
        counts = np.ones_like(a)
        for _ in range(_LIGHT_ROUNDS):
            sum_ = counts.sum()
            mean_a, mean_b = (counts * a).sum() / sum_, (counts * b).sum() / sum_
            spread, common = (counts * (b - mean_b) ** 2).sum(), (counts * (a - mean_a) * (b - mean_b)).sum()
            gain = min(max(float(common / max(spread, 1e-9)), 1 / _GAIN), _GAIN)
            rest = a - mean_a - gain * (b - mean_b)
            odd = 1 + np.square(rest / _ODD)
            counts = 1 / (odd * odd)
        total += float(np.mean(1 - 1 / odd))
    return total / 3
