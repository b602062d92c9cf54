"""Tasks of the desk: verbs as child processes, which a person may cancel."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psutil

from engine.base.errors import Interrupted
from plugin.progress.child import Child, ChildFailed

__all__ = ["PROGRAM", "VerbTask"]

PROGRAM: tuple[str, ...] = (sys.executable, "-m", "plugin")
"""What a verb is started by."""
_LEAVE_S = 4.0
_NICENESS = 10
"""Below the trainer, which renders the frame in view."""


class VerbTask:
    """One verb at work; :meth:`run` returns when it is done."""

    def __init__(self, words: Sequence[str], on_event: Callable[[Mapping[str, Any]], None]) -> None:
        """
        Args:
            words: the verb and its options, with ``--progress json``.
            on_event: receives what it says, from the thread that runs it.
        """
        self._words, self._on_event = tuple(words), on_event
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._canceled = False

    def run(self) -> None:
        """Start it and wait for its end.

        Raises:
            ChildFailed: it failed, with what it said.
            Interrupted: it was canceled.
        """
        failed: Mapping[str, Any] | None = None
        with self._lock:
            if self._canceled:
                raise Interrupted("canceled")
            child = self._child = Child([*PROGRAM, *self._words], called=f"paintover {self._words[0]}")
        with contextlib.suppress(OSError, psutil.Error):
            lower = psutil.BELOW_NORMAL_PRIORITY_CLASS if sys.platform == "win32" else _NICENESS
            psutil.Process(child.pid).nice(lower)
        for event in child.events():
            if event.get("event") == "failed":
                failed = event
            else:
                self._on_event(event)
        code = child.wait()
        if self._canceled:
            raise Interrupted("canceled")
        if failed is not None:
            raise ChildFailed(str(failed.get("message")), exit_code=int(failed.get("exit_code") or code or 1))
        if code != 0:
            raise child.crash(code)

    def cancel(self, within_s: float = _LEAVE_S) -> None:
        """Ask it to stop, and end it where it has not; what it has done stays."""
        with self._lock:
            self._canceled, child = True, self._child
        if child is not None:
            child.terminate()
            child.end_within(within_s)
