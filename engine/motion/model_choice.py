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


def chosen(here: Floats, there: Floats, grid: ModelGrid, *, near: bool) -> Floats:
    """(H, W, 2): the flow of the models that match best.

    Args:
        here, there: (H, W, 3), the two frames.
        near: whether only the points right beside a pixel's own count.
    """
    height, width = here.shape[:2]
    offsets = _NEAR if near else _OFFSETS
    margin = math.ceil(3 * _JUDGED_PX)
    away = np.abs(offsets).sum(axis=1).astype(np.float32) * np.float32(_LOYAL)
    flow = np.empty((height, width, 2), np.float32)
    one, other = (np.moveaxis(each, 2, 0).reshape(3, -1) for each in (here, there))
    for top in range(0, height, _STRIP):
        first, last = max(0, top - margin), min(height, top + _STRIP + margin)
        costs = np.empty((len(offsets), last - first, width), np.float32)
        for number, offset in enumerate(offsets):
            _difference(
                one, other, width, grid.models, grid.light, grid.rows, grid.columns, grid.pitch,
                offset, first, costs[number],
            )  # fmt: skip
            costs[number] = cv2.GaussianBlur(costs[number], (0, 0), _JUDGED_PX, borderType=cv2.BORDER_REFLECT_101)
        bottom = min(height, top + _STRIP)
        _choose(
            costs,
            top - first,
            grid.models,
            grid.rows,
            grid.columns,
            grid.pitch,
            offsets,
            away,
            height,
            flow[top:bottom],
            top,
        )
    return flow


@njit(nogil=True, cache=True, fastmath=True)
def _difference(
    here: Floats, there: Floats, width: int, models: Floats, light: Floats, rows: int, columns: int, pitch: int,
    offset: Ints, first: int, out: Floats,
) -> None:  # fmt: skip
    """Mean difference of color under the model of the grid's point at an offset, for the rows from ``first`` on.

    Args:
        here, there: (3, H * W), of pictures so many pixels wide.
    """
    height = here.shape[1] // width
    for line in range(out.shape[0]):
        y = first + line
        row = min(max(y // pitch + offset[0], 0), rows - 1)
        dy = np.float32(y - min(row * pitch + pitch // 2, height - 1))
        for block in range(columns):
            column = min(max(block + offset[1], 0), columns - 1)
            k = row * columns + column
            start, stop = block * pitch, min((block + 1) * pitch, width)
            dx = np.float32(start - min(column * pitch + pitch // 2, width - 1))
            along_x, along_y = models[k, 1], models[k, 4]
            to_x = np.float32(start) + models[k, 0] + along_x * dx + models[k, 2] * dy
            to_y = np.float32(y) + models[k, 3] + along_y * dx + models[k, 5] * dy
            at = y * width + start
            _differ(
                here, there, width, at, to_x, to_y, along_x, along_y, light[k, 0], light[k, 1], out[line, start:stop]
            )


@njit(nogil=True, cache=True, fastmath=True)
def _differ(
    here: Floats, there: Floats, width: int, at: int, to_x: float, to_y: float, along_x: float, along_y: float,
    gain: float, bias: float, out: Floats,
) -> None:  # fmt: skip
    """The same for a few pixels in a row, which begins at a pixel, and in the other frame at x and y."""
    height, count = here.shape[1] // width, len(out)
    most, third, one = np.float32(_MOST), np.float32(1 / 3), np.float32(1)
    right, bottom = np.float32(width - 1), np.float32(height - 1)
    end_x, end_y = to_x + (one + along_x) * np.float32(count - 1), to_y + along_y * np.float32(count - 1)
    here_at = np.uintp(at)
    if min(min(to_x, end_x), min(to_y, end_y)) >= 0 and max(to_x, end_x) < right and max(to_y, end_y) < bottom:
        left, top = int(to_x), int(to_y)
        if int(end_x) - left == count - 1 and int(end_y) == top:
            # All between the same rows, and each one between the next columns: several at once.
            a, b = to_x - np.float32(left), to_y - np.float32(top)
            upper = np.uintp(top * width + left)
            lower = upper + np.uintp(width)
            for n in range(count):
                i, j, k = upper + np.uintp(n), lower + np.uintp(n), here_at + np.uintp(n)
                i_next, j_next = i + np.uintp(1), j + np.uintp(1)
                across, down = a + along_x * np.float32(n), b + along_y * np.float32(n)
                over, under = there[0, i], there[0, j]
                over += across * (there[0, i_next] - over)
                under += across * (there[0, j_next] - under)
                total = abs(here[0, k] - bias - gain * (over + down * (under - over)))
                over, under = there[1, i], there[1, j]
                over += across * (there[1, i_next] - over)
                under += across * (there[1, j_next] - under)
                total += abs(here[1, k] - bias - gain * (over + down * (under - over)))
                over, under = there[2, i], there[2, j]
                over += across * (there[2, i_next] - over)
                under += across * (there[2, j_next] - under)
                total += abs(here[2, k] - bias - gain * (over + down * (under - over)))
                out[n] = min(total * third, most)
            return
    for n in range(count):
        x, y = to_x + (one + along_x) * np.float32(n), to_y + along_y * np.float32(n)
        if x < 0 or y < 0 or x >= right or y >= bottom:
            out[n] = most
            continue
        left, top = int(x), int(y)
        across, down = x - np.float32(left), y - np.float32(top)
        i, k = np.uintp(top * width + left), here_at + np.uintp(n)
        j = i + np.uintp(width)
        total = np.float32(0)
        for c in range(3):
            over, under = there[c, i], there[c, j]
            over += across * (there[c, i + np.uintp(1)] - over)
            under += across * (there[c, j + np.uintp(1)] - under)
            total += abs(here[c, k] - bias - gain * (over + down * (under - over)))
        out[n] = min(total * third, most)


@njit(nogil=True, cache=True, fastmath=True)
def _choose(
    costs: Floats, skipped: int, models: Floats, rows: int, columns: int, pitch: int, offsets: Ints,
    away: Floats, height: int, flow: Floats, first: int,
) -> None:  # fmt: skip
    """Write rows of a flow from ``first`` on: the best model's, averaged with those that say about the same.

    Args:
        costs: (n, h, W), of the models at ``offsets``, so many rows before the first one ``skipped``.
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
    one, nothing = np.float32(1), np.float32(0)
    for line in range(flow.shape[0]):
        y = first + line
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
                cost = costs[j, skipped + line, x] + away[j]
                better = cost < least[x]
                least[x] = cost if better else least[x]
                best_u[x] = u[j, x] if better else best_u[x]
                best_v[x] = v[j, x] if better else best_v[x]
        total[:] = 0
        sum_u[:] = 0
        sum_v[:] = 0
        for j in range(count):
            for x in range(width):
                like = max(one - (costs[j, skipped + line, x] + away[j] - least[x]) * even, nothing)
                apart_u, apart_v = u[j, x] - best_u[x], v[j, x] - best_v[x]
                together = max(one - apart_u * apart_u - apart_v * apart_v, nothing)
                weight = like * like * together * together * together * close[j, x]
                total[x] += weight
                sum_u[x] += weight * apart_u
                sum_v[x] += weight * apart_v
        for x in range(width):
            flow[line, x, 0], flow[line, x, 1] = best_u[x] + sum_u[x] / total[x], best_v[x] + sum_v[x] / total[x]
