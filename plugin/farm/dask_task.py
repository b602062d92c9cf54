"""One task on a Dask worker: a command as a process of its own, so that its crash is not the worker's.

Workers import this module and what it needs, which is little; the command itself imports the rest. The process is in
the worker's process group, so that what ends the one ends the other.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from plugin.progress.child import Child, child_environment

__all__ = ["Outcome", "Task", "TaskFailed", "emit_to_worker", "perform", "stop_job", "version", "work"]

_LOG = logging.getLogger(__name__)

_RETRY_HELPS_NOT = (0, 2, 3)
"""Exit codes that are an answer: done, wrong input, and what ``verify`` found."""
_STATUS_INTERVAL_S = 1.0
_LEAVE_S = 6.0
"""How long a command that was asked to stop may take."""

_lock = threading.Lock()
_running: dict[str, list[Child]] = {}
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
        children = list(_running.get(job, ()))
    for child in children:
        child.terminate()
    deadline = time.monotonic() + _LEAVE_S
    for child in children:
        child.end_within(deadline - time.monotonic())
    return len(children)


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
        child = Child(
            words,
            called="its process",
            environment=_environment(own=not task.program),
            own_group=False,
            timeout_s=task.timeout_s,
            hear=lambda line: _LOG.info("%s %d: %s", task.step, task.number, line.rstrip()),
        )
        _running.setdefault(task.job, []).append(child)
    heard = _Heard(task, emit, started)
    try:
        for event in child.events():
            heard.hear(event)
        code = child.wait()
    finally:
        child.kill()
        with _lock:
            _running[task.job].remove(child)
    if child.late:
        heard.message, code = f"not done within {task.timeout_s:g} s and ended", 1
    elif code and not heard.message:
        heard.message = str(child.crash(code))
    return heard.outcome(code)


class _Heard:
    """Understands what a command says on stdout; see :mod:`engine.base.events`."""

    def __init__(self, task: Task, emit: Callable[[Mapping[str, Any]], None], started: float) -> None:
        self._task, self._emit, self._started = task, emit, started
        self._began: float | None = None
        self._told = 0.0
        self._rendered = 0
        self._frames: dict[int, str] = {}
        self.message = ""

    def hear(self, event: Mapping[str, Any]) -> None:
        kind = event.get("event")
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


def _threads() -> int | None:
    """What a command may use where the worker runs several at a time; None for all that the machine has."""
    from distributed import get_worker

    from engine.base.machine import cpu_count

    side_by_side = get_worker().state.nthreads
    return None if side_by_side == 1 else max(1, cpu_count() // side_by_side)


def _environment(*, own: bool) -> dict[str, str]:
    """This environment without what Dask's nanny limits its own Python to: one thread for every library.

    Args:
        own: whether the command is of this installation; another one must not find this engine.
    """
    import dask

    environment = dict(os.environ)
    for group in ("pre-spawn-environ", "environ"):
        for name, value in dask.config.get(f"distributed.nanny.{group}", {}).items():
            if environment.get(name) == str(value):
                del environment[name]
    return child_environment(environment) if own else environment
