"""engine.images.files where files are damaged, refused, or cannot be written."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest

from engine import images
from engine.base import temporaries
from engine.base.errors import ImageError, NoPermissionError, OutputError
from tests.support.pictures import noise


@pytest.mark.parametrize("extension", ["exr", "png", "tif", "jpg", "dpx", "bmp", "sgi", "hdr", "webp", "jp2"])
@pytest.mark.parametrize("cut", [1, 4, 40, "half", "header", "all"])
def test_truncation_is_found(tmp_path, extension, cut):
    whole = tmp_path / f"whole.{extension}"
    images.write(whole, noise(64, 80, 3))
    data = whole.read_bytes()
    keep = {"half": len(data) // 2, "header": 10, "all": 0}.get(cut, len(data) - cut if isinstance(cut, int) else 0)
    broken = tmp_path / f"broken.{extension}"
    broken.write_bytes(data[:keep])
    for reader in (images.read, images.check):
        reader(whole)
        with pytest.raises(ImageError) as caught:
            reader(broken)
        line = str(caught.value)
        assert str(broken) in line and "\n" not in line and caught.value.remedy


def test_holes_and_flipped_bits_in_zip_exr_and_png(tmp_path):
    gradient = np.cumsum(noise(64, 80, 3), axis=1) / 80  # compressible, so that every chunk has a checksum
    for extension in ("exr", "png"):
        path = tmp_path / f"a.{extension}"
        images.write(path, gradient)
        data = path.read_bytes()
        middle = len(data) // 2
        flipped = bytearray(data)
        flipped[middle] ^= 0x10
        holed = bytearray(data)
        holed[middle : middle + 200] = bytes(200)
        for damaged in (flipped, holed):
            path.write_bytes(damaged)
            with pytest.raises(ImageError, match="damaged"):
                images.check(path)


@pytest.mark.parametrize("compression", ["zip", "zip:6", "piz", "none"])
def test_no_flipped_bit_of_our_pixels_is_missed(tmp_path, compression):
    path = tmp_path / "a.exr"
    images.write(path, np.cumsum(noise(32, 40, 3), axis=1) / 40, compression=compression)
    data, pixels = path.read_bytes(), images.read(path).rgb
    missed = []
    for offset in range(len(data) - 2000, len(data), 7):
        broken = bytearray(data)
        broken[offset] ^= 1
        path.write_bytes(broken)
        try:
            images.check(path)
        except ImageError:
            continue
        if not np.array_equal(images.read(path).rgb, pixels):
            missed.append(offset)
    assert missed == []


@pytest.mark.parametrize(
    ("compression", "has_one"), [(None, True), ("zip:6", True), ("zips:2", True), ("dwaa:45", False), ("b44", False)]
)
def test_a_level_takes_no_checksum_away(tmp_path, compression, has_one):
    path = tmp_path / "a.exr"
    images.write(path, noise(8, 8, 3), compression=compression)
    assert bool(images.read(path).header.spec.get_string_attribute("paintover/pixels")) is has_one


def test_a_damaged_second_part_is_found(multipart, tmp_path):
    image = images.read(multipart)
    images.write(tmp_path / "out.exr", image.rgb, like=image.header)
    data = bytearray((tmp_path / "out.exr").read_bytes())
    data[-30] ^= 0xFF
    (tmp_path / "out.exr").write_bytes(data)
    with pytest.raises(ImageError, match="damaged"):
        images.check(tmp_path / "out.exr")


def test_not_an_image_missing_folder_and_deep(tmp_path):
    (tmp_path / "text.exr").write_text("hello")
    for path, words in (
        (tmp_path / "text.exr", "not an image"),
        (tmp_path / "no.exr", "no such image"),
        (tmp_path, "folder"),
    ):
        with pytest.raises(ImageError, match=words) as caught:
            images.read(path, frame=12)
        assert "frame 12" in str(caught.value) and caught.value.exit_code == 2
    spec = oiio.ImageSpec(4, 4, 5, "float")
    spec.deep = True
    spec.channelnames = ("R", "G", "B", "A", "Z")
    deep = oiio.DeepData()
    deep.init(16, 5, (oiio.TypeFloat,) * 5, spec.channelnames)
    writer = oiio.ImageOutput.create(str(tmp_path / "deep.exr"))
    assert writer.open(str(tmp_path / "deep.exr"), spec) and writer.write_deep_image(deep) and writer.close()
    with pytest.raises(ImageError, match="deep"):
        images.read(tmp_path / "deep.exr")
    images.check(tmp_path / "deep.exr")


def test_wrong_size_format_and_depth_are_refused_before_writing(tmp_path):
    images.write(tmp_path / "a.exr", noise(4, 5, 3))
    header = images.read(tmp_path / "a.exr").header
    with pytest.raises(ImageError, match="6x4 like a plate of 5x4"):
        images.write(tmp_path / "b.exr", noise(4, 6, 3), like=header)
    with pytest.raises(ImageError, match="cannot hold float"):
        images.write(tmp_path / "b.png", noise(4, 5, 3), bit_depth="float")
    with pytest.raises(ImageError, match="no image format"):
        images.write(tmp_path / "b.xyz", noise(4, 5, 3))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.exr"]


def test_the_input_is_not_modified(tmp_path):
    rgb, alpha = noise(8, 8, 3), noise(8, 8)
    copies = rgb.copy(), alpha.copy()
    images.write(tmp_path / "a.exr", rgb, alpha=alpha)
    assert np.array_equal(rgb, copies[0]) and np.array_equal(alpha, copies[1])


@pytest.mark.parametrize(
    ("code", "expected", "words"),
    [
        (errno.ENOSPC, OutputError, "disk full"),
        (errno.EACCES, NoPermissionError, "no permission"),
        (errno.EROFS, NoPermissionError, "no permission"),
        (errno.EIO, OutputError, "cannot write"),
    ],
)
@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
def test_failures_of_the_file_system_keep_the_old_file(tmp_path, monkeypatch, code, expected, words, call):
    out = tmp_path / "a.exr"
    images.write(out, noise(4, 4, 3))
    before = out.read_bytes()

    def refuse(*_arguments, **_keywords):
        raise OSError(code, os.strerror(code))

    if call == "replace":
        monkeypatch.setattr(Path, "replace", refuse)
    else:
        monkeypatch.setattr(temporaries.os, call, refuse)
    with pytest.raises(expected, match=words) as caught:
        images.write(out, noise(4, 4, 3, seed=1))
    monkeypatch.undo()
    assert type(caught.value) is expected and str(out) in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a.exr"] and out.read_bytes() == before


def test_an_interrupt_removes_the_temporary(tmp_path, monkeypatch):
    def interrupt(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("engine.images.files.check", interrupt)
    with pytest.raises(KeyboardInterrupt):
        images.write(tmp_path / "a.exr", noise(4, 4, 3))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="names are text there")
def test_a_name_that_is_no_text_is_refused(tmp_path):
    """Linux takes any bytes for a name; OpenImageIO takes UTF-8."""
    for name in (os.fsdecode(b"caf\xe9.png"), "a." + os.fsdecode(b"\xff")):
        path = tmp_path / name
        path.write_bytes(b"\x89PNG")
        for act in (images.read, images.read_header, images.read_matte, images.check):
            with pytest.raises(ImageError, match=r"UTF-8.*rename"):
                act(path)
        assert images.read_provenance(path) == {}
        with pytest.raises(ImageError, match=r"UTF-8.*rename"):
            images.write(path, noise(4, 4, 3))
        assert path.read_bytes() == b"\x89PNG"


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(OutputError, match="does not exist"):
        images.write(tmp_path / "no" / "a.exr", noise(4, 4, 3))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(NoPermissionError):
            images.write(tmp_path / "a.exr", noise(4, 4, 3))
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("extension", ["exr", "png", "tif", "jpg", "dpx"])
def test_a_full_disk(tmp_path, extension):
    place = tmp_path / "small"
    place.mkdir()
    mounted = (
        sys.platform == "linux"
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)], capture_output=True, check=False
        ).returncode
    )
    if not mounted:
        pytest.skip("cannot mount a small file system here")
    try:
        with pytest.raises(OutputError, match="disk full"):
            images.write(place / f"a.{extension}", noise(400, 400, 3))
        assert list(place.iterdir()) == []
        images.write(place / f"a.{extension}", noise(20, 20, 3))
        images.check(place / f"a.{extension}")
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_stale_temporaries_are_cleaned_and_live_ones_kept(tmp_path):
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    host = temporaries._host_tag()
    other = "0" * 8 if host != "0" * 8 else "1" * 8
    names = {
        "dead": f".a.0001.{host}-{int(gone.stdout)}-0123abcd.tmp.exr",
        "alive": f".a.0002.{host}-{os.getpid()}-0123abcd.tmp.exr",
        "old": f".a.0003.{host}-{os.getpid()}-0123abcd.tmp.exr",
        "other host": f".a.0004.{other}-{int(gone.stdout)}-0123abcd.tmp.exr",
        "not ours": ".a.0005.tmp.exr",
    }
    for name in names.values():
        (tmp_path / name).write_bytes(b"x")
    os.utime(tmp_path / names["old"], (0, 0))
    removed = images.clean_temporaries(tmp_path)
    assert {path.name for path in removed} == {names["dead"], names["old"]}
    assert {path.name for path in tmp_path.iterdir()} == {names["alive"], names["other host"], names["not ours"]}
    assert images.clean_temporaries(tmp_path / "nowhere") == []


def test_png_header_of_another_file_is_not_trusted(tmp_path):
    """A PNG whose chunk length points beyond the file ends early, whatever libpng makes of it."""
    images.write(tmp_path / "a.png", noise(16, 16, 3))
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[data.index(b"IDAT") - 4 : data.index(b"IDAT")] = struct.pack(">I", 1 << 30)
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ImageError, match="ends early"):
        images.check(tmp_path / "a.png")
