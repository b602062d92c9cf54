"""Small files with what cameras, scanners and programs say of their color, byte by byte where no library does."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import av
import numpy as np
import OpenImageIO as oiio

from engine.images.gamuts import GAMUTS, Encoding
from engine.images.icc import profile_of, profile_tags

CODES = (60, 200, 90)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_file(path: Path, *chunks: tuple[bytes, bytes], codes: tuple[int, ...] = CODES) -> Path:
    """4x4 of one color, or of gray for one code, 8 bits."""
    rows = b"".join(b"\0" + bytes(codes) * 4 for _ in range(4))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 2 if len(codes) == 3 else 0, 0, 0, 0))
    body = b"".join(chunk(*one) for one in chunks) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + body)
    return path


def iccp(profile: bytes) -> tuple[bytes, bytes]:
    """A profile as PNG's chunk."""
    return b"iCCP", b"x\0\0" + zlib.compress(profile)


def display_profile(gamut: str, transfer: str, name: str = "a profile") -> bytes:
    return profile_of(Encoding(GAMUTS[gamut], transfer), name)


def made_profile(kind: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A version 4 profile of another kind: ``kind`` is the color space, such as ``b"GRAY"`` or ``b"CMYK"``."""
    start, table, body = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for key, value in tags.items():
        table += key + struct.pack(">II", start + len(body), len(value))
        body += value + b"\0" * (-len(value) % 4)
    head = struct.pack(">I", start + len(body)) + bytes(4) + struct.pack(">I", 0x04400000) + b"mntr" + kind + b"XYZ "
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061) + bytes(48)
    return head + table + body


def with_tag(profile: bytes, key: bytes, value: bytes) -> bytes:
    """An RGB profile with one more tag."""
    return made_profile(b"RGB ", profile_tags(profile) | {key: value})


def spec_file(path: Path, kind: str, pixel: tuple[float, ...] = (0.2, 0.5, 0.7), **attributes: object) -> Path:
    """8x8 of one color by OIIO; "__" in an attribute's name is ":", a tuple is floats, a list integers."""
    spec = oiio.ImageSpec(8, 8, len(pixel), kind)
    for name, value in attributes.items():
        name = name.replace("__", ":")
        if isinstance(value, tuple):
            spec.attribute(name, oiio.TypeDesc(f"float[{len(value)}]"), value)
        elif isinstance(value, bytes):
            spec.attribute(name, oiio.TypeDesc(f"uint8[{len(value)}]"), np.frombuffer(value, np.uint8))
        elif isinstance(value, list):
            spec.attribute(name, oiio.TypeDesc(f"int[{len(value)}]"), tuple(value))
        else:
            spec.attribute(name, value)
    writer = oiio.ImageOutput.create(str(path))
    assert writer.open(str(path), spec)
    pixels = np.broadcast_to(np.array(pixel, np.float32), (8, 8, len(pixel))).copy()
    assert writer.write_image(pixels) and writer.close()
    return path


def tiff_file(path: Path, photometric: int, pixel: bytes, *more: tuple[int, int, int, bytes]) -> Path:
    """4x4 of one color, 8 bits, little-endian; ``more`` tags are number, type, count and data over 4 bytes."""
    strip = pixel * 16
    bits = struct.pack("<H", 8) * len(pixel)
    wanted: list[tuple[int, int, int, bytes]] = [
        (256, 3, 1, struct.pack("<HH", 4, 0)),
        (257, 3, 1, struct.pack("<HH", 4, 0)),
        (258, 3, len(pixel), bits),
        (259, 3, 1, struct.pack("<HH", 1, 0)),
        (262, 3, 1, struct.pack("<HH", photometric, 0)),
        (273, 4, 1, struct.pack("<I", 8)),
        (277, 3, 1, struct.pack("<HH", len(pixel), 0)),
        (278, 3, 1, struct.pack("<HH", 4, 0)),
        (279, 4, 1, struct.pack("<I", len(strip))),
        *more,
    ]
    after = 8 + len(strip)
    heap, entries = b"", b""
    for number, kind, count, data in sorted(wanted):
        if len(data) > 4:
            entries += struct.pack("<HHII", number, kind, count, after + len(heap))
            heap += data
        else:
            entries += struct.pack("<HHI", number, kind, count) + data
    directory = struct.pack("<H", len(wanted)) + entries + bytes(4)
    path.write_bytes(b"II*\0" + struct.pack("<I", after + len(heap)) + strip + heap + directory)
    return path


def bmp_file(path: Path, kind: bytes, endpoints: tuple[float, ...] = (), gamma: float = 0.0, icc: bytes = b"") -> Path:
    """4x4 of one color with a header of version 5: ``kind`` is bV5CSType."""
    row = bytes(CODES[::-1]) * 4
    size = 124
    head = struct.pack("<IiiHHIIiiII", size, 4, 4, 1, 24, 0, 4 * len(row), 2835, 2835, 0, 0)
    head += bytes(16) + kind + struct.pack("<9i", *(round(v * 2**30) for v in endpoints or (0.0,) * 9))
    head += struct.pack("<3I", *[round(gamma * 65536)] * 3)
    head += struct.pack("<IIII", 4, size + 4 * len(row) if icc else 0, len(icc), 0)
    assert len(head) == size
    start = 14 + size
    whole = start + 4 * len(row) + len(icc)
    path.write_bytes(b"BM" + struct.pack("<IHHI", whole, 0, 0, start) + head + row * 4 + icc)
    return path


def psd_file(path: Path, mode: int, channels: int) -> Path:
    """A flat document of 4x4 in a color mode of Photoshop: 1 gray, 3 RGB, 4 CMYK, 9 Lab."""
    head = b"8BPS" + struct.pack(">H", 1) + bytes(6) + struct.pack(">HIIHH", channels, 4, 4, 8, mode)
    path.write_bytes(head + struct.pack(">III", 0, 0, 0) + struct.pack(">H", 0) + bytes(range(60, 60 + channels)) * 16)
    return path


def cmyk_jpeg(path: Path) -> Path:
    """8x8 of one CMYK color, as Photoshop marks it: one block a component, of which only the mean is coded."""
    codes = (200, 120, 60, 250)
    bits = ""
    for code in codes:
        level = (code - 128) * 8
        length = abs(level).bit_length()
        bits += (
            f"{length:04b}"
            + (f"{level if level > 0 else level + (1 << length) - 1:0{length}b}" if length else "")
            + "0"
        )
    bits += "1" * (-len(bits) % 8)
    scan = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")

    def segment(marker: int, data: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data

    lengths = bytes([0, 0, 0, 12] + [0] * 12)
    path.write_bytes(
        b"\xff\xd8"
        + segment(0xEE, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, 0))
        + segment(0xDB, b"\0" + bytes([1] * 64))
        + segment(0xC0, struct.pack(">BHHB", 8, 8, 8, 4) + b"".join(bytes([i, 0x11, 0]) for i in range(1, 5)))
        + segment(0xC4, b"\0" + lengths + bytes(range(12)))
        + segment(0xC4, b"\x10" + bytes([1] + [0] * 15) + b"\0")
        + segment(0xDA, b"\x04" + b"".join(bytes([i, 0]) for i in range(1, 5)) + b"\0\x3f\0")
        + scan
        + b"\xff\xd9"
    )
    return path


def yuv_movie(
    path: Path,
    planes: tuple[int, ...],
    pix_fmt: str,
    *,
    codec: str = "ffv1",
    size: tuple[int, int] = (64, 96),
    **tags: int,
) -> Path:
    """One frame of one YUV value, with the tags of H.273: color_primaries, color_trc, colorspace, color_range."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=24)
        stream.width, stream.height, stream.pix_fmt = size[1], size[0], pix_fmt
        frame = av.VideoFrame(size[1], size[0], pix_fmt)
        for plane, value in zip(frame.planes, planes, strict=True):
            kind = np.dtype(np.uint16 if any(bits in pix_fmt for bits in ("10", "12", "16")) else np.uint8)
            plane.update(np.full(plane.buffer_size // kind.itemsize, value, kind).tobytes())
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
            setattr(frame, name, value)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
