"""A movie's decoded picture as an image: RGB by its own matrix and range, upright, with its alpha and what it says.

Untagged streams are taken as BT.709 from 720 lines on and BT.601 below, limited range, as players do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import OpenImageIO as oiio
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from engine import images
from engine.images.color_claims import ColorClaim, claims_of_cicp
from engine.images.header import Header, Part
from engine.images.layers import ColorChannels

__all__ = ["picture_image"]

_HD_LINES = 720
# Shares of red and blue in luma, by the matrix codes of ITU-T H.273, table 4.
_BT709, _BT601 = (0.2126, 0.0722), (0.299, 0.114)
_LUMA = {1: _BT709, 4: (0.30, 0.11), 5: _BT601, 6: _BT601, 7: (0.212, 0.087), 9: (0.2627, 0.0593)}


def picture_image(frame: Any, stream: Any, remarks: Sequence[str] = ()) -> images.Image:
    """A decoded frame as RGB by its own matrix and range, upright, with its alpha, and what its movie says of it."""
    has_alpha = any(component.is_alpha for component in frame.format.components)
    bits = max(component.bits for component in frame.format.components)
    top = np.float32(255 if bits <= 8 else 65535)
    if frame.format.is_rgb or len(frame.format.components) < 3:
        kinds = ("rgba", "rgba64le") if has_alpha else ("rgb24", "rgb48le")
        stored = frame.reformat(format=kinds[bits > 8]).to_ndarray().astype(np.float32) / top
        rgb, alpha = stored[..., :3], stored[..., 3] if has_alpha else None
    else:
        rgb = _from_yuv(frame, bits)
        alpha = _plane(frame.planes[3], bits) / np.float32((1 << bits) - 1) if has_alpha else None
    if bits <= 8:
        rgb = np.rint(rgb * 255) / np.float32(255)
    rgb = _upright(frame, rgb)
    if alpha is not None:
        alpha = _upright(frame, alpha)
    spec = oiio.ImageSpec(rgb.shape[1], rgb.shape[0], 3, "uint8" if bits <= 8 else "uint16")
    spec.attribute("oiio:BitsPerSample", bits)
    aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    if aspect and aspect != 1:
        turned = abs(_display_matrix(frame)[0]) < 0.5
        spec.attribute("PixelAspectRatio", float(1 / aspect if turned else aspect))
    remarks = list(remarks)
    if frame.interlaced_frame:
        remarks.append("the movie is interlaced: its fields are taken as they are woven into frames, not separated")
    if frame.side_data.get("STEREO3D") is not None:
        remarks.append("the movie is stereo: both views are taken as the one picture that they are packed into")
    color = ColorChannels(("R", "G", "B"), None if alpha is None else "A")
    header = Header((Part(spec, {}),), 0, color, alpha, "movie", False, _claims(frame), tuple(remarks))
    return images.Image(rgb, alpha, header, 0, None)


def _display_matrix(frame: Any) -> tuple[float, float, float, float]:
    """a, b, c, d of ISO/IEC 14496-12, 6.2.2: a stored (x, y) is shown at (a x + c y, b x + d y)."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 1.0, 0.0, 0.0, 1.0
    a, b, _, c, d, *_ = np.frombuffer(memoryview(data), np.dtype("i4"))[:9].astype(np.float64) / 65536.0
    return float(a), float(b), float(c), float(d)


def _upright(frame: Any, pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """``pixels`` as players show them: turned by quarters and mirrored."""
    a, b, c, d = _display_matrix(frame)
    if abs(a) < abs(b):
        # Rows become columns: what moved down moves to the right.
        pixels = pixels.swapaxes(0, 1)
        a, d = c, b
    if a < 0:
        pixels = pixels[:, ::-1]
    if d < 0:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _claims(frame: Any) -> tuple[ColorClaim, ...]:
    """What the stream's tags say; the values of a decoded frame are those of its container and its codec."""
    return claims_of_cicp(int(frame.color_primaries), int(frame.color_trc), "the movie's tags")


def _from_yuv(frame: Any, bits: int) -> npt.NDArray[np.float32]:
    """(H, W, 3) in 0..1 of a YUV frame.

    swscale only spreads the chroma: its own RGB is up to 3 codes off, and 1/256 too dark at 16 bits.
    """
    depth = next(step for step in (8, 9, 10, 12, 14, 16) if bits <= step)
    # "yuvj" formats are full range by their name, and carry the tag only sometimes.
    full = int(frame.color_range) == int(ColorRange.JPEG) or frame.format.name.startswith("yuvj")
    stored_range = ColorRange.JPEG if full else ColorRange.MPEG
    spread = VideoReformatter().reformat(
        frame,
        format="yuv444p" if depth == 8 else f"yuv444p{depth}le",
        interpolation=Interpolation.BICUBIC,
        src_color_range=stored_range,
        dst_color_range=stored_range,
    )
    planes = [_plane(plane, depth) for plane in list(spread.planes)[:3]]
    unit, top = float(1 << (depth - 8)), float((1 << depth) - 1)
    luma = planes[0] / top if full else (planes[0] - 16 * unit) / (219 * unit)
    scale = top if full else 224 * unit
    blue_difference, red_difference = (planes[1] - 128 * unit) / scale, (planes[2] - 128 * unit) / scale
    untagged = _BT709 if frame.height >= _HD_LINES else _BT601
    kr, kb = _LUMA.get(int(frame.colorspace), untagged)
    red = luma + 2 * (1 - kr) * red_difference
    blue = luma + 2 * (1 - kb) * blue_difference
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    return np.clip(np.stack([red, green, blue], axis=2), 0, 1).astype(np.float32)


def _plane(plane: Any, bits: int) -> npt.NDArray[np.float32]:
    """(H, W) codes of one plane."""
    kind = np.dtype("u1" if bits <= 8 else "<u2")
    codes = np.frombuffer(memoryview(plane), kind).reshape(-1, plane.line_size // kind.itemsize)
    return codes[: plane.height, : plane.width].astype(np.float32)
