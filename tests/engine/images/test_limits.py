"""Images that claim more than memory holds: refused by their header, with the way to raise the limit."""

from __future__ import annotations

import os
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest

from engine import images
from engine.base.errors import ImageError, InputError
from engine.base.image_memory import VARIABLE
from engine.motion.flow_files import read_flow
from engine.motion.stmap import read_stmap
from engine.shot.shot import Plate


def png(path: Path, width: int, height: int) -> Path:
    """A PNG whose header claims a size, with a few of its bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", data), chunk(b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


def exr(path: Path, data: tuple[int, int], display: tuple[int, int]) -> Path:
    """An EXR of 16 pixels whose header claims other windows."""
    spec = oiio.ImageSpec(4, 4, 3, "half")
    output = oiio.ImageOutput.create("exr")
    assert output.open(str(path), spec) and output.write_image(np.zeros((4, 4, 3), np.float32)) and output.close()
    whole = bytearray(path.read_bytes())
    for name, size in ((b"dataWindow", data), (b"displayWindow", display)):
        place = whole.index(name + b"\0box2i\0") + len(name) + 11
        whole[place : place + 16] = struct.pack("<4i", 0, 0, size[0] - 1, size[1] - 1)
    # OpenImageIO itself refuses what is larger than any file of this size could be; the hole takes no disk.
    path.write_bytes(whole)
    os.truncate(path, 2**27)
    return path


def flo(path: Path, width: int, height: int) -> Path:
    with path.open("wb") as handle:
        handle.write(struct.pack("<fii", 202021.25, width, height))
        handle.truncate(12 + 8 * width * height)  # a file with a hole: no disk is needed
    return path


@pytest.mark.parametrize("read", [images.read, images.read_matte, images.check])
@pytest.mark.parametrize("kind", ["png", "data", "display"])
def test_a_claimed_size_is_refused_before_it_is_decoded(tmp_path: Path, kind: str, read: object) -> None:
    path = {
        "png": lambda: png(tmp_path / "a.png", 30_000, 30_000),
        "data": lambda: exr(tmp_path / "a.exr", (30_000, 30_000), (30_000, 30_000)),
        "display": lambda: exr(tmp_path / "a.exr", (4, 4), (30_000, 30_000)),
    }[kind]()
    started = time.perf_counter()
    with pytest.raises(ImageError) as caught:
        read(path)  # type: ignore[operator]
    assert time.perf_counter() - started < 1
    assert "over the limit of 4" in caught.value.message
    assert "look at its header, or set PAINTOVER_MAX_IMAGE_GIB=1" in caught.value.remedy
    assert "30000x30000" in str(caught.value)


@pytest.mark.parametrize(
    ("magic", "place", "order"), [(b"SDPX", 32, ">"), (b"XPDS", 32, "<"), (b"\x80\x2a\x5f\xd7", 16, ">")]
)
def test_user_data_beyond_the_file_is_refused_before_it_is_read(
    tmp_path: Path, magic: bytes, place: int, order: str
) -> None:
    """What the reader of DPX and Cineon takes memory for when it opens a file."""
    head = bytearray(2048)
    head[:4] = magic
    struct.pack_into(f"{order}I", head, place, 2**31 + 1)
    path = tmp_path / "a.png"
    path.write_bytes(head)
    for read in (images.read, images.read_header, images.check, read_flow, read_stmap):
        with pytest.raises(ImageError, match=r"2,147,483,649 bytes of user data in a file of 2,048"):
            read(path)


def test_vectors_and_maps_are_bounded_alike(tmp_path: Path) -> None:
    for path in (flo(tmp_path / "a.flo", 30_000, 30_000), exr(tmp_path / "a.exr", (30_000, 30_000), (4, 4))):
        with pytest.raises(ImageError, match="over the limit of 4"):
            read_flow(path)
    with pytest.raises(ImageError, match="over the limit of 4"):
        read_stmap(exr(tmp_path / "b.exr", (30_000, 30_000), (4, 4)))


def test_a_variable_raises_and_lowers_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    images.write(path, np.zeros((256, 256, 3), np.float32), bit_depth="uint8")
    monkeypatch.setenv(VARIABLE, "0.001")
    with pytest.raises(ImageError, match=r"needs 0\.0 GiB of memory \(256x256, 3 channels\), over the limit of 0\.001"):
        images.read(path)
    monkeypatch.setenv(VARIABLE, "0.01")
    assert images.read(path).rgb.shape == (256, 256, 3)
    monkeypatch.setenv(VARIABLE, "100")
    with pytest.raises(ImageError, match="damaged"):
        images.read(png(tmp_path / "b.png", 30_000, 30_000))
    for wrong in ("much", "-1", "nan", "0"):
        monkeypatch.setenv(VARIABLE, wrong)
        with pytest.raises(InputError, match="is no size"):
            images.read(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_what_has_no_end_is_no_image(tmp_path: Path) -> None:
    for name in ("pipe.png", "pipe.exr", "pipe.flo", "pipe.mov"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "circle.exr").symlink_to(tmp_path / "circle.exr")
    for name in ("pipe.png", "pipe.exr", "circle.exr", "x" * 5000 + ".exr", "a\0b.exr"):
        with pytest.raises(ImageError, match="cannot read"):
            images.read(tmp_path / name)
    with pytest.raises(ImageError):
        read_flow(tmp_path / "pipe.flo")
    with pytest.raises(ImageError):
        Plate.of(tmp_path / "pipe.mov")


def test_memory_that_ends_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.base.errors import PaintoverError
    from engine.images import files

    path = tmp_path / "a.png"
    images.write(path, np.zeros((8, 8, 3), np.float32), bit_depth="uint8")

    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(files, "_decode", full)
    with pytest.raises(PaintoverError, match=r"memory ran out while the image was decoded .*fewer --workers") as caught:
        images.read(path)
    assert caught.value.exit_code == 1
