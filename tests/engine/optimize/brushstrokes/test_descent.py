"""Descent: strokes come nearer to a picture, turn as they are told, and go on as if nothing had been."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training is not installed")
torch.set_num_threads(1)

from torch import Tensor

from engine.optimize.brushstrokes.curves import Brushstrokes
from engine.optimize.brushstrokes.descent import Descent, DescentState
from engine.optimize.brushstrokes.directions import Directions, vector_directions
from engine.optimize.brushstrokes.layout import Layout, lay_out
from engine.optimize.brushstrokes.regularity import Regularity, doubled
from engine.optimize.brushstrokes.render import EDGE_PX, bare, render

HEIGHT, WIDTH = 40, 60


def blob() -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    inside = 1 / (1 + np.exp(((x - 33) ** 2 / 2 + (y - 18) ** 2) ** 0.5 - 11))
    return np.stack([inside, 0.5 * inside + 0.2, 0.8 - 0.5 * inside], axis=2).astype(np.float32)


def away_from(plate: np.ndarray) -> Callable[[Tensor], Tensor]:
    target = torch.from_numpy(plate).permute(2, 0, 1)[None]
    return lambda picture: (picture - target).square().mean()


def descent(layout: Layout, plate: np.ndarray, directions: Directions | None = None) -> Descent:
    regularity = Regularity.of(layout.strokes, directions)
    return Descent(layout, HEIGHT, WIDTH, torch.full((3,), 0.5), away_from(plate), regularity)


def after(made: Descent, state: DescentState, steps: int, of: int) -> DescentState:
    for _ in range(steps):
        state, _ = made.step(state, of)
    return state


def test_strokes_come_nearer_to_the_plate_and_leave_nothing_bare() -> None:
    plate = blob()
    layout = lay_out(plate, 60, seed=0, directions=None, matte=None)
    state = after(descent(layout, plate), DescentState.begin(layout.strokes), 40, 40)
    off = [
        float(away_from(plate)(render(strokes, HEIGHT, WIDTH, torch.full((3,), 0.5))))
        for strokes in (layout.strokes, state.strokes)
    ]
    assert off[1] < 0.5 * off[0]
    assert float(bare(state.strokes, HEIGHT, WIDTH).max()) == 0.0
    assert state.done == 40
    for now, before in zip(state.strokes.tensors[:3], layout.strokes.tensors[:3], strict=True):
        assert torch.equal(now[: layout.broad], before[: layout.broad])
        assert float((now[layout.broad :] - before[layout.broad :]).abs().max()) > 0.5


def test_directions_turn_strokes() -> None:
    plate = blob()
    wish = np.zeros((HEIGHT, WIDTH, 3), np.float32) + np.float32([1.0, 1.0, 0.5])  # right and down: 45 degrees
    field = vector_directions(wish)

    def off_deg(strokes: Brushstrokes, broad: int) -> float:
        double = doubled(strokes)[broad:]  # an angle of 45 degrees, doubled, points down
        return float(torch.rad2deg(torch.arccos(double[:, 1].clamp(-1, 1)) / 2).mean())

    free = lay_out(plate, 60, seed=0, directions=None, matte=None)
    began = off_deg(free.strokes, free.broad)
    turned = after(descent(free, plate, field), DescentState.begin(free.strokes), 40, 40)
    told = lay_out(plate, 60, seed=0, directions=field, matte=None)
    held = after(descent(told, plate, field), DescentState.begin(told.strokes), 20, 20)
    # Those that lie otherwise turn, by a tenth of a pixel a step; those that are laid so stay.
    assert began > 40
    assert off_deg(turned.strokes, free.broad) < 0.75 * began
    assert off_deg(held.strokes, told.broad) < 4


def test_a_descent_goes_on_to_the_same_strokes() -> None:
    plate = blob()
    layout = lay_out(plate, 40, seed=0, directions=None, matte=None)
    whole = after(descent(layout, plate), DescentState.begin(layout.strokes), 8, 8)
    half = after(descent(layout, plate), DescentState.begin(layout.strokes), 5, 8)
    rest = after(descent(layout, plate), half, 3, 8)
    # Lists of cells are searched anew, and sums run in another order.
    for one, other in zip(whole.strokes.tensors, rest.strokes.tensors, strict=True):
        assert torch.allclose(one, other, atol=2e-3)
    assert (rest.done, rest.unit) == (8, whole.unit)


def test_lists_that_are_kept_for_some_steps_miss_nothing() -> None:
    plate = blob()
    layout = lay_out(plate, 60, seed=0, directions=None, matte=None)
    made = descent(layout, plate)
    state = DescentState.begin(layout.strokes)
    drawn: list[Tensor] = []
    made.loss = lambda picture: drawn.append(picture.detach()) or away_from(plate)(picture)  # type: ignore[func-returns-value]
    for step in range(12):
        before = state.strokes
        state, _ = made.step(state, 1)  # of one: edges are those of the end
        plain = render(before, HEIGHT, WIDTH, made.canvas, edge_px=2.0 if step == 0 else EDGE_PX)
        assert float((drawn[-1] - plain).abs().max()) < 1e-5, step


def test_degenerate_strokes_stay_finite() -> None:
    plate = blob()
    place = torch.tensor([[10.0, 10.0]]).repeat(3, 1)
    strokes = Brushstrokes(place, torch.zeros(3, 3, 2), torch.full((3,), 4.0), torch.full((3, 3), 0.5))
    state = after(descent(Layout(strokes, 1), plate), DescentState.begin(strokes), 3, 3)
    assert all(bool(each.isfinite().all()) for each in state.strokes.tensors)
