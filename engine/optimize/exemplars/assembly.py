"""Assembly: candidates in, a painted frame out; patches chosen, seams drawn, what is left of them filtered away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from engine.base.arrays import Floats, Mask
from engine.motion.flow import one_thread, pull
from engine.optimize.exemplars.candidates import find_candidates
from engine.optimize.exemplars.expansion import cheapest_labels, expand
from engine.optimize.exemplars.guided_filter import guided_filter
from engine.optimize.exemplars.patches import patch_field, patch_unlike
from engine.optimize.exemplars.pictures import ExemplarPicture, painted_at
from engine.optimize.exemplars.seams import PlacedPieces, drawn_seams, seam_strength

__all__ = ["MISFIT", "Assembled", "assemble"]

MISFIT = 0.3
"""Difference of the plates from which no exemplar shows what the frame shows: summed over the channels, of the means
around a pixel, since texture that differs is the same surface."""
_AROUND_PX = 4.0
"""Deviation of those means, for a frame of 960 pixels."""
_RADIUS_PX, _EPSILON = 12, 0.002
"""Of the guided filter; the radius for a frame of 960 pixels, larger for larger ones."""
_OF_WIDTH = 960
_SEEN = 0.03
"""Difference from which a seam shows, summed over the channels."""


@dataclass(frozen=True, eq=False)
class Assembled:
    """A frame, painted from exemplars."""

    painting: Floats
    """(H, W, 3) sRGB in 0..1."""
    numbers: npt.NDArray[np.uint8]
    """(H, W): which exemplar serves each pixel."""
    seams: Mask
    """(H, W): where pieces meet."""
    misfit: Mask
    """(H, W): where no exemplar fits."""
    greedy: int
    """Energy of the choice of each patch by itself."""
    energy: int
    """Energy of the choice that was made."""


def assemble(
    plate: Floats,
    exemplars: Sequence[ExemplarPicture],
    *,
    seed: int = 0,
    threads: int = 1,
    check: Callable[[], None] = lambda: None,
    report: Callable[[float, str], None] = lambda done, what: None,
) -> Assembled:
    """Paint a frame from exemplars; the same bytes for the same seed, whatever the number of threads.

    Args:
        plate: (H, W, 3) sRGB in 0..1, as the frame is shown.
        check: called often; what it raises ends all.
        report: receives the share that is done, and what comes next.
    """
    with one_thread():
        report(0.0, "patches that could serve")
        candidates = find_candidates(
            plate,
            exemplars,
            seed=seed,
            threads=threads,
            check=check,
            report=lambda done: report(0.5 * done, "patches that could serve"),
        )
        unlike = patch_unlike(candidates)
        field = patch_field(candidates, unlike, exemplars)
        report(0.6, "which exemplar serves where")
        cells, energies = expand(field, cheapest_labels(field), check=check)
        cells = cells.reshape(unlike.shape[1:])
        report(0.7, "seams")
        pieces = drawn_seams(plate, cells, candidates, exemplars, check)
        report(0.9, "seams")
        painting, seams, misfit = _painted(plate, pieces, exemplars, check)
    return Assembled(painting, pieces.numbers, seams, misfit, energies[0], energies[-1])


def _painted(
    plate: Floats, pieces: PlacedPieces, exemplars: Sequence[ExemplarPicture], check: Callable[[], None]
) -> tuple[Floats, Mask, Mask]:
    """The frame, where pieces meet, and where none fits; where there is no paint the plate shows.

    What follows the plate's forms and what is stroke are told apart by the guided filter. The first is blended over
    seams, along the frame's own edges; the second stays as it was painted, and both are away from seams.
    """
    places, numbers = pieces.places, pieces.numbers
    height, width = numbers.shape
    radius = max(2, round(_RADIUS_PX * max(height, width) / _OF_WIDTH))
    picture, base, below = plate.copy(), plate.copy(), plate.copy()
    painted = np.zeros((height, width), bool)
    for number, exemplar in enumerate(exemplars):
        check()
        here = (numbers == number) & painted_at(exemplar, places)
        painted |= here
        if here.any():
            picture[here] = pull(exemplar.painting, places, filter_=cv2.INTER_CUBIC)[here]
            forms = guided_filter(exemplar.painting, exemplar.plate, radius, _EPSILON)
            base[here] = pull(forms, places)[here]
            below[here] = pull(exemplar.plate, places)[here]
    strength = seam_strength(pieces, picture, exemplars)
    check()
    away = cv2.distanceTransform((strength <= _SEEN).astype(np.uint8), cv2.DIST_L2, 5)
    near = np.clip(1 - away / np.float32(2 * radius), 0, 1)
    near = (near * near * (3 - 2 * near))[..., None]
    blended = picture + near * (guided_filter(base, plate, radius, _EPSILON) - base)
    around = _AROUND_PX * max(height, width) / _OF_WIDTH
    unlike = np.abs(cv2.GaussianBlur(plate - below, (0, 0), around)).sum(axis=2)
    least = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(around) + 1,) * 2)
    misfit = cv2.morphologyEx((unlike > MISFIT).astype(np.uint8), cv2.MORPH_OPEN, least) > 0
    return np.clip(blended, 0, 1).astype(np.float32), strength > _SEEN, misfit | ~painted
