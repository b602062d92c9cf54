"""A host's end of the resident worker: starts it, asks, hears progress, cancels, and starts it anew once after a crash.

Standard library only, Python 3.9: this runs inside hosts, from whatever package a host keeps its copy in::

    with WorkerClient() as worker:
        worker.render(job, "1001-1010", on_event=show)
"""

from __future__ import annotations

import collections
import json
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from .command import child_environment, find_command, start_beside
from .errors import HostError, JobError, RequestCancelled, RequestFailed, WorkerCrashed
from .job import PROTOCOL, Job, check_message, parse_line

__all__ = ["Pending", "WorkerClient"]

_LAST = ("done", "failed", "cancelled")
_STDERR_LINES = 40
_DRAIN_S = 5.0
"""For the last events of a process that has ended: they say whether it meant to."""
Event = Mapping[str, Any]


class Pending:
    """A request at work. Any thread may ask it, wait for it or cancel it."""

    def __init__(
        self, client: WorkerClient, message: Mapping[str, Any], on_event: Callable[[Event], None] | None
    ) -> None:
        self.message = message
        self.on_event = on_event
        self._client = client
        self._ended = threading.Event()
        self._answer: Event | None = None
        self._error: HostError | None = None
        self.cancelled = False
        """Whether somebody asked to stop; the worker may have been done before it heard of it."""

    @property
    def id(self) -> int:
        """The request's number."""
        return int(self.message["id"])

    def done(self) -> bool:
        """Whether :meth:`result` would answer at once."""
        return self._ended.is_set()

    def cancel(self) -> None:
        """Ask the worker to stop; :meth:`result` then raises RequestCancelled, unless it was done before."""
        self.cancelled = True
        self._client._cancel(self)

    def result(self, timeout_s: float | None = None) -> Event:
        """The last event.

        Raises:
            RequestFailed: Paintover refused or failed.
            RequestCancelled: it was stopped.
            WorkerCrashed: the worker ended, and again after it was started anew.
            TimeoutError: not within ``timeout_s``; the request goes on.
        """
        if not self._ended.wait(timeout_s):
            raise TimeoutError(f"no answer to {self.message['op']} within {timeout_s:g} s")
        if self._error is not None:
            raise self._error
        if self._answer is None:
            raise HostError("the request ended without an answer")
        return self._answer

    def _settle(self, event: Event | None, error: HostError | None = None) -> None:
        self._answer, self._error = event, error
        self._ended.set()


class WorkerClient:
    """The one worker of a host session; it is started with the first request, and ended by :meth:`close`."""

    def __init__(
        self,
        command: Sequence[str] | None = None,
        *,
        report: Callable[[str], None] | None = None,
        idle_s: float = 600.0,
        environment: Mapping[str, str] | None = None,
        start_timeout_s: float = 300.0,
    ) -> None:
        """
        Args:
            command: what starts ``paintover``; None for :func:`find_command`.
            report: gets one line when the worker crashed and is started anew; from another thread.
            idle_s: seconds without a request after which the worker ends; the next request starts it again.
            environment: of the worker; None for this process's without a host's Python settings.
            start_timeout_s: how long the worker may take to say that it is ready; long, because a busy machine takes
                minutes for what takes a second, and one that ends is noticed at once.
        """
        self._command = None if command is None else list(command)
        self._report = report
        self._idle_s = idle_s
        self._environment = child_environment() if environment is None else dict(environment)
        self._start_timeout_s = start_timeout_s
        # Guards everything below; held for moments only, never while waiting for the worker.
        self._lock = threading.RLock()
        # One start at a time: it takes a second, and events must go on meanwhile.
        self._starting = threading.Lock()
        self._process: _Process | None = None
        self._pending: dict[int, Pending] = {}
        self._number = 0
        self._crashes = 0
        self._last_words = ""
        self.starts = 0
        """How often a worker was started."""

    def __enter__(self) -> WorkerClient:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The running worker's process, or None."""
        process = self._process
        return process.pid if process is not None and process.alive else None

    def submit(self, op: str, on_event: Callable[[Event], None] | None = None, **words: Any) -> Pending:
        """Send a request and go on.

        Args:
            op: load, render, state or ping, as ``job.schema.json`` has them.
            on_event: gets each progress and warning event, from another thread.
            words: the request's other values; a :class:`Job` as it is.

        Raises:
            JobError: not a request that the schema knows.
            CommandMissing: there is no paintover command.
            WorkerCrashed: it crashed twice in a row before, and nobody called :meth:`restart` since.
        """
        with self._lock:
            self._number += 1
            values = {name: value.to_dict() if isinstance(value, Job) else value for name, value in words.items()}
            present = {name: value for name, value in values.items() if value is not None}
            message = {"protocol": PROTOCOL, "id": self._number, "op": op, **present}
            pending = Pending(self, check_message(message, "request"), on_event)
        self._send(pending)
        return pending

    def request(self, op: str, on_event: Callable[[Event], None] | None = None, **words: Any) -> Event:
        """:meth:`submit`, and wait for the answer; raises what :meth:`Pending.result` does."""
        return self.submit(op, on_event, **words).result()

    def load(self, job: Job) -> Event:
        """Load the job's look ahead of time."""
        return self.request("load", job=job)

    def render(
        self,
        job: Job,
        frames: str | None = None,
        *,
        overwrite: bool = False,
        on_event: Callable[[Event], None] | None = None,
    ) -> Event:
        """Render frames of the job that are not right yet, and wait; the answer lists ``done`` and ``skipped``."""
        return self.request("render", on_event, job=job, frames=frames, overwrite=overwrite)

    def states(self, job: Job, frames: str | None = None) -> list[Event]:
        """For each frame whether it is shown, missing, stale or foreign, with the reason."""
        found: list[Event] = self.request("state", job=job, frames=frames)["states"]
        return found

    def restart(self) -> None:
        """Allow another start after two crashes in a row."""
        with self._lock:
            self._crashes = 0

    def close(self, timeout_s: float = 5.0) -> None:
        """End the worker; what it is doing is cancelled. A worker that does not listen is killed."""
        with self._lock:
            process, self._process = self._process, None
            pending, self._pending = list(self._pending.values()), {}
        for one in pending:
            one._settle(None, RequestCancelled("stopped: the worker was closed"))
        if process is not None:
            process.end(timeout_s)

    def _cancel(self, pending: Pending) -> None:
        with self._lock:
            process = self._process
            if pending.done() or process is None:
                return
            self._number += 1
            message = {"protocol": PROTOCOL, "id": self._number, "op": "cancel", "target": pending.id}
        process.send(message)

    def _send(self, pending: Pending) -> None:
        while True:
            process = self._ready()
            with self._lock:
                if self._process is not process:
                    continue  # It ended before it heard of this.
                self._pending[pending.id] = pending
            # Where nobody reads any more, the stream's end tells, and the request is sent again from there.
            process.send(pending.message)
            return

    def _ready(self) -> _Process:
        """A running worker."""
        while True:
            with self._lock:
                process = self._process
            if process is not None and process.alive:
                return process
            if process is not None:
                self._gone(process)
                continue
            with self._starting:
                with self._lock:
                    if self._process is not None:
                        continue
                    if self._crashes > 1:
                        raise self._given_up()
                    started = _Process(self._full_command(), self._environment, self._hear, self._gone)
                    self._process = started
                    self.starts += 1
                started.wait_ready(self._start_timeout_s)
                return started

    def _full_command(self) -> list[str]:
        command = find_command() if self._command is None else self._command
        return [*command, "worker", "--idle", f"{self._idle_s:g}"]

    def _hear(self, event: Event) -> None:
        """An event, from the reading thread."""
        number = event.get("id")
        kind = event["event"]
        with self._lock:
            pending = self._pending.get(number) if isinstance(number, int) else None
            if pending is None:
                return
            if kind in _LAST:
                del self._pending[pending.id]
                # Whoever answers is well: only crashes in a row count.
                self._crashes = 0
        if kind == "done":
            pending._settle(event)
        elif kind == "failed":
            pending._settle(None, RequestFailed.of(event))
        elif kind == "cancelled":
            pending._settle(None, RequestCancelled(str(event.get("message", "stopped on request"))))
        elif pending.on_event is not None:
            pending.on_event(event)

    def _gone(self, process: _Process) -> None:
        """The worker's stream ended: go on with a new one, once."""
        process.drained.wait(_DRAIN_S)
        with self._lock:
            if self._process is not process:
                return
            self._process = None
            unanswered, self._pending = list(self._pending.values()), {}
            said_bye = process.said_bye
            if not said_bye:
                self._crashes += 1
                self._last_words = process.last_words()
            crashes = self._crashes
        if said_bye and not unanswered:
            return
        if not said_bye and crashes > 1:
            for pending in unanswered:
                pending._settle(None, self._given_up())
            return
        if not said_bye and self._report is not None:
            self._report(f"the worker ended by itself ({self._last_words}); it is started anew")
        for pending in unanswered:
            if pending.cancelled:
                pending._settle(None, RequestCancelled("stopped on request"))
                continue
            try:
                self._send(pending)
            except HostError as error:
                pending._settle(None, error)

    def _given_up(self) -> WorkerCrashed:
        return WorkerCrashed(
            f"the worker ended by itself twice in a row ({self._last_words})",
            "see paintover doctor, then restart the worker",
        )


class _Process:
    """A worker process with its streams."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        hear: Callable[[Event], None],
        gone: Callable[[_Process], None],
    ) -> None:
        self._hear = hear
        self._gone = gone
        self._tail: collections.deque[str] = collections.deque(maxlen=_STDERR_LINES)
        self._ready = threading.Event()
        self.drained = threading.Event()
        """Set once nothing more can be heard of it."""
        self._refusal: JobError | None = None
        self._lock = threading.Lock()
        self.said_bye = False
        """Whether it announced its end: idle, or asked to."""
        self._process = start_beside(
            command, environment, stdin=subprocess.PIPE, output=subprocess.PIPE, own_group=False
        )
        self.pid = self._process.pid
        self._errors = threading.Thread(target=self._read_errors, args=(self._process.stderr,), daemon=True)
        self._errors.start()
        threading.Thread(target=self._read_events, args=(self._process.stdout,), daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether it may still answer."""
        return self._process.poll() is None and not self.said_bye

    def wait_ready(self, timeout_s: float) -> None:
        """Wait until it is ready, or until its end, which is somebody else's concern.

        Raises:
            JobError: it speaks another protocol.
            HostError: not within ``timeout_s``; it is killed.
        """
        if not self._ready.wait(timeout_s):
            self._process.kill()
            raise HostError(f"the worker did not start within {timeout_s:g} s", "see paintover doctor")
        if self._refusal is not None:
            self._process.kill()
            raise self._refusal

    def send(self, message: Mapping[str, Any]) -> bool:
        """Send a request; False where nobody reads it any more."""
        data = json.dumps(message).encode() + b"\n"
        stream = self._process.stdin
        with self._lock:
            try:
                if stream is None:
                    return False
                stream.write(data)
                stream.flush()
            except (OSError, ValueError):
                return False
        return True

    def end(self, timeout_s: float) -> None:
        """Close its input, which ends it; kill it where that does not help."""
        stream = self._process.stdin
        try:
            if stream is not None:
                stream.close()
            self._process.wait(timeout_s)
        except (OSError, ValueError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()

    def last_words(self) -> str:
        """How it ended, and the last thing that it said on stderr."""
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._errors.join(1.0)
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        said = [line.strip() for line in tuple(self._tail) if line.strip()]
        return f"{how}: {said[-1]}" if said else how

    def _read_events(self, stream: IO[bytes]) -> None:
        try:
            for line in stream:
                self._read_event(line.decode("utf-8", "replace"))
        except (OSError, ValueError):
            pass  # The stream is gone, which the end of this loop says as well.
        finally:
            self.drained.set()
            self._ready.set()
            self._gone(self)

    def _read_event(self, line: str) -> None:
        try:
            event = parse_line(line, "event")
        except JobError as error:
            if not self._ready.is_set():
                self._refusal = error
                self._ready.set()
            return
        if event["event"] == "ready":
            self._ready.set()
        elif event["event"] == "bye":
            self.said_bye = True
        else:
            self._hear(event)

    def _read_errors(self, stream: IO[bytes]) -> None:
        for line in stream:
            self._tail.append(line.decode("utf-8", "replace"))
