"""One task on a Dask worker: a command as a process of its own, so that its crash is not the worker's.

Workers import this module and, of Paintover, little else; the command itself imports what it needs. The process is in
the worker's process group, so that what ends the one ends the other.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Outcome", "Task", "TaskFailed", "emit_to_worker", "perform", "stop_job", "version", "work"]

_LOG = logging.getLogger(__name__)

_RETRY_HELPS_NOT = (0, 2, 3)
"""Exit codes that are an answer: done, wrong input, and what ``verify`` found."""
_STDERR_LINES = 20
_STATUS_INTERVAL_S = 1.0
_LEAVE_S = 6.0
"""How long a command that was asked to stop may take."""

_lock = threading.Lock()
_running: dict[str, list[subprocess.Popen[str]]] = {}
_stopped: set[str] = set()


@dataclass(frozen=True)
class Task:
    """What a worker is told."""

    job: str
    """Names the job; its events have this topic."""
    step: str
    """The plan's step."""
    number: int
    """Of the task in its step, from 0."""
    words: tuple[str, ...]
    """What follows ``paintover``."""
    program: tuple[str, ...] = ()
    """What is called; empty for the worker's own installation."""
    threads: int | None = None
    """For the command; None for what the machine has, shared by the tasks that its worker runs at once."""
    timeout_s: float | None = None
    """Seconds after which the command is ended."""


@dataclass(frozen=True)
class Outcome:
    """What became of a task."""

    step: str
    number: int
    code: int
    """The command's exit code; negative for a signal."""
    message: str = ""
    """One line that says what was wrong."""
    frames: Mapping[int, str] = field(default_factory=dict)
    """The frames that failed, and why."""
    start_s: float = 0.0
    """Seconds until its work began: the process, its libraries, its checks."""
    work_s: float = 0.0
    """Seconds of work."""
    rendered: int = 0
    """Frames that it rendered, without those that were right already."""


class TaskFailed(Exception):
    """A task that may succeed when it is tried again; ``args[0]`` is its :class:`Outcome`."""


def work(task: Task) -> Outcome:
    """Run a task on the worker that this is.

    Raises:
        TaskFailed: Dask tries it again, as often as it was told to.
    """
    outcome = perform(task, emit_to_worker(task.job), threads=task.threads or _threads())
    if outcome.code not in _RETRY_HELPS_NOT and task.job not in _stopped:
        raise TaskFailed(outcome)
    return outcome


def version() -> str:
    """Paintover's, on this worker."""
    from engine import __version__

    return __version__


def stop_job(job: str) -> int:
    """End the commands of a job on this worker; returns how many there were. No more are started."""
    with _lock:
        _stopped.add(job)
        processes = list(_running.get(job, ()))
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + _LEAVE_S
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
    return len(processes)


def emit_to_worker(topic: str) -> Callable[[Mapping[str, Any]], None]:
    """Sends events through the worker that this is."""
    from distributed import get_worker

    worker = get_worker()
    return lambda event: worker.log_event(topic, dict(event))


def perform(task: Task, emit: Callable[[Mapping[str, Any]], None], *, threads: int | None = None) -> Outcome:
    """Run a task's command to its end.

    Args:
        emit: receives every frame's event, and other progress once a second.
        threads: for the command, where it is not told another number.
    """
    from plugin.arguments.table import PROGRESS, THREADS

    program = task.program or (sys.executable, "-m", "plugin")
    words = [*program, *task.words, *PROGRESS.words("json")]
    if task.step != "verify" and not any(word.startswith(THREADS.flag) for word in task.words):
        words += THREADS.words(threads)
    started = time.monotonic()
    with _lock:
        if task.job in _stopped:
            return Outcome(task.step, task.number, 143, "stopped on request")
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=_environment(),
        )
        _running.setdefault(task.job, []).append(process)
    late = threading.Event()
    timer = _timer(process, task.timeout_s, late)
    last_words: deque[str] = deque(maxlen=_STDERR_LINES)
    reader = threading.Thread(target=_read_stderr, args=(process, task, last_words), daemon=True)
    reader.start()
    heard = _Heard(task, emit, started)
    try:
        for line in process.stdout or ():
            heard.line(line)
        code = process.wait()
        reader.join()
    finally:
        timer.cancel()
        if process.poll() is None:
            process.kill()
        with _lock:
            _running[task.job].remove(process)
    if late.is_set():
        heard.message, code = f"not done within {task.timeout_s:g} s and ended", 1
    elif code and not heard.message:
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        heard.message = last_words[-1] if last_words else f"its process ended with {how}"
        if code < 0:
            heard.message += f" ({how}; if that was 9, memory ran out)"
    return heard.outcome(code)


class _Heard:
    """Understands what a command says on stdout; see ``plugin.progress.terminals.JsonProgress``."""

    def __init__(self, task: Task, emit: Callable[[Mapping[str, Any]], None], started: float) -> None:
        self._task, self._emit, self._started = task, emit, started
        self._began: float | None = None
        self._told = 0.0
        self._rendered = 0
        self._frames: dict[int, str] = {}
        self.message = ""

    def line(self, text: str) -> None:
        try:
            event = json.loads(text)
        except ValueError:
            return
        kind = event.get("event") if isinstance(event, dict) else None
        if kind == "phase" and self._began is None:
            self._began = time.monotonic()
        elif kind == "progress":
            self._progress(event)
        elif kind == "failed":
            self.message = str(event.get("message", ""))
            self._frames.update({int(frame): why for frame, why in event.get("frames", {}).items()})

    def _progress(self, event: Mapping[str, Any]) -> None:
        now, frame = time.monotonic(), event.get("frame")
        if frame is not None:
            self._rendered += event.get("state") == "done"
            _LOG.info("frame %s: %s, look %s", frame, event.get("state"), str(event.get("look", ""))[:12])
        elif now - self._told < _STATUS_INTERVAL_S:
            return
        self._told = now
        place = {"step": self._task.step, "number": self._task.number, "overall": event.get("overall", 0.0)}
        facts = {name: event.get(name) for name in ("state", "message", "look")}
        self._emit({**place, "frame": frame, **facts})

    def outcome(self, code: int) -> Outcome:
        now = time.monotonic()
        began = now if self._began is None else self._began
        return Outcome(
            self._task.step,
            self._task.number,
            code,
            " ".join(self.message.split()),
            self._frames,
            start_s=began - self._started,
            work_s=now - began,
            rendered=self._rendered,
        )


def _timer(process: subprocess.Popen[str], seconds: float | None, late: threading.Event) -> threading.Timer:
    def end() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(threading.TIMEOUT_MAX if seconds is None else seconds, end)
    timer.daemon = True
    if seconds is not None:
        timer.start()
    return timer


def _read_stderr(process: subprocess.Popen[str], task: Task, last_words: deque[str]) -> None:
    for line in process.stderr or ():
        text = line.rstrip()
        if text:
            last_words.append(text)
            _LOG.info("%s %d: %s", task.step, task.number, text)


def _threads() -> int | None:
    """What a command may use where the worker runs several at a time; None for all that the machine has."""
    from distributed import get_worker

    from engine.base.machine import cpu_count

    side_by_side = get_worker().state.nthreads
    return None if side_by_side == 1 else max(1, cpu_count() // side_by_side)


def _environment() -> dict[str, str]:
    """This environment without what Dask's nanny limits its own Python to: one thread for every library."""
    import dask

    environment = dict(os.environ)
    for group in ("pre-spawn-environ", "environ"):
        for name, value in dask.config.get(f"distributed.nanny.{group}", {}).items():
            if environment.get(name) == str(value):
                del environment[name]
    return environment
