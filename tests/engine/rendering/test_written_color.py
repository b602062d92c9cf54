"""What a rendered frame says of its color, and the view that pictures of scene-linear plates are shown through."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio
import pytest

from engine import images
from engine.base.frames import FrameRange, SequencePath
from engine.color.assignment import assign
from engine.color.config import ColorConfig
from engine.color.paintings import painting_color
from engine.color.showing import Showing
from engine.images.color_claims import claims_of_cicp
from engine.images.gamuts import GAMUTS
from engine.rendering.render import RenderEvent, RenderSettings, render
from engine.shot.shot import Plate
from tests.support import lookfactory
from tests.support.color_files import bmp_file, display_profile, iccp, made_profile, png_file, spec_file, tiff_file

PIXELS = np.random.default_rng(5).uniform(0.02, 0.9, (12, 16, 3)).astype(np.float32)


@pytest.fixture(autouse=True)
def built_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OCIO", raising=False)


def exr_plate(folder: Path, **attributes: object) -> Plate:
    spec = oiio.ImageSpec(16, 12, 3, "half")
    for name, value in attributes.items():
        kind = oiio.TypeDesc(f"float[{len(value)}]") if isinstance(value, tuple) else None
        spec.attribute(name, kind, value) if kind else spec.attribute(name, value)
    path = folder / "plate.0001.exr"
    writer = oiio.ImageOutput.create(str(path))
    assert writer.open(str(path), spec) and writer.write_image(PIXELS) and writer.close()
    return Plate(SequencePath.parse(folder / "plate.%04d.exr"), FrameRange((1,)))


def rendered(folder: Path, plate: Plate, suffix: str = ".exr", space: str | None = None, **card: object) -> Path:
    look = lookfactory.identity(folder / "i.onnx", **card)
    out = SequencePath.parse(folder / f"out.%04d{suffix}")
    render(look, plate, out, RenderSettings(device="cpu", out_colorspace=space))
    return out.path(1)


def attributes_of(path: Path) -> dict[str, object]:
    return dict(images.read_header(path).attributes)


def test_chromaticities_are_those_of_what_was_written(tmp_path: Path) -> None:
    plate = exr_plate(tmp_path, chromaticities=GAMUTS["rec709"], colorspace="lin_rec709")
    found = attributes_of(rendered(tmp_path, plate, space="ACES2065-1"))
    assert found["chromaticities"] == pytest.approx(GAMUTS["ap0"]) and found["colorInteropID"] == "lin_ap0_scene"
    assert "colorspace" not in found
    kept = attributes_of(rendered(tmp_path, plate))
    assert kept["chromaticities"] == pytest.approx(GAMUTS["rec709"]) and kept["colorspace"] == "lin_rec709"
    log = attributes_of(rendered(tmp_path, plate, space="ACEScct"))
    assert "chromaticities" not in log and log["paintover/colorspace"] == "ACEScct"


def test_an_exr_that_says_nothing_is_the_working_space_and_its_result_says_so(tmp_path: Path) -> None:
    path = rendered(tmp_path, exr_plate(tmp_path))
    config = ColorConfig.active()
    found = assign(config, images.read_header(path), path)
    assert (found.colorspace, found.source) == (config.working, "file")
    assert np.abs(images.read(path).rgb - PIXELS).max() < 2e-3
    facts = images.read_provenance(path)
    assert facts["colorspace"] == facts["plate_colorspace"] == config.working


def test_a_picture_of_a_scene_linear_plate_is_shown_as_its_painter_saw_it(tmp_path: Path) -> None:
    config = ColorConfig.active()
    showing = Showing.default(config)
    plate = exr_plate(tmp_path, chromaticities=GAMUTS["ap1"])
    linear = images.read(plate.path.path(1)).rgb
    wanted = showing.shown(linear, config)
    for suffix in (".png", ".jpg", ".tif"):
        path = rendered(tmp_path, plate, suffix, paint_colorspace=str(showing))
        codes = np.abs(images.read(path).rgb - wanted).max() * 255
        assert codes < (60 if suffix == ".jpg" else 1), suffix
        assert assign(config, images.read_header(path), path).colorspace == config.resolve("sRGB"), suffix
    plain = rendered(tmp_path, plate, ".png", paint_colorspace="sRGB")
    assert np.abs(images.read(plain).rgb - Showing().shown(linear, config)).max() * 255 < 1


def test_a_frame_of_before_is_shown_again(tmp_path: Path) -> None:
    """An older frame of the same look lies there, written without the view."""
    plate = exr_plate(tmp_path, chromaticities=GAMUTS["ap1"])
    showing = Showing.default(ColorConfig.active())
    path = rendered(tmp_path, plate, ".png", paint_colorspace=str(showing))
    facts = images.read_provenance(path)
    shown = images.read(path).rgb
    assert facts.pop("shown") == str(showing)
    images.write(path, np.zeros_like(shown), bit_depth="uint8", provenance=facts)
    rendered(tmp_path, plate, ".png", paint_colorspace=str(showing))
    assert np.array_equal(images.read(path).rgb, shown)


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".png"])
@pytest.mark.parametrize("space", ["srgb_displayp3", "g22_adobergb_scene"])
def test_a_claim_goes_along_into_another_format(tmp_path: Path, suffix: str, space: str) -> None:
    config = ColorConfig.active()
    path = tmp_path / "plate.0001.webp"
    images.write(path, PIXELS, bit_depth="uint8", color=config.claim_for(space))
    plate = Plate(SequencePath.parse(tmp_path / "plate.%04d.webp"), FrameRange((1,)))
    taken = assign(config, images.read_header(path), path)
    assert taken.source == "file" and taken.colorspace == config.resolve(space)
    result = rendered(tmp_path, plate, suffix)
    again = assign(config, images.read_header(result), result)
    assert (again.colorspace, again.source) == (taken.colorspace, "file")


def test_code_points_of_movies() -> None:
    """ITU-T H.273; what is not specified claims nothing."""
    assert claims_of_cicp(2, 2, "tags") == ()
    assert claims_of_cicp(9, 16, "tags")[0].encoding.transfer == "pq"
    assert claims_of_cicp(9, 18, "tags")[0].encoding.transfer == "hlg"
    assert claims_of_cicp(2, 16, "tags")[0].encoding.gamut_name == "rec2020"
    video = claims_of_cicp(1, 1, "tags")[0].encoding
    assert (video.gamut_name, video.transfer) == ("rec709", "bt1886")
    assert claims_of_cicp(6, 6, "tags")[0].encoding.gamut_name == "smpte170m"


def chroma(name: str) -> bytes:
    return struct.pack(">8I", *(round(value * 1e5) for value in (*GAMUTS[name][6:], *GAMUTS[name][:6])))


GRAY = made_profile(b"GRAY", {b"kTRC": b"curv\0\0\0\0" + struct.pack(">IH", 1, round(1.8 * 256))})
RATIONAL = [part for value in GAMUTS["p3d65"] for part in (round(value * 10000), 10000)]


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("a.0001.png", lambda path: png_file(path, (b"cHRM", chroma("p3d65")))),
        ("b.0001.png", lambda path: png_file(path, (b"gAMA", struct.pack(">I", 45455)), (b"cHRM", chroma("rec2020")))),
        ("c.0001.png", lambda path: png_file(path, iccp(GRAY), codes=(128,))),
        ("d.0001.tif", lambda path: spec_file(path, "uint8", (0.5,), ICCProfile=GRAY)),
        (
            "e.0001.tif",
            lambda path: tiff_file(
                path,
                2,
                bytes((60, 200, 90)),
                (318, 5, 2, struct.pack("<4I", *RATIONAL[12:])),
                (319, 5, 6, struct.pack("<12I", *RATIONAL[:12])),
            ),
        ),
    ],
)
def test_claims_that_no_copy_of_the_header_keeps(tmp_path: Path, name: str, make: Any) -> None:
    """The plate's own chunk, tag or gray profile was gone or wrong in the result, which was sRGB for everybody."""
    source = make(tmp_path / name)
    config, plate_image = ColorConfig.active(), images.read(source)
    plate = Plate(SequencePath.parse(str(source).replace("0001", "%04d")), FrameRange((1,)))
    result = images.read(rendered(tmp_path, plate, source.suffix))
    light = []
    for image, path in ((plate_image, source), (result, tmp_path / f"out.0001{source.suffix}")):
        taken = assign(config, image.header, path)
        assert taken.source == "file"
        light.append(config.to_working(image.rgb, taken.colorspace))
    np.testing.assert_allclose(light[1], light[0], atol=3e-3)
    profile = result.header.spec.getattribute("ICCProfile")
    assert profile is None or bytes(bytearray(profile))[16:20] == b"RGB "


def test_a_format_that_cannot_say_it(tmp_path: Path) -> None:
    for frame in (1, 2):
        bmp_file(tmp_path / f"p.{frame:04d}.bmp", b"DEBM", icc=display_profile("p3d65", "srgb", "Display P3"))
    plate = Plate(SequencePath.parse(f"{tmp_path}/p.%04d.bmp"), FrameRange((1, 2)))
    look = lookfactory.identity(tmp_path / "i.onnx")

    def said(suffix: str) -> set[str]:
        events: list[RenderEvent] = []
        out = SequencePath.parse(f"{tmp_path}/out.%04d{suffix}")
        render(look, plate, out, RenderSettings(device="cpu"), progress=events.append)
        return {event.message for event in events if event.kind == "warning" and "cannot say" in event.message}

    remedy = "tell whoever reads them, or write .exr or .png"
    assert said(".bmp") == {f".bmp frames cannot say that they are sRGB Encoded P3-D65; {remedy}"}
    assert said(".png") == said(".tif") == said(".exr") == set()


def test_a_result_that_is_painted_on_goes_back_through_its_view(tmp_path: Path) -> None:
    """The next keyframe is often painted on a rendered frame; it was sRGB without the view, with a question."""
    config = ColorConfig.active()
    showing, plate = Showing.default(config), exr_plate(tmp_path, chromaticities=GAMUTS["ap1"])
    path = rendered(tmp_path, plate, ".png", paint_colorspace=str(showing))
    plate_image, result = images.read(plate.path.path(1)), images.read(path)
    taken = assign(config, plate_image.header, plate.path.path(1))
    color = painting_color(config, result.header, path, None, taken, plate_image.header)
    assert (color.taken.colorspace, color.question) == (str(showing), "")
    again = showing.shown(color.to_working(result, config), config)
    assert np.abs(again - result.rgb).max() * 255 < 1
    # Rendered without the view, as --out-colorspace asks, it is what it says.
    other = rendered(tmp_path, plate, ".tif", "sRGB", paint_colorspace=str(showing))
    color = painting_color(config, images.read_header(other), other, None, taken, plate_image.header)
    assert color.showing is None and color.taken.colorspace == config.resolve("sRGB")
