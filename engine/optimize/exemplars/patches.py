"""Patches: the Markov random field in which every cell of a frame has one candidate, and neighbors should agree.

After Song et al. 2017: a patch costs by how unlike the frame's plate and the exemplar's are under it, and two
neighbors by how unlike the paintings are that both would put where they overlap.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numba import njit

from engine.base.arrays import Floats
from engine.optimize.exemplars.candidates import CandidateFields
from engine.optimize.exemplars.expansion import Integers, RandomField, offers_of
from engine.optimize.exemplars.pictures import ExemplarPicture

__all__ = ["CELL_PX", "patch_field", "patch_unlike"]

CELL_PX = 8
"""Side of the cells that choose."""
_PATCH_PX = 17
"""Side of what is compared around a cell."""
_OVERLAP_PX = 3
"""How far each of two neighbors reaches into the other."""
_AGREE = 0.6
"""Weight of the paintings' difference beside that of the plates."""
_PARTED = 0.02
"""What a step from one exemplar to another costs that does not show."""
_UNIT = 10_000
"""Whole numbers for a difference of 1."""


def patch_unlike(candidates: CandidateFields) -> Floats:
    """(L, rows, columns): how unlike the plates are on average in each cell's patch, for each label."""
    return np.stack([_at_cells(cv2.blur(each, (_PATCH_PX, _PATCH_PX))) for each in candidates.unlike])


def patch_field(candidates: CandidateFields, unlike: Floats, exemplars: Sequence[ExemplarPicture]) -> RandomField:
    """The field of all cells, row by row.

    Args:
        unlike: (L, rows, columns) of :func:`patch_unlike`.
    """
    labels, rows, columns = unlike.shape
    cells = np.arange(rows * columns, dtype=np.int64).reshape(rows, columns)
    across = np.stack([cells[:, :-1].ravel(), cells[:, 1:].ravel()], axis=1)
    down = np.stack([cells[:-1].ravel(), cells[1:].ravel()], axis=1)
    pairs = np.concatenate([across, down])
    high, wide = (max(each.painting.shape[axis] for each in exemplars) for axis in (0, 1))
    stacked = np.zeros((len(exemplars), high, wide, 3), np.float32)
    sizes = np.array([each.painting.shape[:2] for each in exemplars], np.int64)
    for number, each in enumerate(exemplars):
        stacked[number, : sizes[number, 0], : sizes[number, 1]] = each.painting
    numbers = np.array(candidates.exemplar, np.int64)
    table = _disagreements(candidates.places, stacked, sizes, numbers, pairs, columns)
    table = _AGREE * table + np.float32(_PARTED) * (numbers[:, None] != numbers[None])
    costs = np.rint(table * _UNIT).astype(np.int64)

    def between(each: Integers, first: Integers, second: Integers) -> Integers:
        return np.asarray(costs[each, first, second], np.int64)

    single = np.rint(unlike.reshape(labels, -1).T * _UNIT).astype(np.int64)
    return RandomField(rows * columns, offers_of(single), pairs, between)


def _at_cells(picture: Floats) -> Floats:
    """(rows, columns) at the cells' centers of (H, W)."""
    height, width = picture.shape
    rows, columns = -(-height // CELL_PX), -(-width // CELL_PX)
    y = np.minimum(np.arange(rows) * CELL_PX + CELL_PX // 2, height - 1)
    x = np.minimum(np.arange(columns) * CELL_PX + CELL_PX // 2, width - 1)
    return np.asarray(picture[y[:, None], x[None]], np.float32)


@njit(nogil=True, cache=True)
def _disagreements(
    places: Floats, paintings: Floats, sizes: Integers, numbers: Integers, pairs: Integers, columns: int
) -> Floats:
    """(E, L, L): mean difference of what two neighbors with two labels paint where they overlap."""
    labels, height, width = places.shape[:3]
    depth = 2 * _OVERLAP_PX
    most = depth * CELL_PX
    first, second = np.zeros((labels, most, 3), np.float32), np.zeros((labels, most, 3), np.float32)
    costs = np.zeros((len(pairs), labels, labels), np.float32)
    for pair in range(len(pairs)):
        one, two = pairs[pair]
        y, x = (one // columns) * CELL_PX, (one % columns) * CELL_PX
        other_y, other_x = (two // columns) * CELL_PX, (two % columns) * CELL_PX
        if other_x > x:
            top, bottom, left, right = y, y + CELL_PX, other_x - _OVERLAP_PX, other_x + _OVERLAP_PX
        else:
            top, bottom, left, right = other_y - _OVERLAP_PX, other_y + _OVERLAP_PX, x, x + CELL_PX
        bottom, right = min(bottom, height), min(right, width)
        count = (bottom - top) * (right - left)
        for label in range(labels):
            index = 0
            for row in range(top, bottom):
                for column in range(left, right):
                    _take(places, paintings, sizes, numbers, label, row, column, y, x, first[label, index])
                    _take(places, paintings, sizes, numbers, label, row, column, other_y, other_x, second[label, index])
                    index += 1
        for a in range(labels):
            for b in range(labels):
                total = 0.0
                for index in range(count):
                    for c in range(3):
                        total += abs(first[a, index, c] - second[b, index, c])
                costs[pair, a, b] = total / max(count, 1)
    return costs


@njit(nogil=True, cache=True)
def _take(
    places: Floats,
    paintings: Floats,
    sizes: Integers,
    numbers: Integers,
    label: int,
    row: int,
    column: int,
    top: int,
    left: int,
    into: Floats,
) -> None:
    """The painting's pixel that a cell with a label puts at a place, beyond its border as at its border."""
    height, width = places.shape[1:3]
    from_row = min(max(row, top), min(top + CELL_PX, height) - 1)
    from_column = min(max(column, left), min(left + CELL_PX, width) - 1)
    number = numbers[label]
    x = round(column + places[label, from_row, from_column, 0])
    y = round(row + places[label, from_row, from_column, 1])
    x, y = min(max(x, 0), sizes[number, 1] - 1), min(max(y, 0), sizes[number, 0] - 1)
    for c in range(3):
        into[c] = paintings[number, y, x, c]
