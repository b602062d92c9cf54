"""Candidates: for each exemplar several fields that say, pixel by pixel, from where its painting could serve a frame.

One follows the motion between both plates: it is right, to a fraction of a pixel, where the exemplar is of the same
shot and shows the surface. The others are found by guided patch search, in whole pieces: from the same place, from
where the motion leads, and with little regard for place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from engine.base.arrays import Floats
from engine.motion.flow import estimate, luma8, pull, reliability
from engine.motion.patch_search import CELL, NOTHING, WANTED, search
from engine.optimize.exemplars.guides import plate_guides
from engine.optimize.exemplars.pictures import ExemplarPicture, painted_at

__all__ = ["CandidateFields", "find_candidates"]

_SIDE = 640
"""Longer side, pixels, at which patches are looked for; a larger frame is made smaller by a whole number."""
_SOFT_PX, _SHARP_PX = 2.0, 0.8
"""Blur, at that size, where pieces are looked for and where they end."""
_COHERENT = 0.35
"""What a break with one of four neighbors costs, in the guides' difference."""
_USED = 0.03
"""What another use of a place costs, so that no stroke is seen all over."""
_SHOWN_PX = 1.0
"""Blur of the guides by which a candidate is judged in the frame's own size."""
_UNSURE = 0.3
"""What motion costs that the way back contradicts: it stretches strokes."""
_UNPAINTED = 3.0
"""What a place without paint costs."""
_LARGEST_BLOCK = 32


@dataclass(frozen=True, eq=False)
class CandidateFields:
    """All candidates of a frame; a label is the number of one."""

    places: Floats
    """(L, H, W, 2): from a pixel of the frame to its place in the exemplar, pixels; whole ones, but for motion."""
    unlike: Floats
    """(L, H, W): how unlike the plates are there, and what else speaks against it."""
    exemplar: tuple[int, ...]
    """Of each label, which exemplar it takes from."""
    follows_motion: tuple[bool, ...]
    """Of each label, whether its places follow motion; else they are of pieces that are moved as a whole."""


def find_candidates(
    plate: Floats,
    exemplars: Sequence[ExemplarPicture],
    *,
    seed: int = 0,
    threads: int = 1,
    check: Callable[[], None] = lambda: None,
    report: Callable[[float], None] = lambda done: None,
) -> CandidateFields:
    """Look for places in every exemplar.

    Args:
        plate: (H, W, 3) sRGB in 0..1.
        seed: of where the blocks begin in which patches are looked for.
        check: called between two searches; what it raises ends all.
        report: receives the share that is done.
    """
    guides = plate_guides(plate, _SHOWN_PX)
    places: list[Floats] = []
    unlike: list[Floats] = []
    numbers: list[int] = []
    moving: list[bool] = []
    for number, exemplar in enumerate(exemplars):
        check()
        motion, sure = _motion(plate, exemplar)
        own = plate_guides(exemplar.plate, _SHOWN_PX)

        still = _same_place(plate.shape[:2], exemplar.plate.shape[:2])
        homes, fars = (motion, still, still), (0.5, 0.5, 0.05)
        begins = [np.random.default_rng([seed, number, turn]).integers(0, _LARGEST_BLOCK, 2) for turn in range(3)]
        with ThreadPoolExecutor(max_workers=max(1, min(threads, len(homes)))) as pool:
            found = [motion, *pool.map(partial(_searched, plate, exemplar), homes, fars, begins)]
        for index, field in enumerate(found):
            worse = _UNSURE * (1 - sure) if index == 0 else np.zeros((), np.float32)
            unlike.append(_unlike(guides, own, exemplar, field) + worse)
            places.append(field)
            numbers.append(number)
            moving.append(index == 0)
        report((number + 1) / len(exemplars))
    return CandidateFields(np.stack(places), np.stack(unlike), tuple(numbers), tuple(moving))


def _unlike(guides: Floats, own: Floats, exemplar: ExemplarPicture, field: Floats) -> Floats:
    """(H, W): how unlike the frame's guides and those of an exemplar at its places are."""
    found = np.abs(guides - pull(own, field)).sum(axis=2)
    return np.asarray(found + _UNPAINTED * ~painted_at(exemplar, field), np.float32)


def _same_place(size: tuple[int, ...], other: tuple[int, ...]) -> Floats:
    """(H, W, 2): to the same place of a picture of another size, each side for itself."""
    (high, wide), (other_high, other_wide) = size, other
    x, y = np.meshgrid(np.arange(wide, dtype=np.float32), np.arange(high, dtype=np.float32))
    return np.stack([x * (other_wide / wide - 1), y * (other_high / high - 1)], axis=2).astype(np.float32)


def _motion(plate: Floats, exemplar: ExemplarPicture) -> tuple[Floats, Floats]:
    """(H, W, 2), (H, W): to where a frame's pixel is in an exemplar of the same shot, and how sure that is, 0..1."""
    high, wide = (max(sides) for sides in zip(plate.shape[:2], exemplar.plate.shape[:2], strict=True))
    here, there = (_padded(luma8(each), high, wide) for each in (plate, exemplar.plate))
    forth, back = estimate(here, there), estimate(there, here)
    sure = reliability(forth, back)
    rows, columns = plate.shape[:2]
    return np.ascontiguousarray(forth[:rows, :columns]), np.ascontiguousarray(sure[:rows, :columns])


def _searched(plate: Floats, exemplar: ExemplarPicture, home: Floats, far: float, begin: np.ndarray) -> Floats:
    """(H, W, 2): places by patch search, whole pixels.

    Args:
        home: (H, W, 2), around which places are looked for first.
        far: what a place across the whole picture costs.
        begin: rows and columns by which the first blocks are smaller than the others.
    """
    height, width = plate.shape[:2]
    scale = max(1, round(max(height, width) / _SIDE))
    small, other = (_shrunk(each, scale) for each in (plate, exemplar.plate))
    (rows, columns), (other_rows, other_columns) = small.shape[:2], other.shape[:2]
    top, left = (int(each) for each in begin)
    high, wide = top + max(rows, other_rows), left + max(columns, other_columns)
    here, there = slice(top, top + rows), slice(left, left + columns)
    compared, sharply = (
        tuple(_canvas(plate_guides(each, soft), top, left, high, wide) for each in (small, other))
        for soft in (_SOFT_PX, _SHARP_PX)
    )
    state = np.full((high, wide), NOTHING, np.uint8)
    state[here, there] = WANTED
    marks = np.ones((high, wide), bool)
    painted = cv2.resize(exemplar.painted.astype(np.uint8), (other_columns, other_rows), interpolation=cv2.INTER_AREA)
    marks[top : top + other_rows, left : left + other_columns] = painted == 0
    homes = np.zeros((high, wide, 2), np.float32)
    homes[here, there] = _shrunk(home, scale) / scale
    offset = homes.copy()
    weight = np.zeros((high, wide), np.float32)
    weight[here, there] = 1
    uses = np.zeros((-(-high // CELL), -(-wide // CELL)), np.float32)
    search(
        (compared[0], compared[1]), (sharply[0], sharply[1]), weight, state, offset, homes, np.zeros_like(homes),
        marks, uses, (_COHERENT, far / wide, 0.0, _USED),
    )  # fmt: skip
    found = np.rint(offset[here, there]) * np.float32(scale)
    return np.asarray(cv2.resize(found, (width, height), interpolation=cv2.INTER_NEAREST), np.float32)


def _shrunk(picture: Floats, scale: int) -> Floats:
    high, wide = picture.shape[:2]
    size = (max(1, wide // scale), max(1, high // scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)


def _canvas(picture: Floats, top: int, left: int, height: int, width: int) -> Floats:
    """The picture at a place of a larger one, its border repeated."""
    rows = np.clip(np.arange(height) - top, 0, picture.shape[0] - 1)
    columns = np.clip(np.arange(width) - left, 0, picture.shape[1] - 1)
    return np.ascontiguousarray(picture[rows[:, None], columns[None]])


def _padded(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    below, right = height - picture.shape[0], width - picture.shape[1]
    return np.asarray(cv2.copyMakeBorder(picture, 0, below, 0, right, cv2.BORDER_REPLICATE))
