"""Tasks of the desk: verbs as child processes, how far each is, and their end when a person cancels them."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psutil

from engine.base.errors import Interrupted, PaintoverError
from plugin.desk.listeners import Listeners
from plugin.progress.child import Child, ChildFailed

__all__ = ["PROGRAM", "Tasks", "VerbTask"]

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


class Tasks:
    """The tasks of one desk by their names; safe to use from several threads."""

    def __init__(self, listeners: Listeners) -> None:
        self._listeners = listeners
        self._lock = threading.Lock()
        self._facts: dict[str, dict[str, Any]] = {}
        self._at_work: dict[str, VerbTask] = {}
        self._canceled: set[str] = set()

    @property
    def facts(self) -> dict[str, dict[str, Any]]:
        """Of each its ``state`` (running, done, canceled, failed), ``text`` and ``fraction``, as JSON values."""
        with self._lock:
            return {name: dict(facts) for name, facts in self._facts.items()}

    def is_running(self, name: str) -> bool:
        """Whether a task is at work, with a verb or between two."""
        with self._lock:
            return self._facts.get(name, {}).get("state") == "running"

    def begin(self, name: str, text: str) -> bool:
        """Say that a task begins; False where it is at work already."""
        with self._lock:
            if self._facts.get(name, {}).get("state") == "running":
                return False
            self._canceled.discard(name)
            self._facts[name] = {"state": "running", "text": text, "fraction": 0.0}
        self.show(name, "running", text, 0.0)
        return True

    def show(self, name: str, state: str, text: str, fraction: float) -> None:
        """Say how far a task is."""
        facts = {"state": state, "text": text, "fraction": round(fraction, 3)}
        with self._lock:
            self._facts[name] = facts
        self._listeners.tell({"type": "task", "name": name, **facts})

    def run(
        self,
        name: str,
        words: Sequence[str],
        title: str,
        *,
        on_progress: Callable[[], None] = lambda: None,
        is_last: bool = True,
    ) -> bool:
        """Run a verb as a task that began, or as a part of it; True where it came to its end.

        Args:
            on_progress: called whenever it says how far it is.
            is_last: whether the task is done with it.
        """

        def on_event(event: Mapping[str, Any]) -> None:
            if event.get("event") == "progress":
                overall = event.get("overall")
                fraction = float(overall) if isinstance(overall, (int, float)) else 0.0
                self.show(name, "running", f"{title}: {event.get('text') or ''}".rstrip(": "), fraction)
                on_progress()
            elif event.get("event") == "warning":
                self._listeners.say("warning", str(event.get("text", "")))

        task = VerbTask(words, on_event)
        with self._lock:
            self._at_work[name] = task
            canceled = name in self._canceled
        self.show(name, "running", title, 0.0)
        try:
            if canceled:
                raise Interrupted("canceled")
            task.run()
        except Interrupted:
            self.show(name, "canceled", f"{title}: canceled", 0.0)
            return False
        except PaintoverError as error:
            self._listeners.say("error", str(error))
            self.show(name, "failed", f"{title}: failed", 0.0)
            return False
        finally:
            with self._lock:
                self._at_work.pop(name, None)
        if is_last:
            self.show(name, "done", f"{title}: done", 1.0)
        return True

    def at_work(self, name: str) -> VerbTask | None:
        """The verb that works for a task now."""
        with self._lock:
            return self._at_work.get(name)

    def is_canceled(self, name: str) -> bool:
        """Whether a task was canceled since it began."""
        with self._lock:
            return name in self._canceled

    def cancel(self, name: str, within_s: float = _LEAVE_S) -> None:
        """End a task; what it has done stays."""
        with self._lock:
            task = self._at_work.get(name)
            self._canceled.add(name)
        if task is not None:
            task.cancel(within_s)

    def close(self) -> None:
        """End all of them within seconds."""
        with self._lock:
            names = list(self._at_work)
        for name in names:
            self.cancel(name, within_s=1.0)
