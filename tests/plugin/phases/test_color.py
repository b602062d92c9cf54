"""Color as it was taken: said once, with the reason, and asked where nothing tells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine import images
from engine.base.frames import FrameRange, SequencePath
from engine.color.config import ColorConfig
from engine.shot.shot import Keyframe, Plate
from plugin.phases.color import say_color, say_reference
from plugin.progress.protocol import NoProgress
from tests.support.color_files import spec_file
from tests.support.pictures import write_exr

PIXELS = np.full((8, 8, 3), 0.3, np.float32)


class Heard(NoProgress):
    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def note(self, text: str, facts: object = None) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def test_plate_painting_and_matte_are_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OCIO", raising=False)
    config = ColorConfig.active()
    for frame, space in ((1, "ACEScg"), (2, "ACEScg"), (3, "lin_rec709")):
        images.write(tmp_path / f"p.{frame:04d}.exr", PIXELS, color=config.claim_for(space))
    images.write(tmp_path / "paint.png", PIXELS, bit_depth="uint8")
    plate = Plate(SequencePath.parse(tmp_path / "p.%04d.exr"), FrameRange((1, 2, 3)))
    painted = Keyframe(1, tmp_path / "paint.png", matte=tmp_path / "paint.png")
    heard = Heard()
    say_color(heard, config, plate, (painted,))
    assert heard.notes[0] == "plate taken as ACEScg: colorInteropID in the file says lin_ap1_scene"
    assert heard.notes[1:] == ["mattes taken as data: coverage has no colorspace"]
    differs, asks = heard.warnings
    assert differs.startswith("frame 3 taken as Linear Rec.709 (sRGB)") and "frame 1 is ACEScg" in differs
    assert asks.startswith("painting of keyframe 1 taken as sRGB") and "is that right?" in asks
    given = Heard()
    asked = Keyframe(1, tmp_path / "paint.png", colorspace="sRGB")
    say_color(given, config, Plate(plate.path, plate.frames, "ACEScg"), (asked,))
    assert given.warnings == [] and given.notes[0] == "plate taken as ACEScg: as asked" and len(given.notes) == 2


def test_frames_that_differ_from_the_first_are_named_once_a_kind(tmp_path: Path) -> None:
    white = np.ones((8, 8), np.float32)
    write_exr(tmp_path / "p.0001.exr", dict.fromkeys("RGB", white))
    for frame in (2, 3):
        write_exr(tmp_path / f"p.{frame:04d}.exr", {f"albedo.{letter}": white for letter in "RGB"})
    heard = Heard()
    say_color(heard, ColorConfig.active(), Plate.of(tmp_path / "p.%04d.exr"))
    assert heard.warnings == [
        "the picture of frame 2 is albedo.R, albedo.G, albedo.B, that of frame 1 is R, G, B; "
        "--layer takes one layer of all frames",
    ]


def test_what_nobody_knows_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken as something, it may be wrong in every pixel: the line names the claim and what to give."""
    monkeypatch.delenv("OCIO", raising=False)
    config = ColorConfig.active()
    spec_file(tmp_path / "p.0001.exr", "half", colorInteropID="ours:lin_house")
    spec_file(tmp_path / "paint.exr", "half", colorspace="our log")
    plate = Plate(SequencePath.parse(tmp_path / "p.%04d.exr"), FrameRange((1,)))
    heard = Heard()
    say_color(heard, config, plate, (Keyframe(1, tmp_path / "paint.exr"),))
    first, second = heard.warnings
    unknown, give = "unknown to the OCIO config", "give --colorspace if it is not ACEScg"
    assert first == f"plate: colorInteropID in the file says ours:lin_house, {unknown}; {give}"
    assert second == (
        f"painting of keyframe 1: colorspace in its metadata says our log, {unknown}; "
        "give --paint-colorspace if it is not ACEScg"
    )
    given = Heard()
    say_color(given, config, Plate(plate.path, plate.frames, "ACEScg"))
    assert given.warnings == []


def test_a_reference_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OCIO", raising=False)
    config, heard = ColorConfig.active(), Heard()
    spec_file(tmp_path / "r.0007.png", "uint8")
    reference = SequencePath.parse(tmp_path / "r.%04d.png")
    spec_file(tmp_path / "plate.0007.png", "uint8")
    plate = Plate(SequencePath.parse(tmp_path / "plate.%04d.png"), FrameRange.parse("7"))
    say_reference(heard, config, plate, reference, None)
    say_reference(heard, config, plate, reference, "ACEScct")
    say_reference(heard, config, plate, SequencePath.parse(tmp_path / "none.%04d.png"), None)
    assert heard.notes == [
        "reference taken as sRGB Encoded Rec.709 (sRGB): sRGB chunk",
        "reference taken as ACEScct: as asked",
    ]
