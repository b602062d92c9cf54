"""Trainer of the desk: the training session as a child process, started again where it was killed."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from engine.base.errors import PaintoverError
from engine.training.job.job import TrainingJob
from engine.training.job.session import SESSION_FOLDER, Leave, SessionCommand, command_line_of
from plugin.progress.child import Child

__all__ = ["COMMAND", "Trainer"]

COMMAND: tuple[str, ...] = (sys.executable, "-m", "engine.training.session")
"""What is started, before ``--job FILE``."""
_MOST_RESTARTS = 4
_RESTARTS_WITHIN_S = 120.0
_LEAVE_S = 2.5


class Trainer:
    """One training session at a time; what it says is handed on from a thread of its own."""

    def __init__(self, on_event: Callable[[Mapping[str, Any]], None], on_start: Callable[[], None]) -> None:
        """
        Args:
            on_event: receives every event; and ``{"event": "failed", ...}`` where it will not be started again.
            on_start: called whenever a session has begun, to tell it what is in view.
        """
        self._on_event, self._on_start = on_event, on_start
        self._lock = threading.RLock()
        self._child: Child | None = None
        self._job: TrainingJob | None = None
        self._make_job: Callable[[], TrainingJob] | None = None
        self._closed = False
        self._restarts: list[float] = []

    @property
    def is_running(self) -> bool:
        return self._child is not None

    def start(self, make_job: Callable[[], TrainingJob]) -> None:
        """Begin a session unless one is running.

        Args:
            make_job: called now, and again where it must be started again.

        Raises:
            ChildFailed: it cannot be started.
            OutputError: the job cannot be written.
        """
        with self._lock:
            if self._child is not None or self._closed:
                return
            self._make_job = make_job
            job = make_job()
            path = job.work / SESSION_FOLDER.parent / "job.json"
            job.save(path)
            child = self._child = Child([*COMMAND, "--job", str(path)], called="the trainer", listens=True)
        threading.Thread(target=self._follow, args=(child,), name="trainer", daemon=True).start()
        self._on_start()

    def tell(self, command: SessionCommand) -> None:
        """Send a command; without a session nobody hears it."""
        with self._lock:
            if self._child is not None:
                self._child.tell(command_line_of(command))

    def leave(self) -> None:
        """Ask it to save its checkpoint and end; it is not started again."""
        with self._lock:
            self._closed = True
            if self._child is not None:
                self._child.tell(command_line_of(Leave()))

    def close(self) -> None:
        """End it in good order, within seconds."""
        self.leave()
        child = self._child
        if child is not None:
            child.end_within(_LEAVE_S)

    def _follow(self, child: Child) -> None:
        failed: Mapping[str, Any] | None = None
        for event in child.events():
            if event.get("event") == "failed":
                failed = event
            else:
                self._on_event(event)
        code = child.wait()
        with self._lock:
            self._child = None
            if self._closed:
                return
            now = time.monotonic()
            self._restarts = [at for at in self._restarts if now - at < _RESTARTS_WITHIN_S]
            again = failed is None and len(self._restarts) < _MOST_RESTARTS
            self._restarts.append(now)
            make_job = self._make_job
        if again and make_job is not None:
            text = f"{child.crash(code)}; it is started again from its checkpoint"
            self._on_event({"event": "warning", "text": text})
            try:
                self.start(make_job)
                return
            except PaintoverError as error:
                failed = {"message": str(error)}
        message = str(failed.get("message")) if failed else str(child.crash(code))
        self._on_event({"event": "failed", "message": message})
