"""The resident worker: keeps looks loaded and serves a host's requests, here over its standard streams.

One JSON object a line each way, as ``job.schema.json`` has them. Requests are served one after another, because one
render uses every core already, and hosts take turns; ``cancel``, ``ping`` and ``shutdown`` are heard meanwhile. Whoever
holds the other end owns what it asked for: where its stream ends, its requests are cancelled, and a worker on standard
streams ends too. Whatever a line holds, it is answered, and the next one is heard.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import logging
import os
import sys
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import IO, Any

from engine import __version__
from engine.base.errors import InputError, Interrupted, PaintoverError
from engine.base.events import failure_facts
from engine.base.system_errors import system_error
from plugin.client.errors import JobError
from plugin.client.job import LARGEST, Job, parse_line
from plugin.progress.stop import StopRequest
from plugin.worker.link import REQUEST_LIMIT, Link, Request
from plugin.worker.looks import LoadedLooks
from plugin.worker.tasks import load, render_frames, states

__all__ = ["DEFAULT_IDLE_S", "LINE_LIMIT", "Worker", "serve_streams"]

log = logging.getLogger(__name__)

DEFAULT_IDLE_S = 600.0
LINE_LIMIT = 1 << 20
"""Bytes of a request; a job with a thousand keyframes has a tenth of it."""
_POLL_S = 0.2
_FLUSH_S = 2.0
"""For what is left to say when the worker ends."""
_SKIP = 1 << 16


class _Turns:
    """Requests that wait, each host's in their order; hosts take turns."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[Link, deque[Request]] = OrderedDict()
        self._added = threading.Condition()

    def add(self, request: Request) -> None:
        with self._added:
            self._waiting.setdefault(request.link, deque()).append(request)
            self._added.notify()

    def next(self, timeout_s: float) -> Request | None:
        """The next request, or None where there is none within the time."""
        with self._added:
            if not self._waiting:
                self._added.wait(timeout_s)
            if not self._waiting:
                return None
            link, requests = self._waiting.popitem(last=False)
            request = requests.popleft()
            if requests:
                self._waiting[link] = requests
            return request


class Worker:
    """The queue of requests and the thread that serves them."""

    def __init__(self, looks: LoadedLooks, stop: StopRequest, *, idle_s: float, threads: int | None) -> None:
        """
        Args:
            looks: those kept; used by the thread that calls :meth:`run` only.
            stop: a signal's request to end.
            idle_s: seconds without a request after which the worker ends by itself.
            threads: CPU threads; None for the machine's cores.
        """
        self._looks = looks
        self._stop = stop
        self._idle_s = idle_s
        self._threads = threads
        self._requests = _Turns()
        self._ended: str | None = None
        self._links: list[Link] = []

    def end(self, reason: str) -> None:
        """Serve nothing more; what is at work is cancelled. From any thread."""
        self._ended = reason
        for link in list(self._links):
            for request in link.requests():
                request.cancelled.set()

    def run(self) -> None:
        """Serve until somebody asks to end, or nobody has asked for anything for long.

        Raises:
            Interrupted: a signal asked to end.
        """
        heard_s = time.monotonic()
        while self._ended is None and not self._stop():
            request = self._requests.next(_POLL_S)
            if request is None:
                if time.monotonic() - heard_s >= self._idle_s:
                    self._ended = "idle"
                continue
            self._serve(request)
            heard_s = time.monotonic()
        stopped = self._stop()
        reason = "stopped by a signal" if stopped else str(self._ended)
        links = list(self._links)
        for link in links:
            for request in link.requests():
                link.finish(request, "cancelled", {"message": f"the worker ended: {reason}"})
            link.send(None, "bye", {"reason": reason})
        flushed_s = time.monotonic() + _FLUSH_S
        for link in links:
            link.flush(max(0.0, flushed_s - time.monotonic()))
        self._looks.close()
        if stopped:
            raise Interrupted("the worker was stopped on request", exit_code=self._stop.exit_code)

    def open_link(
        self, write: Callable[[memoryview], int | None], drop: Callable[[str], None], *, token: str | None
    ) -> Link:
        """A host to answer; tells it who speaks. See :class:`plugin.worker.link.Link`."""
        link = Link(write, drop, token=token)
        self._links.append(link)
        link.send(None, "ready", {"version": __version__, "pid": os.getpid()})
        return link

    def listen(self, link: Link, stream: IO[bytes]) -> None:
        """Hear a host until its stream ends; in a thread of its own."""
        try:
            while not link.closed.is_set():
                line = stream.readline(LINE_LIMIT)
                if not line:
                    break
                if len(line) >= LINE_LIMIT and not line.endswith(b"\n"):
                    self._refuse(link, None, JobError(f"a request has more than {LINE_LIMIT} bytes"))
                    while line and not line.endswith(b"\n") and not link.closed.is_set():
                        line = stream.readline(_SKIP)
                elif line.strip():
                    self._hear(link, line)
        except (OSError, ValueError):
            log.debug("a host went away", exc_info=True)
        finally:
            link.close()

    def forget(self, link: Link) -> None:
        """A host that went away for good."""
        with contextlib.suppress(ValueError):
            self._links.remove(link)

    def _hear(self, link: Link, line: bytes) -> None:
        text = ""
        try:
            text = _text(line)
            message = parse_line(text, "request")
            number = int(message["id"])
            if link.token is not None and not _is_token(link.token, message.get("token")):
                raise JobError("the token is wrong", "read it from the worker's file")
            link.token = None
            if link.request(number) is not None:
                raise JobError(f"request {number} is at work already", "number requests upwards")
            self._take(link, number, message)
        except JobError as error:
            self._refuse(link, _id_in(text), error)
        except Exception as fault:  # A fault of ours: the host hears of it, and its next line is heard.
            log.debug("a line of a host", exc_info=True)
            self._refuse(link, None, JobError(f"this request cannot be read: {type(fault).__name__}"))

    def _take(self, link: Link, number: int, message: Mapping[str, Any]) -> None:
        op = message["op"]
        if op in ("hello", "ping"):
            link.send(number, "done", {"version": __version__, "pid": os.getpid()})
        elif op == "cancel":
            target = link.request(int(message.get("target", 0)))
            if target is not None:
                target.cancelled.set()
            # What has just ended cannot be cancelled any more, and that is no fault.
            link.send(number, "done", {"cancelled": target is not None})
        elif op == "shutdown":
            link.send(number, "done", {})
            self.end("asked to")
        else:
            request = Request(number, message, link)
            if not link.take(request):
                raise JobError(f"{REQUEST_LIMIT} requests are waiting already", "wait for some of them")
            self._requests.add(request)

    def _serve(self, request: Request) -> None:
        try:
            event, facts = self._outcome(request)
            request.link.finish(request, event, facts)
        except Exception:
            # Its last event cannot be said, in whatever way; the next request is served all the same.
            log.debug("request %d", request.id, exc_info=True)
            fault = PaintoverError("internal fault: the answer cannot be written")
            request.link.finish(request, "failed", failure_facts(fault))

    def _outcome(self, request: Request) -> tuple[str, Mapping[str, Any]]:
        """The last event of a request, after its work."""
        if request.cancelled.is_set():
            return "cancelled", {"message": "stopped before it began"}
        try:
            return "done", self._answer(request)
        except JobError as error:
            return "failed", failure_facts(InputError(error.message, remedy=error.remedy))
        except Interrupted as error:
            return "cancelled", {"message": str(error)}
        except PaintoverError as error:
            return "failed", failure_facts(error)
        except MemoryError:
            return "failed", failure_facts(PaintoverError("memory ran out", remedy="give a smaller tile"))
        except OSError as fault:
            return "failed", failure_facts(system_error(fault))
        except Exception as fault:  # A fault of ours: the host hears of it, and the worker goes on.
            log.debug("request %d", request.id, exc_info=True)
            what = f"internal fault: {type(fault).__name__}, {fault}"
            return "failed", failure_facts(PaintoverError(what, remedy="run paintover worker with --debug"))

    def _answer(self, request: Request) -> dict[str, Any]:
        message = request.message
        if "job" not in message:
            raise JobError(f"{message['op']} needs a job")
        job = Job.from_dict(message["job"])

        def tell(event: str, facts: Mapping[str, Any]) -> None:
            if event == "warning" and facts.get("frame") is None and not request.link.is_new(str(facts["message"])):
                return
            request.link.send(request.id, event, facts)

        def stop() -> bool:
            return request.cancelled.is_set() or self._stop()

        frames = message.get("frames")
        if message["op"] == "load":
            return load(job, self._looks)
        if message["op"] == "state":
            return states(job, frames, self._looks, stop)
        overwrite = bool(message.get("overwrite", False))
        return render_frames(job, frames, overwrite, self._looks, tell, stop, self._threads)

    def _refuse(self, link: Link, number: int | None, error: JobError) -> None:
        link.send(number, "failed", failure_facts(InputError(error.message, remedy=error.remedy)))
        if link.token is not None:
            # Who has not said the token gets one line.
            link.close()


def serve_streams(worker: Worker) -> None:
    """Serve the host at this process's standard streams until it closes them or asks to end.

    What libraries print there must not end up between two events: from here on, standard output is standard error.
    """
    sys.stdout.flush()
    ours_in, ours_out = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.close(nowhere)
    os.dup2(2, 1)
    source, sink = os.fdopen(ours_in, "rb"), os.fdopen(ours_out, "wb", buffering=0)
    link = worker.open_link(sink.write, worker.end, token=None)

    def listen() -> None:
        try:
            worker.listen(link, source)
        finally:
            worker.end("the host closed its end")

    threading.Thread(target=listen, name="host", daemon=True).start()
    worker.run()


def _text(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise JobError("this request is not UTF-8", "write JSON as UTF-8") from error


def _is_token(wanted: str, said: object) -> bool:
    # As bytes: of text, compare_digest takes ASCII alone. What is said may hold anything that JSON can, surrogates too.
    return hmac.compare_digest(wanted.encode(), str(said).encode("utf-8", "backslashreplace"))


def _id_in(line: str) -> int | None:
    """The id of a request that is refused, as far as it can be told."""
    try:
        number = json.loads(line)["id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    small = isinstance(number, int) and not isinstance(number, bool) and abs(number) <= LARGEST
    return number if small else None
