"""Losses: what frames of a format cannot hold of what their plate has, a line each."""

from __future__ import annotations

import OpenImageIO as oiio

from engine.images.encoding import holds_16_bits
from engine.images.foreign_text import file_name
from engine.images.header import Header

__all__ = ["lost"]

_SQUARE_PIXELS = {"hdr", "bmp", "webp", "pnm", "ppm", "gif", "jpegxl", "sgi", "jpeg2000"}
"""Formats in which OIIO stores no pixel aspect."""
_SHOWN_NAMES = 8


def lost(header: Header, suffix: str, bit_depth: str | None = None, *, for_painting: bool = False) -> tuple[str, ...]:
    """What frames written under ``suffix`` lose of a plate with this header.

    Args:
        suffix: of the frames, such as ".png".
        bit_depth: as it was asked for; None for what the format and the plate give.
        for_painting: they are keys: what only a result should hold is not missed in them.
    """
    writer = oiio.ImageOutput.create(file_name(f"a{suffix}"))
    if writer is None:
        oiio.geterror()
        return ()
    target = str(writer.format_name())
    if target == "openexr":
        if header.bit_depth == "float" and header.file_format == target and bit_depth is None and not for_painting:
            return ("the plate's 32-bit numbers are rounded to half: --depth float keeps them",)
        return ()
    lines = []
    if header.color.alpha is not None and not writer.supports("alpha"):
        lines.append(f"the plate's alpha is lost: {suffix} frames have none; write .exr, .png or .tif to keep it")
    picture = set(header.color.names)
    others = [
        f"{part.spec.get_string_attribute('name')}:{name}" if number != header.index else name
        for number, part in enumerate(header.parts)
        for name in part.spec.channelnames
        if number != header.index or name not in picture
    ]
    if others and not for_painting:
        more = f" and {len(others) - _SHOWN_NAMES} more" if len(others) > _SHOWN_NAMES else ""
        names = ", ".join(others[:_SHOWN_NAMES]) + more
        kept = "write .exr to keep them" if header.file_format == "openexr" else "they are read from no such file"
        lines.append(f"channels beside the picture are lost in {suffix} frames: {names}; {kept}")
    aspect = header.spec.get_float_attribute("PixelAspectRatio", 1.0)
    if target in _SQUARE_PIXELS and abs(aspect - 1.0) > 1e-3:
        lines.append(f"the plate's pixel aspect of {aspect:.4g} is lost: {suffix} frames cannot say it")
    if header.bit_depth == "uint16" and not holds_16_bits(target) and not for_painting:
        lines.append(f"the plate's 16-bit numbers are rounded to 8 bits: {suffix} frames have no more")
    if header.bit_depth in ("half", "float") and header.file_format == "tiff" and bit_depth in ("uint8", "uint16"):
        lines.append(f"values under 0 and over 1 are clipped: {bit_depth} was asked for, and the plate is float")
    return tuple(lines)
