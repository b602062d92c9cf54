"""Whole image files that hostile ones are made from: every format that OpenImageIO writes, and others."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import OpenImageIO as oiio

from engine import images
from engine.images.provenance import stamp_dpx
from engine.motion.flow_files import write_flow
from tests.support.pictures import HEIGHT, WIDTH, noise

__all__ = ["write_image_seeds"]

_EXR_COMPRESSIONS = ("none", "rle", "zips", "zip", "piz", "pxr24", "b44", "b44a", "dwaa", "dwab")
_PROFILE = b"\0\0\1\0lcms\2\x10\0\0mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(88) + b"\0\0\0\1desc\0\0\0\x84\0\0\0\x10"
"""The beginning of an ICC profile with one tag."""


def write_image_seeds(folder: Path) -> None:
    """Every seed as one file; those of a shot's size are 32x24."""
    folder.mkdir(parents=True, exist_ok=True)
    rgb = noise(HEIGHT, WIDTH, 3)
    rgba = np.concatenate([rgb, np.linspace(0, 1, rgb[..., :1].size, dtype=np.float32).reshape(HEIGHT, WIDTH, 1)], 2)
    for name in _EXR_COMPRESSIONS:
        _write(folder / f"{name}.exr", rgba * 3, "half", compression=name)
    _write(folder / "float.exr", rgba, "float", compression="zip", comments="a note", owner="somebody")
    _write(folder / "tiled.exr", rgba, "half", tile=16)
    _write(folder / "tiled_piz.exr", rgb, "half", tile=8, compression="piz")
    _write(folder / "window.exr", rgba, "half", window=(-4, -2, 40, 30))
    _write(folder / "gray.exr", rgb[..., :1], "half")
    _write(folder / "layers.exr", np.tile(rgba, 2), "half",
           channels=["R", "G", "B", "A", "forward.u", "forward.v", "backward.u", "backward.v"])  # fmt: skip
    _write_parts(folder / "parts.exr", rgba)
    _write_deep(folder / "deep.exr")
    images.write(folder / "ours.exr", rgb, alpha=rgba[..., 3], provenance={"look": "ab" * 32, "version": "0.1.0"})
    for bits in ("uint8", "uint16"):
        _write(folder / f"{bits}.png", rgb, bits)
        _write(folder / f"{bits}.tif", rgba, bits)
        _write(folder / f"{bits}.dpx", rgb, bits)
    images.write(folder / "ours.png", rgb, bit_depth="uint8", provenance={"look": "ab" * 32, "version": "0.1.0"})
    _write(folder / "alpha.png", rgba, "uint8")
    _add_profile(folder / "alpha.png")
    _write(folder / "gray.png", rgb[..., :1], "uint8")
    for name in ("none", "lzw", "zip", "packbits", "jpeg"):
        _write(folder / f"{name}.tif", rgb, "uint8", compression=name, ICCProfile=_PROFILE)
    _write(folder / "half.tif", rgb, "half")
    _write(folder / "float.tif", rgba, "float")
    _write(folder / "tiled.tif", rgb, "uint8", tile=16)
    _write(folder / "planar.tif", rgb, "uint8", planarconfig="separate")
    _write(folder / "turned.tif", rgb, "uint8", Orientation=6)
    for bits in (10, 12):
        _write(folder / f"{bits}bit.dpx", rgb, "uint16", **{"oiio:BitsPerSample": bits})
    _write(folder / "rgb.jpg", rgb, "uint8", compression="jpeg:90")
    _write(folder / "turned.jpg", rgb, "uint8", Orientation=6, ICCProfile=_PROFILE, ImageDescription="a picture")
    _write(folder / "gray.jpg", rgb[..., :1], "uint8")
    codes = (np.clip(rgb, 0, 1) * 255).astype(np.uint8)
    # Its writer halves a picture five times.
    cv2.imwrite(str(folder / "rgb.jp2"), np.tile(codes, (2, 2, 1)))
    others = "bmp gif hdr ico iff rla sgi tga webp ppm pfm fits jxl zfile"
    for suffix in others.split():
        kind = "float" if suffix in ("hdr", "pfm") else "uint8"
        _write(folder / f"rgb.{suffix}", rgb[..., :1] if suffix == "zfile" else rgb, kind)
    _write(folder / "rle.tga", rgba, "uint8", compression="rle")
    _write(folder / "rle.sgi", rgb, "uint8", compression="rle")
    (folder / "film.cin").write_bytes(_cineon(rgb))
    (folder / "rgb.psd").write_bytes(_photoshop(rgb))
    (folder / "rgb.dds").write_bytes(_direct_draw(rgb, b"\0\0\0\0"))
    (folder / "dxt1.dds").write_bytes(_direct_draw(rgb, b"DXT1"))
    (folder / "rgb.pic").write_bytes(_softimage(rgb))
    _write_movies(folder)
    flow = noise(HEIGHT, WIDTH, 2)
    write_flow(folder / "vectors.flo", flow)
    write_flow(folder / "vectors.exr", flow, flow)


def _write(
    path: Path,
    pixels: np.ndarray,
    kind: str,
    *,
    tile: int = 0,
    window: tuple[int, int, int, int] | None = None,
    channels: list[str] | None = None,
    **attributes: Any,
) -> None:
    """One image by OpenImageIO; a format that this build lacks is left out."""
    spec = oiio.ImageSpec(pixels.shape[1], pixels.shape[0], pixels.shape[2], kind)
    spec.tile_width = spec.tile_height = tile
    spec.tile_depth = 1 if tile else 0
    if channels is not None:
        spec.channelnames = channels
    if window is not None:
        spec.full_x, spec.full_y, spec.full_width, spec.full_height = window
    for name, value in {"DateTime": "2020:01:01 00:00:00", **attributes}.items():
        if isinstance(value, bytes):
            spec.attribute(name, oiio.TypeDesc(f"uint8[{len(value)}]"), np.frombuffer(value, np.uint8))
        else:
            spec.attribute(name, value)
    writer = oiio.ImageOutput.create(str(path))
    if writer is None or not writer.open(str(path), spec):
        oiio.geterror()
        return
    stored = np.ascontiguousarray(pixels, np.float32)
    done = writer.write_tiles(0, spec.width, 0, spec.height, 0, 1, stored) if tile else writer.write_image(stored)
    if not (writer.close() and done):
        path.unlink(missing_ok=True)
    elif path.suffix == ".dpx":
        # OpenImageIO writes the time of the day.
        stamp_dpx(path, {}, "2020:01:01 00:00:00")
    elif path.suffix == ".rla":
        path.write_bytes(re.sub(rb"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d \d{4}", b"Jan 01 00:00 2020", path.read_bytes()))


def _write_movies(folder: Path) -> None:
    """Three frames in three codecs and containers."""
    for name, codec, pixels in (
        ("a.mp4", "mpeg4", "yuv420p"),
        ("b.mov", "mjpeg", "yuvj420p"),
        ("c.mkv", "ffv1", "yuv422p10le"),
    ):
        with av.open(str(folder / name), "w", options={"fflags": "+bitexact"}) as container:
            stream = container.add_stream(codec, rate=24)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixels
            for frame in range(3):
                codes = (noise(HEIGHT, WIDTH, 3, seed=frame) * 255).astype(np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(codes)))
            container.mux(stream.encode(None))


def _add_profile(path: Path) -> None:
    """Put a color profile before the pixels of a PNG; OpenImageIO writes none that is not whole."""
    body = b"iCCPany\0\0" + zlib.compress(_PROFILE)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    data = path.read_bytes()
    place = data.index(b"IDAT") - 4
    path.write_bytes(data[:place] + chunk + data[place:])


def _write_parts(path: Path, rgba: np.ndarray) -> None:
    names = ("left", "right", "depth")
    specs = [oiio.ImageSpec(WIDTH, HEIGHT, 1 if name == "depth" else 4, "half") for name in names]
    for spec, name in zip(specs, names, strict=True):
        spec.attribute("DateTime", "")
        spec.attribute("oiio:subimagename", name)
        if name != "depth":
            spec.attribute("view", name)
    writer = oiio.ImageOutput.create(str(path))
    writer.open(str(path), tuple(specs))
    for number, spec in enumerate(specs):
        if number:
            writer.open(str(path), spec, "AppendSubimage")
        writer.write_image(np.ascontiguousarray(rgba[..., : spec.nchannels], np.float32))
    writer.close()


def _write_deep(path: Path) -> None:
    spec = oiio.ImageSpec(8, 6, 5, "float")
    spec.channelnames = ["R", "G", "B", "A", "Z"]
    spec.deep = True
    spec.attribute("DateTime", "")
    deep = oiio.DeepData()
    deep.init(48, 5, spec.channelformats or [oiio.TypeDesc("float")] * 5, spec.channelnames)
    for pixel in range(48):
        deep.set_samples(pixel, pixel % 3)
        for sample in range(pixel % 3):
            for channel in range(5):
                deep.set_deep_value(pixel, channel, sample, 0.5)
    writer = oiio.ImageOutput.create(str(path))
    writer.open(str(path), spec)
    writer.write_deep_image(deep)
    writer.close()


def _cineon(rgb: np.ndarray) -> bytes:
    header = bytearray(b"\xff" * 1024)
    size = 1024 + 4 * HEIGHT * WIDTH
    header[:28] = struct.pack(">IIIIIII", 0x802A5FD7, 1024, 1024, 0, 0, size, 0x56342E35)[:28]
    header[192:196] = bytes([0, 3, 0, 0])
    for channel in range(3):
        header[196 + 28 * channel : 196 + 28 * channel + 12] = struct.pack(">BBBxII", 0, channel + 1, 10, WIDTH, HEIGHT)
    header[680:692] = struct.pack(">BBBBII", 0, 5, 0, 0, 0, 0)
    codes = (np.clip(rgb, 0, 1) * 1023).astype(np.uint32)
    return (
        bytes(header) + ((codes[..., 0] << 22) | (codes[..., 1] << 12) | (codes[..., 2] << 2)).astype(">u4").tobytes()
    )


def _photoshop(rgb: np.ndarray) -> bytes:
    resource = b"8BIM" + struct.pack(">HHI", 0x0421, 0, 14) + struct.pack(">IBIIB", 1, 1, 0, 0, 0)
    planes = (np.clip(rgb, 0, 1) * 255).astype(np.uint8).transpose(2, 0, 1).tobytes()
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, HEIGHT, WIDTH, 8, 3)
    return head + struct.pack(">I", 0) + struct.pack(">I", len(resource)) + resource + struct.pack(">IH", 0, 0) + planes


def _direct_draw(rgb: np.ndarray, code: bytes) -> bytes:
    is_packed = code == b"DXT1"
    pixel = struct.pack("<II4sIIIII", 32, 4 if is_packed else 0x40, code, 24, 0xFF0000, 0xFF00, 0xFF, 0)
    head = struct.pack("<IIIIIII44x", 124, 0x1007, HEIGHT, WIDTH, 3 * WIDTH, 0, 0)
    codes = (np.clip(rgb, 0, 1) * 255).astype(np.uint8).tobytes()
    return (
        b"DDS "
        + head
        + pixel
        + struct.pack("<IIIII", 0x1000, 0, 0, 0, 0)
        + codes[: len(codes) // (6 if is_packed else 1)]
    )


def _softimage(rgb: np.ndarray) -> bytes:
    head = b"\x53\x80\xf6\x34" + struct.pack(">f", 3.0) + b"a picture".ljust(80, b"\0") + b"PICT"
    head += struct.pack(">HHfHH", WIDTH, HEIGHT, 1.0, 3, 0) + bytes([0, 8, 0, 0xE0])
    return head + (np.clip(rgb, 0, 1) * 255).astype(np.uint8).tobytes()
