"""Training as a process: what it is told, what is read back, and how it is stopped. A fake stands in for it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import psutil
import pytest

from engine.base.errors import InputError, Interrupted
from plugin.progress import child as child_process
from plugin.progress.child import ChildFailed
from plugin.progress.protocol import NoProgress
from plugin.progress.stop import StopRequest
from plugin.training import process as training_process
from plugin.training.process import train
from tests.support import ROOT, SUPPORT
from tests.support.signals import posix
from tests.support.training_jobs import job

FAKE = SUPPORT / "fake_training.py"


def leave_checkpoint(work: Path) -> None:
    """Where training puts it; elsewhere it is none."""
    (work / "train").mkdir()
    (work / "train" / "checkpoint.safetensors").touch()


class Recorder(NoProgress):
    """Keeps what a verb reported."""

    def __init__(self) -> None:
        self.updates: list[tuple[float, str, dict[str, object]]] = []
        self.warnings: list[str] = []
        self.phases: list[str] = []

    def begin(self, name: str) -> None:
        self.phases.append(name)

    def update(self, fraction: float, text: str = "", facts: object = None) -> None:
        assert isinstance(facts, dict) or facts is None
        self.updates.append((fraction, text, facts or {}))

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(training_process, "COMMAND", (sys.executable, str(FAKE)))
    return monkeypatch


def test_a_training_to_its_end(fake: pytest.MonkeyPatch, tmp_path: Path) -> None:
    progress = Recorder()
    look = train(job(tmp_path), progress, StopRequest())
    assert (look.look, look.steps, look.check_error) == (tmp_path / "hero.onnx", 40, 1e-5)
    fractions = [fraction for fraction, _, _ in progress.updates]
    steps = fractions[:-2]
    assert steps == sorted(steps) and steps[-1] == 1.0
    # The export is a phase of its own, in which no step counts.
    assert progress.phases == ["export"] and fractions[-2:] == [0.5, 1.0]
    assert progress.updates[9][1] == "loss 0.1000, 100.0 steps/s, 1 s left"
    assert progress.updates[9][2]["steps_per_s"] == 100.0
    assert progress.updates[-2][1:] == ("", {**progress.updates[-3][2], "preview": "preview.png"})
    told = json.loads((tmp_path / "job.json").read_text(encoding="utf-8"))
    assert told["keyframes"] == [
        {"frame": 0, "painting": str(tmp_path / "painted.png"), "matte": None, "colorspace": "sRGB - Texture"}
    ]
    assert (told["seed"], told["budget_s"], told["steps"], told["preview"]) == (7, 60.0, None, True)


def test_stray_output_and_warnings(fake: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake.setenv("FAKE_TRAINING", "noisy")
    progress = Recorder()
    assert train(job(tmp_path), progress, StopRequest()).steps == 40
    assert progress.warnings == ["features are missing\nRuntimeError: losses work without them"]


def test_an_error_keeps_its_message_and_exit_code(fake: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake.setenv("FAKE_TRAINING", "error")
    with pytest.raises(ChildFailed) as caught:
        train(job(tmp_path), Recorder(), StopRequest())
    assert str(caught.value) == "frame 0: empty matte (m.png); paint some of it"
    assert (caught.value.exit_code, caught.value.frame, caught.value.path) == (2, 0, Path("m.png"))


def test_a_crash_tells_its_last_words(fake: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake.setenv("FAKE_TRAINING", "crash")
    with pytest.raises(ChildFailed) as caught:
        train(job(tmp_path), Recorder(), StopRequest())
    assert caught.value.exit_code == 1
    assert str(caught.value) == (
        "the training process ended with code 1: RuntimeError: out of luck; run again with --debug for the whole story"
    )


@posix
def test_a_killed_training_suggests_memory(fake: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake.setenv("FAKE_TRAINING", "killed")
    with pytest.raises(ChildFailed, match="was ended by signal 9; if memory ran out") as caught:
        train(job(tmp_path), Recorder(), StopRequest())
    assert caught.value.exit_code == 1


def test_a_command_that_cannot_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(training_process, "COMMAND", (str(tmp_path / "nothing"),))
    with pytest.raises(ChildFailed, match="could not be started"):
        train(job(tmp_path), Recorder(), StopRequest())


def test_without_torch_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_process, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=re.escape('pip install "paintover[train]"')) as caught:
        training_process.require_training()
    assert caught.value.exit_code == 2


DRIVER = textwrap.dedent(
    """
    import sys
    sys.path.insert(0, {root!r})
    from plugin import cli
    from plugin.training import process as training_process
    from plugin.arguments.commands import COMMANDS
    from plugin.arguments.parser import Parser
    from plugin.progress.protocol import Phase
    from tests.support.training_jobs import job
    from pathlib import Path
    training_process.COMMAND = (sys.executable, {fake!r})

    class Fake:
        def parser(self):
            return Parser(COMMANDS["train"])
        def run(self, options, progress, stop):
            progress.plan([Phase("train", "Training"), Phase("export", "Exporting")])
            progress.begin("train")
            training_process.train(job(Path({folder!r})), progress, stop)
            return 0

    cli._verb = lambda name: Fake()
    sys.exit(cli.main(["train", "--progress", "lines"]))
    """
)


class Driven:
    """A command line whose training is the fake, in a process of its own."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.log = folder / "signals"
        text = DRIVER.format(root=str(ROOT), fake=str(FAKE), folder=str(folder))
        self.process = subprocess.Popen(
            [sys.executable, "-c", text],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "FAKE_TRAINING_LOG": str(self.log), **environment},
            start_new_session=True,
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line == "Progress: 10%\n":
                break

    def end(self, limit_s: float) -> tuple[int, str, float]:
        """Exit code, stderr, and the seconds it took from now."""
        started_s = time.monotonic()
        _, stderr = self.process.communicate(timeout=limit_s)
        return self.process.returncode, stderr, time.monotonic() - started_s

    @property
    def signals(self) -> list[int]:
        return [int(line) for line in self.log.read_text(encoding="utf-8").split()] if self.log.is_file() else []


@pytest.mark.alone
@posix
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_one_signal_to_the_whole_group_reaches_the_child_once(tmp_path: Path, signum: int, code: int) -> None:
    leave_checkpoint(tmp_path)
    driven = Driven(tmp_path, FAKE_TRAINING="slow", FAKE_TRAINING_EXPORT_S="0.5")
    os.killpg(driven.process.pid, signum)
    returned, stderr, seconds = driven.end(60)
    assert returned == code
    assert driven.signals == [signum]
    told, line = stderr.splitlines() if signum == signal.SIGINT else ("", stderr.rstrip())
    assert told in ("", "paintover: stopping, the best look so far is exported; Ctrl-C again leaves at once")
    assert re.fullmatch(
        r"paintover: training stopped on request after \d+ steps, the best look so far is .*hero\.onnx; "
        r"--resume continues from the last checkpoint",
        line,
    )
    assert seconds < 5


@pytest.mark.alone
@posix
def test_a_second_ctrl_c_ends_it_at_once(tmp_path: Path) -> None:
    driven = Driven(tmp_path, FAKE_TRAINING="slow", FAKE_TRAINING_EXPORT_S="30")
    os.kill(driven.process.pid, signal.SIGINT)
    deadline_s = time.monotonic() + 60
    while driven.signals != [2]:
        assert time.monotonic() < deadline_s, "the first one never reached the child"
        time.sleep(0.02)
    os.kill(driven.process.pid, signal.SIGINT)
    returned, stderr, seconds = driven.end(60)
    assert (returned, driven.signals) == (130, [2, 2])
    assert "stopped" in stderr and seconds < 5


@pytest.mark.alone
@posix
@pytest.mark.parametrize("behavior", ["deaf", "slow"])
def test_sigterm_leaves_within_five_seconds_whatever_the_child_does(tmp_path: Path, behavior: str) -> None:
    driven = Driven(tmp_path, FAKE_TRAINING=behavior, FAKE_TRAINING_EXPORT_S="60")
    os.kill(driven.process.pid, signal.SIGTERM)
    returned, stderr, seconds = driven.end(60)
    assert returned == 143
    # The deadlines lie within five seconds; how late a busy machine keeps them is its own affair.
    assert child_process._FINISH_GRACE_S < StopRequest()._grace_s < 5
    assert seconds < 15
    assert stderr == "paintover: training stopped on request; no look is written yet, run it again\n"


def test_the_checkpoint_has_the_name_that_training_gives_it() -> None:
    pytest.importorskip("safetensors", reason="the training extra is not installed")
    from engine.training import checkpoint

    assert checkpoint.NAME == job(Path("work")).checkpoint.name


@posix
@pytest.mark.parametrize("checkpoint", [False, True])
def test_a_training_stopped_before_its_first_step_claims_no_look(
    fake: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str], checkpoint: bool
) -> None:
    ready = tmp_path / "ready"
    endless = (
        "import pathlib, signal, time; signal.signal(2, lambda *_: exit(130)); print(flush=True); "
        f"pathlib.Path({str(ready)!r}).touch(); time.sleep(120)"
    )
    fake.setattr(training_process, "COMMAND", (sys.executable, "-c", endless))
    if checkpoint:
        leave_checkpoint(tmp_path)
    stop = StopRequest()

    def interrupt() -> None:
        deadline_s = time.monotonic() + 60
        while time.monotonic() < deadline_s:
            # Nobody else of this process may get the signal.
            if ready.is_file() and stop._sections:
                os.kill(os.getpid(), signal.SIGINT)
                return
            time.sleep(0.02)

    with stop, pytest.raises(Interrupted) as caught:
        threading.Thread(target=interrupt, daemon=True).start()
        train(job(tmp_path), Recorder(), stop)
    remedy = "--resume continues from the last checkpoint" if checkpoint else "no look is written yet, run it again"
    assert str(caught.value) == f"training stopped on request; {remedy}"
    assert capfd.readouterr().err == "paintover: stopping; Ctrl-C again leaves at once\n"


@pytest.mark.slow
@posix
def test_a_killed_command_line_does_not_leave_its_training_behind(tmp_path: Path) -> None:
    driven = Driven(tmp_path, FAKE_TRAINING="slow")
    (child,) = (process.pid for process in psutil.Process(driven.process.pid).children())
    driven.process.kill()
    driven.process.communicate(timeout=60)
    for _ in range(300):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    pytest.fail("the training went on alone")
