"""Pictures of exemplars: painted frames as a person sees them, in the size of the frame that they serve."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import cv2
import numpy as np

from engine import images
from engine.base.arrays import Floats, Mask
from engine.base.errors import ImageError
from engine.color.config import ColorConfig
from engine.color.showing import Showing
from engine.motion.filling import filled
from engine.motion.flow import pull
from engine.optimize.exemplars.job import PaintedExemplar
from engine.shot.paintings import PAINTED, painted_alpha

__all__ = ["LEAST_SIDE_PX", "ExemplarPicture", "load_exemplar", "painted_at"]

log = logging.getLogger(__name__)

LEAST_SIDE_PX = 32
"""Of frames and exemplars: two of the largest blocks that patches are looked for in."""
_SAME_SHAPE = 0.02
"""Relative difference of two aspect ratios up to which they are one."""


@dataclass(frozen=True, eq=False)
class ExemplarPicture:
    """One exemplar, ready to be compared with a frame and copied from."""

    name: str
    """Of the painting's file."""
    plate: Floats
    """(h, w, 3) sRGB in 0..1."""
    painting: Floats
    """(h, w, 3) sRGB in 0..1; where there is no paint its color goes on, so that none other bleeds into its edge."""
    painted: Mask
    """(h, w): where there is paint."""


def load_exemplar(
    exemplar: PaintedExemplar, longer_side: int, config: ColorConfig, colorspace: str | None = None
) -> ExemplarPicture:
    """Read an exemplar, and bring its longer side to a frame's, so that its strokes have the size that they have there.

    Args:
        colorspace: OCIO name, of its plate; None for what the file and the config say.

    Raises:
        ImageError: a file is missing, damaged or too small; the painting has another shape than its plate,
            or nothing painted.
        ColorError: a file names a colorspace that the config cannot read.
    """
    plate, painting = images.read(exemplar.plate), images.read(exemplar.painting)
    for path, image, what in ((exemplar.plate, plate, "plate"), (exemplar.painting, painting, "painting")):
        if image.bad_pixels:
            said = "%d pixels of the exemplar's %s are NaN or Inf; filled from neighbors (%s)"
            log.warning(said, image.bad_pixels, what, path)
        high, wide = image.rgb.shape[:2]
        if min(high, wide) < LEAST_SIDE_PX:
            why = f"the exemplar's {what} is {wide}x{high}, too small to copy patches from"
            raise ImageError(why, path=path, remedy=f"its least side is {LEAST_SIDE_PX} pixels")
    (high, wide), (painted_high, painted_wide) = plate.rgb.shape[:2], painting.rgb.shape[:2]
    if abs(wide * painted_high - painted_wide * high) > _SAME_SHAPE * wide * painted_high:
        why = f"the painting is {painted_wide}x{painted_high}, and the plate that it is painted on {wide}x{high}"
        raise ImageError(why, path=exemplar.painting, remedy="give the plate as it was painted on")
    alpha = painted_alpha(painting)
    coverage = np.ones((painted_high, painted_wide), np.float32) if alpha is None else alpha
    factor = longer_side / max(high, wide)
    size = (max(LEAST_SIDE_PX, round(wide * factor)), max(LEAST_SIDE_PX, round(high * factor)))
    painted = _resized(np.nan_to_num(coverage), size) > max(PAINTED, 0.5)
    if not painted.any():
        raise ImageError("nothing is painted on the exemplar", path=exemplar.painting, remedy="paint some of it")
    below, above = (
        np.clip(_resized(Showing.default(config).picture(image.rgb, image.header, path, config, asked), size), 0, 1)
        for image, path, asked in ((plate, exemplar.plate, colorspace), (painting, exemplar.painting, None))
    )
    return ExemplarPicture(exemplar.painting.name, below, filled(above, painted), painted)


def painted_at(exemplar: ExemplarPicture, places: Floats) -> Mask:
    """(H, W): whether there is paint where pixels are taken from, (H, W, 2); none is outside, to half a pixel."""
    mask = exemplar.painted.astype(np.uint8)
    return np.asarray(pull(mask, places, border=cv2.BORDER_CONSTANT, filter_=cv2.INTER_NEAREST) > 0)


def _resized(picture: Floats, size: tuple[int, int]) -> Floats:
    """(h, w) or (h, w, C) in another size, (width, height)."""
    high, wide = picture.shape[:2]
    if (wide, high) == size:
        return picture
    how = cv2.INTER_AREA if size[0] < wide else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, size, interpolation=how), np.float32)
