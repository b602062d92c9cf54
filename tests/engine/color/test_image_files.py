"""Scene-linear arrays from and to files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio
import pytest

from engine import images
from engine.base.errors import ColorError, ImageError, OutputError
from engine.color.config import ColorConfig
from engine.color.image_files import read_image, write_image

GRAY = np.full((4, 6, 3), 0.18, np.float32)


def light(height: int = 12, width: int = 16) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 40.0, (height, width, 3)).astype(np.float32)


def test_float_files_come_back(tmp_path: Path) -> None:
    for name, depth in (("a.exr", "float"), ("a.tif", "float"), ("b.exr", None)):
        write_image(tmp_path / name, light(), bit_depth=depth)
        # Half floats have eleven bits; a matrix there and back costs some of float32's last ones.
        assert np.abs(read_image(tmp_path / name) - light()).max() <= (40 * 2**-10 if depth is None else 2e-5)


def test_integer_files_are_srgb(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", GRAY, bit_depth="uint8")
    codes = oiio.ImageInput.open(str(tmp_path / "a.png")).read_image("uint8")
    # 0.18 through sRGB's curve is 0.4614, which is 117.6 of 255.
    assert np.unique(codes).tolist() == [118]
    assert np.abs(read_image(tmp_path / "a.png") - 0.18).max() < 1.5e-3


def test_a_colorspace_that_is_said(tmp_path: Path) -> None:
    images.write(tmp_path / "a.exr", GRAY, bit_depth="float")
    assert np.array_equal(read_image(tmp_path / "a.exr", colorspace="raw"), GRAY)
    linear = ColorConfig.active().to_working(GRAY, "sRGB")
    assert np.abs(read_image(tmp_path / "a.exr", colorspace="sRGB") - linear).max() <= 1e-6
    write_image(tmp_path / "b.exr", light(), colorspace="ACEScg", bit_depth="float")
    assert np.abs(read_image(tmp_path / "b.exr", colorspace="ACEScg") - light()).max() <= 2e-5
    ours = read_image(tmp_path / "b.exr", colorspace="ACEScg", working="lin_rec709")
    # From ACEScg's primaries to Rec. 709's, as OpenColorIO has it; values up to 40.
    assert np.abs(ours - ColorConfig.active().from_working(light(), "lin_rec709")).max() <= 5e-5


def test_like_keeps_what_the_plate_has_and_not_its_color(tmp_path: Path) -> None:
    spec = oiio.ImageSpec(6, 4, 4, "half")
    spec.attribute("studio/shot", "ab_0010")
    spec.attribute("chromaticities", "float[8]", (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329))
    spec.full_width, spec.full_height = 8, 8
    writer = oiio.ImageOutput.create("plate.exr")
    assert writer.open(str(tmp_path / "plate.exr"), spec)
    assert writer.write_image(np.full((4, 6, 4), 0.5, np.float32)) and writer.close()
    layer = np.full((4, 6), 0.25, np.float32)
    write_image(tmp_path / "a.exr", GRAY, like=tmp_path / "plate.exr", extra={"paintover.carried": layer})
    found = images.read(tmp_path / "a.exr")
    assert found.header.attributes["studio/shot"] == "ab_0010"
    # Of ACEScg, which it holds, and not the plate's of Rec. 709.
    written = (0.713, 0.293, 0.165, 0.83, 0.128, 0.044, 0.32168, 0.33767)
    assert found.header.attributes["chromaticities"] == pytest.approx(written, abs=1e-6)
    assert found.header.display == (0, 0, 8, 8)
    assert found.alpha is not None and found.alpha.min() == found.alpha.max() == 0.5
    assert np.array_equal(found.header.parts[0].layers["paintover.carried"].astype(np.float32), layer)
    with pytest.raises(ImageError, match="cannot write 16x12 like a plate of 6x4"):
        write_image(tmp_path / "b.exr", light(), like=tmp_path / "plate.exr")


@pytest.mark.parametrize(
    ("rgb", "message"),
    [
        (np.zeros((4, 4)), r"an image is \(H, W, 3\), not \(4, 4\)"),
        (np.zeros((4, 4, 4)), r"an image is \(H, W, 3\), not \(4, 4, 4\)"),
        (np.zeros((4, 4, 3), np.uint8), "the image is uint8, but float32 is needed .* codes are not light"),
    ],
)
def test_arrays_that_are_refused(tmp_path: Path, rgb: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        write_image(tmp_path / "a.exr", rgb)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="there is no such image"):
        read_image(tmp_path / "a.exr")
    with pytest.raises(ColorError, match=r"unknown colorspace 'Rec\.708'"):
        write_image(tmp_path / "a.exr", GRAY, colorspace="Rec.708")
    with pytest.raises(ImageError, match="no image format"):
        write_image(tmp_path / "a.nothing", GRAY)
    with pytest.raises(OutputError):
        write_image(tmp_path / "no" / "a.exr", GRAY)
