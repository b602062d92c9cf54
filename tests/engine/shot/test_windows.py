"""One area for all frames of a plate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest

from engine import images
from engine.base.frames import FrameRange, SequencePath
from engine.color.config import ColorConfig
from engine.shot.paintings import painted_coverage
from engine.shot.plate import PlateReader
from engine.shot.shot import Keyframe, Plate
from engine.shot.windows import window_of

Box = tuple[int, int, int, int]


def exr(path: Path, box: Box, display: Box, value: float, channels: int = 3) -> Path:
    spec = oiio.ImageSpec(box[2], box[3], channels, "half")
    spec.x, spec.y, spec.full_x, spec.full_y, spec.full_width, spec.full_height = *box[:2], *display
    writer = oiio.ImageOutput.create(str(path))
    assert writer.open(str(path), spec)
    assert writer.write_image(np.full((box[3], box[2], channels), value, np.float32))
    assert writer.close()
    return path


@pytest.mark.parametrize(
    ("boxes", "window"),
    [
        ([(1, 1, 4, 4), (1, 1, 4, 4)], (1, 1, 4, 4)),
        ([(1, 1, 4, 4), (2, 0, 5, 3)], (0, 0, 10, 8)),
        ([(-2, 1, 4, 4), (2, -1, 10, 12)], (-2, -1, 14, 12)),
    ],
)
def test_the_window_is_that_of_all_frames(tmp_path: Path, boxes: list[Box], window: Box) -> None:
    for number, box in enumerate(boxes):
        exr(tmp_path / f"p.{number}.exr", box, (0, 0, 10, 8), 0.5 + number)
    plate = SequencePath.parse(tmp_path / "p.%d.exr")
    reader = PlateReader(plate, None, ColorConfig.active())
    for number, box in enumerate(boxes):
        assert window_of(plate, images.read_header(plate.path(number))) == window
        found = reader.read(number)
        assert found.rgb.shape == (window[3], window[2], 3)
        assert float(found.rgb.sum()) == pytest.approx(box[2] * box[3] * 3 * (0.5 + number))
        y, x = box[1] - window[1], box[0] - window[0]
        assert found.rgb[y, x, 0] == 0.5 + number
        assert np.array_equal(found.own(found.rgb), found.image.rgb)


def test_a_matte_lies_where_its_windows_say(tmp_path: Path) -> None:
    exr(tmp_path / "p.1.exr", (2, 2, 6, 4), (0, 0, 10, 8), 0.5)
    matte = exr(tmp_path / "m.exr", (4, 3, 10, 2), (0, 0, 10, 8), 1.0)
    images.write(tmp_path / "paint.png", np.ones((8, 10, 3), np.float32))
    plate = Plate(SequencePath.parse(tmp_path / "p.%d.exr"), FrameRange((1,)), None)
    coverage = painted_coverage(Keyframe(1, tmp_path / "paint.png", matte), plate)
    assert coverage is not None and coverage.shape == (4, 6)
    assert coverage.sum() == 8 and coverage[1:3, 2:].min() == 1
