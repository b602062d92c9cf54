"""What every host of Paintover must do, whatever drives it: one suite for adapters, the fake host and the command line.

Subclass :class:`HostContract` and give it a fixture ``subject``. An adapter of :class:`plugin.client.host.Host` needs
no more than :class:`SessionSubject` around it. Training is a fake that takes a moment and hands out a look; the rest
is real.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest

from engine import images
from engine.images.provenance import read_provenance
from plugin.client.command import child_environment
from plugin.client.errors import HostError, RequestCancelled
from plugin.client.host import Host, Session
from plugin.client.job import Job
from tests.support import ROOT, lookfactory
from tests.support.command_line import FAKE
from tests.support.pictures import picture

__all__ = ["FRAMES", "HostContract", "SessionSubject", "Stage", "Subject", "training_length"]

FRAMES = range(4)


def training_length() -> dict[str, Any]:
    """How long a session with real training trains: few steps, or PAINTOVER_SESSION_S seconds as an artist would."""
    seconds = os.environ.get("PAINTOVER_SESSION_S")
    return {"budget_s": float(seconds)} if seconds else {"steps": 3}


class Stage:
    """A folder with a small shot, and a ``paintover`` whose training is the fake one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for frame in FRAMES:
            picture(folder / f"plate.{frame:04d}.png", seed=frame)
        self.set_look(0.5)
        starter = folder / "starter.py"
        starter.write_text(
            "import sys\n"
            "from plugin import cli\nfrom plugin.training import process as training_process\n"
            f"training_process.COMMAND = (sys.executable, {str(FAKE)!r})\n"
            "sys.exit(cli.main())\n"
        )
        self.command = [sys.executable, str(starter)]
        self.environment = {
            **child_environment(),
            "PYTHONPATH": str(ROOT),
            "FAKE_TRAINING_LOOK": str(folder / "trained.onnx"),
        }
        self.job = Job(
            plate=str(folder / "plate.%04d.png"),
            frames=f"{FRAMES[0]}-{FRAMES[-1]}",
            work=str(folder / "work"),
            out=str(folder / "out" / "out.%04d.exr"),
            device="cpu",
            steps=40,
        )

    def set_look(self, gain: float) -> None:
        """What training will hand out."""
        lookfactory.gain(self.folder / "trained.onnx", gain)

    def out(self, frame: int) -> Path:
        """A frame of the result."""
        return Path(str(self.job.out) % frame)


class Subject(Protocol):
    """A host as the suite drives it. Failures are :class:`HostError` with the exit code of the command line."""

    def add_keyframe(self, frame: int) -> Path:
        """Export for painting, and list."""

    def keyframes(self) -> list[int]:
        """What is listed."""

    def train(self, cancel: bool = False) -> Path:
        """Train; cancelled once it has begun, if asked to."""

    def render(self, frames: str | None = None) -> None:
        """Render what is not right yet."""

    def states(self) -> Mapping[int, tuple[str, str]]:
        """For each frame its state and the reason."""

    def close(self) -> None:
        """The artist quits."""


class SessionSubject:
    """A session around any adapter.

    Args:
        host: made for the stage's job; its work folder and output are the stage's.
        cancel_when: tells the host that its artist presses Cancel once this is true.
    """

    def __init__(
        self, stage: Stage, host: Host, cancel_when: Callable[[Callable[[str, float], bool] | None], None]
    ) -> None:
        self.session = Session(host, command=stage.command, environment=stage.environment)
        self._cancel_when = cancel_when

    def add_keyframe(self, frame: int) -> Path:
        return Path(self.session.add_keyframe(frame))

    def keyframes(self) -> list[int]:
        return [keyframe.frame for keyframe in self.session.job().keyframes]

    def train(self, cancel: bool = False) -> Path:
        self._cancel_when((lambda title, fraction: "Training" in title and fraction > 0.05) if cancel else None)
        try:
            return Path(self.session.train())
        finally:
            self._cancel_when(None)

    def render(self, frames: str | None = None) -> None:
        self.session.render(frames)

    def states(self) -> Mapping[int, tuple[str, str]]:
        return {state.frame: (state.state, state.reason) for state in self.session.refresh()}

    def close(self) -> None:
        self.session.close()


class HostContract:
    """The suite."""

    @pytest.fixture
    def stage(self, tmp_path: Path) -> Stage:
        return Stage(tmp_path)

    @pytest.fixture
    def trained(self, stage: Stage, subject: Subject) -> Subject:
        subject.add_keyframe(1)
        subject.train()
        return subject

    def test_a_keyframe_is_exported_listed_and_never_replaced(self, stage: Stage, subject: Subject) -> None:
        painting = subject.add_keyframe(2)
        assert subject.keyframes() == [2]
        exported, plate = images.read(painting).rgb, images.read(Path(stage.job.plate % 2)).rgb
        assert exported.shape == plate.shape
        # A view bends tones and mixes channels a little; it is the same picture still.
        assert np.corrcoef(exported.ravel(), plate.ravel())[0, 1] > 0.95
        picture(painting, seed=50)
        before = painting.read_bytes()
        assert subject.add_keyframe(2) == painting
        assert painting.read_bytes() == before and subject.keyframes() == [2]

    def test_from_keyframe_to_shown_frames(self, stage: Stage, trained: Subject) -> None:
        assert set(trained.states().values()) == {("missing", reason) for _, reason in trained.states().values()}
        trained.render("0-1")
        assert [trained.states()[frame][0] for frame in FRAMES] == ["shown", "shown", "missing", "missing"]
        assert trained.states()[0][1] == "" and "2" in trained.states()[2][1]
        trained.render()
        assert {state for state, _ in trained.states().values()} == {"shown"}
        facts = read_provenance(stage.out(3))
        assert set(facts) >= {"look", "settings", "plate", "stmap", "version"}

    def test_rendering_again_touches_nothing_that_is_right(self, stage: Stage, trained: Subject) -> None:
        trained.render()
        before = {frame: stage.out(frame).stat().st_mtime_ns for frame in FRAMES}
        stage.out(2).unlink()
        trained.render()
        after = {frame: stage.out(frame).stat().st_mtime_ns for frame in FRAMES}
        assert [frame for frame in FRAMES if before[frame] != after[frame]] == [2]

    def test_frames_of_an_earlier_look_are_not_shown(self, stage: Stage, trained: Subject) -> None:
        trained.render()
        stage.set_look(0.25)
        trained.train()
        for state, reason in trained.states().values():
            assert state in ("stale", "foreign") and reason
        trained.render("1")
        assert trained.states()[1][0] == "shown" != trained.states()[0][0]

    def test_frames_of_others_and_damaged_ones_are_not_shown(self, stage: Stage, trained: Subject) -> None:
        trained.render()
        images.write(stage.out(0), np.zeros((24, 32, 3), np.float32))
        data = stage.out(1).read_bytes()
        stage.out(1).write_bytes(data[: len(data) // 2])
        picture(Path(stage.job.plate % 2), seed=60)
        states = trained.states()
        assert states[0][0] == "foreign"
        assert states[1][0] in ("missing", "damaged")
        assert states[2][0] in ("stale", "foreign")
        assert states[3][0] == "shown"
        trained.render()
        assert {state for state, _ in trained.states().values()} == {"shown"}

    def test_one_missing_plate_frame_fails_alone(self, stage: Stage, trained: Subject) -> None:
        Path(stage.job.plate % 2).unlink()
        with pytest.raises(HostError) as caught:
            trained.render()
        assert caught.value.exit_code == 2
        assert "frame 2" in str(caught.value) or "frames failed (2)" in str(caught.value)
        assert [frame for frame in FRAMES if stage.out(frame).is_file()] == [0, 1, 3]

    def test_nothing_trained_and_nothing_painted_are_said(self, stage: Stage, subject: Subject) -> None:
        with pytest.raises(HostError, match="look") as caught:
            subject.render()
        assert caught.value.exit_code == 2 and "\n" not in str(caught.value)
        with pytest.raises(HostError, match="keyframe") as caught:
            subject.train()
        assert caught.value.exit_code == 2

    def test_cancelled_training_says_what_it_left(self, stage: Stage, subject: Subject) -> None:
        stage.environment["FAKE_TRAINING"] = "endless"
        subject.add_keyframe(1)
        with pytest.raises(RequestCancelled) as caught:
            subject.train(cancel=True)
        assert caught.value.exit_code == 130 and "the best look so far is" in str(caught.value)
        assert Path(stage.job.look_path).is_file()
        subject.render("0")
        assert subject.states()[0][0] == "shown"

    def test_settings_are_part_of_what_is_right(self, stage: Stage, trained: Subject) -> None:
        trained.render("0")
        assert read_provenance(stage.out(0))["settings"] == read_provenance(self.by_hand(stage))["settings"]
        assert stage.out(0).read_bytes() == self.by_hand(stage).read_bytes()

    def by_hand(self, stage: Stage) -> Path:
        """The same frame through the command line alone."""
        from plugin.cli import main

        job = replace(stage.job, frames="0", out=str(stage.folder / "by_hand" / "out.%04d.exr"))
        assert main([*job.arguments("render"), "--progress", "none"]) == 0
        return Path(str(job.out) % 0)
