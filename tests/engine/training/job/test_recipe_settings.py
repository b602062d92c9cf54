"""Recipe settings from a file: what is checked, and what a training job takes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from engine.base.errors import InputError
from engine.training.job.recipe_settings import checked_settings, read_settings


def test_the_trainer_checks_and_uses_them(tmp_path: Path) -> None:
    from engine.training.job.job import PaintedFrame, Settings, TrainingJob

    changed = asdict(Settings().with_values({"patch": 128, "blocks": 9}))
    assert changed == {**asdict(Settings()), "crop": 128, "blocks": 9}
    with pytest.raises(InputError, match="blocks is 0"):
        Settings().with_values({"blocks": 0})
    key = PaintedFrame(0, tmp_path / "p.png", None, None)

    def job(settings: dict[str, float], recipe: str = "paintover") -> TrainingJob:
        return TrainingJob(
            plate="p.%04d.png", frames="0", plate_colorspace=None, keyframes=(key,), work=tmp_path,
            look=tmp_path / "a.onnx", budget_s=None, steps=1, recipe=recipe, settings=settings,
        )  # fmt: skip

    assert job({"blocks": 9}).settings == {"blocks": 9}
    with pytest.raises(InputError, match="unknown parameter crop"):
        job({"crop": 128})
    with pytest.raises(InputError, match="takes no settings"):
        job({"blocks": 9}, "texler2020")


def test_a_file_may_name_some(tmp_path: Path) -> None:
    path = tmp_path / "best.toml"
    path.write_text("blocks = 9")
    assert read_settings(path) == {"blocks": 9} == checked_settings({"blocks": 9.0})
    assert isinstance(checked_settings({"blocks": 9.0})["blocks"], int)
