"""What files say of their color, and what cannot be read as color at all, with the right values."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest

from engine import images
from engine.base.errors import ColorError
from engine.color.assignment import Assignment, assign
from engine.color.config import ColorConfig
from engine.images.gamuts import GAMUTS
from tests.support.color_files import (
    CODES,
    bmp_file,
    cmyk_jpeg,
    display_profile,
    iccp,
    made_profile,
    png_file,
    psd_file,
    spec_file,
    tiff_file,
    with_tag,
)

P3, SRGB, PQ = "sRGB Encoded P3-D65", "sRGB Encoded Rec.709 (sRGB)", "Rec.2100-PQ - Display"


@pytest.fixture(scope="module")
def config() -> ColorConfig:
    return ColorConfig.active("ocio://default")


def taken(config: ColorConfig, path: Path) -> Assignment:
    return assign(config, images.read_header(path), path)


def refusal(config: ColorConfig, path: Path) -> str:
    with pytest.raises(ColorError) as caught:
        taken(config, path)
    assert caught.value.path == path and "--colorspace" in caught.value.remedy and "\n" not in str(caught.value)
    return caught.value.message


def curve(values: np.ndarray) -> bytes:
    """A table of 16 bits as an ICC tag."""
    return b"curv\0\0\0\0" + struct.pack(">I", len(values)) + np.round(values * 65535).astype(">u2").tobytes()


def primaries(name: str) -> bytes:
    return struct.pack(">8I", *(round(value * 1e5) for value in (*GAMUTS[name][6:], *GAMUTS[name][:6])))


def test_png_without_a_gamma_has_primaries_all_the_same(config, tmp_path):
    assert taken(config, png_file(tmp_path / "a.png", (b"cHRM", primaries("p3d65")))).colorspace == P3


def test_png_of_narrow_range_is_refused(config, tmp_path):
    """Its black is 16: taken as it stands, every pixel is wrong by up to 16 codes."""
    path = png_file(tmp_path / "a.png", (b"cICP", bytes([9, 16, 0, 0])))
    assert "narrow range" in refusal(config, path)
    assert assign(config, images.read_header(path), path, "ACEScct").colorspace == "ACEScct"
    assert "matrix" in refusal(config, png_file(tmp_path / "b.png", (b"cICP", bytes([1, 13, 1, 1]))))


def test_primaries_that_are_no_colors(config, tmp_path):
    """Zeros ended in a ZeroDivisionError, one point thrice in a LinAlgError, and NaN in pixels that are none."""
    for values in ((0.0,) * 8, (float("nan"),) * 8, (0.3, 0.3) * 3 + (0.3127, 0.329)):
        found = taken(config, spec_file(tmp_path / "a.exr", "half", chromaticities=values))
        assert (found.colorspace, found.source) == ("ACEScg", "custom")
        assert "no colors" in found.doubt
    found = taken(config, png_file(tmp_path / "a.png", (b"gAMA", struct.pack(">I", 45455)), (b"cHRM", bytes(32))))
    assert found.colorspace == SRGB and "no colors" in found.doubt


def test_what_the_config_does_not_know_is_in_doubt(config, tmp_path):
    found = taken(config, spec_file(tmp_path / "a.exr", "half", colorInteropID="ours:lin_house"))
    assert found.colorspace == "ACEScg"
    assert found.doubt == "colorInteropID in the file says ours:lin_house, unknown to the OCIO config"
    both = spec_file(tmp_path / "b.exr", "half", colorInteropID="ours:x", chromaticities=GAMUTS["rec2020"])
    assert (taken(config, both).colorspace, taken(config, both).doubt) == ("Linear Rec.2020", "")
    log = png_file(tmp_path / "c.png", (b"cICP", bytes([1, 9, 0, 1])))
    assert "transfer 9" in taken(config, log).doubt


def test_claims_that_contradict_each_other(config, tmp_path):
    """The stronger one counts, and the line says what the other one was."""
    path = png_file(tmp_path / "a.png", (b"sRGB", b"\0"), iccp(display_profile("adobergb", "gamma 2.2", "Adobe")))
    found = taken(config, path)
    assert found.colorspace == "Gamma 2.2 Encoded AdobeRGB"
    assert found.why == f"ICC profile Adobe, which comes before sRGB chunk ({SRGB})"
    agreed = png_file(tmp_path / "b.png", (b"sRGB", b"\0"), iccp(display_profile("rec709", "srgb", "sRGB")))
    assert taken(config, agreed).why == "ICC profile sRGB"


@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2])
def test_gray_profiles(config, tmp_path, gamma):
    """Gray scans have "Gray Gamma 2.2" or a dot gain: its curve, in three channels."""
    codes = np.linspace(0, 1, 1024)
    profile = made_profile(b"GRAY", {b"kTRC": curve(codes**gamma)})
    path = png_file(tmp_path / "a.png", iccp(profile), codes=(128,))
    found = taken(config, path)
    assert found.source == "file"
    light = config.to_working(images.read(path).rgb, found.colorspace)[0, 0]
    np.testing.assert_allclose(light, (128 / 255) ** gamma, atol=1e-3)


def test_profiles_that_are_not_read(config, tmp_path):
    """libpng lets none of these through, so that each was sRGB without a word."""
    inks = made_profile(b"CMYK", {b"A2B0": b"mft1" + bytes(60)})
    tables = made_profile(b"RGB ", {b"A2B0": b"mAB " + bytes(60)})
    assert "for CMYK" in refusal(config, png_file(tmp_path / "a.png", iccp(inks)))
    assert "made of tables" in refusal(config, png_file(tmp_path / "b.png", iccp(tables)))
    assert "made of tables" in refusal(config, spec_file(tmp_path / "c.tif", "uint8", ICCProfile=tables))
    assert "damaged" in refusal(config, png_file(tmp_path / "d.png", (b"iCCP", b"x\0\0no stream")))
    short = spec_file(tmp_path / "e.tif", "uint8", ICCProfile=display_profile("p3d65", "srgb")[:300])
    assert "cannot be read" in refusal(config, short)
    assert "paintover-" not in refusal(config, short), "where it was laid for OCIO is nobody's business"


def test_a_profile_with_code_points(config, tmp_path):
    """ICC 4.4: JPEG XL and HDR JPEGs say PQ like this; the curves beside it are for those who do not know it."""
    profile = with_tag(display_profile("rec2020", "gamma 2.2"), b"cicp", b"cicp" + bytes(4) + bytes([9, 16, 0, 1]))
    assert taken(config, spec_file(tmp_path / "a.tif", "uint16", ICCProfile=profile)).colorspace == PQ


def test_pixels_that_are_no_rgb(config, tmp_path):
    """OIIO hands out inks and Lab as if they were RGB."""
    assert refusal(config, cmyk_jpeg(tmp_path / "a.jpg")) == "the picture is CMYK, which is not read"
    assert "CMYK" in refusal(config, psd_file(tmp_path / "a.psd", 4, 4))
    assert "Lab" in refusal(config, tiff_file(tmp_path / "a.tif", 8, bytes((120, 10, 20))))
    assert taken(config, psd_file(tmp_path / "b.psd", 3, 3)).colorspace == SRGB
    assert taken(config, tiff_file(tmp_path / "b.tif", 2, bytes(CODES))).colorspace == SRGB


def test_tiffs_own_tags(config, tmp_path):
    rational = [round(value * 10000) for value in GAMUTS["p3d65"]]
    pairs = [part for value in rational for part in (value, 10000)]
    colors = (319, 5, 6, struct.pack("<12I", *pairs[:12]))
    white = (318, 5, 2, struct.pack("<4I", *pairs[12:]))
    assert taken(config, tiff_file(tmp_path / "a.tif", 2, bytes(CODES), white, colors)).colorspace == P3
    codes = np.linspace(0, 1, 256)

    def transfer(values: np.ndarray) -> tuple[int, int, int, bytes]:
        return 301, 3, 256, np.round(values * 65535).astype("<u2").tobytes()

    path = tiff_file(tmp_path / "b.tif", 2, bytes(CODES), transfer(codes))
    assert taken(config, path).colorspace == "Linear Rec.709 (sRGB)"
    path = tiff_file(tmp_path / "c.tif", 2, bytes(CODES), white, colors, transfer(codes**1.8))
    assert taken(config, path).colorspace == "gamma 1.8, P3-D65"
    path = tiff_file(tmp_path / "d.tif", 2, bytes(CODES), transfer(1 - codes))
    assert "a curve of its own" in taken(config, path).doubt


def test_bmp_and_targa(config, tmp_path):
    profile = display_profile("p3d65", "srgb", "Display P3")
    assert taken(config, bmp_file(tmp_path / "a.bmp", b"DEBM", icc=profile)).colorspace == P3
    assert taken(config, bmp_file(tmp_path / "b.bmp", b"BGRs")).source == "file"
    silent = taken(config, bmp_file(tmp_path / "c.bmp", bytes(4)))
    assert (silent.colorspace, silent.source, silent.doubt) == (SRGB, "custom", ""), "zeros say nothing"
    linear = spec_file(tmp_path / "a.tga", "uint8", oiio__ColorSpace="linear", oiio__Gamma=1.0)
    assert taken(config, linear).colorspace == "Linear Rec.709 (sRGB)"
    common = spec_file(tmp_path / "b.tga", "uint8", oiio__ColorSpace="Gamma2.2", oiio__Gamma=2.2)
    assert taken(config, common).colorspace == SRGB


def test_chromaticities_of_another_part(config, tmp_path):
    """All parts of an EXR share them, and some writers put them into the first only."""
    depth = oiio.ImageSpec(4, 4, 1, "half")
    depth.channelnames = ("Z",)
    depth.attribute("name", "depth")
    depth.attribute("chromaticities", oiio.TypeDesc("float[8]"), GAMUTS["rec709"])
    beauty = oiio.ImageSpec(4, 4, 3, "half")
    beauty.attribute("name", "beauty")
    path = tmp_path / "a.exr"
    writer = oiio.ImageOutput.create(str(path))
    assert writer.open(str(path), (depth, beauty)) and writer.write_image(np.ones((4, 4, 1), np.float32))
    assert writer.open(str(path), beauty, "AppendSubimage") and writer.write_image(np.ones((4, 4, 3), np.float32))
    assert writer.close()
    assert taken(config, path).colorspace == "Linear Rec.709 (sRGB)"


def test_two_profiles_of_tables_are_told_apart(config, tmp_path):
    """Same primaries, same length: OCIO's own cache gave the second one the first one's colors."""
    codes = np.linspace(0, 1, 512)
    for gamma in (1.5, 1.9, 2.1):
        profile = made_profile(b"GRAY", {b"kTRC": curve(codes**gamma)})
        path = png_file(tmp_path / f"{gamma}.png", iccp(profile), codes=(128,))
        light = config.to_working(images.read(path).rgb, taken(config, path).colorspace)[0, 0]
        np.testing.assert_allclose(light, (128 / 255) ** gamma, atol=1e-3)


def test_camera_primaries(config, tmp_path):
    """ARRI Wide Gamut 3 by ARRI's own matrix; REDWideGamutRGB by its primaries: red mixes to red, white to white."""
    arri = (0.6840, 0.3130, 0.2210, 0.8480, 0.0861, -0.1020, 0.3127, 0.3290)
    found = taken(config, spec_file(tmp_path / "a.exr", "half", chromaticities=arri))
    axes = config.to_working(np.eye(3, dtype=np.float32)[None], found.colorspace)
    measured = config.from_working(axes, "lin_rec709")[0].T
    published = [[1.617523, -0.537287, -0.080237], [-0.070573, 1.334613, -0.264039], [-0.021102, -0.226954, 1.248056]]
    np.testing.assert_allclose(measured, published, atol=1e-3)
    red = (0.780308, 0.304253, 0.121595, 1.493994, 0.095612, -0.084589, 0.3127, 0.3290)
    found = taken(config, spec_file(tmp_path / "b.exr", "half", chromaticities=red))
    four = np.concatenate([np.eye(3), np.ones((1, 3))]).astype(np.float32)[None]
    light = config.from_working(config.to_working(four, found.colorspace), "lin_rec709")[0]
    xyz = light @ np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]])
    points = xyz[:, :2] / xyz.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(points.ravel(), red, atol=2e-3)
