"""Search: which strokes each cell of a picture can see, found tile by tile.

A cell is a few pixels square and a tile a few cells; only the strokes whose boxes meet a tile are compared with its
cells, so that memory grows with the picture and the strokes, not with their product. The lists are exact: a stroke that
is missing from a cell's list touches none of its pixels, or lies under one that covers them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.optimize.brushstrokes.curves import SAMPLES, sampled

__all__ = ["CELL_PX", "CellLists", "search"]

CELL_PX = 5
TILE_CELLS = 8
_PAIRS = 2**21
"""Of a pixel and a stroke, at once."""
_FEW = 2**15
"""Of a cell and a stroke: too few to be worth several groups."""
_REACH_PX = CELL_PX * 2**-0.5
"""From a cell's center to its corner."""


@dataclass(frozen=True, eq=False)
class CellLists:
    """The strokes of each cell, the topmost first; cells run row by row, and those of the last ones may overhang."""

    height: int
    width: int
    strokes: Tensor
    """Indices of strokes, cell after cell."""
    first: Tensor
    """(cells + 1,) where each cell's begin."""

    @property
    def columns(self) -> int:
        """Cells side by side."""
        return -(-self.width // CELL_PX)

    @property
    def counts(self) -> Tensor:
        """(cells,) strokes of each."""
        return self.first[1:] - self.first[:-1]

    def groups(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Cells with about as many strokes, few enough to be worked on at once.

        Yields:
            (C,) cells, and (C, K) indices of strokes, the topmost first, -1 where a cell has fewer.
        """
        counts, order = self.counts.sort()
        ends = counts.cpu()
        begin = 0
        while begin < len(order):
            # A cell is padded to the most strokes of its group: up to a quarter more than the least.
            most = max(4, int(ends[begin]) * 5 // 4)
            end = int(torch.searchsorted(ends, most, right=True))
            most = int(ends[end - 1])
            end = min(end, begin + max(1, _PAIRS // (CELL_PX**2 * max(1, most))))
            # Few cells are quicker done at once than apart, however much they are padded.
            rest = int(ends[-1])
            if (len(order) - begin) * max(1, rest) <= _FEW:
                end, most = len(order), rest
            cells = order[begin:end]
            places = self.first[cells][:, None] + torch.arange(most, device=cells.device)
            known = places < self.first[cells + 1][:, None]
            indices = self.strokes[places.clamp_max(max(0, len(self.strokes) - 1))] if most else places
            yield cells, torch.where(known, indices, -1)
            begin = end


@torch.no_grad()
def search(
    points_px: Tensor, width_px: Tensor, height: int, width: int, edge_px: float, slack_px: float = 0
) -> CellLists:
    """The strokes that each cell can see.

    Args:
        points_px: (N, 3, 2) of the curves, each over those before it.
        width_px: (N,) of the strokes.
        height, width: of the picture.
        edge_px: how far a stroke's soft edge reaches to each side of its outline.
        slack_px: how far an outline may move, by its points and its width together, before the lists are wrong.
    """
    line = sampled(points_px)
    # How far the curve may be from the line through its samples.
    bend = (points_px[:, 0] - 2 * points_px[:, 1] + points_px[:, 2]).norm(dim=-1) / (4 * (SAMPLES - 1) ** 2)
    outer = width_px / 2 + edge_px + bend + slack_px + 1e-3
    inner = width_px / 2 - edge_px - bend - slack_px - 1e-3
    low, high = line.amin(1) - outer[:, None], line.amax(1) + outer[:, None]
    rows, columns = -(-height // CELL_PX), -(-width // CELL_PX)
    device = points_px.device
    counts = torch.zeros(rows, columns, dtype=torch.int64, device=device)
    tiles: list[tuple[int, int, Tensor]] = []
    side = TILE_CELLS * CELL_PX
    lefts = torch.arange(0, columns, TILE_CELLS, device=device) * CELL_PX
    for top in range(0, rows, TILE_CELLS):
        above = top * CELL_PX
        meets = (high[:, 1] >= above) & (low[:, 1] <= above + side)
        near = meets.nonzero()[:, 0].flip(0)
        across = (high[near, 0] >= lefts[:, None]) & (low[near, 0] <= lefts[:, None] + side)  # (tiles, M)
        for index, left in enumerate(range(0, columns, TILE_CELLS)):
            found = near[across[index]]
            bottom, right = min(rows, top + TILE_CELLS), min(columns, left + TILE_CELLS)
            y = torch.arange(top, bottom, device=device).repeat_interleave(right - left)
            x = torch.arange(left, right, device=device).repeat(bottom - top)
            centers = (torch.stack([x, y], dim=1) + 0.5) * CELL_PX
            distance = _to_lines(centers.to(line.dtype), line[found])  # (C, M)
            touches = distance - outer[found] <= _REACH_PX
            covers = distance + _REACH_PX <= inner[found]
            hidden = covers.cumsum(1) - covers.to(torch.int64) > 0
            seen = touches & ~hidden
            counts[top:bottom, left:right] = seen.sum(1).view(bottom - top, right - left)
            tiles.append((top, left, found.expand(len(centers), -1)[seen]))
    # From tile after tile to row after row.
    first = torch.zeros(rows * columns + 1, dtype=torch.int64, device=device)
    torch.cumsum(counts.flatten(), 0, out=first[1:])
    strokes = torch.zeros(int(first[-1]), dtype=torch.int64, device=device)
    for top, left, found in tiles:
        bottom, right = min(rows, top + TILE_CELLS), min(columns, left + TILE_CELLS)
        block = torch.arange(rows * columns, device=device).view(rows, columns)[top:bottom, left:right].flatten()
        own = counts.flatten()[block]
        begin = torch.repeat_interleave(first[block], own)
        rank = torch.arange(len(found), device=device) - torch.repeat_interleave(own.cumsum(0) - own, own)
        strokes[begin + rank] = found
    return CellLists(height, width, strokes, first)


def _to_lines(at: Tensor, line: Tensor) -> Tensor:
    """(C, M) distances of points (C, 2) to lines through (M, S, 2) samples."""
    begin, step = line[:, :-1], line[:, 1:] - line[:, :-1]  # (M, S - 1, 2)
    length = (step * step).sum(-1).clamp_min(1e-12)
    off = at[:, None, None] - begin
    t = ((off * step).sum(-1) / length).clamp(0, 1)
    return (off - t[..., None] * step).square().sum(-1).amin(-1).sqrt()
