"""Header bytes: what PNG, TIFF, BMP, Targa and Radiance files say of their color where OIIO does not tell."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

__all__ = ["bmp_color", "hdr_primaries", "png_chunks", "targa_gamma", "tiff_color"]

_CHUNK_BYTES = 1 << 22
_SRGB_TYPES = {b"BGRs", b" niW"}
"""LCS_sRGB and LCS_WINDOWS_COLOR_SPACE, little-endian."""
_EMBEDDED = b"DEBM"
_TIFF_TYPES = {3: ("H", 2), 4: ("I", 4), 5: ("II", 8)}
_WHITE_POINT, _PRIMARIES, _TRANSFER = 318, 319, 301


def png_chunks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Name and data of those before the pixels."""
    with path.open("rb") as handle:
        if handle.read(8) != b"\x89PNG\r\n\x1a\n":
            return
        while True:
            head = handle.read(8)
            if len(head) < 8 or head[4:] in (b"IDAT", b"IEND"):
                return
            (length,) = struct.unpack(">I", head[:4])
            yield head[4:], handle.read(min(length, _CHUNK_BYTES))
            handle.seek(max(0, length - _CHUNK_BYTES) + 4, 1)


def hdr_primaries(path: Path) -> tuple[float, ...] | None:
    """Radiance's PRIMARIES line, eight numbers; None where there is none."""
    with path.open("rb") as handle:
        head = handle.read(4096).split(b"\n\n", 1)[0]
    found = re.search(rb"^PRIMARIES=\s*((?:[-+.\deE]+\s*){8})", head, re.MULTILINE)
    try:
        values = tuple(float(word) for word in found[1].split()) if found else ()
    except ValueError:
        return None
    return values if len(values) == 8 else None


def targa_gamma(path: Path) -> float:
    """The exponent in the extension area of Truevision TGA 2.0; 0 where there is none."""
    try:
        with path.open("rb") as handle:
            handle.seek(-26, 2)
            footer = handle.read(26)
            if not footer[8:].startswith(b"TRUEVISION-XFILE"):
                return 0.0
            handle.seek(struct.unpack_from("<I", footer)[0])
            area = handle.read(495)
    except OSError:
        return 0.0
    if len(area) < 482 or not struct.unpack_from("<I", footer)[0]:
        return 0.0
    over, under = struct.unpack_from("<HH", area, 478)
    return over / under if under else 0.0


def bmp_color(path: Path) -> tuple[bool, bytes, tuple[float, ...], float]:
    """What the header of version 4 or 5 says (BITMAPV5HEADER).

    Returns:
        Whether it is sRGB; an embedded ICC profile; XYZ of red, green and blue; the exponent. What it does not say is
        False, empty or 0.
    """
    with path.open("rb") as handle:
        head = handle.read(138)
        size = struct.unpack_from("<I", head, 14)[0] if len(head) >= 70 else 0
        if size < 108 or len(head) < 122:
            return False, b"", (), 0.0
        kind = head[70:74]
        if kind == _EMBEDDED and size >= 124 and len(head) == 138:
            start, length = struct.unpack_from("<II", head, 126)
            handle.seek(14 + start)
            return False, handle.read(min(length, _CHUNK_BYTES)), (), 0.0
    if kind != bytes(4):
        return kind in _SRGB_TYPES, b"", (), 0.0
    colors = tuple(value / 2**30 for value in struct.unpack_from("<9i", head, 74))
    gammas = [value / 65536 for value in struct.unpack_from("<3I", head, 110)]
    return False, b"", colors if any(colors) else (), sum(gammas) / 3


def tiff_color(path: Path) -> tuple[tuple[float, ...], np.ndarray]:
    """The first page's tags WhitePoint, PrimaryChromaticities and TransferFunction (TIFF 6.0, section 20).

    Returns:
        Red, green, blue and white xy, empty without those; the curve of red from code to linear light, (n,) in 0..1,
        empty without one.
    """
    with path.open("rb") as handle:
        head = handle.read(8)
        order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
        if len(head) < 8 or not order or struct.unpack_from(order + "H", head, 2)[0] != 42:
            return (), np.zeros(0)
        handle.seek(struct.unpack_from(order + "I", head, 4)[0])
        (count,) = struct.unpack(order + "H", handle.read(2).ljust(2, b"\0"))
        entries = handle.read(12 * count)
        found: dict[int, tuple[int, ...]] = {}
        for number in range(len(entries) // 12):
            tag, kind, length = struct.unpack_from(order + "HHI", entries, 12 * number)
            if tag not in (_WHITE_POINT, _PRIMARIES, _TRANSFER) or kind not in _TIFF_TYPES:
                continue
            letters, size = _TIFF_TYPES[kind]
            if size * length <= 4 or size * length > _CHUNK_BYTES:
                continue
            handle.seek(struct.unpack_from(order + "I", entries, 12 * number + 8)[0])
            data = handle.read(size * length)
            if len(data) == size * length:
                found[tag] = struct.unpack(order + letters * length, data)
    points = found.get(_PRIMARIES, ()) + found.get(_WHITE_POINT, ())
    values = tuple(over / under for over, under in zip(points[::2], points[1::2], strict=True) if under)
    table = found.get(_TRANSFER, ())
    one = len(table) // 3 if len(table) % 3 == 0 else len(table)
    return values if len(values) == 8 else (), np.array(table[:one], np.float64) / 65535.0
