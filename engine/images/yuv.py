"""YUV: a movie frame's planes as RGB, by the matrix and the range that it says, else by its primaries and size."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from engine.base.errors import ImageError

__all__ = ["from_gray", "from_yuv", "is_gray", "plane_codes"]

_HD_LINES = 720
# Shares of red and blue in luma, by the matrix codes of ITU-T H.273, table 4.
_BT709, _BT601 = (0.2126, 0.0722), (0.299, 0.114)
_BT2020 = (0.2627, 0.0593)
_LUMA = {1: _BT709, 4: (0.30, 0.11), 5: _BT601, 6: _BT601, 7: (0.212, 0.087), 9: _BT2020}
_UNSPECIFIED, _YCGCO, _REC2020 = 2, 8, 9
_NO_MATRIX = {
    10: "BT.2020 of constant luminance",
    11: "SMPTE ST 2085",
    12: "derived from its primaries",
    13: "derived from its primaries, of constant luminance",
    14: "ICtCp",
}
"""Matrices that are none of luma and two differences."""


def is_gray(frame: Any) -> bool:
    """Whether a frame is one plane of luma."""
    return re.fullmatch(r"gray(\d+le)?", frame.format.name) is not None


def from_gray(frame: Any, bits: int) -> npt.NDArray[np.float32]:
    """(H, W, 3) in 0..1 of a gray frame; of full range, as FFmpeg has gray, unless it says otherwise."""
    luma, top = plane_codes(frame.planes[0], bits), float((1 << bits) - 1)
    if int(frame.color_range) == int(ColorRange.MPEG):
        unit = float(1 << (bits - 8))
        luma, top = luma - 16 * unit, 219 * unit
    return np.repeat(np.clip(luma / top, 0, 1)[..., None].astype(np.float32), 3, axis=2)


def from_yuv(frame: Any, bits: int) -> npt.NDArray[np.float32]:
    """(H, W, 3) in 0..1 of a YUV frame, whose own mark of its matrix is lost.

    swscale only spreads the chroma: its own RGB is up to 3 codes off, and 1/256 too dark at 16 bits.

    Raises:
        ImageError: a matrix that is none of luma and two differences.
    """
    matrix = int(frame.colorspace)
    if matrix in _NO_MATRIX:
        raise ImageError(
            f"the movie's colors are coded as {_NO_MATRIX[matrix]}, which is not read",
            remedy="transcode it to RGB, or to BT.709 or BT.2020 of non-constant luminance",
        )
    depth = next(step for step in (8, 9, 10, 12, 14, 16) if bits <= step)
    # "yuvj" formats are full range by their name, and carry the tag only sometimes.
    full = int(frame.color_range) == int(ColorRange.JPEG) or frame.format.name.startswith("yuvj")
    stored_range = ColorRange.JPEG if full else ColorRange.MPEG
    # swscale knows fewer matrices than there are, and none is applied here.
    shares, frame.colorspace = _luma_shares(frame), _UNSPECIFIED
    spread = VideoReformatter().reformat(
        frame,
        format="yuv444p" if depth == 8 else f"yuv444p{depth}le",
        interpolation=Interpolation.BICUBIC,
        src_color_range=stored_range,
        dst_color_range=stored_range,
    )
    planes = [plane_codes(plane, depth) for plane in list(spread.planes)[:3]]
    unit, top = float(1 << (depth - 8)), float((1 << depth) - 1)
    luma = planes[0] / top if full else (planes[0] - 16 * unit) / (219 * unit)
    scale = top if full else 224 * unit
    blue_difference, red_difference = (planes[1] - 128 * unit) / scale, (planes[2] - 128 * unit) / scale
    if matrix == _YCGCO:
        base = luma - blue_difference
        return np.clip(np.stack([base + red_difference, luma + blue_difference, base - red_difference], axis=2), 0, 1)
    kr, kb = shares
    red = luma + 2 * (1 - kr) * red_difference
    blue = luma + 2 * (1 - kb) * blue_difference
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    return np.clip(np.stack([red, green, blue], axis=2), 0, 1).astype(np.float32)


def _luma_shares(frame: Any) -> tuple[float, float]:
    """Of red and blue, by the frame's matrix; where that is not said, by its primaries and its size."""
    untagged = _BT709 if frame.height >= _HD_LINES else _BT601
    if int(frame.colorspace) in (0, _UNSPECIFIED) and int(frame.color_primaries) == _REC2020:
        untagged = _BT2020
    return _LUMA.get(int(frame.colorspace), untagged)


def plane_codes(plane: Any, bits: int) -> npt.NDArray[np.float32]:
    """(H, W) codes of one plane."""
    kind = np.dtype("u1" if bits <= 8 else "<u2")
    codes = np.frombuffer(memoryview(plane), kind).reshape(-1, plane.line_size // kind.itemsize)
    return codes[: plane.height, : plane.width].astype(np.float32)
