"""One STMap from and to a file, by Nuke's convention."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest

from engine.base.errors import ImageError
from engine.motion.stmap import read_sidecars, read_stmap, sidecar_path, stmap_to_flow, write_stmap


def still(height: int = 4, width: int = 8) -> np.ndarray:
    """The map by which nothing moves, as docs/api.md makes it."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.dstack([(columns + 0.5) / width, 1 - (rows + 0.5) / height, np.ones((height, width))])


def test_the_convention(tmp_path: Path) -> None:
    write_stmap(tmp_path / "new" / "a.exr", still())
    source = oiio.ImageInput.open(str(tmp_path / "new" / "a.exr"))
    pixels, names = source.read_image("float"), list(source.spec().channelnames)
    assert (names, str(source.spec().format)) == (["R", "G", "B", "A"], "float")
    # The upper left pixel: half a pixel from the left, half a pixel from the top, counted from below.
    assert pixels[0, 0].tolist() == [0.0625, 0.875, 0.0, 1.0]
    assert pixels[3, 7].tolist() == [0.9375, 0.125, 0.0, 1.0]
    found = read_stmap(tmp_path / "new" / "a.exr")
    assert found.dtype == np.float32 and np.array_equal(found, still().astype(np.float32))
    assert np.abs(stmap_to_flow(found[..., 0], found[..., 1], 4, 8)).max() <= 1e-6


def test_it_is_what_rendering_reads(tmp_path: Path) -> None:
    path = sidecar_path(tmp_path, 1001, 7)
    stmap = still()
    stmap[0, 0] = 0.25, np.nan, 1.0
    stmap[1, 1, 2] = 1.5
    write_stmap(path, stmap)
    found = read_stmap(path)
    assert np.array_equal(found, read_sidecars([path], 4, 8, frame=7))
    assert found[0, 0].tolist() == [0.0, 0.0, 0.0] and found[1, 1, 2] == 1.0


def test_a_map_without_confidence_is_sure_inside(tmp_path: Path) -> None:
    spec = oiio.ImageSpec(8, 4, 2, "float")
    spec.channelnames = ("u", "v")
    pixels = still()[..., :2].astype(np.float32)
    pixels[2, 3] = 1.5, 0.5
    writer = oiio.ImageOutput.create("a.exr")
    assert writer.open(str(tmp_path / "a.exr"), spec) and writer.write_image(pixels) and writer.close()
    confidence = read_stmap(tmp_path / "a.exr")[..., 2]
    assert confidence[2, 3] == 0 and confidence.sum() == 31


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="there is no such STMap"):
        read_stmap(tmp_path / "a.exr")
    (tmp_path / "b.exr").write_bytes(b"nothing")
    with pytest.raises(ImageError, match="not an image"):
        read_stmap(tmp_path / "b.exr")
    with pytest.raises(ImageError, match=r"an STMap of one keyframe is \(H, W, 3\), not \(4, 8, 2\)"):
        write_stmap(tmp_path / "a.exr", still()[..., :2])
    with pytest.raises(ImageError, match="an STMap is written as float EXR"):
        write_stmap(tmp_path / "a.png", still())
