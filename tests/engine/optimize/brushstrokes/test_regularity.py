"""Regularity: what crossing, bending and leaving directions cost."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training is not installed")

from engine.optimize.brushstrokes.curves import Brushstrokes
from engine.optimize.brushstrokes.directions import vector_directions
from engine.optimize.brushstrokes.regularity import Regularity


def row(angles_deg: list[float], bow: float = 0.0) -> Brushstrokes:
    """Strokes side by side, ten pixels long."""
    turn = torch.deg2rad(torch.tensor(angles_deg))
    along = torch.stack([turn.cos(), turn.sin()], dim=1) * 5
    across = torch.stack([-turn.sin(), turn.cos()], dim=1) * bow
    count = len(angles_deg)
    place = torch.stack([torch.arange(count) * 4.0 + 2, torch.full((count,), 8.0)], dim=1)
    return Brushstrokes(
        place, torch.stack([-along, across, along], dim=1), torch.full((count,), 3.0), torch.zeros(count, 3)
    )


def cost(strokes: Brushstrokes, wish: tuple[float, float] | None = None) -> float:
    field = None
    if wish is not None:
        field = vector_directions(np.zeros((16, 60, 3), np.float32) + np.float32([*wish, 0.5]))
    return float(Regularity.of(strokes, field)(strokes))


def test_straight_strokes_side_by_side_cost_nothing() -> None:
    assert cost(row([30.0] * 12)) == pytest.approx(0, abs=1e-6)
    assert cost(row([30.0, 210.0] * 6)) == pytest.approx(0, abs=1e-6)


def test_crossing_costs_by_its_angle() -> None:
    small, large = cost(row([0.0, 20.0] * 6)), cost(row([0.0, 90.0] * 6))
    assert 0 < small < large


def test_bending_costs_by_its_square() -> None:
    one, two = cost(row([0.0] * 12, bow=1.0)), cost(row([0.0] * 12, bow=2.0))
    assert two == pytest.approx(4 * one)


def test_leaving_the_directions_costs_most_across_them() -> None:
    flat = row([0.0] * 12)
    along, between, across = (cost(flat, wish) for wish in ((1.0, 0.5), (0.8536, 0.8536), (0.5, 1.0)))
    assert along == pytest.approx(0, abs=1e-4) and across == pytest.approx(4, rel=1e-3)
    assert between == pytest.approx(2, rel=1e-2)


def test_one_stroke_has_no_neighbors() -> None:
    assert cost(row([15.0])) == pytest.approx(0, abs=1e-6)
