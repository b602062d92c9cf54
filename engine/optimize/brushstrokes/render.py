"""Renderer of brushstrokes: each laid over those before it, with gradients to every number of every stroke.

A stroke covers a pixel as far as it lies inside its outline, with an edge of about a pixel, and hides what it covers.
The published renderer gives each pixel to the nearest curve instead; decision 027 says why this one does not.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from engine.optimize.brushstrokes.curves import SAMPLES, Brushstrokes, sampled
from engine.optimize.brushstrokes.search import CELL_PX, CellLists, search

__all__ = ["EDGE_PX", "bare", "render"]

EDGE_PX = 0.65
"""To each side of an outline: nearest to what the area of a pixel under it makes."""

_NEWTON = 2


def render(
    strokes: Brushstrokes,
    height: int,
    width: int,
    canvas: Tensor,
    *,
    edge_px: float = EDGE_PX,
    lists: CellLists | None = None,
) -> Tensor:
    """The picture of the strokes, (1, 3, height, width) in 0..1.

    For the way back, groups of cells are drawn again one at a time, so that no more than one is in memory.

    Args:
        strokes: the first lies lowest.
        height, width: of the picture.
        canvas: (3,) color of what no stroke covers.
        edge_px: half the breadth of an outline's soft edge.
        lists: of :func:`search` for these strokes; None searches.
    """
    points, half = strokes.points_px, strokes.width_px / 2
    if lists is None:
        lists = search(points.detach(), strokes.width_px.detach(), height, width, edge_px)
    y, x = torch.meshgrid(*[torch.arange(CELL_PX, device=points.device) + 0.5] * 2, indexing="ij")
    inside = torch.stack([x.flatten(), y.flatten()]).to(points.dtype)  # (2, 25)
    drawn, cells_of = [], []
    for cells, indices in lists.groups():
        corner = torch.stack([cells % lists.columns, torch.div(cells, lists.columns, rounding_mode="floor")], dim=1)
        at = corner.to(points.dtype)[:, :, None] * CELL_PX + inside  # (C, 2, 25)
        flat = indices.clamp_min(0).flatten()
        with torch.no_grad():
            t = _nearest(points.detach()[flat].view(*indices.shape, 3, 2), at)
        inputs = (points, half, strokes.color, canvas, at, t, indices, edge_px)
        drawn.append(checkpoint(_drawn, *inputs, use_reentrant=False) if torch.is_grad_enabled() else _drawn(*inputs))
        cells_of.append(cells)
    rows = -(-height // CELL_PX)
    picture = points.new_zeros(rows * lists.columns, CELL_PX**2, 3).index_copy(0, torch.cat(cells_of), torch.cat(drawn))
    picture = picture.view(rows, lists.columns, CELL_PX, CELL_PX, 3).permute(4, 0, 2, 1, 3)
    picture = picture.reshape(3, rows * CELL_PX, lists.columns * CELL_PX)
    return picture[None, :, :height, :width]


def bare(strokes: Brushstrokes, height: int, width: int) -> Tensor:
    """(height, width) share of each pixel, 0..1, that no stroke covers."""
    black = Brushstrokes(*strokes.tensors[:3], torch.zeros_like(strokes.color))
    with torch.no_grad():
        return render(black, height, width, torch.ones_like(strokes.color[0] if len(strokes) else black.color))[0, 0]


def _drawn(
    points: Tensor,
    half: Tensor,
    color: Tensor,
    canvas: Tensor,
    at: Tensor,
    t: Tensor,
    indices: Tensor,
    edge_px: float,
) -> Tensor:
    """(C, 25, 3) pixels of cells with the strokes ``indices`` (C, K), whose nearest points are at ``t`` (C, K, 25).

    Where a curve is nearest does not move the distance in first order, so that ``t`` needs no gradient.
    """
    cells, most = indices.shape
    flat = indices.clamp_min(0).flatten()
    own = points.index_select(0, flat).view(cells, most, 3, 2)
    (x0, y0), (x1, y1), (x2, y2) = ((own[:, :, i, 0, None], own[:, :, i, 1, None]) for i in range(3))
    u = 1 - t
    a, b, c = u * u, 2 * t * u, t * t
    x = a * x0 + b * x1 + c * x2 - at[:, None, 0]
    y = a * y0 + b * y1 + c * y2 - at[:, None, 1]
    distance = (x * x + y * y + 1e-8).sqrt()
    outline = half.index_select(0, flat).view(cells, most, 1)
    share = ((outline - distance) / (2 * edge_px) + 0.5).clamp(0, 1)
    share = share * share * (3 - 2 * share) * (indices >= 0)[..., None]
    paint = color.index_select(0, flat).view(cells, most, 1, 3)
    picture = canvas.expand(cells, at.shape[2], 3)
    for k in reversed(range(most)):
        picture = picture + share[:, k, :, None] * (paint[:, k] - picture)
    return picture


def _nearest(points: Tensor, at: Tensor) -> Tensor:
    """(C, K, 25) where the curves (C, K, 3, 2) are nearest to pixels (C, 2, 25), 0..1.

    The nearest of the lines between samples, then Newton's steps on the curve itself: gradients need the very point.
    """
    cells, most = points.shape[:2]
    line = sampled(points.flatten(0, 1)).view(cells, most, SAMPLES, 2)
    px, py = at[:, None, 0], at[:, None, 1]  # (C, 1, 25)
    best = torch.full((cells, most, at.shape[2]), torch.inf, device=at.device, dtype=at.dtype)
    t = torch.zeros_like(best)
    steps = SAMPLES - 1
    for index in range(steps):
        x, y = line[:, :, index, 0, None], line[:, :, index, 1, None]
        dx, dy = line[:, :, index + 1, 0, None] - x, line[:, :, index + 1, 1, None] - y
        ox, oy = px - x, py - y
        along = ((ox * dx + oy * dy) / (dx * dx + dy * dy).clamp_min(1e-12)).clamp_(0, 1)
        distance = (ox - along * dx).square_() + (oy - along * dy).square_()
        closer = distance < best
        best = torch.where(closer, distance, best)
        t = torch.where(closer, (along + index) / steps, t)
    (x0, y0), (x1, y1), (x2, y2) = ((points[:, :, i, 0, None], points[:, :, i, 1, None]) for i in range(3))
    ax, ay, bx, by = x0 - 2 * x1 + x2, y0 - 2 * y1 + y2, 2 * (x1 - x0), 2 * (y1 - y0)
    for _ in range(_NEWTON):
        ox, oy = (ax * t + bx) * t + x0 - px, (ay * t + by) * t + y0 - py
        dx, dy = 2 * ax * t + bx, 2 * ay * t + by
        bend = dx * dx + dy * dy + 2 * (ox * ax + oy * ay)
        moved = t - (ox * dx + oy * dy) / torch.where(bend > 1e-6, bend, torch.inf)
        moved = torch.minimum(torch.maximum(moved, t - 1 / steps), t + 1 / steps).clamp_(0, 1)
        mx, my = (ax * moved + bx) * moved + x0 - px, (ay * moved + by) * moved + y0 - py
        t = torch.where(mx * mx + my * my < ox * ox + oy * oy, moved, t)
    return t
