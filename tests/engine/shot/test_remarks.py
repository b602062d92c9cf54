"""What a person is told of a plate: how its files are read, and what its frames will not hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine import images
from engine.base.frames import SequencePath
from engine.shot.plate import plate_sha256
from engine.shot.remarks import losses, plate_remarks
from engine.shot.shot import Plate
from tests.support.pictures import noise, write_exr

OUT = {suffix: SequencePath.parse(f"out.%04d.{suffix}") for suffix in ("exr", "png", "jpg")}


def stereo(folder: Path) -> Plate:
    for frame in (1, 2):
        channels = {
            name: noise(6, 8, seed=i) for i, name in enumerate(("R", "G", "B", "right.R", "right.G", "right.B"))
        }
        write_exr(folder / f"p.{frame:04d}.exr", channels)
    return Plate.of(folder / "p.%04d.exr")


def test_stereo_is_said_with_the_way_to_the_other_view(tmp_path: Path) -> None:
    plate = stereo(tmp_path)
    (line,) = plate_remarks(plate)
    assert "right stays as it is in EXR frames" in line and line.endswith("--layer right takes that view of a plate")
    asked = Plate.of(tmp_path / "p.%04d.exr", layer="right")
    assert "the view right is taken" in plate_remarks(asked)[0] and "--layer" not in plate_remarks(asked)[0]
    assert plate_sha256(asked.path, 1) == f"{plate_sha256(plate.path, 1)}#right"


def test_rounding_to_half_is_said_unless_it_was_asked_for(tmp_path: Path) -> None:
    plate = stereo(tmp_path)
    assert losses(plate, OUT["exr"]) == ("the plate's 32-bit numbers are rounded to half: --depth float keeps them",)
    assert losses(plate, OUT["exr"], "float") == losses(plate, OUT["exr"], "half") == ()
    assert losses(plate, OUT["exr"], for_painting=True) == ()


def test_a_key_is_not_blamed_for_what_its_result_keeps(tmp_path: Path) -> None:
    plate = stereo(tmp_path)
    assert losses(plate, OUT["png"]) == (
        "channels beside the picture are lost in .png frames: right.R, right.G, right.B; write .exr to keep them",
    )
    assert losses(plate, OUT["png"], for_painting=True) == ()
    images.write(tmp_path / "a.0001.exr", np.zeros((6, 8, 3), np.float32), alpha=np.ones((6, 8), np.float32))
    with_alpha = Plate.of(tmp_path / "a.%04d.exr")
    assert "the plate's alpha is lost" in losses(with_alpha, OUT["jpg"], for_painting=True)[0]


def test_sixteen_bits_in_a_format_of_eight_are_said_to_be_rounded(tmp_path: Path) -> None:
    images.write(tmp_path / "w.0001.png", np.zeros((6, 8, 3), np.float32), bit_depth="uint16")
    plate = Plate.of(tmp_path / "w.%04d.png")
    assert losses(plate, OUT["jpg"]) == ("the plate's 16-bit numbers are rounded to 8 bits: .jpg frames have no more",)
    assert losses(plate, OUT["png"]) == losses(plate, OUT["jpg"], for_painting=True) == ()


def test_files_with_other_digits_are_not_left_out_in_silence(tmp_path: Path) -> None:
    for name in ("f.9.png", "f.10.png", "f.11.png"):
        images.write(tmp_path / name, np.zeros((6, 8, 3), np.float32))
    found = Plate.of(tmp_path / "f.%02d.png")
    assert found.frames.frames == (10, 11)
    assert plate_remarks(found) == ("plate: f.9.png is not named like f.10.png, and is left out",)
    assert plate_remarks(Plate.of(tmp_path / "f.%d.png")) == ()
    assert plate_remarks(Plate.of(tmp_path / "f.%02d.png", "11")) == ()


@pytest.mark.parametrize(("orientation", "how"), [(6, "turned"), (2, "mirrored")])
def test_an_image_stored_on_its_side_is_said_to_come_back_upright(tmp_path: Path, orientation: int, how: str) -> None:
    import OpenImageIO as oiio

    spec = oiio.ImageSpec(8, 6, 3, "uint8")
    spec.attribute("Orientation", orientation)
    writer = oiio.ImageOutput.create("a.tif")
    assert writer.open(str(tmp_path / "t.0001.tif"), spec) and writer.write_image(noise(6, 8, 3)) and writer.close()
    (line,) = plate_remarks(Plate.of(tmp_path / "t.%04d.tif"))
    assert line == f"plate: the image is stored {how} (orientation {orientation}): it is taken, and written, upright"
