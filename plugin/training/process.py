"""Training as a process of its own, so that nothing here ever loads torch.

The child gets one JSON file and prints one JSON object per line; see :class:`TrainingJob` and :func:`train`. It runs in
its own session (a process group on Windows): a terminal's Ctrl-C reaches it once, through us, and not twice.
"""

from __future__ import annotations

import collections
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import engine
from engine.base.errors import InputError, Interrupted, PaintoverError
from plugin.progress.stop import StopRequest
from plugin.progress.terminals import Progress, duration

__all__ = [
    "CHECKPOINT",
    "COMMAND",
    "TrainedLook",
    "TrainingFailed",
    "TrainingJob",
    "TrainingKeyframe",
    "follow",
    "require_training",
    "train",
]

_LOG = logging.getLogger(__name__)

COMMAND: tuple[str, ...] = (sys.executable, "-m", "engine.training.train")
"""What is started, before ``--job FILE``."""

CHECKPOINT = "checkpoint.safetensors"
"""What training leaves in the work folder to continue from."""

_STDERR_LINES = 60
_EXPORT_GRACE_S = 4.0
_LEAVE_S = 1.0
"""For a child that was asked a second time."""


@dataclass(frozen=True)
class TrainingKeyframe:
    """One painted frame of a job."""

    frame: int
    """The frame number."""
    painting: str
    """Path of the painted image."""
    matte: str | None
    """Path of its matte, if any."""
    colorspace: str | None
    """Colorspace of the painting; None asks OCIO's file rules."""


@dataclass(frozen=True)
class TrainingJob:
    """Everything the training process is told. Paths are absolute."""

    plate: str
    """Pattern of the plate."""
    frames: str
    """Frame range in fileseq syntax."""
    plate_colorspace: str | None
    """Colorspace of the plate; None asks OCIO's file rules."""
    keyframes: tuple[TrainingKeyframe, ...]
    """The painted frames."""
    work: str
    """Folder for checkpoints and previews."""
    look: str
    """The .onnx to write."""
    budget_s: float | None
    """Seconds to train for, if not counted in steps."""
    steps: int | None
    """Steps to train for, if not counted in seconds."""
    seed: int
    """Seed of everything random."""
    device: str
    """``auto``, ``cpu`` or ``cuda:N``."""
    recipe: str
    """``paintover``, ``texler2020`` or ``texler2020-fullframe``."""
    features: str | None
    """Weights of a feature network for the losses, if given."""
    resume: bool
    """Continue from the checkpoint in ``work``."""
    ocio: str | None
    """An OCIO config to use instead of the active one."""
    threads: int | None
    """Threads to compute with; None leaves it to torch."""
    preview: bool
    """Refresh a preview strip in ``work``."""
    fit_paintings: bool = False
    """Resample paintings that are not of the plate's size."""
    guides: str | None = None
    """Which guide images in ``work`` the look takes beside the plate, if any."""
    denoise: str | None = None
    """How the frames in ``work`` were denoised that stand for the plate, if any do."""
    crisp: bool = False
    """Whether carried strokes keep their finest detail."""
    settings: Mapping[str, float] | None = None
    """Recipe settings in the place of its own, as
    :func:`engine.training.job.recipe_settings.read_settings` gives them."""

    def to_json(self) -> str:
        """The job file's text."""
        return json.dumps(asdict(self), indent=2) + "\n"


@dataclass(frozen=True)
class TrainedLook:
    """What the training process reported at its end."""

    look: Path
    """The written look."""
    steps: int
    """Steps trained, those of a resumed run included."""
    seconds: float
    """Seconds trained."""
    loss: float | None
    """The last smoothed loss."""
    check_error: float | None
    """Largest difference between the exported look and the trained network, in the working encoding."""


class TrainingFailed(PaintoverError):
    """The training process ended with an error; ``exit_code`` is the one it gave."""

    def __init__(self, message: str, *, exit_code: int = 1, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.exit_code = exit_code


def require_training() -> None:
    """Find out before any work whether this installation can train, without importing torch.

    Raises:
        InputError: torch is not installed.
    """
    if find_spec("torch") is None:
        raise InputError("training needs torch, which is not installed", remedy='pip install "paintover[train]"')


def train(job: TrainingJob, progress: Progress, stop: StopRequest, *, debug: bool = False) -> TrainedLook:
    """Run the training process to its end.

    Args:
        job: what to train; written to ``work/job.json``.
        progress: in the phase of training; receives loss, steps/s and time left.
        stop: a request to stop is passed on once; the child then exports what it has.
        debug: ask the child for tracebacks and let its stderr through.

    Raises:
        TrainingFailed: the child reported an error, crashed, or could not be started.
        Interrupted: it was stopped; the message says whether a look was written.
    """
    job_path = Path(job.work) / "job.json"
    job_path.write_text(job.to_json(), encoding="utf-8")
    step: Mapping[str, Any] = {}
    preview: object = None

    def on_event(event: Mapping[str, Any]) -> None:
        nonlocal step, preview
        if event.get("event") == "step":
            step = event
        elif event.get("event") == "preview":
            # Passed on at once, with the step it shows: the last one comes after the last step.
            preview = event.get("path")
        else:
            return
        facts = {name: value for name, value in step.items() if name not in ("event", "progress")}
        progress.update(_number(step.get("progress")) or 0.0, _step_text(step), {**facts, "preview": preview})

    done = follow([*COMMAND, "--job", str(job_path)], progress, stop, on_event, debug=debug)
    if stop():
        message = "training stopped on request"
        remedy = "no look is written yet, run it again"
        if done:
            message += f" after {done.get('steps')} steps, the best look so far is {done.get('look')}"
            remedy = ""
        if (Path(job.work) / CHECKPOINT).is_file():
            remedy = "--resume continues from the last checkpoint"
        raise Interrupted(message, exit_code=stop.exit_code, remedy=remedy)
    progress.update(1.0)
    return TrainedLook(
        look=Path(str(done["look"])),
        steps=int(done.get("steps") or 0),
        seconds=float(done.get("seconds") or 0.0),
        loss=_number(done.get("loss")),
        check_error=_number(done.get("check_error")),
    )


def follow(
    command: Sequence[str],
    progress: Progress,
    stop: StopRequest,
    on_event: Callable[[Mapping[str, Any]], None],
    *,
    debug: bool = False,
    called: str = "the training process",
) -> Mapping[str, Any]:
    """Run a process that speaks as :mod:`engine.training.events` does, to its end; returns its event ``done``.

    Args:
        command: what to start.
        progress: receives its warnings and notes.
        stop: a request to stop is passed on once; where one came, what is returned may be empty.
        on_event: receives every other event, in order.
        debug: ask the process for tracebacks and let its stderr through.
        called: what it is, for the line that says how it failed.

    Raises:
        TrainingFailed: it reported an error, crashed, or could not be started; not where it was asked to stop.
    """
    child = _Child(command, debug=debug, called=called)
    done: Mapping[str, Any] = {}
    error: Mapping[str, Any] | None = None
    with stop.cooperative(child.on_signal, child.kill):
        for event in child.events():
            kind = event.get("event")
            if kind == "warning":
                progress.warn(str(event.get("message", "")))
            elif kind == "note":
                progress.note(str(event.get("message", "")))
            elif kind == "done":
                done = event
            elif kind == "error":
                error = event
            else:
                child.has_stepped = child.has_stepped or kind == "step"
                on_event(event)
        code = child.wait()
    if stop():
        return done
    if error is not None:
        exit_code = int(error.get("exit_code") or code or 1)
        raise TrainingFailed(str(error.get("message", "training failed")), exit_code=exit_code)
    if code != 0 or not done:
        raise _crashed(called, code, child.stderr_tail())
    return done


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _step_text(event: Mapping[str, Any]) -> str:
    parts = []
    loss, rate, left_s = (_number(event.get(name)) for name in ("loss", "steps_per_s", "left_s"))
    if loss is not None:
        parts.append(f"loss {loss:.4f}")
    if rate is not None:
        parts.append(f"{rate:.1f} steps/s")
    if left_s is not None:
        parts.append(f"{duration(left_s)} left")
    return ", ".join(parts)


def _crashed(called: str, code: int, stderr: Sequence[str]) -> TrainingFailed:
    how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
    said = f": {' | '.join(stderr)}" if stderr else ""
    remedy = "run again with --debug for the whole story"
    if code == -getattr(signal, "SIGKILL", 9):
        remedy = "if memory ran out, train on a smaller plate or on a machine with more of it"
    return TrainingFailed(f"{called} {how}{said}", remedy=remedy)


class _Child:
    """The process, its two output streams, and the way to stop it."""

    def __init__(self, command: Sequence[str], *, debug: bool, called: str) -> None:
        self._debug = debug
        self.has_stepped = False
        self._signals = 0
        self._tail: collections.deque[str] = collections.deque(maxlen=_STDERR_LINES)
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._timers: list[threading.Timer] = []
        try:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=training_environment(debug=debug),
                encoding="utf-8",
                errors="replace",
                start_new_session=os.name == "posix",
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        except OSError as error:
            raise TrainingFailed(f"{called} could not be started: {error}") from error
        self._readers = [
            threading.Thread(target=self._read_events, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._read_errors, args=(self._process.stderr,), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def events(self) -> Iterator[dict[str, Any]]:
        """The child's events until it closes its stdout; anything else it prints there is logged."""
        while True:
            try:
                # A timeout, because Windows delivers Ctrl-C only between two waits.
                line = self._lines.get(timeout=0.2)
            except queue.Empty:
                # A child that was killed may leave its pipe open in a process of its own.
                if self._process.poll() is not None and not self._readers[0].is_alive():
                    return
                continue
            if line is None:
                return
            try:
                event = json.loads(line)
            except ValueError:
                event = None
            if isinstance(event, dict):
                yield event
            elif line.strip():
                _LOG.info("training: %s", line.rstrip())

    def wait(self) -> int:
        """The child's exit code, negative for a signal."""
        code = self._process.wait()
        for timer in self._timers:
            timer.cancel()
        self._readers[1].join(timeout=1.0)
        return code

    def stderr_tail(self) -> tuple[str, ...]:
        """The last lines of its stderr that say something, oldest first; of a traceback only what it ends with."""
        lines = tuple(line.strip() for line in tuple(self._tail) if line.strip())
        return lines[-1:] if any(line.startswith("Traceback ") for line in lines) else lines[-3:]

    def on_signal(self, signum: int) -> None:
        """Pass a request to stop on: the first asks for an export, a second Ctrl-C ends it."""
        self._signals += 1
        if self._signals == 1:
            self._send(signum)
            if signum in (signal.SIGINT, getattr(signal, "SIGBREAK", None)):
                kept = ", the best look so far is exported" if self.has_stepped else ""
                sys.stderr.write(f"paintover: stopping{kept}; Ctrl-C again leaves at once\n")
                sys.stderr.flush()
            else:
                timer = threading.Timer(_EXPORT_GRACE_S, self.kill)
                timer.daemon = True
                self._timers.append(timer)
                timer.start()
        elif self._signals == 2:
            self._send(signum)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_LEAVE_S)
            self.kill()

    def kill(self) -> None:
        """End it and what it started, at once. Its checkpoint stays."""
        if self._process.poll() is not None:
            return
        try:
            if os.name == "posix":
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
        except OSError:
            _LOG.debug("the training process had already ended")

    def _send(self, signum: int) -> None:
        # Windows cannot send Ctrl-C to another process group, only Ctrl-Break; TerminateProcess would skip the export.
        wanted = getattr(signal, "CTRL_BREAK_EVENT", None) if os.name == "nt" else signum
        if wanted == getattr(signal, "SIGHUP", None):
            wanted = signal.SIGTERM
        try:
            if wanted is not None:
                self._process.send_signal(wanted)
        except OSError:
            _LOG.debug("the training process had already ended")

    def _read_events(self, stream: IO[str]) -> None:
        for line in stream:
            self._lines.put(line)
        self._lines.put(None)

    def _read_errors(self, stream: IO[str]) -> None:
        for line in stream:
            self._tail.append(line)
            if self._debug:
                sys.stderr.write(line)
                sys.stderr.flush()


def training_environment(*, debug: bool) -> dict[str, str]:
    """The child's environment: it must find this engine, and nothing of the artist's folder by accident."""
    environment = dict(os.environ)
    environment["PYTHONUNBUFFERED"] = "1"
    environment["PYTHONIOENCODING"] = "utf-8"
    environment["PYTHONSAFEPATH"] = "1"
    if debug:
        environment["PAINTOVER_DEBUG"] = "1"
    home = Path(str(engine.__file__)).resolve().parents[1]
    # Site folders are on the child's path already; putting them first would shadow the standard library.
    if home.name not in ("site-packages", "dist-packages"):
        known = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = str(home) if not known else os.pathsep.join((str(home), known))
    return environment
