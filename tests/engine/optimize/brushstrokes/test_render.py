"""Renderer of brushstrokes: what a plain loop over all strokes draws, and right gradients."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training is not installed")
torch.set_num_threads(1)  # tiny pictures on a busy machine: a second thread mostly waits

from engine.optimize.brushstrokes.curves import Brushstrokes
from engine.optimize.brushstrokes.render import EDGE_PX, bare, render
from engine.optimize.brushstrokes.search import CELL_PX, CellLists
from tests.support.brushstrokes import plain_picture, scattered

GRAY = torch.full((3,), 0.5)


def everything(count: int, height: int, width: int) -> CellLists:
    """Lists in which every cell has all strokes."""
    cells = -(-height // CELL_PX) * -(-width // CELL_PX)
    return CellLists(height, width, torch.arange(count).flip(0).repeat(cells), torch.arange(cells + 1) * count)


@pytest.mark.parametrize(("height", "width", "count"), [(43, 61, 120), (20, 50, 200), (5, 5, 4)])
def test_the_picture_is_that_of_all_strokes(height: int, width: int, count: int) -> None:
    strokes = scattered(count, height, width, seed=count)
    drawn = render(strokes, height, width, GRAY)
    assert drawn.shape == (1, 3, height, width)
    whole = render(strokes, height, width, GRAY, lists=everything(count, height, width))
    assert float((drawn - whole).abs().max()) < 1e-6


def test_the_picture_is_that_of_a_plain_loop() -> None:
    strokes = scattered(40, 21, 33, seed=3)
    drawn = render(strokes, 21, 33, GRAY)[0].permute(1, 2, 0).numpy()
    # A loop over 1500 points of a curve knows distances to some thousandths of a pixel.
    assert np.abs(drawn - plain_picture(strokes, 21, 33, 0.5, EDGE_PX)).max() < 2e-3


def test_gradients_are_those_of_finite_differences() -> None:
    strokes = scattered(6, 12, 15, seed=5, dtype=torch.float64)
    target = torch.rand(1, 3, 12, 15, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    canvas = GRAY.double()

    def loss(values: tuple[torch.Tensor, ...]) -> torch.Tensor:
        return (render(Brushstrokes(*values), 12, 15, canvas, edge_px=1.5) - target).square().sum()

    values = tuple(each.clone().requires_grad_(True) for each in strokes.tensors)
    gradients = torch.autograd.grad(loss(values), values)
    step = 1e-5
    for part, gradient in enumerate(gradients):
        found = torch.zeros_like(gradient).flatten()
        for index in range(len(found)):
            sides = []
            for sign in (1, -1):
                moved = [each.detach().clone() for each in values]
                moved[part].view(-1)[index] += sign * step
                with torch.no_grad():
                    sides.append(loss(tuple(moved)))
            found[index] = (sides[0] - sides[1]) / (2 * step)
        scale = float(gradient.abs().max())
        assert scale > 0.1
        assert float((gradient.flatten() - found).abs().max()) < 1e-3 * scale, part


def test_a_stroke_of_one_point_is_a_dot() -> None:
    dot = Brushstrokes(torch.tensor([[10.0, 8.0]]), torch.zeros(1, 3, 2), torch.tensor([8.0]), torch.zeros(1, 3))
    dot.curve_px.requires_grad_(True)
    drawn = render(dot, 16, 20, torch.ones(3))
    assert float((1 - drawn[0, 0]).sum().detach()) == pytest.approx(np.pi * 16, rel=0.01)
    drawn.sum().backward()
    assert dot.curve_px.grad is not None and bool(dot.curve_px.grad.isfinite().all())


def test_a_later_stroke_lies_over_an_earlier_one_whatever_is_nearer() -> None:
    line = torch.tensor([[-40.0, 0.0], [0.0, 0.0], [40.0, 0.0]]).repeat(2, 1, 1)
    colors = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    strokes = Brushstrokes(torch.tensor([[10.0, 10.0], [10.0, 16.0]]), line, torch.tensor([10.0, 16.0]), colors)
    picture = render(strokes, 20, 20, GRAY)[0, :, :, 10]
    # At y = 10.5 the first line is nearer, and the second one covers it.
    assert picture[:, 10].tolist() == [0.0, 0.0, 1.0]
    assert picture[:, 6].tolist() == [1.0, 0.0, 0.0]
    assert picture[:, 2].tolist() == [0.5, 0.5, 0.5]
    assert float(bare(strokes, 20, 20)[2, 10]) == 1.0 and float(bare(strokes, 20, 20)[10, 10]) == 0.0


def test_no_strokes_are_a_canvas() -> None:
    none = Brushstrokes(torch.zeros(0, 2), torch.zeros(0, 3, 2), torch.zeros(0), torch.zeros(0, 3))
    assert float((render(none, 7, 9, GRAY) - 0.5).abs().max()) == 0.0
