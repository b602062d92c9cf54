"""Frames whose plate is taken as another colorspace than before are rendered again, and no others."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import OpenImageIO as oiio
import pytest

from engine import images
from engine.base.errors import VerifyError
from engine.base.frames import FrameRange, SequencePath
from engine.color.config import ColorConfig
from engine.images.gamuts import GAMUTS
from engine.rendering.render import RenderEvent, render, verify
from engine.shot.plate import PlateReader
from engine.shot.shot import Plate
from tests.support import lookfactory
from tests.support.rendering import ON_CPU, outputs

FRAMES = FrameRange.parse("1-2")


def write_plate(folder: Path, kind: str, stated: str | None = None) -> Plate:
    folder.mkdir()
    for frame in FRAMES:
        if kind == "png":
            assert cv2.imwrite(str(folder / f"p.{frame:04d}.png"), np.full((8, 8, 3), 60 + frame, np.uint8))
            continue
        spec = oiio.ImageSpec(8, 8, 3, "half")
        if kind == "exr rec709":
            spec.attribute("chromaticities", oiio.TypeDesc("float[8]"), GAMUTS["rec709"])
        path = str(folder / f"p.{frame:04d}.exr")
        writer = oiio.ImageOutput.create(path)
        assert writer.open(path, spec) and writer.write_image(np.full((8, 8, 3), 0.3, np.float32)) and writer.close()
    suffix = "png" if kind == "png" else "exr"
    return Plate(SequencePath.parse(f"{folder}/p.%04d.{suffix}"), FRAMES, stated)


def changed_fact(path: Path, name: str, value: str | None) -> None:
    """Writes a frame's provenance with another value, or without the fact."""
    facts = {key: text for key, text in images.read_provenance(path).items() if key != name}
    if value is not None:
        facts[name] = value
    image = images.read(path)
    images.write(path, image.rgb, like=image.header, provenance=facts, bit_depth=image.header.bit_depth)


CASES = [
    ("exr that says nothing", None, True),
    ("exr that says nothing", "ACEScg", False),
    ("exr rec709", None, False),
    ("png", None, False),
]
"""What the plate is, the colorspace stated, and whether it is taken as another one than before."""


@pytest.mark.parametrize(("kind", "stated", "again"), CASES)
def test_frames_that_do_not_say_what_their_plate_was(tmp_path, kind, stated, again):
    """Before they did, an EXR without a claim was ACES2065-1 by a rule of the built-in config, which nobody wrote."""
    plate = write_plate(tmp_path / "in", kind, stated)
    out = outputs(tmp_path / "out")
    look = lookfactory.gain(tmp_path / "gain.onnx")
    settings = render(look, plate, out, ON_CPU).settings_hash
    for frame in FRAMES:
        changed_fact(out.path(frame), "plate_colorspace", None)
    if again:
        with pytest.raises(VerifyError, match="foreign 1-2"):
            verify(look, FRAMES, out, ON_CPU, plate=plate)
    else:
        verify(look, FRAMES, out, ON_CPU, plate=plate)
    events: list[RenderEvent] = []
    report = render(look, plate, out, ON_CPU, progress=events.append)
    assert report.settings_hash == settings, "the settings are the same; the plate's color is not"
    assert (sorted(report.done), sorted(report.skipped)) == (([1, 2], []) if again else ([], [1, 2]))
    lines = {event.message for event in events if event.kind == "warning"}
    assert len(lines) == int(again), "one line for all frames"
    assert all("and is ACEScg" in line for line in lines)
    verify(look, FRAMES, out, ON_CPU, plate=plate)


def test_frames_that_say_another_colorspace(tmp_path):
    plate = write_plate(tmp_path / "in", "png")
    out = outputs(tmp_path / "out")
    look = lookfactory.gain(tmp_path / "gain.onnx")
    render(look, plate, out, ON_CPU)
    changed_fact(out.path(2), "plate_colorspace", "Linear Rec.2020")
    with pytest.raises(VerifyError, match="foreign 2"):
        verify(look, FRAMES, out, ON_CPU, plate=plate)
    report = render(look, plate, out, ON_CPU)
    assert (report.done, report.skipped) == ([2], [1])


def test_a_wrong_claim_of_the_plate_is_not_carried_on(tmp_path):
    """Who says that a file lies is believed, and the result says what it holds."""
    plate = write_plate(tmp_path / "in", "exr rec709", "ACEScg")
    out = outputs(tmp_path / "out")
    render(lookfactory.gain(tmp_path / "gain.onnx"), plate, out, ON_CPU)
    claims = images.read_header(out.path(1)).claims
    written = [claim.encoding.gamut for claim in claims if claim.encoding is not None]
    assert written[0] == pytest.approx(GAMUTS["ap1"], abs=1e-4)
    assert images.read_provenance(out.path(1))["plate_colorspace"] == "ACEScg"


@pytest.mark.parametrize(("kind", "stated", "again"), CASES)
def test_what_is_prepared_is_made_again_likewise(tmp_path, kind, stated, again):
    """Denoised frames and guide images are of the plate's colors; their hash is as it was where the color is."""
    config = ColorConfig.active("ocio://default")
    plate = write_plate(tmp_path / "in", kind, stated)
    reader = PlateReader.of(plate, config)
    before = hashlib.sha256(f"what 7 {stated} {config.name} {config.working}".encode()).hexdigest()
    assert (reader.begin_digest("what", 7).hexdigest() != before) == again
