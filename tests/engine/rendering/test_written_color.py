"""What a rendered frame says of its color, and the view that pictures of scene-linear plates are shown through."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest

from engine import images
from engine.base.frames import FrameRange, SequencePath
from engine.color.assignment import assign
from engine.color.config import ColorConfig
from engine.color.showing import Showing
from engine.images.color_claims import claims_of_cicp
from engine.images.gamuts import GAMUTS
from engine.rendering.render import RenderSettings, render
from engine.shot.shot import Plate
from tests.support import lookfactory

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
