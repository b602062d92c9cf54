"""Inputs: arrays as a user hands them to a look, checked and as float32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.base.arrays import Floats
from engine.base.errors import ImageError

__all__ = ["checked_guide", "checked_image", "checked_stmap"]

_ROUNDING = 1e-3
"""How far a share may be beyond 0..1, as filters leave it; the look holds it in its range."""
_STRIP_ROWS = 64


def checked_image(rgb: Any) -> Floats:
    """An image for a look.

    Args:
        rgb: (H, W, 3), floating point, finite.

    Raises:
        ImageError: it is something else.
    """
    pixels = _array(rgb, "image")
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ImageError(f"a look takes (H, W, 3), not {pixels.shape}", remedy=_shape_remedy(pixels.shape))
    return _finite(_as_float32(pixels, "image"), "image")


def checked_stmap(stmap: Any, size: tuple[int, ...], keyframes: int) -> Floats:
    """An STMap for a look; its convention is :class:`engine.look.session.Look`'s.

    Args:
        stmap: (H, W, 3 * keyframes), floating point, finite; every third channel, the confidence, in 0..1.
        size: rows and columns of the image.
        keyframes: how many the look has.

    Raises:
        ImageError: it is something else.
    """
    maps = _array(stmap, "STMap")
    if not keyframes:
        raise ImageError("the look has no keyframes and takes no STMap", remedy="leave stmap out")
    wanted = (*size, 3 * keyframes)
    if maps.shape != wanted:
        raise ImageError(f"the STMap is {maps.shape}, but {wanted} is needed", remedy=_stmap_remedy(maps, wanted))
    maps = _finite(_as_float32(maps, "STMap"), "STMap")
    _in_range(maps[..., 2::3], "confidence of the STMap (every third channel)")
    return maps


def checked_guide(guide: Any) -> Floats:
    """A guide image for a look; whether its shape is right, the look says.

    Args:
        guide: (H, W, G), floating point, in 0..1.

    Raises:
        ImageError: it is something else.
    """
    pixels = _finite(_as_float32(_array(guide, "guide"), "guide"), "guide")
    _in_range(pixels, "guide")
    return pixels


def _array(given: Any, what: str) -> npt.NDArray[Any]:
    if not isinstance(given, np.ndarray):
        raise ImageError(f"the {what} is a {type(given).__name__}, not a numpy array", remedy="use numpy.asarray")
    return given


def _as_float32(pixels: npt.NDArray[Any], what: str) -> Floats:
    """float32, the same array where it is that already."""
    if not np.issubdtype(pixels.dtype, np.floating):
        codes = np.issubdtype(pixels.dtype, np.integer) and what == "image"
        remedy = (
            "codes are not light: engine.read_image reads a file as scene-linear float32"
            if codes
            else "convert it to float32 first"
        )
        raise ImageError(f"the {what} is {pixels.dtype}, but float32 is needed", remedy=remedy)
    # Slices that run backwards are laid out anew: OpenCV does not take them.
    if any(stride < 0 for stride in pixels.strides):
        pixels = np.ascontiguousarray(pixels)
    with np.errstate(over="ignore"):
        return np.asarray(pixels, np.float32)


def _finite(pixels: Floats, what: str) -> Floats:
    # Strip by strip: a mask of a whole 8K frame would be 100 MB.
    for top in range(0, pixels.shape[0], _STRIP_ROWS):
        strip = np.isfinite(pixels[top : top + _STRIP_ROWS])
        if not strip.all():
            row, column = np.argwhere(~strip)[0][:2]
            place = f"the first at row {top + row}, column {column}"
            remedy = "fill them, as numpy.nan_to_num or engine.read_image does"
            raise ImageError(f"values of the {what} are NaN, Inf or beyond float32, {place}", remedy=remedy)
    return pixels


def _in_range(shares: Floats, what: str) -> None:
    if not shares.size:
        return
    least, most = float(shares.min()), float(shares.max())
    if least < -_ROUNDING or most > 1 + _ROUNDING:
        raise ImageError(f"the {what} is {least:g}..{most:g}, but 0..1 is needed", remedy="scale it, or numpy.clip it")


def _shape_remedy(shape: Sequence[int]) -> str:
    if len(shape) == 3 and shape[2] == 4:
        return "leave alpha out: rgba[..., :3]"
    if len(shape) == 3 and shape[0] == 3:
        return "channels come last: rgb.transpose(1, 2, 0)"
    if len(shape) == 4 and shape[0] == 1:
        return "one image at a time, without the batch: rgb[0]"
    if len(shape) == 2 or (len(shape) == 3 and shape[2] == 1):
        return "repeat a gray image: numpy.dstack([gray] * 3)"
    return "height, width and three channels"


def _stmap_remedy(maps: npt.NDArray[Any], wanted: tuple[int, ...]) -> str:
    if maps.ndim == 3 and maps.shape[:2] == wanted[:2] and maps.shape[2] == 4 and wanted[2] == 3:
        return "of R, G, B and A take u, v and confidence: stmap[..., [0, 1, 3]]"
    return "u, v and confidence for each keyframe of the look, in the size of the image"
