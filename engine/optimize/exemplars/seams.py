"""Seams: where pieces meet, drawn pixel by pixel through what shows least, and where they still show.

A piece is what is taken with one shift from one exemplar, or by motion from it. Around every seam the pixels choose
anew between the pieces that are near, by expansion moves again (as Agarwala et al. 2004 put photographs together).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from engine.base.arrays import Floats, Mask
from engine.motion.flow import pull
from engine.optimize.exemplars.candidates import CandidateFields
from engine.optimize.exemplars.expansion import Integers, RandomField, expand
from engine.optimize.exemplars.patches import CELL_PX
from engine.optimize.exemplars.pictures import ExemplarPicture

__all__ = ["PlacedPieces", "drawn_seams", "seam_strength"]

_BAND_PX = 12
"""How far from where two pieces meet a seam may run."""
_LOOKS = 0.15
"""Weight of the plates' difference beside the paintings': the cells have decided; this keeps edges in place."""
_CUT = 0.004
"""What a step of a seam costs that does not show: short ones are better."""
_UNPAINTED = 3.0
"""What a place without paint costs, or one outside."""
_UNIT = 1000
_STEP_PX = 1.5
"""Difference of two neighbors' places from which they are of two pieces."""


@dataclass(frozen=True, eq=False)
class PlacedPieces:
    """From where every pixel of a frame is taken."""

    places: Floats
    """(H, W, 2): from a pixel of the frame to its place in the exemplar, pixels."""
    numbers: npt.NDArray[np.uint8]
    """(H, W): which exemplar."""


def drawn_seams(
    plate: Floats,
    cells: Integers,
    candidates: CandidateFields,
    exemplars: Sequence[ExemplarPicture],
    check: Callable[[], None] = lambda: None,
) -> PlacedPieces:
    """The pieces that the cells have chosen, with seams where they show least.

    Args:
        plate: (H, W, 3) sRGB in 0..1.
        cells: (rows, columns), labels.
        check: called before each move; what it raises ends all.
    """
    height, width = plate.shape[:2]
    labels = np.repeat(np.repeat(cells, CELL_PX, axis=0), CELL_PX, axis=1)[:height, :width]
    places = np.take_along_axis(candidates.places, labels[None, ..., None], axis=0)[0]
    numbers = np.array(candidates.exemplar, np.int64)[labels]
    moving = np.array(candidates.follows_motion)[labels]
    # One number for a shift of one exemplar; those that follow motion have theirs below.
    shift = np.rint(places).astype(np.int64) + 2**20
    keys = np.where(moving, -1 - numbers, (numbers << 42) + (shift[..., 0] << 21) + shift[..., 1])
    _, samples, inverse = np.unique(keys, return_index=True, return_inverse=True)
    pieces: Integers = inverse.reshape(height, width).astype(np.int64)
    sources = _Sources(plate, places, labels, samples, candidates, exemplars)
    band = _near_steps(pieces, _BAND_PX)
    # The band's rim keeps its pieces: what lies beyond it is decided.
    inner = cv2.erode(band.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    sites = np.flatnonzero(band)
    if len(sites):
        start = pieces.ravel()[sites]
        field = _seam_field(sites, pieces, inner, sources, check)
        pieces.ravel()[sites] = expand(field, start, rounds=2, check=check)[0]
    every = np.arange(height * width)
    return PlacedPieces(
        sources.moves(pieces.ravel(), every).reshape(height, width, 2),
        sources.exemplar[pieces].astype(np.uint8),
    )


class _Sources:
    """What pieces put at a pixel of the frame."""

    def __init__(
        self,
        plate: Floats,
        places: Floats,
        labels: Integers,
        samples: Integers,
        candidates: CandidateFields,
        exemplars: Sequence[ExemplarPicture],
    ) -> None:
        """``samples``: for each piece the number of one of its pixels."""
        self.plate = plate.reshape(-1, 3)
        self.width = plate.shape[1]
        of_piece = labels.ravel()[samples]
        self.exemplar = np.array(candidates.exemplar, np.int64)[of_piece]
        self._shift = places.reshape(-1, 2)[samples]
        moving = [label for label, moves in enumerate(candidates.follows_motion) if moves]
        # Of pieces that are moved as a whole -1.
        self._motion = np.array([moving.index(label) if label in moving else -1 for label in of_piece])
        self._motions = candidates.places[moving].reshape(len(moving), -1, 2)
        sizes = np.array([each.painted.shape for each in exemplars], np.int64)
        self._high, self._wide = sizes.T
        self._begin = np.concatenate([[0], np.cumsum(self._high * self._wide)[:-1]])
        self._paintings = np.concatenate([each.painting.reshape(-1, 3) for each in exemplars])
        self._plates = np.concatenate([each.plate.reshape(-1, 3) for each in exemplars])
        self._painted = np.concatenate([each.painted.ravel() for each in exemplars])

    def moves(self, pieces: Integers, pixels: Integers) -> Floats:
        """(n, 2): from pixels of the frame to their places in these pieces."""
        shift = self._shift[pieces].copy()
        motion = self._motion[pieces]
        follows = np.flatnonzero(motion >= 0)
        shift[follows] = self._motions[motion[follows], pixels[follows]]
        return shift

    def painted(self, pieces: Integers, pixels: Integers) -> Floats:
        """(n, 3): the paint that these pieces put at pixels."""
        return np.asarray(self._paintings[self._at(pieces, pixels)[0]], np.float32)

    def unlike(self, pieces: Integers, pixels: Integers) -> Floats:
        """(n,): how unlike the plates are."""
        at, within = self._at(pieces, pixels)
        difference = np.abs(self._plates[at] - self.plate[pixels]).sum(axis=1)
        return np.asarray(difference + _UNPAINTED * ~(within & self._painted[at]), np.float32)

    def _at(self, pieces: Integers, pixels: Integers) -> tuple[Integers, Mask]:
        """(n,): the number of the place in all exemplars' pixels, and whether it is within its own."""
        shift = np.rint(self.moves(pieces, pixels)).astype(np.int64)
        x, y = pixels % self.width + shift[:, 0], pixels // self.width + shift[:, 1]
        number = self.exemplar[pieces]
        wide, high = self._wide[number], self._high[number]
        within = (x >= 0) & (x < wide) & (y >= 0) & (y < high)
        at = self._begin[number] + np.clip(y, 0, high - 1) * wide + np.clip(x, 0, wide - 1)
        return at, within


def _seam_field(
    sites: Integers,
    pieces: Integers,
    inner: Mask,
    sources: _Sources,
    check: Callable[[], None],
) -> RandomField:
    """The pixels ``sites`` of the band around seams, which may take the pieces near them where they are ``inner``."""
    height, width = pieces.shape
    numbers = np.full(height * width, -1, np.int64)
    numbers[sites] = np.arange(len(sites))
    offers = []
    for piece in range(len(sources.exemplar)):
        check()
        has = pieces == piece
        rows, columns = np.flatnonzero(has.any(axis=1)), np.flatnonzero(has.any(axis=0))
        box = (
            slice(max(0, rows[0] - _BAND_PX), rows[-1] + _BAND_PX + 1),
            slice(max(0, columns[0] - _BAND_PX), columns[-1] + _BAND_PX + 1),
        )
        near = cv2.dilate(has[box].astype(np.uint8), np.ones((2 * _BAND_PX + 1,) * 2, np.uint8)) > 0
        down, right = np.nonzero((near & inner[box]) | has[box])
        pixels = (down + box[0].start) * width + right + box[1].start
        pixels = pixels[numbers[pixels] >= 0]
        costs = sources.unlike(np.full(len(pixels), piece, np.int64), pixels)
        offers.append((numbers[pixels], np.rint(costs * (_LOOKS * _UNIT)).astype(np.int64)))
    every = np.arange(height * width).reshape(height, width)
    across = np.stack([every[:, :-1].ravel(), every[:, 1:].ravel()], axis=1)
    below = np.stack([every[:-1].ravel(), every[1:].ravel()], axis=1)
    pairs = np.concatenate([across, below])
    pairs = pairs[(numbers[pairs] >= 0).all(axis=1)]

    def between(each: Integers, one: Integers, two: Integers) -> Integers:
        costs = np.zeros(len(each), np.int64)
        parted = np.flatnonzero(one != two)
        a, b = one[parted], two[parted]
        seen = np.full(len(parted), _CUT, np.float32)
        for pixels in pairs[each[parted]].T:
            seen += np.abs(sources.painted(a, pixels) - sources.painted(b, pixels)).sum(axis=1)
        costs[parted] = np.rint(seen * _UNIT)
        return costs

    return RandomField(len(sites), offers, numbers[pairs], between)


def seam_strength(pieces: PlacedPieces, assembled: Floats, exemplars: Sequence[ExemplarPicture]) -> Floats:
    """(H, W): how far a pixel of a picture (H, W, 3) is from what the piece beside it would have put there."""
    places, numbers = pieces.places, pieces.numbers
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


def _near_steps(pieces: Integers, reach_px: int) -> Mask:
    steps = np.zeros(pieces.shape, np.uint8)
    steps[:, 1:] |= pieces[:, 1:] != pieces[:, :-1]
    steps[1:] |= pieces[1:] != pieces[:-1]
    return np.asarray(cv2.dilate(steps, np.ones((2 * reach_px + 1,) * 2, np.uint8)) > 0)
