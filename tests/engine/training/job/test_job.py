"""The training job: one model, written and read; a job file may hold anything."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from engine.base.errors import InputError
from engine.training.job.job import PaintedFrame, TrainingJob
from engine.training.job.search import Search
from tests.support import ROOT


def job(**changes: Any) -> TrainingJob:
    values: dict[str, Any] = {
        "plate": "/shot/plate.%04d.exr",
        "frames": "1-9",
        "plate_colorspace": None,
        "keyframes": (PaintedFrame(3, Path("/shot/p.png"), Path("/shot/m.png"), "ACEScg"),),
        "work": Path("/shot/work"),
        "look": Path("/shot/work/look.onnx"),
        "budget_s": 60.0,
        "steps": None,
    }
    return TrainingJob(**{**values, **changes})


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    # A file name that is no UTF-8, as Python has it.
    odd = PaintedFrame(5, Path("/shot/\udce4.png"))
    made = job(keyframes=(*job().keyframes, odd), settings={"blocks": 9, "learning_rate": 0.001}, guides="grid")
    made.save(tmp_path / "job.json")
    assert TrainingJob.load(tmp_path / "job.json") == made
    assert [path.name for path in tmp_path.iterdir()] == ["job.json"]
    assert isinstance((TrainingJob.load(tmp_path / "job.json").settings or {})["blocks"], int)


def test_what_a_look_depends_on() -> None:
    first = job()
    same = job(work=Path("/w"), look=Path("/l.onnx"), resume=True, preview=False, threads=3)
    assert first.facts_of_look() == same.facts_of_look()
    assert first.facts_of_look() != replace(first, seed=1).facts_of_look()
    assert first.checkpoint == Path("/shot/work/train/checkpoint.safetensors")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"recipe": "oils"}, "unknown recipe 'oils'; known are paintover, texler2020"),
        ({"recipe": "texler2020", "guides": "grid"}, "the recipe texler2020 takes no guide; drop --guides or --recipe"),
        ({"recipe": "texler2020", "crisp": True}, "takes no crisp strokes; drop --crisp or --recipe"),
        ({"guides": "dots"}, "'dots' is unknown; use gaussian, points, grid"),
        ({"keyframes": ()}, "no keyframe to train from"),
        ({"budget_s": 4.9}, "a budget of 4.9 s is too small to train; give 5 s or more"),
        ({"budget_s": float("nan")}, "a budget of nan s is too small"),
        ({"budget_s": float("inf")}, "a budget of inf s is too large"),
        ({"steps": 5}, "training needs a budget or a number of steps"),
        ({"budget_s": None, "steps": 0}, "0 steps are too few to train"),
        ({"budget_s": None, "steps": 10**400}, "steps is a number of more than 20 digits"),
        ({"seed": -1}, "seed is -1; give a whole number from 0 to 18446744073709551615"),
        ({"plate": "p\0.exr"}, "plate has a zero character"),
    ],
)
def test_it_is_checked_where_it_is_built(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        job(**changes)
    assert said in str(caught.value) and caught.value.exit_code == 2


def hostile(**changes: Any) -> str:
    return json.dumps({**job().facts(), **changes})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (hostile(seed="7"), "Expected `int`, got `str` - at `$.seed`"),
        (hostile(resume=1), "Expected `bool`, got `int` - at `$.resume`"),
        (hostile(budget_s=float("nan")), "a budget of nan s is too small"),
        (hostile(budget_s=10**400), "at `$.budget_s`"),
        (hostile(keyframes=[{"frame": 10**30, "painting": "p"}]), "frame is a number of more than 20 digits"),
        (
            hostile(keyframes=[{"frame": 1.5, "painting": "p"}]),
            "got `float` - at `$.keyframes[0].frame`",
        ),
        (hostile(keyframes=[{"frame": 1, "painting": ["p"]}]), "Expected a path - at `$.keyframes[0].painting`"),
        (hostile(keyframes=[{"frame": 1, "painting": "\0"}]), "painting has a zero character"),
        (hostile(work=None), "Expected a path - at `$.work`"),
        (hostile(settings={"blocks": float("nan")}), "blocks is nan, a whole number of at least 1 is needed"),
        (hostile(colour=1), "unknown field `colour`"),
        (hostile(**{"x" * 5000: 1}), "unknown field"),
        ("{}", "missing required field `plate`"),
        ("null", "Expected `object`, got `null`"),
        ("[" * 100_000, "nested too deeply"),
        ('{"plate": ' * 100_000, "nested too deeply"),
        ("1" * 5000, "4300 digits"),
        ("{", "Expecting property name"),
        ("\xff\xfe", "Expecting value"),
    ],
)
def test_a_job_file_may_hold_anything(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "job.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        TrainingJob.load(path)
    line = str(caught.value)
    assert said in line and str(path) in line and "\n" not in line and len(line) < 600
    assert caught.value.exit_code == 2


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read the training job: No such file or directory \(.*gone\.json"):
        TrainingJob.load(tmp_path / "gone.json")
    (tmp_path / "job.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(InputError, match="cannot read the training job: 'utf-8' codec"):
        TrainingJob.load(tmp_path / "job.json")


def test_a_search_file_is_checked_likewise(tmp_path: Path) -> None:
    path = tmp_path / "search.json"
    Search("ref.%04d.exr", full=True).save(path)
    assert Search.load(path) == Search("ref.%04d.exr", full=True)
    path.write_text('{"reference": 3}')
    with pytest.raises(InputError, match=r"cannot read the search: Expected `str`, got `int` - at `\$\.reference`"):
        Search.load(path)


def test_augmentations_are_of_the_full_frame_recipe() -> None:
    with pytest.raises(InputError, match="the recipe paintover has no augmentations; give --recipe texler2020-full"):
        job(augment="noise")
    with pytest.raises(InputError, match="unknown augmentation 'blur'; known are noise, black-pixels, occlusion"):
        job(recipe="texler2020-fullframe", augment="blur")
    facts = job(recipe="texler2020-fullframe", augment="occlusion").facts_of_look()
    assert facts["augment"] == "occlusion"
    assert "augment" not in job().facts_of_look(), "looks from before there were any stay current"


def test_the_job_needs_no_torch() -> None:
    code = "import sys; import engine.training.job.search; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
