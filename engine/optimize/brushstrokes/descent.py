"""Descent: strokes moved, bent and colored until their picture is what a loss asks for.

With the published step sizes of Adam, 0.1 pixels for what is geometry and 0.01 for colors. The underpainting keeps its
place, so that what it covers stays covered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.optimize.brushstrokes.curves import Brushstrokes
from engine.optimize.brushstrokes.layout import Layout
from engine.optimize.brushstrokes.regularity import Regularity
from engine.optimize.brushstrokes.render import EDGE_PX, render
from engine.optimize.brushstrokes.search import CellLists, search

__all__ = ["GEOMETRY_STEP_PX", "Descent", "DescentState"]

GEOMETRY_STEP_PX, COLOR_STEP = 0.1, 0.01
_FIRST_EDGE_PX = 2.0
"""Outlines are soft at first, so that a stroke feels what lies a little beyond it."""
_SLACK_PX = 1.0
_LEAST_WIDTH_PX, _WIDEST = 1.2, 1.5
"""Of a stroke; and in units of its width at the start."""
_DECAY, _EPSILON = (0.9, 0.999), 1e-8


@dataclass(frozen=True, eq=False)
class DescentState:
    """How far a descent is: all that it takes to go on."""

    strokes: Brushstrokes
    first: tuple[Tensor, ...]
    """Adam's mean of the gradients, in the order of the strokes' fields."""
    second: tuple[Tensor, ...]
    """And of their squares."""
    done: int
    """Steps."""
    unit: float
    """The picture's loss at the start, which counts as 1."""

    @classmethod
    def begin(cls, strokes: Brushstrokes) -> DescentState:
        """Before the first step."""
        zeros = tuple(torch.zeros_like(each) for each in strokes.tensors)
        return cls(strokes, zeros, tuple(map(torch.clone, zeros)), 0, 0.0)


@dataclass(eq=False)
class Descent:
    """One picture's.

    Args:
        layout: what the strokes begin as; also of a descent that goes on.
        height, width: of the picture.
        canvas: (3,) color of what no stroke covers.
        loss: of the picture (1, 3, height, width).
        regularity: of the strokes.
    """

    layout: Layout
    height: int
    width: int
    canvas: Tensor
    loss: Callable[[Tensor], Tensor]
    regularity: Regularity

    def __post_init__(self) -> None:
        self._lists: CellLists | None = None
        self._searched: Brushstrokes | None = None

    def step(self, state: DescentState, steps: int) -> tuple[DescentState, float]:
        """One step of so many in all; returns where it leads, and the loss before it."""
        strokes = Brushstrokes(*(each.detach().clone().requires_grad_(True) for each in state.strokes.tensors))
        edge = max(EDGE_PX, _FIRST_EDGE_PX + (EDGE_PX - _FIRST_EDGE_PX) * 2 * state.done / steps)
        lists = self._found(strokes, edge)
        picture = render(strokes, self.height, self.width, self.canvas, edge_px=edge, lists=lists)
        of_picture = self.loss(picture)
        unit = state.unit or max(float(of_picture.detach()), 1e-12)
        total = of_picture / unit + self.regularity(strokes)
        gradients = torch.autograd.grad(total, strokes.tensors)
        moved, first, second = [], [], []
        done = state.done + 1
        for index, (value, gradient) in enumerate(zip(strokes.tensors, gradients, strict=True)):
            is_color = index == 3
            # NaN of a degenerate stroke would stay for good.
            gradient = torch.nan_to_num(gradient, 0.0, 0.0, 0.0)
            if not is_color:
                gradient[: self.layout.broad] = 0
            mean = state.first[index].lerp(gradient, 1 - _DECAY[0])
            square = state.second[index].lerp(gradient * gradient, 1 - _DECAY[1])
            root = (square / (1 - _DECAY[1] ** done)).sqrt() + _EPSILON * 1e-4
            size = COLOR_STEP if is_color else GEOMETRY_STEP_PX
            moved.append(value.detach() - size * mean / (1 - _DECAY[0] ** done) / root)
            first.append(mean)
            second.append(square)
        return DescentState(self._bounded(Brushstrokes(*moved)), tuple(first), tuple(second), done, unit), float(
            total.detach()
        )

    def _bounded(self, strokes: Brushstrokes) -> Brushstrokes:
        """The same strokes within the frame, no thinner than paint is, no wider than they may be."""
        place, curve, width, color = strokes.tensors
        most = place.new_tensor([self.width, self.height])
        began = self.layout.strokes.width_px
        width = torch.minimum(width.clamp_min(_LEAST_WIDTH_PX), (began * _WIDEST).clamp_min(_LEAST_WIDTH_PX))
        return Brushstrokes(torch.minimum(place.clamp_min(0), most), curve, width, color.clamp(0, 1))

    def _found(self, strokes: Brushstrokes, edge_px: float) -> CellLists:
        """Lists of cells, searched again only when a stroke may have left its own."""
        now = strokes.to(self.canvas.device)
        if self._lists is not None and self._searched is not None:
            points = (now.points_px - self._searched.points_px).norm(dim=-1).amax(1)
            moved = float((points * 1.05 + (now.width_px - self._searched.width_px).abs() / 2).max())
            if moved <= _SLACK_PX:
                return self._lists
        self._searched = now
        self._lists = search(now.points_px, now.width_px, self.height, self.width, edge_px, _SLACK_PX)
        return self._lists
