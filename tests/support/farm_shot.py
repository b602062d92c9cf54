"""Small shots for the farm's tests: plates, looks, and the command lines that render them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from engine import images
from engine.base.frames import FrameRange, SequencePath
from engine.shot.shot import Plate
from plugin.arguments.options import Options
from tests.support import lookfactory
from tests.support.command_line import Cli

SLOW = (sys.executable, str(Path(__file__).with_name("slow_paintover.py")))
"""Calls ``paintover`` with frames that take their time; see slow_paintover.py."""


@dataclass(frozen=True)
class Shot:
    """Frames 1 to N, and a look that halves them."""

    folder: Path
    plate: Plate
    look: Path
    out: SequencePath

    @property
    def frames(self) -> FrameRange:
        return self.plate.frames

    def options(self, **changes: object) -> Options:
        """Those of ``submit``, with no keyframes: render and verify."""
        options = Options(
            plate=self.plate.path.text,
            frames=str(self.frames),
            look=str(self.look),
            out=self.out.text,
            work=str(self.folder / "work"),
            device="cpu",
            colorspace="scene_linear",
        )
        for name, value in changes.items():
            setattr(options, name, value)
        return options

    def words(self, verb: str, *more: str) -> list[str]:
        """A command line."""
        given = ["--plate", self.plate.path.text, f"--frames={self.frames}", "--colorspace", "scene_linear"]
        given += ["--look", str(self.look), "--out", self.out.text, "--work", str(self.folder / "work")]
        return [verb, *given, *(() if verb == "verify" else ("--device", "cpu")), *more]


def make_shot(folder: Path, *, frames: int, height: int = 24, width: int = 32) -> Shot:
    folder.mkdir(parents=True, exist_ok=True)
    plate = SequencePath.parse(folder / "plate.%04d.exr")
    wanted = FrameRange(tuple(range(1, frames + 1)))
    for frame in wanted:
        images.write(plate.path(frame), np.random.default_rng(frame).random((height, width, 3), dtype=np.float32))
    look = lookfactory.gain(folder / "hero.onnx", 0.5)
    return Shot(folder, Plate(plate, wanted, "scene_linear"), look, SequencePath.parse(folder / "out" / "out.%04d.exr"))


def make_cli(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line in a new folder with a plate, and a look whose one keyframe is frame 0."""
    for name in ("OCIO", "SHOW", "SHOT"):
        monkeypatch.delenv(name, raising=False)
    folder.mkdir(parents=True)
    made = Cli(folder, capsys, monkeypatch)
    key = {**lookfactory.card_for(lookfactory.exemplars_of(1), halo=0, multiple=1)["keyframes"][0], "frame": 0}
    lookfactory.gain(folder / "hero.onnx", 0.5, keyframes=[key])
    return made


def make_program(path: Path) -> str:
    """``paintover`` with a stand-in for training, as a shell script."""
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).with_name("farm_paintover.py")}" "$@"\n')
    path.chmod(0o755)
    return str(path)


def lines_of(path: Path) -> list[str]:
    """The lines of a log that may not be there yet."""
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
