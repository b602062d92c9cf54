"""Patch search: offsets to places that look alike, found for whole blocks of pixels at a time.

Square blocks first, then their quarters. Each takes, as a whole, its own offset, one of its neighbors' or one drawn at
random, whichever costs least: how unlike the two places look, how many neighbors it breaks with, how far the place is,
and how often it is used already. At last pixels between two pieces choose one of them. So there are few seams, and
they lie where the picture has edges.

Sources
    Barnes et al. 2009, "PatchMatch" (propagation and random search); Fiser et al. 2016, "StyLit" (even use of sources).

Everything is plain loops over pixels, compiled by numba. What is random comes from a block's place and the round: one
thread, the same bytes every time.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from engine.base.arrays import Floats, Mask

__all__ = ["CELL", "FOUND", "KNOWN", "NOTHING", "WANTED", "crumbs", "search"]

States = npt.NDArray[np.uint8]

NOTHING, KNOWN, FOUND, WANTED = 0, 1, 2, 3
"""States of a pixel: without an offset; with one that stays; with one that was found; without one yet."""
CELL = 4
"""Side, pixels, of the cells in which uses are counted."""
_SHARE = np.float32(1.0 / (CELL * CELL))
_LARGEST, _SMALLEST = 32, 8
"""Sides of the blocks, pixels."""
_ROUNDS = 6
"""For each size of the blocks."""
_REACH = 8
"""How far around a block the two places are compared."""
_BREAK_PX = 2.0
"""Difference of two neighbors' offsets that is a whole break."""
_MOST = 1.5
"""Difference of two pixels beyond which it is all the same."""
_FORBIDDEN = 2.0
"""What a pixel of a block costs that finds no place."""
_TAKEN, _HOME, _AWAY, _NEAR = 21, 33, 45, 54
"""Trials up to which offsets are a neighbor's; random around the usual place; around the best so far; close to it."""
_NEAR_PX = 6.0
_NARROWING = 0.75
"""Of the radius of what is drawn, from trial to trial."""
_BEGUN = 0.15
"""What it costs a pixel to begin a piece: a strip that enters is thin, and has few neighbors to break with."""
_NEVER = 1e18


def search(
    compared: tuple[Floats, Floats],
    sharply: tuple[Floats, Floats],
    weight: Floats,
    state: States,
    offset: Floats,
    home: Floats,
    outward: Floats,
    marks: Mask,
    uses: Floats,
    costs: tuple[float, float, float, float],
    nearest: float = 0.0,
) -> None:
    """Find offsets, in place, for the pixels that are wanted.

    Args:
        compared: (h, w, C) twice: the picture that wants, and that of the places.
        sharply: the same, less smooth, to tell where a piece ends.
        weight: (h, w), how much each pixel of the first counts.
        state: (h, w), see above; what is wanted is found afterwards.
        offset: (h, w, 2), of what is known and found, pixels.
        home: (h, w, 2), the offsets around which places are looked for first.
        outward: (h, w, 2) in -1, 0, 1, along x and y: on which side the surface lies beyond the picture of the places.
        marks: (h, w), where no place may be.
        uses: (h / CELL, w / CELL), how often pixels of a cell are used on average; counted on.
        costs: of a break with a neighbor, of a pixel's distance from home, of that outward, of a use.
        nearest: length of the shortest offset that blocks take, pixels.
    """
    coherent, far, out, used = (np.float32(cost) for cost in costs)
    least = np.float32(nearest * nearest)
    (here, there), (fine_here, fine_there) = compared, sharply
    side = _LARGEST
    while side >= _SMALLEST:
        for turn in range(_ROUNDS):
            _search_blocks(
                here, there, weight, state, offset, home, outward, marks, uses,
                coherent, far, out, used, least, side, turn,
            )  # fmt: skip
        side //= 2
    for turn in range(2):
        _join(fine_here, fine_there, weight, state, offset, marks, coherent, turn)


@njit(nogil=True, cache=True, fastmath=True)
def _unlike(
    here: Floats,
    there: Floats,
    weight: Floats,
    window: tuple[int, int, int, int],
    u: int,
    v: int,
    step: int,
    bound: float,
) -> float:
    """Weighted mean difference of a window (top, bottom, left, right) and that at an offset; stops beyond a bound."""
    height, width, channels = here.shape
    top, bottom = max(window[0], 0), min(window[1], height - 1)
    left, right = max(window[2], 0), min(window[3], width - 1)
    most = 0.0
    for row in range(top, bottom + 1, step):
        for column in range(left, right + 1, step):
            most += weight[row, column]
    if most <= 0:
        return 0.0
    total = 0.0
    for row in range(top, bottom + 1, step):
        other = min(max(row + v, 0), height - 1)
        for column in range(left, right + 1, step):
            place = min(max(column + u, 0), width - 1)
            difference = 0.0
            for c in range(channels):
                difference += abs(here[row, column, c] - there[other, place, c])
            total += weight[row, column] * min(difference, _MOST)
        if total > bound * most:
            return bound
    return total / most


@njit(nogil=True, cache=True, fastmath=True)
def _broken(state: States, offset: Floats, row: int, column: int, u: float, v: float) -> float:
    """How far an offset breaks with that of a pixel, in 0..1."""
    height, width = state.shape
    if row < 0 or row >= height or column < 0 or column >= width:
        return 0.0
    if state[row, column] == NOTHING or state[row, column] == WANTED:
        return 0.0
    away = abs(offset[row, column, 0] - u) + abs(offset[row, column, 1] - v)
    return min(away / _BREAK_PX, 1.0)


@njit(nogil=True, cache=True)
def crumbs(state: States, offset: Floats, least: int) -> Mask:
    """(h, w): the known pixels whose piece, all that goes on without a break, has fewer pixels than that."""
    height, width = state.shape
    seen = np.zeros((height, width), np.bool_)
    small = np.zeros((height, width), np.bool_)
    stack = np.empty((height * width, 2), np.int32)
    for y in range(height):
        for x in range(width):
            if seen[y, x] or state[y, x] != KNOWN:
                continue
            seen[y, x] = True
            stack[0, 0], stack[0, 1] = y, x
            size, done = 1, 0
            while done < size:
                row, column = stack[done, 0], stack[done, 1]
                done += 1
                for k in range(4):
                    below, beside = row + (k == 0) - (k == 1), column + (k == 2) - (k == 3)
                    if below < 0 or below >= height or beside < 0 or beside >= width or seen[below, beside]:
                        continue
                    if state[below, beside] != KNOWN:
                        continue
                    if _broken(state, offset, below, beside, offset[row, column, 0], offset[row, column, 1]) >= 1:
                        continue
                    seen[below, beside] = True
                    stack[size, 0], stack[size, 1] = below, beside
                    size += 1
            if size < least:
                for k in range(size):
                    small[stack[k, 0], stack[k, 1]] = True
    return small


@njit(nogil=True, cache=True, fastmath=True)
def _usable(marks: Mask, y: int, x: int) -> bool:
    """Whether there is a place."""
    height, width = marks.shape
    return 0 <= y < height and 0 <= x < width and not marks[y, x]


@njit(nogil=True, cache=True, fastmath=True)
def _count(uses: Floats, state: States, block: tuple[int, int, int, int], u: float, v: float, share: float) -> None:
    """Count what the found pixels of a block use."""
    height, width = state.shape
    for row in range(block[0], block[1] + 1):
        for column in range(block[2], block[3] + 1):
            if state[row, column] == FOUND:
                y, x = round(row + v), round(column + u)
                if 0 <= y < height and 0 <= x < width:
                    uses[y // CELL, x // CELL] += share


@njit(nogil=True, cache=True, fastmath=True)
def _cost(
    state: States,
    offset: Floats,
    marks: Mask,
    uses: Floats,
    block: tuple[int, int, int, int],
    u: float,
    v: float,
    coherent: float,
    used: float,
    bound: float,
) -> float:
    """What an offset costs a block, its looks apart."""
    total = 0.0
    for row in range(block[0], block[1] + 1):
        for column in range(block[2], block[3] + 1):
            if state[row, column] < FOUND:
                continue
            y, x = round(row + v), round(column + u)
            if not _usable(marks, y, x):
                total += _FORBIDDEN
                continue
            total += used * max(uses[y // CELL, x // CELL], 0.0)
            for k in range(4):
                below, beside = row + (k == 0) - (k == 1), column + (k == 2) - (k == 3)
                within = block[0] <= below <= block[1] and block[2] <= beside <= block[3]
                if not within or state[below, beside] == KNOWN:
                    total += coherent * _broken(state, offset, below, beside, u, v)
        if total >= bound:
            break
    return total


@njit(nogil=True, cache=True, fastmath=True)
def _search_blocks(
    here: Floats,
    there: Floats,
    weight: Floats,
    state: States,
    offset: Floats,
    home: Floats,
    outward: Floats,
    marks: Mask,
    uses: Floats,
    coherent: float,
    far: float,
    out: float,
    used: float,
    least: float,
    side: int,
    turn: int,
) -> None:
    """One round over all blocks of one size, to and fro."""
    height, width = state.shape
    across = -(-width // side)
    blocks = -(-height // side) * across
    for number in range(blocks):
        index = number if turn % 2 == 0 else blocks - 1 - number
        corner_y, corner_x = (index // across) * side, (index % across) * side
        top, bottom, left, right, count, y, x = height, -1, width, -1, 0, 0, 0
        first_y, first_x = 0, 0
        for row in range(corner_y, min(corner_y + side, height)):
            for column in range(corner_x, min(corner_x + side, width)):
                if state[row, column] >= FOUND:
                    if count == 0:
                        first_y, first_x = row, column
                    top, bottom, left, right = min(top, row), max(bottom, row), min(left, column), max(right, column)
                    count, y, x = count + 1, y + row, x + column
        if count == 0:
            continue
        block = (top, bottom, left, right)
        window = (top - _REACH, bottom + _REACH, left - _REACH, right + _REACH)
        home_u, home_v = home[y // count, x // count, 0], home[y // count, x // count, 1]
        out_u, out_v = outward[y // count, x // count, 0], outward[y // count, x // count, 1]
        placed = state[first_y, first_x] == FOUND
        u, v = offset[first_y, first_x, 0], offset[first_y, first_x, 1]
        if placed:
            _count(uses, state, block, u, v, -_SHARE)
        best, best_u, best_v = _NEVER, u, v
        seed = np.uint32((corner_y * 73856093) ^ (corner_x * 19349663) ^ ((turn + 1) * 83492791) ^ (side * 2654435))
        radius = 0.5 * max(width, height)
        for trial in range(_NEAR):
            if trial == 0:
                if not placed:
                    continue
                one, two = u, v
            elif trial < _TAKEN:
                part, k = ((trial - 1) // 4) * 0.25, (trial - 1) % 4
                row, column = int(top + part * (bottom - top)), int(left + part * (right - left))
                if k < 2:
                    row = top - 1 if k == 0 else bottom + 1
                else:
                    column = left - 1 if k == 2 else right + 1
                if row < 0 or row >= height or column < 0 or column >= width:
                    continue
                if state[row, column] != KNOWN and state[row, column] != FOUND:
                    continue
                one, two = offset[row, column, 0], offset[row, column, 1]
            else:
                if trial == _HOME:
                    radius = (0.25 if side == _LARGEST else 0.1) * max(width, height)
                elif trial == _AWAY:
                    radius = _NEAR_PX
                seed = np.uint32(seed * np.uint32(1664525) + np.uint32(1013904223))
                along = (seed >> np.uint32(8)) / 16777216.0 * 2 - 1
                seed = np.uint32(seed * np.uint32(1664525) + np.uint32(1013904223))
                down = (seed >> np.uint32(8)) / 16777216.0 * 2 - 1
                from_u, from_v = (home_u, home_v) if trial < _HOME else (best_u, best_v)
                one, two = np.float32(round(from_u + along * radius)), np.float32(round(from_v + down * radius))
                radius *= _NARROWING
            if one * one + two * two < least:
                continue
            cost = far * count * np.sqrt((one - home_u) ** 2 + (two - home_v) ** 2)
            if trial >= _TAKEN:
                # What is begun must have room to go on; what goes on may use it up.
                cost += count * (_BEGUN + out * max(out_u * (one - home_u) + out_v * (two - home_v), 0.0))
            cost += _cost(state, offset, marks, uses, block, one, two, coherent, used, best - cost)
            if cost >= best:
                continue
            bound = (best - cost) / count
            cost += count * _unlike(here, there, weight, window, round(one), round(two), 2, bound)
            if cost < best:
                best, best_u, best_v = cost, one, two
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                if state[row, column] >= FOUND:
                    state[row, column] = FOUND
                    offset[row, column, 0], offset[row, column, 1] = best_u, best_v
        _count(uses, state, block, best_u, best_v, _SHARE)


@njit(nogil=True, cache=True, fastmath=True)
def _join(
    here: Floats,
    there: Floats,
    weight: Floats,
    state: States,
    offset: Floats,
    marks: Mask,
    coherent: float,
    turn: int,
) -> None:
    """Let found pixels at the end of their piece, or without a place, change to one of the pieces around."""
    height, width = state.shape
    for down in range(height):
        y = down if turn == 0 else height - 1 - down
        for along in range(width):
            x = along if turn == 0 else width - 1 - along
            if state[y, x] != FOUND:
                continue
            u, v = offset[y, x, 0], offset[y, x, 1]
            breaks = 0.0
            for k in range(4):
                breaks += _broken(state, offset, y + (k == 0) - (k == 1), x + (k == 2) - (k == 3), u, v)
            if breaks == 0 and _usable(marks, round(y + v), round(x + u)):
                continue
            best, best_u, best_v = _NEVER, u, v
            for trial in range(9):
                one, two = u, v
                if trial:
                    px, k = 1 if trial < 5 else 3, (trial - 1) % 4
                    row, column = y + px * ((k == 0) - (k == 1)), x + px * ((k == 2) - (k == 3))
                    if row < 0 or row >= height or column < 0 or column >= width or state[row, column] == NOTHING:
                        continue
                    one, two = offset[row, column, 0], offset[row, column, 1]
                if not _usable(marks, round(y + two), round(x + one)):
                    continue
                cost = 0.0
                for k in range(4):
                    next_y, next_x = y + (k == 0) - (k == 1), x + (k == 2) - (k == 3)
                    cost += coherent * _broken(state, offset, next_y, next_x, one, two)
                if cost >= best:
                    continue
                window = (y - 2, y + 2, x - 2, x + 2)
                cost += _unlike(here, there, weight, window, round(one), round(two), 1, best - cost)
                if cost < best:
                    best, best_u, best_v = cost, one, two
            offset[y, x, 0], offset[y, x, 1] = best_u, best_v
