"""Chosen models: of the local models of motion around a pixel, the one under which its neighborhood matches best.

So a surface's edge is as sharp as the picture's. Where several say about the same, they are averaged.

Everything here is plain loops over pixels, compiled by numba; one thread, the same bytes every time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from numba import njit

from engine.base.arrays import Floats

__all__ = ["ModelGrid", "chosen"]

Ints = npt.NDArray[np.int64]

_AROUND = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1) if (row, column) != (0, 0)]
_NEAR = np.array([(0, 0), *_AROUND], np.int64)
_OFFSETS = np.array([(0, 0), *_AROUND, *((3 * row, 3 * column) for row, column in _AROUND)], np.int64)
"""Of the grid's points whose models a pixel may take, in points; without the farther ones, where it is coarse."""
_JUDGED_PX = 2.0
"""Deviation of the neighborhood in which a model is judged."""
_MOST = 0.35
"""Difference beyond which it is all the same."""
_LOYAL = 0.0005
"""What a model costs for each point that it is away."""
_EVEN = 0.004
"""Difference that counts less than half as much, where models that say about the same are averaged."""
_STRIP = 128
"""Rows that are judged at once: memory stays small at any size."""


@dataclass(frozen=True)
class ModelGrid:
    """Points in rows and columns over a picture, each with its model."""

    rows: int
    columns: int
    pitch: int
    """Pixels between them."""
    models: Floats
    """(rows * columns, 6): u, its change along x and y, v, its change along x and y."""
    light: Floats
    """(rows * columns, 2): gain and bias that lead from the other frame's light to this one's."""


def chosen(here: Floats, there: Floats, grid: ModelGrid, *, coarse: bool) -> Floats:
    """(H, W, 2): the flow of the models that match best.

    Args:
        here, there: (H, W, 3), the two frames.
        coarse: only the points right beside a pixel's own count, and neighborhoods are judged by every other row.
    """
    height, width = here.shape[:2]
    offsets, step = (_NEAR, 2) if coarse else (_OFFSETS, 1)
    margin = 2 * math.ceil(1.5 * _JUDGED_PX)
    away = np.abs(offsets).sum(axis=1).astype(np.float32) * np.float32(_LOYAL)
    flow = np.empty((height, width, 2), np.float32)
    planes = np.ascontiguousarray(np.moveaxis(here, 2, 0))
    for top in range(0, height, _STRIP):
        first, last = max(0, top - margin), min(height, top + _STRIP + margin)
        costs = np.empty((len(offsets), -(-(last - first) // step), width), np.float32)
        for number, offset in enumerate(offsets):
            _difference(
                planes, there.reshape(-1), grid.models, grid.light, grid.rows, grid.columns, grid.pitch,
                offset, first, step, costs[number],
            )  # fmt: skip
            costs[number] = cv2.GaussianBlur(
                costs[number], (0, 0), _JUDGED_PX, sigmaY=_JUDGED_PX / step, borderType=cv2.BORDER_REFLECT_101
            )
        bottom = min(height, top + _STRIP)
        _choose(
            costs, step, top - first, grid.models, grid.rows, grid.columns, grid.pitch,
            offsets, away, height, flow[top:bottom], top,
        )  # fmt: skip
    return flow


@njit(nogil=True, cache=True, fastmath=True)
def _difference(
    here: Floats, there: Floats, models: Floats, light: Floats, rows: int, columns: int, pitch: int,
    offset: Ints, first: int, step: int, out: Floats,
) -> None:  # fmt: skip
    """Mean difference of color under the model of the grid's point at an offset, for rows from ``first`` on in steps.

    Args:
        here: (3, H, W).
        there: (H * W * 3,).
    """
    _, height, width = here.shape
    # Of a row's pixels: where they lie in the other frame, between which of its pixels, the light, and what is there.
    to_x, to_y = np.empty(width, np.float32), np.empty(width, np.float32)
    gain, bias = np.empty(width, np.float32), np.empty(width, np.float32)
    places, inside = np.empty(width, np.int64), np.empty(width, np.bool_)
    corners = np.empty((4, 3, width), np.float32)
    right, bottom = np.float32(width - 1), np.float32(height - 1)
    most_left, most_top = np.int32(width - 2), np.int32(height - 2)
    most, third, nothing = np.float32(_MOST), np.float32(1 / 3), np.float32(0)
    for line in range(out.shape[0]):
        y = first + step * line
        row = min(max(y // pitch + offset[0], 0), rows - 1)
        dy = np.float32(y - min(row * pitch + pitch // 2, height - 1))
        for block in range(columns):
            column = min(max(block + offset[1], 0), columns - 1)
            center = min(column * pitch + pitch // 2, width - 1)
            k = row * columns + column
            along_x, along_y, factor, base = np.float32(1) + models[k, 1], models[k, 4], light[k, 0], light[k, 1]
            from_x = np.float32(center) + models[k, 0] + models[k, 2] * dy
            from_y = np.float32(y) + models[k, 3] + models[k, 5] * dy
            for x in range(block * pitch, min((block + 1) * pitch, width)):
                dx = np.float32(x - center)
                to_x[x], to_y[x], gain[x], bias[x] = from_x + along_x * dx, from_y + along_y * dx, factor, base
        # In three passes, of which only the one that looks up is one pixel at a time.
        for x in range(width):
            inside[x] = (to_x[x] >= 0) & (to_y[x] >= 0) & (to_x[x] < right) & (to_y[x] < bottom)
            there_x, there_y = min(max(to_x[x], nothing), right), min(max(to_y[x], nothing), bottom)
            # Of both sides: what is no number is no place either.
            left = max(min(np.int32(there_x), most_left), np.int32(0))
            top = max(min(np.int32(there_y), most_top), np.int32(0))
            places[x] = 3 * (top * width + left)
            to_x[x], to_y[x] = there_x - np.float32(left), there_y - np.float32(top)
        for x in range(width):
            at = np.uintp(places[x])
            under = at + np.uintp(3 * width)
            for c in range(3):
                i, j = at + np.uintp(c), under + np.uintp(c)
                corners[0, c, x], corners[1, c, x] = there[i], there[i + np.uintp(3)]
                corners[2, c, x], corners[3, c, x] = there[j], there[j + np.uintp(3)]
        for x in range(width):
            total = nothing
            for c in range(3):
                over, under_it = corners[0, c, x], corners[2, c, x]
                over += to_x[x] * (corners[1, c, x] - over)
                under_it += to_x[x] * (corners[3, c, x] - under_it)
                total += abs(here[c, y, x] - bias[x] - gain[x] * (over + to_y[x] * (under_it - over)))
            out[line, x] = min(total * third, most) if inside[x] else most


@njit(nogil=True, cache=True, fastmath=True)
def _choose(
    costs: Floats, step: int, skipped: int, models: Floats, rows: int, columns: int, pitch: int, offsets: Ints,
    away: Floats, height: int, flow: Floats, first: int,
) -> None:  # fmt: skip
    """Write rows of a flow from ``first`` on: the best model's, averaged with those that say about the same.

    Args:
        costs: (n, h, W), of the models at ``offsets``, of rows in steps.
        skipped: how many of all rows these begin before the first one.
        away: (n,), what being away costs.
    """
    count, _, width = costs.shape
    # Of a row's pixels, under each model: what it says, and how much it counts there for being near.
    u, v, close = (
        np.empty((count, width), np.float32),
        np.empty((count, width), np.float32),
        np.empty((count, width), np.float32),
    )
    least, best_u, best_v = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
    total, sum_u, sum_v = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
    even, per_pitch = np.float32(1 / (3 * _EVEN)), np.float32(1 / (pitch * pitch))
    one, half, nothing = np.float32(1), np.float32(0.5), np.float32(0)
    for line in range(flow.shape[0]):
        y = first + line
        above, below = (skipped + line) // step, min((skipped + line + step - 1) // step, costs.shape[1] - 1)
        least[:] = np.float32(1e9)
        for j in range(count):
            row = min(max(y // pitch + offsets[j, 0], 0), rows - 1)
            dy = np.float32(y - min(row * pitch + pitch // 2, height - 1))
            for block in range(columns):
                column = min(max(block + offsets[j, 1], 0), columns - 1)
                center = min(column * pitch + pitch // 2, width - 1)
                k = row * columns + column
                base_u, base_v = models[k, 0] + models[k, 2] * dy, models[k, 3] + models[k, 5] * dy
                along_u, along_v = models[k, 1], models[k, 4]
                for x in range(block * pitch, min((block + 1) * pitch, width)):
                    dx = np.float32(x - center)
                    u[j, x], v[j, x], close[j, x] = base_u + along_u * dx, base_v + along_v * dx, dx
            for x in range(width):
                near = one + (close[j, x] * close[j, x] + dy * dy) * per_pitch
                close[j, x] = one / (near * near)
                cost = half * (costs[j, above, x] + costs[j, below, x]) + away[j]
                better = cost < least[x]
                least[x] = cost if better else least[x]
                best_u[x] = u[j, x] if better else best_u[x]
                best_v[x] = v[j, x] if better else best_v[x]
        total[:] = 0
        sum_u[:] = 0
        sum_v[:] = 0
        for j in range(count):
            for x in range(width):
                cost = half * (costs[j, above, x] + costs[j, below, x]) + away[j]
                like = max(one - (cost - least[x]) * even, nothing)
                apart_u, apart_v = u[j, x] - best_u[x], v[j, x] - best_v[x]
                together = max(one - apart_u * apart_u - apart_v * apart_v, nothing)
                weight = like * like * together * together * together * close[j, x]
                total[x] += weight
                sum_u[x] += weight * apart_u
                sum_v[x] += weight * apart_v
        for x in range(width):
            flow[line, x, 0], flow[line, x, 1] = best_u[x] + sum_u[x] / total[x], best_v[x] + sum_v[x] / total[x]
