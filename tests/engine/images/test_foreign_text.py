"""Sound files with text that is no UTF-8: they are read, written and checked, and damage stays a line."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import av
import numpy as np
import pytest

from engine import images
from engine.base.errors import PaintoverError
from engine.images import movies
from engine.images.foreign_text import readable


def exr(path: Path, names: tuple[bytes, ...] = (b"B", b"G", b"R"), attributes: bytes = b"") -> Path:
    """A whole EXR of 16x16 half floats, written byte by byte, so that its texts may be of any encoding."""

    def attribute(name: bytes, kind: bytes, value: bytes) -> bytes:
        return name + b"\0" + kind + b"\0" + struct.pack("<I", len(value)) + value

    channels = b"".join(name + b"\0" + struct.pack("<IBxxxii", 1, 0, 1, 1) for name in sorted(names)) + b"\0"
    window = struct.pack("<4i", 0, 0, 15, 15)
    header = struct.pack("<II", 20000630, 2)
    header += attribute(b"channels", b"chlist", channels) + attribute(b"compression", b"compression", b"\3")
    header += attribute(b"dataWindow", b"box2i", window) + attribute(b"displayWindow", b"box2i", window)
    header += attribute(b"lineOrder", b"lineOrder", b"\0")
    header += attribute(b"pixelAspectRatio", b"float", struct.pack("<f", 1))
    header += attribute(b"screenWindowCenter", b"v2f", bytes(8))
    header += attribute(b"screenWindowWidth", b"float", struct.pack("<f", 1)) + attributes + b"\0"
    block = zlib.compress(bytes(16 * 16 * 2 * len(names)))
    path.write_bytes(header + struct.pack("<Q", len(header) + 8) + struct.pack("<iI", 0, len(block)) + block)
    return path


def test_latin_metadata_passes_through(tmp_path: Path) -> None:
    texts = b"".join(
        name + b"\0string\0" + struct.pack("<I", 5) + b"caf\xe9s" for name in (b"comments", b"owner", b"studio_note")
    )
    image = images.read(exr(tmp_path / "a.exr", attributes=texts))
    images.write(tmp_path / "b.exr", image.rgb, like=image.header, provenance={"look": "1"})
    images.check(tmp_path / "b.exr")
    assert images.read_provenance(tmp_path / "b.exr") == {"look": "1"}
    spec = images.read(tmp_path / "b.exr").header.spec
    assert spec.get_string_attribute("studio_note") == "cafés"
    assert "cafés" in spec.get_string_attribute("ImageDescription")


def test_latin_channel_names_pass_through(tmp_path: Path) -> None:
    image = images.read(exr(tmp_path / "a.exr", (b"R", b"G", b"B", b"\xe9t\xe9", b"\xc3\xa9t\xe9")))
    images.write(tmp_path / "b.exr", image.rgb, like=image.header)
    names = images.read(tmp_path / "b.exr").header.spec.channelnames
    assert {"R", "G", "B", "été"} < set(names) and len(names) == 5


@pytest.mark.parametrize("act", [images.read, images.check, images.read_provenance])
def test_a_damaged_header_is_a_line(tmp_path: Path, act: object) -> None:
    whole = exr(tmp_path / "a.exr", attributes=b"comments\0string\0\5\0\0\0cafes").read_bytes()
    for place in range(8, 420, 3):
        for byte in (0xFE, 0x80):
            (tmp_path / "b.exr").write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
            try:
                act(tmp_path / "b.exr")  # type: ignore[operator]
            except PaintoverError as error:
                str(error).encode()  # can be printed


@pytest.mark.parametrize("suffix", [".png", ".tif", ".exr"])
def test_an_attribute_that_no_call_can_name_is_no_fault(tmp_path: Path, suffix: str) -> None:
    named = b"pixel\xe9\0float\0" + struct.pack("<If", 4, 2.5)
    image = images.read(exr(tmp_path / "a.exr", attributes=named))
    images.write(tmp_path / f"b{suffix}", image.rgb, like=image.header)
    assert images.read(tmp_path / f"b{suffix}").rgb.shape == (16, 16, 3)


def test_names_of_views_in_latin_are_taken_as_such(tmp_path: Path) -> None:
    views = b"".join(struct.pack("<I", len(name)) + name for name in (b"caf\xe9", b"right"))
    named = b"multiView\0stringvector\0" + struct.pack("<I", len(views)) + views
    image = images.read(exr(tmp_path / "a.exr", attributes=named))
    assert image.header.spec.getattribute("multiView") == ("café", "right")
    images.write(tmp_path / "b.exr", image.rgb, like=image.header)
    assert "café" in images.read(tmp_path / "b.exr").header.spec.getattribute("multiView")


@pytest.mark.parametrize("name", [b"multiView", b"view", b"chromaticities", b"ICCProfile", b"timeCode", b"name"])
@pytest.mark.parametrize(("kind", "value"), [(b"float", bytes(4)), (b"int", b"\1\0\0\0"), (b"string", b"12345678")])
def test_a_known_name_with_a_value_of_another_kind_is_left_alone(
    tmp_path: Path, name: bytes, kind: bytes, value: bytes
) -> None:
    attribute = name + b"\0" + kind + b"\0" + struct.pack("<I", len(value)) + value
    path = exr(tmp_path / "a.exr", attributes=attribute)
    try:
        image = images.read(path)
        images.write(tmp_path / "b.exr", image.rgb, like=image.header)
    except PaintoverError as error:
        assert error.exit_code == 2


def test_a_movie_with_a_latin_title_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.mov"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "cafes"
        stream = container.add_stream("mjpeg", rate=24)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuvj420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))))
        container.mux(stream.encode(None))
    path.write_bytes(path.read_bytes().replace(b"cafes", b"caf\xe9s"))
    assert movies.read_frame(path, 0).rgb.shape == (32, 32, 3)


def test_text_is_taken_as_latin_only_where_it_is_no_utf8() -> None:
    assert readable("été") == "été"
    assert readable(b"caf\xe9".decode("utf-8", "surrogateescape")) == "café"
    readable("\ud800").encode()
