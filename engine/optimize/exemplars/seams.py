"""Seams: where patches meet, drawn pixel by pixel through what shows least, and where they still show."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from engine.base.arrays import Floats, Mask
from engine.motion.flow import pull
from engine.optimize.exemplars.candidates import CandidateFields
from engine.optimize.exemplars.expansion import FORBIDDEN, Integers, RandomField, expand
from engine.optimize.exemplars.patches import CELL_PX
from engine.optimize.exemplars.pictures import ExemplarPicture

__all__ = ["drawn_seams", "seam_strength"]

_BAND_PX = 9
"""How far from where two cells meet a seam may run."""
_LOOKS = 0.15
"""Weight of the plates' difference beside the paintings': the cells have decided; this keeps edges in place."""
_CUT = 0.004
"""What a step of a seam costs that does not show: short ones are better."""
_UNIT = 1000
_STEP_PX = 1.5
"""Difference of two neighbors' places from which they are of two pieces."""


def drawn_seams(
    cells: Integers,
    candidates: CandidateFields,
    exemplars: Sequence[ExemplarPicture],
    check: Callable[[], None] = lambda: None,
) -> npt.NDArray[np.uint8]:
    """(H, W) labels: those of the cells, with the pixels around each seam choosing anew between the cells that meet.

    Args:
        cells: (rows, columns), labels.
        check: called before each move; what it raises ends all.
    """
    count, height, width = candidates.unlike.shape
    grown = np.repeat(np.repeat(cells, CELL_PX, axis=0), CELL_PX, axis=1)
    labels = np.ascontiguousarray(grown[:height, :width]).astype(np.uint8)
    band = _near_steps(labels, _BAND_PX)
    sites = np.flatnonzero(band)
    if not len(sites):
        return labels
    painted = np.stack(
        [
            pull(exemplars[number].painting, place, filter_=cv2.INTER_NEAREST)
            for number, place in zip(candidates.exemplar, candidates.places, strict=True)
        ]
    ).reshape(count, -1, 3)
    single = np.full((len(sites), count), FORBIDDEN, np.int64)
    reach = np.ones((2 * _BAND_PX + 1,) * 2, np.uint8)
    for label in np.unique(labels):
        near = (cv2.dilate((labels == label).astype(np.uint8), reach) > 0).ravel()[sites]
        cost = cv2.blur(candidates.unlike[label], (5, 5)).ravel()[sites]
        single[near, label] = np.rint(cost[near] * (_LOOKS * _UNIT)).astype(np.int64)
    numbers = np.full(height * width, -1, np.int64)
    numbers[sites] = np.arange(len(sites))
    every = np.arange(height * width).reshape(height, width)
    pairs = np.concatenate(
        [
            np.stack([every[:, :-1].ravel(), every[:, 1:].ravel()], axis=1),
            np.stack([every[:-1].ravel(), every[1:].ravel()], axis=1),
        ]
    )
    pairs = pairs[(numbers[pairs] >= 0).all(axis=1)]
    first, second = pairs.T

    def between(one: Integers, two: Integers) -> Integers:
        costs = np.zeros(len(one), np.int64)
        parted = np.flatnonzero(one != two)
        a, b, here, there = one[parted], two[parted], first[parted], second[parted]
        seen = np.abs(painted[a, here] - painted[b, here]) + np.abs(painted[a, there] - painted[b, there])
        costs[parted] = np.rint((seen.sum(axis=1) + _CUT) * _UNIT)
        return costs

    start = labels.ravel()[sites].astype(np.int64)
    # The band's rim keeps its labels: what lies beyond it is decided.
    rim = (cv2.erode(band.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0).ravel()[sites]
    single[rim] = FORBIDDEN
    single[np.flatnonzero(rim), start[rim]] = 0
    drawn, _ = expand(RandomField(single, numbers[pairs], between), start, rounds=2, check=check)
    labels.ravel()[sites] = drawn
    return labels


def seam_strength(
    places: Floats, numbers: npt.NDArray[np.uint8], assembled: Floats, exemplars: Sequence[ExemplarPicture]
) -> Floats:
    """(H, W): how far a pixel is from what the piece beside it would have put there; 0 inside of pieces.

    Args:
        places: (H, W, 2), from where each pixel is taken.
        numbers: (H, W), from which exemplar.
        assembled: (H, W, 3), the picture.
    """
    strength = np.zeros(numbers.shape, np.float32)
    for down, right in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        beside = np.roll(places, (down, right), axis=(0, 1))
        number = np.roll(numbers, (down, right), axis=(0, 1))
        parted = (number != numbers) | (np.abs(beside - places).max(axis=2) > _STEP_PX)
        parted[_rim(down, right)] = False
        if not parted.any():
            continue
        for each, exemplar in enumerate(exemplars):
            here = parted & (number == each)
            if here.any():
                goes_on = pull(exemplar.painting, np.where(here[..., None], beside, 0).astype(np.float32))
                difference = np.abs(goes_on - assembled).sum(axis=2)
                strength = np.where(here, np.maximum(strength, difference), strength)
    return strength


def _rim(down: int, right: int) -> tuple[slice | int, slice | int]:
    """The line of pixels that have no neighbor on that side."""
    if right:
        return slice(None), 0 if right > 0 else -1
    return 0 if down > 0 else -1, slice(None)


def _near_steps(labels: npt.NDArray[np.uint8], reach_px: int) -> Mask:
    steps = np.zeros(labels.shape, np.uint8)
    steps[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    steps[1:] |= labels[1:] != labels[:-1]
    return np.asarray(cv2.dilate(steps, np.ones((2 * reach_px + 1,) * 2, np.uint8)) > 0)
