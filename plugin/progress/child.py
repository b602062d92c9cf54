"""Child processes: how one is started, what it says, how it is asked to stop, and what is said of its end.

A child speaks on stdout in events (:mod:`engine.base.events`); the last lines of its stderr are kept for the line that
says how it failed. Standard library and :mod:`engine.base` only: workers of a farm import it.
"""

from __future__ import annotations

import collections
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import engine
from engine.base.errors import PaintoverError
from engine.base.events import parse_event
from plugin.progress.hints import is_new_hint
from plugin.progress.protocol import Progress
from plugin.progress.stop import StopRequest

__all__ = ["Child", "ChildFailed", "child_environment", "follow"]

_LOG = logging.getLogger(__name__)

_STDERR_LINES = 60
_FINISH_GRACE_S = 4.0
"""For a child that was sent SIGTERM: below the time that :class:`StopRequest` leaves us."""
_LEAVE_S = 1.0
"""For a child that was asked a second time."""
_INTERRUPTS = (signal.SIGINT, getattr(signal, "SIGBREAK", None))


class ChildFailed(PaintoverError):
    """A child ended with an error, crashed, or could not be started; ``exit_code`` is the one it gave."""

    def __init__(
        self,
        message: str,
        *,
        exit_code: int = 1,
        remedy: str = "",
        frame: int | None = None,
        path: str | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy, frame=frame, path=path)
        self.exit_code = exit_code


def child_environment(base: Mapping[str, str] | None = None, *, debug: bool = False) -> dict[str, str]:
    """The environment of a child that runs this engine: it finds it, and nothing of the artist's folder by accident.

    Args:
        base: what it is made from; None for this process's.
        debug: ask the child for tracebacks.
    """
    environment = dict(os.environ if base is None else base)
    environment["PYTHONUNBUFFERED"] = "1"
    environment["PYTHONIOENCODING"] = "utf-8"
    environment["PYTHONSAFEPATH"] = "1"
    # Threads of OpenMP sleep while they wait for each other: spinning takes cores from whoever else computes here.
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    environment.setdefault("KMP_BLOCKTIME", "0")
    if debug:
        environment["PAINTOVER_DEBUG"] = "1"
    home = Path(str(engine.__file__)).resolve().parents[1]
    # Site folders are on the child's path already; putting them first would shadow the standard library.
    if home.name not in ("site-packages", "dist-packages"):
        known = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = str(home) if not known else os.pathsep.join((str(home), known))
    return environment


class Child:
    """One process at work.

    In a group of its own (a session on POSIX), a terminal's Ctrl-C reaches it once, through us, and not twice, and
    :meth:`kill` takes what it started along; in this process's group, what ends the one ends the other.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        called: str,
        environment: Mapping[str, str] | None = None,
        own_group: bool = True,
        timeout_s: float | None = None,
        hear: Callable[[str], None] | None = None,
        listens: bool = False,
    ) -> None:
        """
        Args:
            command: what to start.
            called: what it is, for people: ``the training process``.
            environment: None for :func:`child_environment`'s.
            own_group: whether it gets a process group of its own.
            timeout_s: seconds after which it is killed, and :attr:`late` set; None for no limit.
            hear: receives every line of its stderr as it comes, its end included.
            listens: whether it takes lines, which :meth:`tell` sends; else it has no stdin.

        Raises:
            ChildFailed: it cannot be started.
        """
        self._called = called
        self._own_group = own_group
        self._hear = hear
        self.has_results = False
        """Whether it would have something to keep, if it were asked to stop now."""
        self.late = False
        """Whether it was killed because its time was over."""
        self._signals = 0
        self._tail: collections.deque[str] = collections.deque(maxlen=_STDERR_LINES)
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._timers: list[threading.Timer] = []
        try:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE if listens else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=child_environment() if environment is None else dict(environment),
                encoding="utf-8",
                errors="replace",
                start_new_session=own_group and os.name == "posix",
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) if own_group else 0,
            )
        except OSError as error:
            raise ChildFailed(f"{called} could not be started: {error}") from error
        self._readers = [
            threading.Thread(target=self._read_events, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._read_errors, args=(self._process.stderr,), daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        if timeout_s is not None:
            self._later(min(timeout_s, threading.TIMEOUT_MAX), self._run_out)

    def events(self) -> Iterator[dict[str, Any]]:
        """What it says until it closes its stdout; anything that is no event is logged."""
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
            event = parse_event(line)
            if event is not None:
                yield event
            elif line.strip():
                _LOG.info("%s: %s", self._called, line.rstrip())

    def tell(self, line: str) -> None:
        """Send a line, without its end, to one that listens; one that has ended hears nothing."""
        stream = self._process.stdin
        if stream is not None:
            with suppress(OSError, ValueError):
                stream.write(line + "\n")
                stream.flush()

    @property
    def pid(self) -> int:
        """The system's number of its process."""
        return self._process.pid

    def wait(self) -> int:
        """Its exit code once it has ended, negative for a signal."""
        code = self._process.wait()
        for timer in self._timers:
            timer.cancel()
        self._readers[1].join(timeout=1.0)
        return code

    def last_words(self) -> tuple[str, ...]:
        """The last lines of its stderr that say something, oldest first; of a traceback only what it ends with."""
        lines = tuple(line.strip() for line in tuple(self._tail) if line.strip())
        return lines[-1:] if any(line.startswith("Traceback ") for line in lines) else lines[-3:]

    def crash(self, code: int) -> ChildFailed:
        """The error of a child that ended without saying why."""
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        words = self.last_words()
        said = f": {' | '.join(words)}" if words else ""
        remedy = "run again with --debug for the whole story"
        if code == -getattr(signal, "SIGKILL", 9):
            remedy = "if memory ran out, take a smaller plate or a machine with more of it"
        return ChildFailed(f"{self._called} {how}{said}", remedy=remedy)

    def on_signal(self, signum: int) -> None:
        """Pass a request to stop on: the first asks it to finish in good order, a second one ends it."""
        self._signals += 1
        if self._signals == 1:
            self._send(signum)
            if signum in _INTERRUPTS:
                kept = ", the best look so far is exported" if self.has_results else ""
                sys.stderr.write(f"paintover: stopping{kept}; Ctrl-C again leaves at once\n")
                sys.stderr.flush()
            else:
                self._later(_FINISH_GRACE_S, self.kill)
        elif self._signals == 2:
            self._send(signum)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_LEAVE_S)
            self.kill()

    def terminate(self) -> None:
        """Ask it to stop, as a scheduler does."""
        with suppress(OSError):
            self._process.terminate()

    def end_within(self, seconds: float) -> None:
        """Give it so long to end by itself, then kill it."""
        try:
            self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once, and with a group of its own what it started. What it has written stays."""
        if self._process.poll() is not None:
            return
        try:
            if self._own_group and os.name == "posix":
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
        except OSError:
            _LOG.debug("%s had already ended", self._called)

    def _run_out(self) -> None:
        self.late = True
        self.kill()

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, act)
        timer.daemon = True
        self._timers.append(timer)
        timer.start()

    def _send(self, signum: int) -> None:
        # Windows cannot send Ctrl-C to another process group, only Ctrl-Break; TerminateProcess would skip the export.
        wanted = getattr(signal, "CTRL_BREAK_EVENT", None) if os.name == "nt" else signum
        if wanted == getattr(signal, "SIGHUP", None):
            wanted = signal.SIGTERM
        try:
            if wanted is not None:
                self._process.send_signal(wanted)
        except OSError:
            _LOG.debug("%s had already ended", self._called)

    def _read_events(self, stream: IO[str]) -> None:
        for line in stream:
            self._lines.put(line)
        self._lines.put(None)

    def _read_errors(self, stream: IO[str]) -> None:
        for line in stream:
            self._tail.append(line)
            if self._hear is not None:
                self._hear(line)


def follow(
    command: Sequence[str],
    progress: Progress,
    stop: StopRequest,
    on_event: Callable[[Mapping[str, Any]], None],
    *,
    called: str,
    debug: bool = False,
) -> Mapping[str, Any]:
    """Run a child to its end; returns its event ``finished``.

    Args:
        command: what to start.
        progress: receives its warnings and notes.
        stop: a request to stop is passed on once; where one came, what is returned may be empty.
        on_event: receives ``phase`` and ``progress``, in order. A ``progress`` with a ``step`` means that a stop
            would leave results. A note with a ``hint`` is shown once on a machine.
        called: what it is, for the line that says how it failed.
        debug: ask the process for tracebacks and let its stderr through.

    Raises:
        ChildFailed: it reported an error, crashed, or could not be started; not where it was asked to stop.
    """
    hear = _to_stderr if debug else None
    child = Child(command, called=called, environment=child_environment(debug=debug), hear=hear)
    finished: Mapping[str, Any] = {}
    failed: Mapping[str, Any] | None = None
    with stop.cooperative(child.on_signal, child.kill):
        for event in child.events():
            kind = event.get("event")
            if kind == "warning":
                progress.warn(str(event.get("text", "")))
            elif kind == "note":
                if "hint" not in event or is_new_hint(str(event["hint"])):
                    progress.note(str(event.get("text", "")))
            elif kind == "finished":
                finished = event
            elif kind == "failed":
                failed = event
            else:
                child.has_results = child.has_results or "step" in event
                on_event(event)
        code = child.wait()
    if stop():
        return finished
    if failed is not None:
        message = str(failed.get("message") or f"{called} failed")
        exit_code = int(failed.get("exit_code") or code or 1)
        raise ChildFailed(message, exit_code=exit_code, frame=failed.get("frame"), path=failed.get("path"))
    if code != 0 or not finished:
        raise child.crash(code)
    return finished


def _to_stderr(line: str) -> None:
    sys.stderr.write(line)
    sys.stderr.flush()
