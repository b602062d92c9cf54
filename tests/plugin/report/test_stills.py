"""Stills of files whose boxes differ from frame to frame: one area for all of them and for their results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest

from engine import images
from engine.base.frames import SequencePath
from engine.color.config import ColorConfig
from plugin.report.stills import Stills

WIDTH, HEIGHT = 32, 20
BOXES = {1: (0, 2, 12, 8), 2: (18, 6, 14, 14)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two EXRs of one format, a white box in each, and their results as EXR and as PNG."""
    for frame, (left, top, width, height) in BOXES.items():
        spec = oiio.ImageSpec(width, height, 3, "half")
        spec.x, spec.y = left, top
        spec.full_x, spec.full_y, spec.full_width, spec.full_height = 0, 0, WIDTH, HEIGHT
        path = tmp_path / f"p.{frame:04d}.exr"
        writer = oiio.ImageOutput.create("a.exr")
        assert writer.open(str(path), spec)
        assert writer.write_image(np.ones((height, width, 3), np.float32)) and writer.close()
        read = images.read(path)
        carried = {"paintover.carried": np.ones((height, width), np.float32)}
        images.write(tmp_path / f"o.{frame:04d}.exr", read.rgb, like=read.header, extra=carried)
        images.write(tmp_path / f"o.{frame:04d}.png", read.rgb, like=read.header)
    return tmp_path


@pytest.mark.parametrize("suffix", ["exr", "png"])
def test_all_frames_and_results_show_one_area(folder: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OCIO", raising=False)
    plate, config = SequencePath.parse(folder / "p.%04d.exr"), ColorConfig.active()
    plates = Stills(plate, None, config, 400)
    results = Stills(SequencePath.parse(folder / f"o.%04d.{suffix}"), None, config, 400, plate=plate)
    for frame, (left, top, width, height) in BOXES.items():
        box = np.zeros((HEIGHT, WIDTH), bool)
        box[top : top + height, left : left + width] = True
        for still in (plates(frame), results(frame)):
            assert still.size == (HEIGHT, WIDTH)
            np.testing.assert_array_equal(still.rgb.max(axis=2) > 0, box)
        if suffix == "exr":
            np.testing.assert_array_equal(results(frame).carried, box)


def test_a_result_of_another_size_is_shown_as_it_is(folder: Path) -> None:
    images.write(folder / "s.0001.png", np.ones((10, 16, 3), np.float32))
    config, plate = ColorConfig.active(), SequencePath.parse(folder / "p.%04d.exr")
    still = Stills(SequencePath.parse(folder / "s.%04d.png"), None, config, 400, plate=plate)(1)
    assert still.size == (10, 16) and still.rgb.shape == (10, 16, 3)
