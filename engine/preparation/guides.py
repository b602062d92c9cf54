"""Points of a Gaussian guide: colored, riding on the shot's surfaces, drawn as soft blobs, one image for each frame.

A translator that sees it beside the plate can tell places apart that look alike, and keeps its strokes on them.

``scatter`` sets points on a keyframe; ``advance`` carries them outward, a frame at a time, and ``draw`` shows them. A
state depends on the state before it and nothing else, so a chain that is resumed from a saved state equals the one that
was never cut. ``scatter_published`` and ``advect_published`` are the guide as published, for comparison.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from engine.base.arrays import Floats, Mask
from engine.base.errors import InputError
from engine.motion.flow import reliability

__all__ = ["GuideSettings", "Points", "advance", "advect_published", "distinct_colors", "draw"]
__all__ += ["sample", "scatter", "scatter_published"]

Ints = npt.NDArray[np.int32]

_TRUSTED = 0.5
"""A point dies on a step whose reliability at the point is less."""
_ELBOW = 0.7
"""A hidden point returns where no other is nearer than this, in radii: surfaces shear, and the first fit was 1."""
_WITNESSES = 3
"""Points that must agree on where a hidden point is now."""
_SAME_STEP_PX, _SAME_STRAIN = 0.5, 0.1
"""Steps that differ by less than the one, and the other times the distance, may be of one surface."""
_TURNS = 4
"""Rounds of fitting a rotation to the neighbors and asking again which of them agree."""
_CANDIDATES = 16
"""Random colors of which a new point takes the one farthest from its neighbors'."""
_FRAME_BIAS = 1 << 31
"""Makes any frame number fit the random generator, which takes no negatives."""


@dataclass(frozen=True)
class GuideSettings:
    """How points are set and kept; the defaults are the published ones where the published guide has them.

    Raises:
        InputError: a radius or sigma under 1 pixel, or a negative seed or memory.
    """

    radius_px: float = 10.0
    """The distance that points keep when they are set, and within which every pixel of the matte has one."""
    sigma_px: float = 10.0
    """Width of a blob: its weight is exp(-d^2 / sigma^2)."""
    seed: int = 0
    """Of positions and colors."""
    memory_frames: int = 48
    """For how many frames a hidden point is remembered, to return with its color when its place is seen again."""

    def __post_init__(self) -> None:
        for name in ("radius_px", "sigma_px"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 1):
                raise InputError(f"a guide's {name} of {value} is impossible", remedy="use 1 or more")
        if self.seed < 0 or self.memory_frames < 0:
            raise InputError("a guide's seed and memory cannot be negative")


@dataclass(frozen=True, eq=False)
class Points:
    """The points of one keyframe, as they stand at one frame. Points keep their place in the arrays while they last.

    Raises:
        InputError: the arrays' shapes disagree.
    """

    keyframe: int
    """Where the chain began."""
    frame: int
    """Where it is."""
    xy: Floats
    """(N, 2), pixels of ``frame``, x right, y down, centers at integers; of a hidden point, where it was last seen."""
    home: Floats
    """(N, 2), pixels of the keyframe: where the point's surface was, carried on from the neighbors for later points."""
    color: Floats
    """(N, 3), 0..1; no colorspace, a label."""
    hidden: Ints
    """(N,), for how many frames the point has been out of sight; 0 while it is seen."""

    def __post_init__(self) -> None:
        count = len(self.hidden)
        shapes = (self.xy.shape, self.home.shape, self.color.shape, self.hidden.shape)
        if shapes != ((count, 2), (count, 2), (count, 3), (count,)):
            raise InputError(f"arrays of shapes {shapes} are not a guide's points")

    @property
    def seen(self) -> Mask:
        """(N,): which points are in sight."""
        return np.asarray(self.hidden == 0)


def scatter(matte: Floats, frame: int, settings: GuideSettings | None = None) -> Points:
    """Points for a keyframe: Poisson-disk samples of the matte's inside (above 0.5), as dense as the radius lets them.

    No two are nearer than the radius, and no pixel of the matte is farther than it from one. An empty matte has none.
    A point's color is unlike those of its neighbors.

    Args:
        matte: (H, W), 0..1; ones for the whole frame.
        frame: the keyframe.

    Source: Texler et al. 2020, section 3.3; the choice of colors is ours.
    """
    settings = settings or GuideSettings()
    nothing = np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32), np.zeros((0, 3), np.float32)
    bare = Points(frame, frame, *nothing, np.zeros(0, np.int32))
    still = np.zeros((*matte.shape, 2), np.float32)
    return _give_birth(bare, matte > 0.5, nothing[0], still, settings, _random(settings, frame, frame))


def scatter_published(matte: Floats, frame: int, settings: GuideSettings | None = None) -> Points:
    """As ``scatter``, with the colors as published: any, whatever the neighbors' are."""
    settings = settings or GuideSettings()
    random = _random(settings, frame, frame)
    xy = _fill(matte > 0.5, settings.radius_px, random)
    return Points(frame, frame, xy, xy.copy(), random.random((len(xy), 3), np.float32), np.zeros(len(xy), np.int32))


def advect_published(points: Points, flow: Floats, frame: int) -> Points:
    """One step as published: whole-pixel positions follow the flow, whatever is in the way; out of the frame they stay.

    Args:
        flow: (H, W, 2), pixels, from ``points.frame`` to ``frame``.
    """
    whole = np.rint(points.xy).astype(int)
    inside = _inside(whole, *flow.shape[:2])
    moved = points.xy.copy()
    moved[inside] = np.rint(whole[inside] + flow[whole[inside, 1], whole[inside, 0]])
    return replace(points, frame=frame, xy=moved)


def advance(
    points: Points, flow: Floats, back: Floats, frame: int, *, matte: Floats | None = None, settings: GuideSettings
) -> Points:
    """One step of our guide: points move by parts of a pixel, are hidden, return, and are born.

    A point is hidden where its step is not reliable (``engine.motion.flow.reliability``), leaves the frame or leaves
    the matte. It returns with its color when its neighbors lead back to a place that no other point has taken. What is
    still bare is filled by new points, whose colors are unlike their neighbors'.

    Args:
        flow: (H, W, 2), pixels, from ``points.frame`` to ``frame``.
        back: the same from ``frame`` to ``points.frame``.
        frame: the one after or before ``points.frame``.
        matte: (H, W), 0..1, of ``frame``; None for the whole frame. Points live where it is above 0.5.
    """
    height, width = flow.shape[:2]
    allowed = np.ones((height, width), np.bool_) if matte is None else matte > 0.5
    seen = points.seen
    moved = points.xy + sample(flow, points.xy)
    lives = seen & (sample(reliability(flow, back), points.xy) >= _TRUSTED) & _within(allowed, moved)
    xy = np.where(lives[:, None], moved, points.xy)
    hidden = np.where(lives, 0, points.hidden + 1).astype(np.int32)
    kept = hidden <= settings.memory_frames
    points = Points(points.keyframe, frame, xy[kept], points.home[kept], points.color[kept], hidden[kept])
    points, later = _return_hidden(points, allowed, settings)
    return _give_birth(points, allowed, later, back, settings, _random(settings, points.keyframe, frame))


def draw(sets: Sequence[Points], height: int, width: int, *, sigma_px: float = 10.0) -> Floats:
    """The guide: (H, W, 3) float32, 0..1, black where no point is near.

    Each seen point is blended over with weight exp(-d^2 / sigma^2) within 3 sigma (a square: its corners weigh less
    than 2e-4). Later points lie over earlier ones, and the first set, which is the first keyframe's, on top.

    Source: Texler et al. 2020, section 3.3.
    """
    reach = math.ceil(3 * sigma_px)
    # Planes, and a margin: numpy's inner loop then runs along x, and no patch needs clipping.
    canvas = np.zeros((3, height + 2 * reach, width + 2 * reach), np.float32)
    offsets = np.arange(-reach, reach + 1, dtype=np.float32)
    for points in reversed(sets):
        whole = np.rint(points.xy).astype(int)
        drawn = points.seen & _inside(whole, height, width)
        whole, part, color = whole[drawn], (points.xy - whole)[drawn].astype(np.float32), points.color[drawn]
        along = np.exp(-np.square((offsets - part[:, :, None]) / np.float32(sigma_px)))  # (N, 2, 2 reach + 1)
        along *= np.abs(offsets - part[:, :, None]) <= 3 * sigma_px
        blended = np.empty((3, len(offsets), len(offsets)), np.float32)
        for (x, y), (across, down), rgb in zip(whole.tolist(), along, color, strict=True):
            weight = down[:, None] * across
            patch = canvas[:, y : y + len(offsets), x : x + len(offsets)]
            np.subtract(rgb[:, None, None], patch, out=blended)
            blended *= weight
            patch += blended
    return np.ascontiguousarray(canvas[:, reach : reach + height, reach : reach + width].transpose(1, 2, 0))


def sample(image: npt.NDArray[Any], xy: Floats) -> Floats:
    """``image``, (H, W) or (H, W, C), at N points (N, 2) in pixels: (N,) or (N, C) float32, bilinear; edges go on."""
    height, width = image.shape[:2]
    x, y = np.clip(xy[:, 0], 0, width - 1), np.clip(xy[:, 1], 0, height - 1)
    left, top = np.minimum(x.astype(int), max(width - 2, 0)), np.minimum(y.astype(int), max(height - 2, 0))
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    shape = (-1,) + (1,) * (image.ndim - 2)
    across, down = (x - left).reshape(shape), (y - top).reshape(shape)
    upper = image[top, left] * (1 - across) + image[top, right] * across
    lower = image[bottom, left] * (1 - across) + image[bottom, right] * across
    return np.asarray(upper * (1 - down) + lower * down, np.float32)


# Births and returns


def _random(settings: GuideSettings, keyframe: int, frame: int) -> np.random.Generator:
    return np.random.default_rng([settings.seed, keyframe + _FRAME_BIAS, frame + _FRAME_BIAS])


def _return_hidden(points: Points, allowed: Mask, settings: GuideSettings) -> tuple[Points, Floats]:
    """Hidden points whose place is seen again, put there; and the places (M, 2) of those that may return later.

    The place is where their neighbors in the keyframe went.
    """
    asleep, seen = np.flatnonzero(points.hidden), np.flatnonzero(points.hidden == 0)
    if not len(asleep) or not len(seen):
        return points, np.zeros((0, 2), np.float32)
    place, found = _carry(points.home[asleep], points.home[seen], points.xy[seen], settings.radius_px)
    elbow = _ELBOW * settings.radius_px
    ready = np.flatnonzero(found & _within(allowed & ~_near(points.xy[seen], allowed.shape, elbow), place))
    chosen = ready[_apart(place[ready], np.arange(len(ready)), elbow)]
    xy, hidden = points.xy.copy(), points.hidden.copy()
    xy[asleep[chosen]], hidden[asleep[chosen]] = place[chosen], 0
    found[chosen] = False
    return replace(points, xy=xy, hidden=hidden), place[found]


def _give_birth(
    points: Points, allowed: Mask, later: Floats, back: Floats, settings: GuideSettings, random: np.random.Generator
) -> Points:
    """New points where the matte is bare, but not where a hidden point is about to return."""
    seen = points.seen
    bare = allowed & ~_near(points.xy[seen], allowed.shape, settings.radius_px)
    bare &= ~_near(later, allowed.shape, _ELBOW * settings.radius_px)
    born = _fill(bare, settings.radius_px, random)
    if not len(born):
        return points
    color = distinct_colors(born, points.xy[seen], points.color[seen], 2 * settings.radius_px, random)
    home = _homes(born, points.xy[seen], points.home[seen], back, settings.radius_px)
    return replace(
        points,
        xy=np.concatenate([points.xy, born]),
        home=np.concatenate([points.home, home]),
        color=np.concatenate([points.color, color]),
        hidden=np.concatenate([points.hidden, np.zeros(len(born), np.int32)]),
    )


def _homes(born: Floats, xy: Floats, home: Floats, back: Floats, radius: float) -> Floats:
    """Where new points would have been in the keyframe, carried inward from the rim of a bare area.

    A rim belongs to what is uncovered and to what covered it; only the surface that moves as the new point does counts,
    and is looked for farther away where it is not at the rim. A point of no known surface is its own home.
    """
    result, known = born.copy(), np.zeros(len(born), np.bool_)
    step, steps = sample(back, born), sample(back, xy)
    for reach in (radius, 2 * radius, 4 * radius):
        while not known.all():
            todo = np.flatnonzero(~known)
            sources = np.concatenate([xy, born[known]]), np.concatenate([home, result[known]])
            motion = step[todo], np.concatenate([steps, step[known]])
            carried, found = _carry(born[todo], *sources, reach, motion=motion, witnesses=1)
            if not found.any():
                break
            result[todo[found]], known[todo[found]] = carried[found], True
    return result


def _carry(
    queries: Floats,
    sources: Floats,
    targets: Floats,
    radius: float,
    *,
    motion: tuple[Floats, Floats] | None = None,
    witnesses: int = _WITNESSES,
) -> tuple[Floats, Mask]:
    """Positions (Q, 2) moved as the nearest of ``sources`` moved to ``targets``, and (Q,) whether enough of them agree.

    The nearest eight within two radii are asked. They may belong to two surfaces, so the claim that most agree with
    decides; a rigid fit to those that do, repeated, follows a surface that has turned. Where ``motion``, the steps of
    the queries and of the sources, is known, sources that move otherwise are not asked.
    """
    near = _neighbors(queries, sources, 2 * radius)
    if not near.size:
        return queries.copy(), np.zeros(len(queries), np.bool_)
    distance = np.square(sources[near] - queries[:, None]).sum(axis=2)
    if motion is not None:
        apart = np.linalg.norm(motion[1][near] - motion[0][:, None], axis=2)
        near[apart > _SAME_STEP_PX + _SAME_STRAIN * np.sqrt(distance)] = -1
    distance[near < 0] = np.inf
    near = np.take_along_axis(near, np.argsort(distance, axis=1, kind="stable")[:, :8], 1)
    before, after, real = sources[near], targets[near], near >= 0  # (Q, 8, 2) twice, (Q, 8)
    rows = np.arange(len(queries))
    turn = np.ones((len(queries), 1), np.complex64)
    for _ in range(_TURNS):
        claims = after + _rotated(queries[:, None] - before, turn)
        agree = np.square(claims[:, :, None] - claims[:, None]).sum(axis=3) <= (radius / 2) ** 2
        agree &= real[:, :, None] & real[:, None]
        best = agree[rows, agree.sum(axis=2).argmax(axis=1)][..., None]
        votes = np.maximum(best.sum(axis=1, keepdims=True), 1)
        first, second = (_complex(arm - (arm * best).sum(axis=1, keepdims=True) / votes) for arm in (before, after))
        cross = (best[..., 0] * np.conj(first) * second).sum(axis=1, keepdims=True)
        length = np.abs(cross)
        turn = np.where(length > 1e-3, cross / np.maximum(length, 1e-3), np.complex64(1))
    claims = after + _rotated(queries[:, None] - before, turn)
    found = (claims * best).sum(axis=1) / votes[:, 0]
    return np.asarray(found, np.float32), np.asarray(best[..., 0].sum(axis=1) >= witnesses)


def _complex(xy: Floats) -> npt.NDArray[np.complex64]:
    return np.asarray(xy[..., 0] + np.complex64(1j) * xy[..., 1], np.complex64)


def _rotated(xy: Floats, turn: npt.NDArray[np.complex64]) -> Floats:
    turned = _complex(xy) * turn
    return np.stack([turned.real, turned.imag], axis=-1)


def distinct_colors(born: Floats, xy: Floats, color: Floats, reach_px: float, random: np.random.Generator) -> Floats:
    """Colors (M, 3), 0..1, for new points (M, 2), far in RGB from those of the points (N, 2) within reach.

    New points count too, in their order.
    """
    candidates = random.random((len(born), _CANDIDATES, 3), np.float32)
    everywhere, colors = np.concatenate([xy, born]), np.concatenate([color, candidates[:, 0]])
    near = _neighbors(born, everywhere, reach_px)
    near[near >= len(xy) + np.arange(len(born))[:, None]] = -1
    for index, row in enumerate(near):
        known = colors[row[row >= 0]]
        if len(known):
            difference = np.square(candidates[index, :, None] - known).sum(axis=2).min(axis=1)
            colors[len(xy) + index] = candidates[index, difference.argmax()]
    return colors[len(xy) :]


# Positions


def _inside(whole: npt.NDArray[Any], height: int, width: int) -> Mask:
    x, y = whole[:, 0], whole[:, 1]
    return np.asarray((x >= 0) & (x < width) & (y >= 0) & (y < height))


def _within(mask: Mask, xy: Floats) -> Mask:
    """(N,): whether the pixel that a point falls on is in the mask; outside the frame it is not."""
    height, width = mask.shape
    whole = np.rint(xy).astype(int)
    found = _inside(whole, height, width)
    found[found] = mask[whole[found, 1], whole[found, 0]]
    return found


def _near(xy: Floats, size: tuple[int, ...], radius: float) -> Mask:
    """(H, W): the pixels nearer than ``radius`` to a point, whose position is rounded to a pixel."""
    height, width = size
    bare = np.ones((height, width), np.uint8)
    whole = np.rint(xy).astype(int)
    whole = whole[_inside(whole, height, width)]
    if not len(whole):
        return np.zeros((height, width), np.bool_)
    bare[whole[:, 1], whole[:, 0]] = 0
    return np.asarray(cv2.distanceTransform(bare, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) < radius)


def _fill(free: Mask, radius: float, random: np.random.Generator) -> Floats:
    """Poisson-disk samples (N, 2) of the free pixels: none nearer than ``radius`` to another, no free pixel left over.

    Each round throws one dart into every cell that could take one, and keeps those that lose to no neighbor's.
    """
    width = free.shape[1]
    cell = radius / math.sqrt(2)
    columns = int(width / cell) + 1
    left = free.copy()
    accepted = [np.zeros((0, 2), np.float32)]
    while True:
        pixels = np.flatnonzero(left)
        if not len(pixels):
            return np.concatenate(accepted)
        pixels = random.permutation(pixels)
        y, x = np.divmod(pixels, width)
        _, first = np.unique((y / cell).astype(int) * columns + (x / cell).astype(int), return_index=True)
        darts = np.stack([x[first], y[first]], axis=1).astype(np.float32)
        darts = darts[_apart(darts, random.permutation(len(darts)), radius)]
        accepted.append(darts)
        left &= ~_near(darts, left.shape, radius)


def _apart(xy: Floats, rank: npt.NDArray[Any], distance: float) -> Mask:
    """(N,): points with no point of lower rank nearer than ``distance``."""
    near = _neighbors(xy, xy, distance, strict=True)
    return np.asarray(~((near >= 0) & (rank[near] < rank[:, None])).any(axis=1))


def _neighbors(queries: Floats, points: Floats, reach: float, *, strict: bool = False) -> npt.NDArray[np.int64]:
    """(Q, K): the indices of the points within ``reach`` of each query, descending, filled up with -1.

    Points are sorted into square cells of that size, so that only the nine around a query are looked through.
    """
    if not len(points) or not len(queries):
        return np.full((len(queries), 0), -1, np.int64)
    low = np.minimum(points.min(axis=0), queries.min(axis=0)) - reach
    at, asked = (np.floor((item - low) / reach).astype(np.int64) for item in (points, queries))
    columns, rows = (int(max(at[:, k].max(), asked[:, k].max())) + 2 for k in (0, 1))
    cells = at[:, 1] * columns + at[:, 0]
    order = np.argsort(cells, kind="stable")
    start = np.searchsorted(cells[order], np.arange(columns * rows + 1))
    around = [(asked[:, 1] + dy) * columns + asked[:, 0] + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    cell = np.stack(around, axis=1)  # (Q, 9)
    deepest = int((start[cell + 1] - start[cell]).max())
    slots = start[cell][..., None] + np.arange(deepest)
    valid = slots < start[cell + 1][..., None]
    found = np.where(valid, order[np.minimum(slots, len(points) - 1)], -1).reshape(len(queries), -1)
    square = np.square(points[found] - queries[:, None]).sum(axis=2)
    found[(square >= reach**2) if strict else (square > reach**2)] = -1
    # The filled slots first by sorting, then cut off: most queries have far fewer neighbors than nine full cells.
    found = np.sort(found, axis=1)[:, ::-1]
    found = found[:, : max(int((found >= 0).sum(axis=1).max()), 1)]
    return np.where(found < 0, np.int64(-1), found)
