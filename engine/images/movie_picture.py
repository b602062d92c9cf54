"""A movie's decoded picture as an image: RGB by its own matrix and range, upright, with its alpha and what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import OpenImageIO as oiio

from engine import images
from engine.images.color_claims import ColorClaim, claims_of_cicp
from engine.images.header import Header, Part
from engine.images.layers import ColorChannels
from engine.images.yuv import from_gray, from_yuv, is_gray, plane_codes

__all__ = ["StreamFacts", "color_tags", "picture_image"]

_PICTURE_CODECS = {"gif", "apng"}
_REC709_PRIMARIES, _SRGB_TRANSFER = 1, 13  # of ITU-T H.273, tables 2 and 3
# What is not specified, by attribute of PyAV.
_TAGS = {"color_primaries": {0, 2}, "color_trc": {0, 2}, "colorspace": {2}, "color_range": {0}}


@dataclass(frozen=True)
class StreamFacts:
    """What a stream says of its pictures; true also when its container is closed."""

    codec: str
    """FFmpeg's name of it."""
    aspect: Fraction | None
    """Width of a pixel over its height; None where it does not say."""
    said: Mapping[str, int]
    """:func:`color_tags` of the stream before anything was decoded."""

    @classmethod
    def of(cls, stream: Any, said: Mapping[str, int]) -> StreamFacts:
        """Of an open stream."""
        context = stream.codec_context
        return cls(context.name, stream.sample_aspect_ratio or context.sample_aspect_ratio or None, dict(said))


def picture_image(frame: Any, stream: StreamFacts, remarks: Sequence[str] = ()) -> images.Image:
    """A decoded frame as RGB by its matrix and range, upright, with its alpha, and what its movie says of it.

    Where the container's tags and the stream's differ, the container's count (ISO/IEC 14496-12, 12.1.5).

    Args:
        frame: which is changed.
        stream: that it is of.
        remarks: what whoever reads the movie should hear beside.
    """
    claims = _claims(frame, stream.codec, stream.said)
    has_alpha = any(component.is_alpha for component in frame.format.components)
    bits = max(component.bits for component in frame.format.components)
    top = np.float32(255 if bits <= 8 else 65535)
    if is_gray(frame):
        rgb, alpha = from_gray(frame, bits), None
    elif frame.format.is_rgb or len(frame.format.components) < 3:
        kinds = ("rgba", "rgba64le") if has_alpha else ("rgb24", "rgb48le")
        stored = frame.reformat(format=kinds[bits > 8]).to_ndarray().astype(np.float32) / top
        rgb, alpha = stored[..., :3], stored[..., 3] if has_alpha else None
    else:
        rgb = from_yuv(frame, bits)
        alpha = plane_codes(frame.planes[3], bits) / np.float32((1 << bits) - 1) if has_alpha else None
    if bits <= 8:
        rgb = np.rint(rgb * 255) / np.float32(255)
    rgb = _upright(frame, rgb)
    if alpha is not None:
        alpha = _upright(frame, alpha)
    spec = oiio.ImageSpec(rgb.shape[1], rgb.shape[0], 3, "uint8" if bits <= 8 else "uint16")
    spec.attribute("oiio:BitsPerSample", bits)
    aspect = stream.aspect
    if aspect and aspect != 1:
        turned = abs(_display_matrix(frame)[0]) < 0.5
        spec.attribute("PixelAspectRatio", float(1 / aspect if turned else aspect))
    remarks = list(remarks)
    if _is_turned(frame):
        remarks.append("the movie is stored turned or mirrored: it is taken, and written, as players show it")
    if frame.interlaced_frame:
        remarks.append("the movie is interlaced: its fields are taken as they are woven into frames, not separated")
    if frame.side_data.get("STEREO3D") is not None:
        remarks.append("the movie is stereo: both views are taken as the one picture that they are packed into")
    color = ColorChannels(("R", "G", "B"), None if alpha is None else "A")
    header = Header((Part(spec, {}),), 0, color, alpha, "movie", False, claims, tuple(remarks))
    return images.Image(rgb, alpha, header, 0, None)


def _display_matrix(frame: Any) -> tuple[float, float, float, float]:
    """a, b, c, d of ISO/IEC 14496-12, 6.2.2: a stored (x, y) is shown at (a x + c y, b x + d y)."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 1.0, 0.0, 0.0, 1.0
    a, b, _, c, d, *_ = np.frombuffer(memoryview(data), np.dtype("i4"))[:9].astype(np.float64) / 65536.0
    return float(a), float(b), float(c), float(d)


def _is_turned(frame: Any) -> bool:
    a, b, c, d = _display_matrix(frame)
    return min(a, d) < 0.5 or max(abs(b), abs(c)) > 0.5


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


def color_tags(owner: Any) -> dict[str, int]:
    """Code points of ITU-T H.273, and the range, of a codec context or a frame."""
    return {name: int(getattr(owner, name)) for name in _TAGS}


def _claims(frame: Any, codec: str, said: Mapping[str, int]) -> tuple[ColorClaim, ...]:
    """What tags say; a frame whose container says otherwise has the container's from here on."""
    if codec in _PICTURE_CODECS:
        return claims_of_cicp(_REC709_PRIMARIES, _SRGB_TRANSFER, f"{codec.upper()} files are sRGB")
    own = color_tags(frame)
    differs = False
    for name, value in said.items():
        if value != own[name] and value not in _TAGS[name]:
            setattr(frame, name, value)
            differs = differs or own[name] not in _TAGS[name]
    where = "the movie's container" if differs else "the movie's tags"
    claims = claims_of_cicp(int(frame.color_primaries), int(frame.color_trc), where)
    if differs:
        claims += claims_of_cicp(own["color_primaries"], own["color_trc"], "its stream")
    return claims
