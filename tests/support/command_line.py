"""The command line run in a small shot: words of its commands, what they left behind, a stand-in for training."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from plugin.cli import main
from plugin.training import process as training_process
from tests.support import SUPPORT, lookfactory
from tests.support.pictures import picture

FAKE = SUPPORT / "fake_training.py"

PLATE = ("--plate", "plate.%04d.png")

KEY = ("--keyframe", "0=painted.0000.png")

RUN = ("run", *PLATE, "--frames", "0-10", *KEY, "--work", "work", "--out", "out.%04d.png")

TRAIN = ("train", *PLATE, "--frames", "0-10", *KEY, "--work", "work", "--look", "new.onnx")

RENDER = ("render", "--look", "hero.onnx", *PLATE, "--frames", "0-10", "--out", "out.%04d.png", "--device", "cpu")


@dataclass
class Said:
    """What one command left behind."""

    code: int
    out: str
    err: str


class Cli:
    """Runs commands in a folder with a small shot: eleven plate frames, a painting, a look."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._capsys = capsys
        monkeypatch.chdir(folder)
        # Training is the fake, which copies the look that stands beside it.
        monkeypatch.setattr(training_process, "COMMAND", (sys.executable, str(FAKE)))
        monkeypatch.setenv("FAKE_TRAINING_LOOK", str(folder / "hero.onnx"))
        for frame in range(11):
            picture(folder / f"plate.{frame:04d}.png", seed=frame)
        picture(folder / "painted.0000.png", seed=100)
        lookfactory.gain(folder / "hero.onnx", 0.5)

    def __call__(self, *words: str) -> Said:
        try:
            code = main(words)
        except SystemExit as left:
            code = int(left.code or 0)
        captured = self._capsys.readouterr()
        return Said(code, captured.out, captured.err)

    def refused(self, *words: str, code: int = 2) -> str:
        """The one line on stderr of a command that must fail with this exit code."""
        said = self(*words, "--progress", "none") if words[0] not in ("inspect", "doctor") else self(*words)
        lines = [line for line in said.err.splitlines() if not line.startswith("paintover: warning: ")]
        assert (said.code, len(lines)) == (code, 1), said
        assert lines[0].startswith("paintover: ") and "Traceback" not in said.err
        return lines[0].removeprefix("paintover: ")
