"""Regularity: what strokes lose by crossing their neighbors, by bending, and by leaving the artist's directions.

After Kotovenko et al. (2021): the variation of directions among neighbors, and the curvature. A direction has no
sign: it counts as twice its angle.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.optimize.brushstrokes.curves import Brushstrokes
from engine.optimize.brushstrokes.directions import Directions

__all__ = ["NEIGHBORS", "Regularity", "doubled"]

NEIGHBORS = 10
_SMOOTH, _CURVED, _WISHED = 0.05, 0.5, 2.0
"""Weights, where the picture's own loss is 1 at the start."""
_DISTANCES = 2**23
"""At once."""


def doubled(strokes: Brushstrokes) -> Tensor:
    """(N, 2) cosine and sine of twice each chord's angle."""
    chord = strokes.curve_px[:, 2] - strokes.curve_px[:, 0]
    x, y = chord.unbind(1)
    return torch.stack([x * x - y * y, 2 * x * y], dim=1) / (chord.square().sum(1, keepdim=True) + 1e-6)


@dataclass(frozen=True, eq=False)
class Regularity:
    """A loss on the strokes alone; who is whose neighbor is decided once."""

    neighbors: Tensor
    """(N, K) indices."""
    wish: Tensor | None
    """(N, 2) directions that are wanted, doubled; None for none."""
    weight: Tensor | None
    """(N,) how much, in 0..1."""

    @classmethod
    def of(cls, strokes: Brushstrokes, directions: Directions | None) -> Regularity:
        """For strokes that begin as these."""
        place = strokes.location_px.detach()
        count = min(NEIGHBORS, len(strokes) - 1)
        rows = max(1, _DISTANCES // len(strokes))
        near = [torch.cdist(some, place).topk(count + 1, largest=False)[1][:, 1:] for some in place.split(rows)]
        wish = weight = None
        if directions is not None:
            high, wide = directions.weight.shape
            column, row = (place[:, i].long().clamp(0, side - 1).cpu().numpy() for i, side in ((0, wide), (1, high)))
            wish = torch.from_numpy(directions.double[row, column]).to(place)
            weight = torch.from_numpy(directions.weight[row, column]).to(place)
        return cls(torch.cat(near), wish, weight)

    def __call__(self, strokes: Brushstrokes) -> Tensor:
        own = doubled(strokes)
        crossing = (1 - (own[:, None] * own[self.neighbors]).sum(-1)).sum() / max(1, self.neighbors.numel())
        start, control, end = strokes.curve_px.unbind(1)
        bow = (control - (start + end) / 2).square().sum(1) / ((end - start).square().sum(1) + 1.0)
        loss = _SMOOTH * crossing + _CURVED * bow.mean()
        if self.wish is not None and self.weight is not None:
            loss = loss + _WISHED * (self.weight * (1 - (own * self.wish).sum(1))).mean()
        return loss
