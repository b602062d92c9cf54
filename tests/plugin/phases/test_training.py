"""Training as a phase: what it goes on from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command_line import TRAIN, Cli


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ("none.onnx", "what to go on from is missing (none.onnx); check --from"),
        ("train/checkpoint.safetensors", "what to go on from is missing (train/checkpoint.safetensors); check --from"),
        (
            "notes.txt",
            "training goes on from a look or a checkpoint (notes.txt); name a look (.onnx) or a checkpoint, such as "
            "work/train/checkpoint.safetensors",
        ),
    ],
)
def test_what_training_cannot_go_on_from_is_one_line(cli: Cli, start: str, said: str) -> None:
    assert cli.refused(*TRAIN, "--from", start) == said


def test_a_look_to_go_on_from_is_told_to_training_and_makes_another_look(cli: Cli) -> None:
    assert cli(*TRAIN).code == 0
    first = json.loads((cli.folder / "work" / "trained.json").read_text(encoding="utf-8"))
    job = json.loads((cli.folder / "work" / "job.json").read_text(encoding="utf-8"))
    assert job["start"] is None
    assert cli(*TRAIN, "--from", "hero.onnx").code == 0
    job = json.loads((cli.folder / "work" / "job.json").read_text(encoding="utf-8"))
    assert Path(job["start"]) == cli.folder / "hero.onnx"
    again = json.loads((cli.folder / "work" / "trained.json").read_text(encoding="utf-8"))
    assert again["inputs"] != first["inputs"]
