"""The contract of hosts, for the fake host and for the command line, and what only a session can show."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine import images
from engine.base.frames import FrameRange
from engine.color.config import ColorConfig
from plugin.client.errors import CommandMissing, HostError, RequestCancelled, RequestFailed, WorkerCrashed
from plugin.client.fake_host import FakeHost
from plugin.client.host import Session
from plugin.client.job import Job, JobKeyframe
from plugin.client.verb_process import VerbProcess
from tests.support import ROOT
from tests.support.host_contract import FRAMES, HostContract, SessionSubject, Stage, Subject, training_length
from tests.support.pictures import picture
from tests.support.signals import posix

pytestmark = pytest.mark.host


def never(title: str, fraction: float) -> bool:
    return False


def faked(stage: Stage) -> tuple[FakeHost, SessionSubject]:
    host = FakeHost(stage.job)

    def cancel_when(rule: Callable[[str, float], bool] | None) -> None:
        host.stop_when = rule or never

    return host, SessionSubject(stage, host, cancel_when)


class TestFakeHost(HostContract):
    """A session around the fake host."""

    @pytest.fixture
    def subject(self, stage: Stage) -> Iterator[Subject]:
        _, subject = faked(stage)
        yield subject
        subject.close()


class CommandLine:
    """The command line as a host: one process a verb, states from ``paintover verify``."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._job = stage.job

    def add_keyframe(self, frame: int) -> Path:
        pattern = self._stage.folder / "work" / "paint" / "%04d.png"
        path = Path(str(pattern) % frame)
        if not path.exists():
            self._run(replace(self._job, frames=str(frame), out=str(pattern)).arguments("key"))
        if frame not in self.keyframes():
            self._job = replace(self._job, keyframes=(*self._job.keyframes, JobKeyframe(frame, str(path))))
        return path

    def keyframes(self) -> list[int]:
        return [keyframe.frame for keyframe in self._job.keyframes]

    def train(self, cancel: bool = False) -> Path:
        self._run(self._job.arguments("train"), cancel_at=0.05 if cancel else 2.0)
        return Path(self._job.look_path)

    def render(self, frames: str | None = None) -> None:
        self._run(replace(self._job, frames=frames or self._job.frames).arguments("render"))

    def states(self) -> Mapping[int, tuple[str, str]]:
        try:
            self._run(self._job.arguments("verify"))
        except RequestFailed as error:
            if error.exit_code != 3:
                raise
            said = str(error)
        else:
            said = ""
        found = {frame: ("shown", "") for frame in FRAMES}
        for state, frames in re.findall(r"(missing|damaged|foreign) ([\d,-]+)", said):
            for frame in FrameRange.parse(frames):
                found[frame] = (state, f"{state} {frame}: {said}")
        return found

    def close(self) -> None:
        """Nothing stays."""

    def _run(self, arguments: Sequence[str], cancel_at: float = 2.0) -> None:
        process = VerbProcess(arguments, self._stage.command, self._stage.environment)
        while not (status := process.poll()).finished:
            if status.fraction >= cancel_at and not process.asked:
                process.cancel()
            time.sleep(0.02)
        process.check()


class TestCommandLine(HostContract):
    """The same without a session."""

    @pytest.fixture
    def subject(self, stage: Stage) -> Subject:
        return CommandLine(stage)


# What only a session can show


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


@pytest.fixture
def played(stage: Stage) -> Iterator[tuple[FakeHost, Session]]:
    host, subject = faked(stage)
    yield host, subject.session
    subject.close()


def test_the_viewer_holds_what_is_right_and_says_the_rest(stage: Stage, played: tuple[FakeHost, Session]) -> None:
    host, session = played
    host.frame = 3
    assert session.add_keyframe() == str(stage.folder / "work" / "paint" / "0003.png")
    assert host.messages == [("info", f"paint on {stage.folder / 'work' / 'paint' / '0003.png'}")]
    session.train()
    ours = ("Training look.onnx", "Exporting look.onnx")
    fractions = [fraction for title, fraction, _ in host.progress if title.startswith(ours)]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert any("loss" in text and "steps/s" in text for _, _, text in host.progress)
    session.render("0-2")
    assert host.viewer == {frame: str(stage.out(frame)) for frame in range(3)}
    picture(stage.folder / "plate.0001.png", seed=9)
    stage.out(2).unlink()
    assert session.result_state(1).reason == "the plate's frame 1 changed after it was rendered"
    session.refresh()
    assert set(host.viewer) == {0}
    assert host.reasons == {
        1: "the plate's frame 1 changed after it was rendered",
        2: "frame 2 is not rendered yet",
        3: "frame 3 is not rendered yet",
    }
    assert session.job().host == "FakeHost"


def test_frames_are_painted_under_the_viewer_s_view(stage: Stage, played: tuple[FakeHost, Session]) -> None:
    host, session = played
    shown = [images.read(Path(session.add_keyframe(0))).rgb]
    host.view = (None, "Un-tone-mapped")
    shown.append(images.read(Path(session.add_keyframe(1))).rgb)
    host.view = (None, ColorConfig.active().default_display_view()[1])
    shown.append(images.read(Path(session.add_keyframe(2))).rgb)
    plates = [images.read(Path(stage.job.plate % frame)).rgb for frame in (0, 1, 2)]
    # A display-referred frame comes out as it is, and without a tone curve too; a view that is asked for bends it.
    errors = [float(np.abs(a - b).max()) for a, b in zip(shown, plates, strict=True)]
    assert max(errors[:2]) < 0.01 < 0.1 < errors[2]
    host.view = (None, "no such view")
    assert session.guarded(lambda: session.add_keyframe(3)) is None
    assert host.messages[-1][0] == "error" and "no such view" in host.messages[-1][1]
    assert [keyframe.frame for keyframe in host.knobs.keyframes] == [0, 1, 2]


def test_training_polled_by_a_host_that_goes_on(stage: Stage, played: tuple[FakeHost, Session]) -> None:
    _, session = played
    session.add_keyframe(0)
    process = session.begin_training()
    status = session.poll(process)
    assert not status.finished
    while not status.finished:
        time.sleep(0.02)
        status = session.poll(process, status)
    assert process.check().exit_code == 0 and status.fraction == 1.0
    assert Path(stage.job.look_path).is_file()


def test_a_cancelled_render_keeps_what_is_done(stage: Stage, played: tuple[FakeHost, Session]) -> None:
    from tests.support import lookfactory

    host, session = played
    lookfactory.network(stage.folder / "work.onnx")
    for frame in FRAMES:
        picture(stage.folder / f"plate.{frame:04d}.png", seed=frame, height=700, width=700)
    host.knobs = replace(host.knobs, look=str(stage.folder / "work.onnx"))
    host.stop_when = lambda title, fraction: fraction > 0
    assert session.guarded(session.render) is None
    assert host.messages[-1][0] == "info" and "stopped with" in host.messages[-1][1]
    assert 0 < len(host.viewer) < len(FRAMES)
    host.stop_when = never
    session.render()
    assert set(host.viewer) == set(FRAMES)


def test_errors_are_one_line_on_the_host(stage: Stage, played: tuple[FakeHost, Session]) -> None:
    host, session = played
    assert session.guarded(session.render) is None
    assert host.messages[-1][0] == "error" and "cannot read the look" in host.messages[-1][1]
    host.knobs = replace(host.knobs, out=None)
    assert session.guarded(session.refresh) is None
    assert "names no output" in host.messages[-1][1]
    stage.environment["FAKE_TRAINING"] = "error"
    session.add_keyframe(0)
    assert session.guarded(session.train) is None
    assert host.messages[-1] == ("error", "frame 0: empty matte (m.png); paint some of it")
    nowhere = Session(host, command=[str(stage.folder / "nothing")])
    assert nowhere.guarded(nowhere.train) is None
    assert host.messages[-1][1].startswith(str(stage.folder / "nothing"))
    with pytest.raises(CommandMissing):
        nowhere.render()
    with pytest.raises(HostError):
        session.add_keyframe(99)


@posix
def test_a_crash_is_said_once_and_the_render_ends_well(stage: Stage, played: tuple[FakeHost, Session]) -> None:
    host, session = played
    session.add_keyframe(0)
    session.train()
    session.render("0")
    pid = session.worker.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    session.render()
    assert set(host.viewer) == set(FRAMES)
    assert [text for level, text in host.messages if level == "warning"] == [
        "the worker ended by itself (signal 9); it is started anew"
    ]


def test_a_worker_that_cannot_live_is_said(stage: Stage) -> None:
    host = FakeHost(replace(stage.job, look=str(stage.folder / "trained.onnx")))
    with Session(host, command=[sys.executable, "-c", "import sys; sys.exit('no room')"]) as session:
        with pytest.raises(WorkerCrashed, match="no room"):
            session.render()
        assert session.worker.starts == 2


def test_a_cancelled_verb_that_does_not_listen_is_killed(stage: Stage) -> None:
    script = stage.folder / "deaf.py"
    script.write_text(
        "import signal, time\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        """print('{"event": "phase", "title": "deaf"}', flush=True)\n"""
        "time.sleep(600)\n"
    )
    process = VerbProcess(["train"], [sys.executable, str(script)])
    deadline = time.monotonic() + 60
    while process.poll().title != "deaf":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.cancel()
    time.sleep(0.2)
    assert not process.poll().finished
    process.cancel()
    deadline = time.monotonic() + 60
    while not process.poll().finished and time.monotonic() < deadline:
        time.sleep(0.02)
    with pytest.raises(RequestCancelled):
        process.check()


# The whole way, with real training


@pytest.mark.slow
def test_add_a_keyframe_train_render_refresh(tmp_path: Path) -> None:
    """Nothing is faked but the host: a plate that moves, a painter who darkens it, seconds of training."""
    pytest.importorskip("torch", reason="training is not installed")
    from tests.support.procedural import plate

    for frame in range(3):
        images.write(tmp_path / f"plate.{frame:04d}.exr", plate(96, 128, shift=3 * frame), bit_depth="half")
    host = FakeHost(
        Job(
            plate=str(tmp_path / "plate.%04d.exr"),
            frames="0-2",
            work=str(tmp_path / "work"),
            out=str(tmp_path / "out" / "out.%04d.exr"),
            **training_length(),
            device="cpu",
            carried=True,
        ),
        frame=1,
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with Session(host, command=[sys.executable, "-m", "plugin"], environment=environment) as session:
        painting = Path(session.add_keyframe())
        painted = images.read(painting)
        images.write(painting, painted.rgb * np.array([0.4, 0.9, 1.0], np.float32), bit_depth="uint16")
        session.prepare()
        session.train()
        states = session.render()
        assert [state.state for state in states] == ["shown"] * 3
        assert host.previews and Path(host.previews[-1]).is_file()
        result, source = (images.read(tmp_path / name).rgb for name in ("out/out.0001.exr", "plate.0001.exr"))
        red = float(result[..., 0].mean() / source[..., 0].mean())
        blue = float(result[..., 2].mean() / source[..., 2].mean())
        assert red < 0.5 < 0.8 < blue
        assert not [text for level, text in host.messages if level != "info"]
        images.write(painting, painted.rgb, bit_depth="uint16")
        session.train()
        assert {state.state for state in session.refresh()} == {"stale"} and host.viewer == {}
        session.render("2")
        assert set(host.viewer) == {2}
