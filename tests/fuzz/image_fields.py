"""Headers of image files: where their numbers lie, and checksums put right after a change."""

from __future__ import annotations

import struct
import zlib

from .mutations import Field

__all__ = ["fields_of", "mended"]


def _places(text: str) -> list[Field]:
    """Fields as ``place`` of four bytes, or ``place:size``."""
    words = [word.partition(":") for word in text.split()]
    return [(int(place), int(size or 4)) for place, _, size in words]


_FILM = "4 8 16 20 24 28 768:2 770:2 772 776 800:1 803:1 804:2 806:2 808"
_FIXED: dict[bytes, list[Field]] = {
    b"SDPX": _places(f"{_FILM} 780 784 788 792 796 801:1 802:1 812 816 1408 1628"),
    b"XPDS": _places(_FILM),
    b"\x80\x2a\x5f\xd7": _places("4 8 12 16 20 192:1 193:1 196:1 198:1 200 204 680:1 681:1"),
    b"BM": _places("2 10 14 18 22 26:2 28:2 30 34 46 50"),
    b"\x01\xda": _places("2:1 3:1 4:2 6:2 8:2 10:2 12 16 104 512 516"),
    b"GIF8": _places("6:2 8:2 10:1 11:1"),
    b"8BPS": _places("4:2 12:2 14 18 22:2 24:2 26 30 34 38:2"),
    b"DDS ": _places("4 8 12 16 20 24 28 76 80 84 88 92 96 100 108 112"),
    b"RIFF": _places("4 16 20 24:3 27:3"),
    b"\0\0\1\0": _places("4:2 6:1 7:1 8:1 10:2 12:2 14 18"),
    b"FOR4": _places("4 12 16 20 24 28 32 36 40 44"),
    b"\0\0\0\x0cjP": [(4 * at, 4) for at in range(24)],
    b"\x53\x80\xf6\x34": _places("4 88:2 90:2 92 96:2 98:2 100:1 101:1 102:1 103:1"),
}
_TARGA = _places("0:1 1:1 2:1 3:2 5:2 7:1 8:2 10:2 12:2 14:2 16:1 17:1")
_PNG = b"\x89PNG\r\n\x1a\n"
_EXR = b"\x76\x2f\x31\x01"


def fields_of(data: bytes) -> list[Field]:
    """Numbers of a file's header; for a format that is not known, those that a Targa has."""
    try:
        if data.startswith(_EXR):
            return _exr(data)
        if data.startswith(_PNG):
            return _png(data)
        if data.startswith(b"\xff\xd8"):
            return _jpeg(data)
        if data[:2] in (b"II", b"MM"):
            return _tiff(data, "<" if data[:2] == b"II" else ">")
    except (struct.error, ValueError, IndexError):
        return []
    for magic, fields in _FIXED.items():
        if data.startswith(magic):
            return fields
    return [] if data[:1] in b"#P%SIMPLE" else _TARGA


def mended(data: bytes) -> bytes:
    """A PNG whose chunks have right checksums, so that a change gets as far as what reads them; others as they are."""
    if not data.startswith(_PNG):
        return data
    made, place = bytearray(_PNG), len(_PNG)
    while place + 12 <= len(data):
        length = struct.unpack_from(">I", data, place)[0]
        end = min(len(data), place + 8 + length)
        made += data[place:end] + struct.pack(">I", zlib.crc32(data[place + 4 : end]))
        place = end + 4
    return bytes(made + data[place:])


def _exr(data: bytes) -> list[Field]:
    found: list[Field] = [(4, 4)]
    several = bool(data[5] & 0x10)
    place, parts = 8, 0
    while place < len(data):
        if data[place] == 0:
            place, parts = place + 1, parts + 1
            if not several or data[place] == 0:
                place += several
                break
            continue
        name_end = data.index(0, place)
        kind_end = data.index(0, name_end + 1)
        (size,) = struct.unpack_from("<i", data, kind_end + 1)
        start, kind = kind_end + 5, data[name_end + 1 : kind_end]
        found += [(place, 1), (name_end + 1, 1), (kind_end + 1, 4)]
        step = 4 if kind in (b"box2i", b"v2i", b"int", b"float", b"v2f", b"chromaticities", b"rational") else 1
        if kind == b"tiledesc":
            found += [(start, 4), (start + 4, 4), (start + 8, 1)]
        elif kind == b"chlist":
            # Each channel ends with type, a flag, and its subsampling.
            at = start
            while data[at] and at < start + size:
                end = data.index(0, at)
                found += [(at, 1), (end, 1), (end + 1, 4), (end + 5, 4), (end + 9, 4), (end + 13, 4)]
                at = end + 17
        else:
            found += [(start + at, step) for at in range(0, min(size, 32), step)]
            if kind in (b"box2i", b"compression"):
                # What everything else hangs on.
                found += [(start + at, step) for at in range(0, size, step)] * 3
        place = start + size
    found += [(place + 8 * at, 8) for at in range(8)]
    (first,) = struct.unpack_from("<q", data, place)
    found += [(first + 4 * at, 4) for at in range(6)]
    return found


def _png(data: bytes) -> list[Field]:
    found: list[Field] = [(16, 4), (20, 4), (24, 1), (25, 1), (26, 1), (27, 1), (28, 1)] * 2
    place = len(_PNG)
    while place + 12 <= len(data):
        length = struct.unpack_from(">I", data, place)[0]
        found += [(place, 4), (place + 4, 4), (place + 8, 4), (place + 12, 1)]
        place += 12 + length
    return found


def _jpeg(data: bytes) -> list[Field]:
    found, place = [], 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker, length = data[place + 1], struct.unpack_from(">H", data, place + 2)[0]
        found += [(place + 1, 1), (place + 2, 2)]
        if 0xC0 <= marker <= 0xCF:
            found += [(place + 4, 1), (place + 5, 2), (place + 7, 2), (place + 9, 1)] * 2
            found += [(place + 10 + at, 1) for at in range(9)]
        else:
            found += [(place + 4 + at, 1) for at in range(min(length, 24))]
        if marker == 0xDA:
            break
        place += 2 + length
    return found


def _tiff(data: bytes, order: str) -> list[Field]:
    found: list[Field] = [(2, 2), (4, 4)]
    (place,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, place)
    found += [(place, 2)]
    for entry in range(min(count, 64)):
        at = place + 2 + 12 * entry
        found += [(at, 2), (at + 2, 2), (at + 4, 4), (at + 8, 4), (at + 8, 2)]
    return [*found, (place + 2 + 12 * count, 4)]
