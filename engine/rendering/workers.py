"""Worker processes that render frames side by side: one for each GPU, or for work that must survive a crash.

This module is both ends: :class:`WorkerPool` starts Python processes that run :func:`main` and hands them frames, one
JSON line each, through stdin; a child answers in events (:mod:`engine.base.events`). A child whose stdin closes without
a farewell has lost its parent and ends.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from engine import images
from engine.base.device import cuda_devices
from engine.base.errors import (
    ColorError,
    DeviceError,
    ImageError,
    InputError,
    Interrupted,
    LookError,
    NoPermissionError,
    OutputError,
    PaintoverError,
)
from engine.base.events import event_line, failure_facts, parse_event
from engine.base.machine import free_bytes
from engine.look.card import open_look
from engine.look.tiling import DEFAULT_TILE
from engine.rendering.frame_clock import FrameClock
from engine.rendering.pipeline import FrameResult, Pipeline, RenderJob

__all__ = ["WorkerPool", "main", "workers_for"]

log = logging.getLogger(__name__)

_MAX_TRIES = 2
"""A frame that took this many workers with it has failed."""
_IDLE_DEATHS = 3
"""Workers that may die without holding a frame before the job is given up."""
_MEMORY_SHARE = 0.8
_THREADS_EACH = 8
"""Threads of a worker where the number of workers is to be found out; not measured on more than two cores."""
_PROCESS_BYTES = 2**30
"""Of a worker beside its tile: libraries, the look, and a few frames."""
_START = (
    # Without the empty entry nothing of the caller's folder can take the engine's place.
    "import sys; sys.path[:] = [p for p in sys.path if p] + sys.argv[1:];"
    " from engine.rendering.workers import main; sys.exit(main())"
)


class _Worker:
    """One child process and the frames that it holds."""

    def __init__(
        self, job: RenderJob, threads: int, memory_bytes: int, inbox: queue.SimpleQueue[tuple[_Worker, str]]
    ) -> None:
        self.held: dict[int, None] = {}
        self.clock = FrameClock()
        """Of the frames whose work began."""
        self.depth = threads + 3
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START, str(Path(__file__).resolve().parents[2])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._send({"job": job.to_json(), "threads": threads, "memory_bytes": memory_bytes})
        threading.Thread(target=self._listen, args=(inbox,), daemon=True).start()

    def give(self, frame: int) -> None:
        self.held[frame] = None
        self._send({"frame": frame})

    def finish(self) -> None:
        """Nothing more will come; the child finishes what it holds and ends."""
        self._send({"end": True})

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def _send(self, message: dict[str, Any]) -> None:
        stdin = self.process.stdin
        if stdin is not None:
            # Where it died, the reader finds out.
            with suppress(OSError):
                stdin.write(json.dumps(message) + "\n")
                stdin.flush()

    def _listen(self, inbox: queue.SimpleQueue[tuple[_Worker, str]]) -> None:
        stdout: IO[str] | None = self.process.stdout
        for line in stdout or ():
            inbox.put((self, line))
        inbox.put((self, ""))


class WorkerPool:
    """Several workers on one job."""

    def __init__(self, job: RenderJob, *, workers: int, threads: int, timeout_s: float | None = None) -> None:
        self._job = job
        self._timeout_s = timeout_s
        self._count = workers
        self._threads = max(1, threads // workers)
        limit = job.settings.memory_gib
        total = int(_MEMORY_SHARE * free_bytes()) if limit is None else int(limit * 2**30)
        self._memory = total // workers
        self._inbox: queue.SimpleQueue[tuple[_Worker, str]] = queue.SimpleQueue()
        self._waiting = deque(job.plate.frames)
        self._suspects: deque[int] = deque()
        self._tries: dict[int, int] = {}
        self._workers: list[_Worker] = []
        self._started = 0
        self._idle_deaths = 0
        self._logged: set[str] = set()
        # The line that a device is not there is worth saying once, not once a worker.
        self._devices = _devices(job)

    def run(self, report: Callable[[FrameResult], None], stop: Callable[[], bool]) -> None:
        """Render every frame of the job, reporting each from this thread.

        Raises:
            PaintoverError: what stopped a worker for good, such as a full disk.
            Interrupted: ``stop`` said so.
        """
        try:
            for _ in range(self._count):
                self._start()
            while self._workers:
                self._feed()
                if stop():
                    raise Interrupted("stopped on request")
                # What is done and not heard of yet is not late.
                if self._inbox.empty():
                    self._end_late_frames(report)
                try:
                    worker, line = self._inbox.get(timeout=0.1)
                except queue.Empty:
                    continue
                if worker not in self._workers:
                    continue
                if not line:
                    self._replace_dead(worker, report)
                    continue
                event = parse_event(line)
                if event is not None:
                    self._hear(worker, event, report)
        finally:
            for worker in self._workers:
                worker.kill()
            images.clean_temporaries(self._job.out.folder)

    def _start(self) -> None:
        job = self._job
        if self._devices:
            settings = dataclasses.replace(job.settings, device=f"cuda:{self._started % self._devices}")
            job = dataclasses.replace(job, settings=settings)
        self._started += 1
        self._workers.append(_Worker(job, self._threads, self._memory, self._inbox))

    def _feed(self) -> None:
        for worker in self._workers:
            if self._suspects and not worker.held:
                # Alone, so that a frame that kills its worker takes no other with it.
                worker.give(self._suspects.popleft())
                continue
            while self._waiting and len(worker.held) < worker.depth and not self._holds_suspect(worker):
                worker.give(self._waiting.popleft())
        if not self._waiting and not self._suspects and not any(worker.held for worker in self._workers):
            for worker in self._workers:
                worker.finish()

    def _holds_suspect(self, worker: _Worker) -> bool:
        return any(frame in self._tries for frame in worker.held)

    def _hear(self, worker: _Worker, event: dict[str, Any], report: Callable[[FrameResult], None]) -> None:
        kind = event.pop("event")
        if kind == "warning":
            if event["text"] not in self._logged:
                self._logged.add(event["text"])
                log.log(event["level"], "%s", event["text"], extra={"hint": event.get("hint")})
        elif kind == "failed":
            raise _error(event)
        elif event["state"] == "began":
            worker.clock.begin(event["frame"])
        elif event["frame"] in worker.held:
            result = FrameResult(**{**event, "warnings": tuple(event["warnings"])})
            worker.held.pop(result.frame)
            worker.clock.end(result.frame)
            report(result)

    def _end_late_frames(self, report: Callable[[FrameResult], None]) -> None:
        """End the workers whose frames take too long; what else they held is given to others."""
        if self._timeout_s is None:
            return
        for worker in tuple(self._workers):
            late = worker.clock.late(self._timeout_s)
            if not late:
                continue
            self._workers.remove(worker)
            worker.kill()
            for frame, flight_s in late.items():
                what = f"frame {frame}: not done within {flight_s:.3g} s, given up"
                report(FrameResult(frame, "failed", f"{what}; give more --timeout, or look at this frame", 1))
            self._waiting.extendleft(frame for frame in reversed(tuple(worker.held)) if frame not in late)
            worker.held.clear()
            if self._waiting or self._suspects:
                self._start()

    def _replace_dead(self, worker: _Worker, report: Callable[[FrameResult], None]) -> None:
        code = worker.process.wait()
        self._workers.remove(worker)
        if code == 0 and not worker.held:
            return
        cause = f"signal {-code}" if code < 0 else f"exit code {code}"
        held = list(worker.held)
        log.warning("a render worker died (%s) while it held the frames %s", cause, held or "none")
        if not held:
            self._idle_deaths += 1
            if self._idle_deaths >= _IDLE_DEATHS:
                raise PaintoverError(f"render workers die at once ({cause})", remedy="try --workers 1")
        for frame in held:
            self._tries[frame] = self._tries.get(frame, 0) + 1
            if self._tries[frame] < _MAX_TRIES:
                self._suspects.append(frame)
            else:
                report(FrameResult(frame, "failed", f"frame {frame}: its render worker died ({cause})", 1))
        if self._waiting or self._suspects:
            self._start()


def workers_for(job: RenderJob, threads: int) -> int:
    """How many processes serve: one for each GPU, else one for every ``_THREADS_EACH`` threads that memory allows.

    Raises:
        LookError: not a look.
    """
    devices = _devices(job)
    if devices:
        return devices
    if threads < 2 * _THREADS_EACH:
        return 1
    file = open_look(job.look)
    side = (job.settings.tile or DEFAULT_TILE) + 2 * file.card.halo
    each = _PROCESS_BYTES + int(side**2 * file.graph.bytes_per_pixel())
    limit = job.settings.memory_gib
    free = int(_MEMORY_SHARE * free_bytes()) if limit is None else int(limit * 2**30)
    return max(1, min(threads // _THREADS_EACH, free // each))


def _devices(job: RenderJob) -> int:
    return len(cuda_devices()[0]) if job.settings.device in ("auto", "cuda") else 0


def main() -> int:
    """The child: reads a job and frames from stdin, answers on stdout."""
    # The parent gets the interrupt too and decides; nothing of a native library may end up among the answers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    lock = threading.Lock()
    orphaned = threading.Event()

    def say(event: str, facts: Mapping[str, object]) -> None:
        with lock:
            try:
                answers.write(event_line(event, facts) + "\n")
            except OSError:
                # The parent is gone. What is still buffered must not complain when Python shuts down.
                os.dup2(os.open(os.devnull, os.O_WRONLY), answers.fileno())
                orphaned.set()

    logging.getLogger().addHandler(_Relay(say))
    first = sys.stdin.readline()
    if not first:
        return 1
    setup = json.loads(first)
    frames: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    threading.Thread(target=_read_frames, args=(frames, orphaned), daemon=True).start()
    try:
        pipeline = Pipeline(
            RenderJob.from_json(setup["job"]), threads=setup["threads"], memory_bytes=setup["memory_bytes"]
        )
        try:
            pipeline.run(
                frames,
                lambda result: say("progress", dataclasses.asdict(result)),
                orphaned.is_set,
                lambda frame: say("progress", {"frame": frame, "state": "began"}),
            )
        finally:
            pipeline.close()
    except Interrupted:
        return 1
    except PaintoverError as error:
        # In parts as well: the parent raises it once more.
        kind = "LookError" if isinstance(error, LookError) else type(error).__name__
        say("failed", {**failure_facts(error), "kind": kind, "what": error.message, "remedy": error.remedy})
        return 1
    return 0


class _Relay(logging.Handler):
    """Passes warnings on to the parent."""

    def __init__(self, say: Callable[[str, Mapping[str, object]], None]) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        hint = getattr(record, "hint", None)
        self._say("warning", {"level": record.levelno, "text": record.getMessage(), "hint": hint})


def _read_frames(frames: queue.SimpleQueue[int | None], orphaned: threading.Event) -> None:
    for line in sys.stdin:
        message = json.loads(line)
        if message.get("end"):
            frames.put(None)
            return
        frames.put(message["frame"])
    orphaned.set()


def _error(facts: dict[str, Any]) -> PaintoverError:
    """A child's error as one of the same class here."""
    named = {
        cls.__name__: cls
        for cls in (ColorError, DeviceError, ImageError, InputError, LookError, NoPermissionError, OutputError)
    }
    cls = named.get(facts["kind"], PaintoverError)
    error = cls(facts["what"], remedy=facts["remedy"], frame=facts["frame"], path=facts["path"])
    error.exit_code = facts["exit_code"]
    return error
