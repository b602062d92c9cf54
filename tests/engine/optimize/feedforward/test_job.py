"""The job of a style look: what is refused, and that a file gives the same job back."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.base.errors import InputError
from engine.optimize.feedforward.job import StyleLookJob
from tests.support.style_shots import style_job


def test_a_file_gives_the_same_job_back(tmp_path: Path) -> None:
    made = style_job(tmp_path, budget_s=60.0, steps=None, color="histogram", steadiness=0.0)
    made.save(tmp_path / "job.json")
    assert StyleLookJob.load(tmp_path / "job.json") == made
    assert made.checkpoint == tmp_path / "work" / "train" / "checkpoint.safetensors"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"styles": ()}, "no style image to train from; give --style IMAGE"),
        ({"frames": "nine"}, "nine"),
        ({"color": "sepia"}, "'sepia' is unknown; use style, luminance, histogram"),
        ({"steps": None}, "training needs a budget or a number of steps"),
        ({"budget_s": 60.0}, "training needs a budget or a number of steps"),
        ({"budget_s": 1.0, "steps": None}, "a training's budget of 1 is out of range; give 5 or more"),
        ({"steps": 0}, "a training's steps of 0 is out of range; give 1 or more"),
        ({"style_scale": 9.0}, "a style scale of 9 is out of range; give 0.1 to 4"),
        ({"strength": float("nan")}, "a strength of nan is out of range"),
        ({"steadiness": -1.0}, "a steadiness of -1 is out of range; give 0 to 10000"),
        ({"seed": -1}, "seed is -1"),
        ({"threads": 0}, "threads is 0; give 1 to 4096"),
        ({"features": "a\0b"}, "features has a zero character"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(InputError) as caught:
        style_job(tmp_path, **changes)
    assert said in str(caught.value)
