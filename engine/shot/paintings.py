"""Coverage of paintings: which part of its frame a keyframe's painting fills, by its alpha and its matte."""

from __future__ import annotations

import cv2
import numpy as np

from engine import images
from engine.base.arrays import Floats
from engine.color.keys import fit_to_data_window
from engine.images.files import Image
from engine.images.header import Header, place
from engine.shot.plate import plate_image
from engine.shot.shot import Keyframe, Plate
from engine.shot.windows import has_windows, place_by_windows, window_of

__all__ = ["PAINTED", "painted_alpha", "painted_coverage"]

PAINTED = 0.5 / 255
"""Coverage under half an 8-bit code counts as unpainted."""


def painted_alpha(painting: Image) -> Floats | None:
    """A painting's alpha, (H, W), where it says what is painted; None where it does not.

    An alpha that is the same everywhere says nothing (some applications write 0), but an empty layer is no painting.
    """
    alpha = painting.alpha
    if alpha is None:
        return None
    empty = not alpha.any() and not painting.rgb.any()
    return alpha if empty or float(np.ptp(alpha)) > 0 else None


def painted_coverage(keyframe: Keyframe, plate: Plate) -> Floats | None:
    """How far each pixel of a keyframe is painted, (H, W) in 0..1 in the plate's window; None for wholly.

    A painting or matte of another size than the plate is resampled: whether that may be is asked where it is trained.

    Raises:
        ImageError: the painting, its matte or the plate's frame is missing or damaged.
    """
    frame = keyframe.frame
    painting = images.read(keyframe.painting, frame=frame)
    alpha = painted_alpha(painting)
    known = [] if alpha is None else [(alpha, painting.header)]
    if keyframe.matte is not None:
        own = images.read_header(keyframe.matte, frame=frame, coverage=True)
        known.append((images.read_matte(keyframe.matte, frame=frame), own))
    if not known:
        return None
    header = plate_image(plate.path, frame).header
    coverage = np.ones((header.height, header.width), np.float32)
    for part, own in known:
        coverage *= _fitted(part, own, header)
    coverage = np.clip(np.nan_to_num(coverage), 0.0, 1.0)
    coverage[coverage < PAINTED] = 0.0
    if bool((coverage >= 1.0).all()):
        return None
    return place(coverage, header.data, window_of(plate.path, header))


def _fitted(part: Floats, own: Header, header: Header) -> Floats:
    """(H, W) of the plate's data window, 0 where the part does not reach."""
    if has_windows(own, header):
        return place_by_windows(part, own, header)[0]
    size = (part.shape[1], part.shape[0])
    if size not in (header.display[2:], header.data[2:]):
        shrinking = part.shape[0] > header.display[3]
        how = cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC
        part = np.asarray(cv2.resize(part, header.display[2:], interpolation=how), np.float32)
    shaped, inside = fit_to_data_window(np.repeat(part[..., None], 3, axis=2), header)
    return np.where(inside, shaped[..., 0], np.float32(0.0))
