"""What a look was trained from: the colors of plate and painting, not only their bytes."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from engine.color.config import ColorConfig
from engine.color.keys import export_key
from engine.images.gamuts import GAMUTS
from engine.training.job.job import PaintedFrame, TrainingJob
from plugin.training.record import fingerprint
from tests.support.color_files import spec_file
from tests.support.training_jobs import job


@pytest.fixture
def shot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainingJob:
    monkeypatch.delenv("OCIO", raising=False)
    plate = spec_file(tmp_path / "plate.0000.exr", "half", chromaticities=GAMUTS["rec709"])
    (tmp_path / "keys").mkdir()
    export_key(plate, 0, tmp_path / "keys" / "painted.png", ColorConfig.active(), None)
    keyframes = (PaintedFrame(0, tmp_path / "painted.png", None, None),)
    made = job(tmp_path)
    return msgspec.structs.replace(made, plate=str(tmp_path / "plate.%04d.exr"), frames="0", keyframes=keyframes)


def test_a_sidecar_that_is_put_beside_a_painting_counts(shot: TrainingJob, tmp_path: Path) -> None:
    """The line that asks says to put it there; the next run took the look for current, and the colors stayed wrong."""
    spec_file(tmp_path / "painted.png", "uint8")
    before = fingerprint(shot)
    assert fingerprint(shot) == before
    sidecar = "painted.png.paintover.json"
    shutil.copy(tmp_path / "keys" / sidecar, tmp_path / sidecar)
    assert fingerprint(shot) != before
    (tmp_path / sidecar).unlink()
    assert fingerprint(shot) == before


def test_what_cannot_be_told_is_left_to_the_training(shot: TrainingJob, tmp_path: Path) -> None:
    spec_file(tmp_path / "painted.png", "uint8")
    keyframes = (PaintedFrame(0, tmp_path / "painted.png", None, "nonsense"),)
    other = msgspec.structs.replace(shot, keyframes=keyframes)
    assert fingerprint(other) != fingerprint(shot)
