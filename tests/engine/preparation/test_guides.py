"""The Gaussian guide: where its points are, which are seen, what they look like; and the rigid grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine.base.arrays import Floats
from engine.base.errors import InputError
from engine.preparation.guides import (
    GuideSettings,
    Points,
    advance,
    advect_published,
    draw,
    sample,
    scatter,
    scatter_published,
)
from engine.preparation.lattice import (
    Grid,
    GridSettings,
    advance_by_flow,
    as_points,
    lattice,
    regularize,
)

HEIGHT, WIDTH = 120, 160
WHOLE = np.ones((HEIGHT, WIDTH), np.float32)
RADIUS = GuideSettings().radius_px


def _distances(a: Floats, b: Floats) -> Floats:
    return np.asarray(np.linalg.norm(a[:, None] - b, axis=2), np.float32)


def _coverage(points: Points, matte: Floats, reach: float = RADIUS + 1) -> float:
    """The share of the matte that has a seen point within the radius, and a pixel more for rounding."""
    y, x = np.nonzero(matte > 0.5)
    pixels = np.stack([x, y], axis=1).astype(np.float32)
    return float((_distances(pixels, points.xy[points.seen]).min(axis=1, initial=np.inf) <= reach).mean())


def _rotation(degrees: float, height: int = HEIGHT, width: int = WIDTH) -> Floats:
    """The flow of a turn about the frame's center, clockwise as seen."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return np.asarray(_turned(np.stack([x, y], axis=2), degrees, height, width) - np.stack([x, y], axis=2), np.float32)


def _turned(xy: Floats, degrees: float, height: int = HEIGHT, width: int = WIDTH) -> Floats:
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    center = np.array([(width - 1) / 2, (height - 1) / 2], np.float32)
    matrix = np.array([[cosine, sine], [-sine, cosine]], np.float32)
    return np.asarray((xy - center) @ matrix + center, np.float32)


class _Card:
    """A card of 48 x 60 that moves 6 pixels a frame to the right over a still ground, with exact flow."""

    def covered(self, frame: int) -> np.ndarray:
        mask = np.zeros((HEIGHT, WIDTH), bool)
        mask[30:90, max(0, 6 * frame - 40) : max(0, 6 * frame + 8)] = True
        return mask

    def flow(self, near: int, far: int) -> Floats:
        exact = np.zeros((HEIGHT, WIDTH, 2), np.float32)
        exact[self.covered(near), 0] = 6.0 * (far - near)
        return exact


def _follow(
    points: Points, to: int, flow: Callable[[int, int], Floats], matte: Floats | None = None
) -> Iterator[Points]:
    """The state at each frame after that of ``points``, on the side of the keyframe that they are on."""
    step = 1 if to > points.frame else -1
    for frame in range(points.frame + step, to + step, step):
        onward, back = flow(points.frame, frame), flow(frame, points.frame)
        points = advance(points, onward, back, frame, matte=matte, settings=GuideSettings())
        yield points


def _at(points: Points, to: int, flow: Callable[[int, int], Floats], matte: Floats | None = None) -> Points:
    *_, last = _follow(points, to, flow, matte)
    return last


def test_scattered_points_keep_apart_and_leave_nothing_bare() -> None:
    matte = WHOLE.copy()
    matte[:, :50], matte[100:] = 0, 0.4
    points = scatter(matte, 7)
    apart = _distances(points.xy, points.xy) + 1e6 * np.eye(len(points.xy))
    assert apart.min() >= RADIUS
    assert _coverage(points, matte, RADIUS) == 1.0
    assert (sample(matte, points.xy) > 0.5).all()


def test_neighbors_differ_in_color_more_than_random_ones_do() -> None:
    def worst(points: Points) -> float:
        near = _distances(points.xy, points.xy) + 1e6 * np.eye(len(points.xy)) <= 2 * RADIUS
        return float(_distances(points.color, points.color)[near].min())

    assert worst(scatter(WHOLE, 0)) > 0.25
    assert worst(scatter_published(WHOLE, 0)) < 0.1


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (3, 2), (15, 15)])
def test_tiny_frames_and_empty_mattes(height: int, width: int) -> None:
    def still(_near: int, _far: int) -> Floats:
        return np.zeros((height, width, 2), np.float32)

    full, empty = np.ones((height, width), np.float32), np.zeros((height, width), np.float32)
    points = scatter(full, 0)
    assert len(points.xy) >= 1
    assert np.array_equal(_at(points, -2, still).xy, points.xy)
    assert draw([points], height, width).shape == (height, width, 3)
    nothing = scatter(empty, 0)
    assert len(nothing.xy) == 0
    assert len(_at(nothing, 2, still, matte=empty).xy) == 0
    assert len(_at(nothing, 2, still).xy) >= 1, "a matte that opens later is filled"
    assert not draw([nothing], height, width).any()
    assert not _at(points, 1, still, matte=empty).seen.any()


def test_points_follow_a_rotation() -> None:
    start, degrees, frames = scatter(WHOLE, 0), 4.0, 9
    last = _at(start, frames, lambda near, far: _rotation(degrees * (far - near)))
    still_there = last.seen[: len(start.xy)]
    ours = last.xy[: len(start.xy)][still_there]
    wanted = _turned(start.xy, degrees * frames)
    assert still_there.mean() > 0.6, "the corners turn out of the frame"
    assert np.linalg.norm(ours - wanted[still_there], axis=1).max() < 0.5

    slow, published = 0.5, start
    for frame in range(1, 11):
        published = advect_published(published, _rotation(slow), frame)
    off = np.linalg.norm(published.xy - _turned(start.xy, 10 * slow), axis=1)
    assert off.max() > 3, "whole pixels do not follow a slow turn"
    ours_slow = _at(start, 10, lambda near, far: _rotation(slow * (far - near)))
    seen = ours_slow.seen[: len(start.xy)]
    off = np.linalg.norm(ours_slow.xy[: len(start.xy)] - _turned(start.xy, 10 * slow), axis=1)
    assert off[seen].max() < 0.5


def test_occluded_points_die_and_return_where_they_were_with_their_color() -> None:
    card = _Card()
    start = scatter(np.float32(1) - card.covered(0).astype(np.float32), 0)
    middle, last = _at(start, 12, card.flow), _at(start, 30, card.flow)
    count = len(start.xy)
    inner = np.zeros((HEIGHT, WIDTH), np.float32)
    inner[34:86, 6 * 12 - 36 : 6 * 12 + 4] = 1  # four pixels off the edge, whose reliability is smoothed
    under = sample(inner, start.xy) == 1
    assert under.sum() >= 10
    ground_in_sight = middle.seen[:count] & (np.abs(middle.xy[:count] - start.xy).max(axis=1) < 1)
    assert not (under & ground_in_sight).any()

    assert _coverage(middle, WHOLE) >= 0.95
    assert last.seen[:count][under].mean() >= 0.8
    back = under & last.seen[:count]
    assert np.abs(last.xy[:count][back] - start.xy[back]).max() < 1.0
    assert np.array_equal(last.color[:count], start.color)


def test_bare_places_are_filled_with_colors_unlike_the_neighbors() -> None:
    def pan(near: int, far: int) -> Floats:
        return np.full((HEIGHT, WIDTH, 2), (-11.3 * (far - near), 0), np.float32)

    start = scatter(WHOLE, 0)
    published, before = scatter_published(WHOLE, 0), start
    for points in _follow(start, 8, pan):
        published = advect_published(published, pan(0, 1), points.frame)
        assert _coverage(points, WHOLE) >= 0.95
        new = np.flatnonzero(np.arange(len(points.xy)) >= len(before.xy[before.hidden < 48]))
        assert len(new) > 0
        near = _distances(points.xy[new], points.xy)
        near[:, ~points.seen] = 1e6
        near[np.arange(len(new)), new] = 1e6
        unlike = _distances(points.color[new], points.color)[near <= 2 * RADIUS]
        assert unlike.min() > 0.2
        before = points
    assert _coverage(published, WHOLE) < 0.6
    seen = points.seen
    # The ground is rigid, so what came in later has a home on the same pan.
    assert np.abs(points.home[seen] + (-11.3 * 8, 0) - points.xy[seen]).max() < 0.5


def test_a_state_depends_on_nothing_but_the_way_from_the_keyframe() -> None:
    card, start = _Card(), scatter(WHOLE, 0)
    straight = _at(start, 9, card.flow)
    resumed = _at(_at(scatter(WHOLE, 0), 4, card.flow), 9, card.flow)
    for field in ("keyframe", "frame", "xy", "home", "color", "hidden"):
        assert np.array_equal(getattr(straight, field), getattr(resumed, field)), field
    assert np.array_equal(draw([straight], HEIGHT, WIDTH), draw([resumed], HEIGHT, WIDTH))
    other = scatter(WHOLE, 0, GuideSettings(seed=1))
    assert other.xy.shape != start.xy.shape or not np.array_equal(other.xy, start.xy)


def test_both_sides_of_the_keyframe_can_be_walked() -> None:
    start = scatter(WHOLE, 5)
    frames = [points.frame for points in _follow(start, 2, lambda near, far: _rotation(2.0 * (far - near)))]
    assert frames == [4, 3, 2]


def test_drawing_is_the_formula_with_later_points_and_the_first_set_on_top() -> None:
    def one_set(*rows: tuple[float, float, float, float, float]) -> Points:
        table = np.array(rows, np.float32)
        return Points(0, 0, table[:, :2], table[:, :2], table[:, 2:], np.zeros(len(table), np.int32))

    first = one_set((20.25, 14.5, 1, 0, 0), (24, 15, 0, 1, 0))
    second = one_set((21, 16, 0, 0, 1), (0, 0, 1, 1, 1))
    y, x = np.mgrid[0:40, 0:50].astype(np.float64)
    wanted = np.zeros((40, 50, 3))
    for points in (second, first):
        for (px, py), color in zip(points.xy, points.color, strict=True):
            square = (x - px) ** 2 + (y - py) ** 2
            weight = np.where(square <= 12.0**2, np.exp(-square / 4.0**2), 0)[..., None]
            wanted = wanted * (1 - weight) + weight * color
    found = draw([first, second], 40, 50, sigma_px=4)
    assert np.abs(found - wanted).max() < 3e-4
    assert not draw([replace(first, hidden=np.ones(2, np.int32))], 40, 50).any()


def test_impossible_settings_are_refused() -> None:
    bad: dict[str, Any]
    for bad in ({"radius_px": 0.5}, {"sigma_px": float("nan")}, {"seed": -1}, {"memory_frames": -1}):
        with pytest.raises(InputError, match="guide's"):
            GuideSettings(**bad)
    with pytest.raises(InputError, match="shapes"):
        Points(0, 0, WHOLE[:3, :2], WHOLE[:3, :2], WHOLE[:3, :3], np.zeros(2, np.int32))


# The rigid grid


def _edges(grid: Grid) -> Floats:
    """Lengths of the lattice's edges."""
    return np.concatenate([np.linalg.norm(np.diff(grid.xy, axis=k), axis=2).ravel() for k in (0, 1)])


def test_a_rigid_grid_keeps_its_edges_under_noisy_pushes() -> None:
    settings = GridSettings()
    start = grid = lattice(WHOLE, 0, settings)
    random, plain = np.random.default_rng(5), start.xy
    for frame in range(1, 11):
        noise = random.normal(0, 1.2, start.xy.shape).astype(np.float32)
        plain = _turned(plain, 3.0) + noise
        grid = regularize(grid, _turned(grid.xy, 3.0) + noise, np.ones_like(grid.sure), frame, settings=settings)
    wanted = _turned(start.xy, 30.0)
    advected = _edges(replace(start, xy=plain))
    assert np.abs(advected / settings.spacing_px - 1).mean() > 0.25
    stretch = np.abs(_edges(grid) / settings.spacing_px - 1)
    assert stretch.mean() < 0.03
    assert np.quantile(stretch, 0.99) < 0.09
    assert np.linalg.norm(plain - wanted, axis=2).mean() > 3
    assert np.linalg.norm(grid.xy - wanted, axis=2).mean() < 1.5


def test_a_rigid_grid_follows_a_rotation_and_a_zoom() -> None:
    settings = GridSettings()
    start = grid = lattice(WHOLE, 0, settings)
    for frame in range(1, 10):
        grid = advance_by_flow(grid, _rotation(4.0), _rotation(-4.0), frame, settings=settings)
    in_sight = as_points(grid, (HEIGHT, WIDTH)).seen.reshape(grid.sure.shape)
    off = np.linalg.norm(grid.xy - _turned(start.xy, 36.0), axis=2)
    assert off[in_sight].max() < 0.5
    assert off.max() < 2.0, "points out of the frame ride on the others"

    middle = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2], np.float32)
    grid = start
    for frame in range(1, 6):
        pushed = (grid.xy - middle) * np.float32(1.03) + middle
        grid = regularize(grid, pushed, np.ones_like(grid.sure), frame, settings=settings)
    assert np.abs(grid.xy - ((start.xy - middle) * 1.03**5 + middle)).max() < 0.5


def test_hidden_points_of_the_grid_ride_on_their_neighbors_and_are_not_drawn() -> None:
    settings = GridSettings()
    start = lattice(WHOLE, 0, settings)
    targets = start.xy + np.array([3, -1], np.float32)
    weight = np.ones_like(start.sure)
    hidden, stray = (slice(3, 6), slice(4, 8)), (8, 10)
    weight[hidden] = 0
    targets[hidden] = 0
    targets[stray] += 25
    grid = regularize(start, targets, weight, 1, settings=settings)
    assert np.abs(grid.xy - start.xy - (3, -1)).max() < 0.3
    assert (grid.sure[hidden] == 0).all() and grid.sure[stray] < 0.01
    assert as_points(grid, (HEIGHT, WIDTH)).seen.sum() <= grid.sure.size - 13


def test_the_grid_covers_the_matte_and_empty_or_tiny_ones_do_no_harm() -> None:
    settings = GridSettings(spacing_px=10)
    matte = np.zeros((HEIGHT, WIDTH), np.float32)
    matte[20:50, 20:50] = matte[80:100, 100:155] = 1
    grid = lattice(matte, 3, settings)
    assert grid.piece.max() == 2
    y, x = np.nonzero(matte)
    column, row = ((at - first) // 10 for at, first in zip((x, y), grid.home[0, 0], strict=True))
    assert (grid.piece[row.astype(int), column.astype(int)] > 0).all()
    for height, width, value in ((1, 1, 1), (2, 30, 1), (30, 40, 0)):
        flow = np.zeros((height, width, 2), np.float32)
        small = lattice(np.full((height, width), value, np.float32), 0, settings)
        small = advance_by_flow(small, flow, flow, 1, settings=settings)
        assert np.isfinite(small.xy).all()


def test_impossible_grids_are_refused() -> None:
    bad: dict[str, Any]
    for bad in ({"spacing_px": 1.0}, {"stiffness": 0.0}, {"rounds": 0}, {"seed": -1}):
        with pytest.raises(InputError, match="guide's grid"):
            GridSettings(**bad)
