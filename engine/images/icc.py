"""ICC profiles of a gamut and a curve, for JPEG, TIFF and PNG of other spaces than sRGB (ICC.1:2010, version 2)."""

from __future__ import annotations

import struct

import numpy as np

from engine.images.gamuts import GAMUTS, Encoding, Gamut

__all__ = ["profile_of", "profile_tags", "rgb_of_gray"]

_D50 = (0.9642, 1.0, 0.8249)
_CONE = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_FIXED_LIMIT = 2**15
"""Of a number with 16 bits before the point, sign included."""
_MOST_TAGS = 200
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def profile_of(encoding: Encoding, name: str) -> bytes:
    """A display profile with ``name`` as its description; empty for what such a profile cannot say.

    That is HDR curves, and primaries so far out that its numbers do not reach them.
    """
    curve = _curve(encoding.transfer)
    if not curve:
        return b""
    return _profile(name, _colorants(encoding.gamut), curve)


def rgb_of_gray(curve: bytes, name: str) -> bytes:
    """A profile for gray in three channels: the curve of a gray profile, its tag kTRC, with Rec. 709's primaries."""
    return _profile(name, _colorants(GAMUTS["rec709"]), curve)


def profile_tags(profile: bytes) -> dict[bytes, bytes]:
    """The data of a profile's tags, as far as it is there."""
    if len(profile) < 132:
        return {}
    (count,) = struct.unpack_from(">I", profile, 128)
    found = {}
    for number in range(min(count, _MOST_TAGS)):
        entry = profile[132 + 12 * number : 144 + 12 * number]
        if len(entry) == 12:
            start, size = struct.unpack_from(">II", entry, 4)
            found[entry[:4]] = profile[start : start + size]
    return found


def _profile(name: str, colors: np.ndarray, curve: bytes) -> bytes:
    text = name.encode("ascii", "replace") + b"\0"
    description = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + b"\0" * 78
    if not (np.abs(colors) < _FIXED_LIMIT).all():
        return b""
    tags = [
        (b"desc", description),
        (b"cprt", b"text\0\0\0\0No copyright\0"),
        (b"wtpt", _xyz(_D50)),
        *((key, _xyz(tuple(colors[:, i]))) for i, key in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))),
        *((key, curve) for key in (b"rTRC", b"gTRC", b"bTRC")),
    ]
    start = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for key, value in tags:
        table += key + struct.pack(">II", start + len(body), len(value))
        body += value + b"\0" * (-len(value) % 4)
    head = struct.pack(">I", start + len(body)) + bytes(4) + struct.pack(">I", 0x02400000) + b"mntrRGB XYZ "
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _numbers(*_D50) + bytes(48)
    return head + table + body


def _curve(transfer: str) -> bytes:
    if transfer == "srgb":
        return b"para\0\0\0\0" + struct.pack(">HH", 3, 0) + _numbers(*_SRGB_CURVE)
    if transfer == "linear":
        return b"curv\0\0\0\0" + struct.pack(">IH", 1, 256)
    if transfer in {"pq", "hlg"}:
        return b""
    gamma = 2.4 if transfer == "bt1886" else float(transfer.removeprefix("gamma "))
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def _colorants(gamut: Gamut) -> np.ndarray:
    """(3, 3): XYZ of the primaries in columns, relative to D50 by Bradford's transform."""
    points = np.array(gamut[:6], np.float64).reshape(3, 2)
    columns = np.column_stack([points, 1.0 - points.sum(axis=1)]).T
    white = np.array([gamut[6] / gamut[7], 1.0, (1.0 - gamut[6] - gamut[7]) / gamut[7]])
    to_xyz = columns * np.linalg.solve(columns, white)
    gain = (_CONE @ np.array(_D50)) / (_CONE @ white)
    return np.asarray(np.linalg.inv(_CONE) @ np.diag(gain) @ _CONE @ to_xyz)


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + _numbers(*values)


def _numbers(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(float(value) * 65536)) for value in values)
