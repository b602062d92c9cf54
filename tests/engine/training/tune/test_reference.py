"""Reference frames: what Paintover painted comes back as light, and a sequence of its own is something to tune to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training is not installed")

from engine import images
from engine.base.frames import SequencePath
from engine.color import shaper
from engine.color.config import ColorConfig
from engine.optimize.job import StyleImage
from engine.optimize.sequence.job import SequenceJob
from engine.optimize.sequence.sequence import paint_sequence
from engine.shot.plate import PlateReader
from engine.training.tune.grid import Setting
from engine.training.tune.reference import ReferenceReader
from engine.training.tune.search import Search, run_setting
from tests.support.pictures import picture
from tests.support.procedural import LINEAR, TINY, ProceduralShot
from tests.support.vgg_weights import tiny_vgg


@pytest.mark.slow
def test_settings_are_scored_on_a_sequence(tmp_path: Path) -> None:
    """Painted through a view on scene-linear plates; the left half is left alone, and is the plate's own light."""
    torch.set_num_threads(1)
    shot = ProceduralShot.write(tmp_path, frames=3)
    job = shot.job()
    job.work.mkdir(exist_ok=True)
    picture(tmp_path / "canvas.png", height=40, width=40)
    high, wide = images.read(shot.plate(0)).rgb.shape[:2]
    matte = np.ones((high, wide, 3), np.float32)
    matte[:, : wide // 2] = 0
    for frame in range(3):
        images.write(tmp_path / f"m.{frame}.png", matte, bit_depth="uint8")
    paint_sequence(
        SequenceJob(
            plate=job.plate,
            plate_layer="",
            frames=(0, 1, 2),
            plate_colorspace=LINEAR,
            ocio=None,
            out=str(tmp_path / "look.%04d.png"),
            work=job.work,
            styles=(StyleImage(tmp_path / "canvas.png"),),
            features=str(tiny_vgg(tmp_path / "vgg.safetensors")),
            iterations=3,
            matte=str(tmp_path / "m.%d.png"),
            device="cpu",
            threads=1,
        ),
        lambda event: None,
    )
    reference = SequencePath.parse(tmp_path / "look.%04d.png")
    config = ColorConfig.active(None)
    plate = PlateReader(SequencePath.parse(job.plate), LINEAR, config)
    reader = ReferenceReader(reference, None, plate, config)
    light, own = reader.linear(1), plate.linear(1)
    assert np.array_equal(light[:, : wide // 2], own[:, : wide // 2])
    assert np.abs(shaper.encode(light) - shaper.encode(own))[:, wide // 2 :].mean() > 0.01
    # Taken as another image it would be the codes of an untouched half, through no view.
    assert np.abs(reader._plain.linear(1) - own)[:, : wide // 2].max() > 0.005

    result = run_setting(job, Search(reference=reference.text, grid=None), Setting(2, 64, 1, 1e-3), print, base=TINY)
    from engine.base.frames import FrameRange
    from engine.rendering.render import RenderSettings, render
    from engine.shot.shot import Plate

    out = SequencePath.parse(tmp_path / "again.%04d.exr")
    look = job.work / "tune" / f"{result.setting.name}.onnx"
    render(look, Plate(plate.path, FrameRange((1, 2)), LINEAR), out, RenderSettings(device="cpu", bit_depth="float"))
    errors = [
        np.abs(shaper.encode(images.read(out.path(frame)).rgb) - shaper.encode(reader.linear(frame)))
        for frame in (1, 2)
    ]
    assert result.mae == pytest.approx(float(np.mean(errors)), abs=1e-5)
