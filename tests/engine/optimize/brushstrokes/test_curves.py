"""Brushstrokes as data: their curves, and the same strokes elsewhere."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="training is not installed")

from engine.optimize.brushstrokes.curves import Brushstrokes, bezier, sampled
from tests.support.brushstrokes import scattered


def test_curves_go_from_start_to_end_by_way_of_the_control_point() -> None:
    points = torch.tensor([[[0.0, 0.0], [4.0, 8.0], [8.0, 0.0]]])
    line = sampled(points, 5)[0]
    assert line[0].tolist() == [0.0, 0.0] and line[-1].tolist() == [8.0, 0.0]
    assert line[2].tolist() == [4.0, 4.0]
    assert bezier(points, torch.tensor([0.25]))[0].tolist() == line[1].tolist()


def test_a_larger_picture_has_larger_strokes() -> None:
    strokes = scattered(7, 30, 40)
    large = strokes.scaled(2.5)
    assert torch.allclose(large.points_px, strokes.points_px * 2.5)
    assert torch.allclose(large.width_px, strokes.width_px * 2.5) and torch.equal(large.color, strokes.color)


def test_parts_are_joined_in_order() -> None:
    one, other = scattered(3, 30, 40, seed=1), scattered(4, 30, 40, seed=2)
    both = Brushstrokes.joined([one, other])
    assert len(both) == 7
    assert torch.equal(both.color[:3], one.color) and torch.equal(both.curve_px[3:], other.curve_px)
