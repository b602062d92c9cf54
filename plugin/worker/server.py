"""The resident worker: keeps looks loaded and serves a host's requests, over its standard streams or a loopback socket.

One JSON object a line each way, as ``job.schema.json`` has them. Requests are served one after another, because one
render uses every core already; ``cancel``, ``ping`` and ``shutdown`` are heard meanwhile. Whoever holds the other end
owns what it asked for: where its stream ends, its requests are cancelled, and a worker on standard streams ends too.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import logging
import os
import queue
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from engine import __version__
from engine.base.errors import InputError, Interrupted, PaintoverError
from engine.base.events import failure_facts, finite
from engine.base.temporaries import output_error
from plugin.client.errors import JobError
from plugin.client.job import PROTOCOL, Job, parse_line
from plugin.progress.stop import StopRequest
from plugin.worker.looks import LoadedLooks
from plugin.worker.tasks import load, render_frames, states

__all__ = ["DEFAULT_IDLE_S", "LINE_LIMIT", "Worker", "serve_socket", "serve_streams"]

log = logging.getLogger(__name__)

DEFAULT_IDLE_S = 600.0
LINE_LIMIT = 1 << 20
"""Characters of a request; a job with a thousand keyframes has a tenth of it."""
_POLL_S = 0.2


@dataclass(eq=False)
class _Request:
    """One thing asked for."""

    id: int
    message: Mapping[str, Any]
    link: _Link
    cancelled: threading.Event = field(default_factory=threading.Event)


class _Link:
    """One host: the way to it, and what it still waits for."""

    def __init__(self, write: Callable[[bytes], object], *, token: str | None) -> None:
        self._write: Callable[[bytes], object] | None = write
        self._lock = threading.Lock()
        self.token = token
        """What a host must say before anything else; None where the stream itself is proof."""
        self.requests: dict[int, _Request] = {}
        self.closed = threading.Event()

    def send(self, request_id: int | None, event: str, facts: Mapping[str, Any]) -> None:
        """Send an event; a host that went away must not end a render for another."""
        message = {"protocol": PROTOCOL, "id": request_id, "event": event, **facts}
        data = json.dumps(finite(message), default=str).encode() + b"\n"
        with self._lock:
            if self._write is None:
                return
            try:
                self._write(data)
            except (OSError, ValueError):
                self._write = None

    def close(self) -> None:
        """The host is gone: nothing that it asked for is wanted any more."""
        self.closed.set()
        for request in list(self.requests.values()):
            request.cancelled.set()


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
        self._requests: queue.SimpleQueue[_Request] = queue.SimpleQueue()
        self._ended: str | None = None
        self._links: list[_Link] = []

    def end(self, reason: str) -> None:
        """Serve nothing more; what is at work is cancelled. From any thread."""
        self._ended = reason
        for link in list(self._links):
            for request in list(link.requests.values()):
                request.cancelled.set()

    def run(self) -> None:
        """Serve until somebody asks to end, or nobody has asked for anything for long.

        Raises:
            Interrupted: a signal asked to end.
        """
        heard_s = time.monotonic()
        while self._ended is None and not self._stop():
            try:
                request = self._requests.get(timeout=_POLL_S)
            except queue.Empty:
                if time.monotonic() - heard_s >= self._idle_s:
                    self._ended = "idle"
                continue
            self._serve(request)
            heard_s = time.monotonic()
        stopped = self._stop()
        reason = "stopped by a signal" if stopped else str(self._ended)
        for link in self._links:
            for request in list(link.requests.values()):
                self._finish(request, "cancelled", {"message": f"the worker ended: {reason}"})
            link.send(None, "bye", {"reason": reason})
        self._looks.close()
        if stopped:
            raise Interrupted("the worker was stopped on request", exit_code=self._stop.exit_code)

    def open_link(self, write: Callable[[bytes], object], *, token: str | None) -> _Link:
        """A host to answer; tells it who speaks."""
        link = _Link(write, token=token)
        self._links.append(link)
        link.send(None, "ready", {"version": __version__, "pid": os.getpid()})
        return link

    def listen(self, link: _Link, stream: IO[bytes]) -> None:
        """Hear a host until its stream ends; in a thread of its own."""
        try:
            while not link.closed.is_set():
                line = stream.readline(LINE_LIMIT)
                if not line:
                    break
                if not line.endswith(b"\n") and len(line) >= LINE_LIMIT:
                    self._refuse(link, None, JobError(f"a request has more than {LINE_LIMIT} bytes"))
                    break
                if line.strip():
                    self._hear(link, line.decode("utf-8", "replace"))
        except (OSError, ValueError):
            log.debug("a host went away", exc_info=True)
        finally:
            link.close()

    def forget(self, link: _Link) -> None:
        """A host that went away for good."""
        with contextlib.suppress(ValueError):
            self._links.remove(link)

    def _hear(self, link: _Link, line: str) -> None:
        try:
            message = parse_line(line, "request")
            number = int(message["id"])
            if link.token is not None and not _is_token(link.token, message.get("token")):
                self._refuse(link, number, JobError("the token is wrong", "read it from the worker's file"))
                link.close()
                return
            link.token = None
            if number in link.requests:
                raise JobError(f"request {number} is at work already", "number requests upwards")
        except JobError as error:
            self._refuse(link, _id_in(line), error)
            return
        self._take(link, number, message)

    def _take(self, link: _Link, number: int, message: Mapping[str, Any]) -> None:
        op = message["op"]
        if op in ("hello", "ping"):
            link.send(number, "done", {"version": __version__, "pid": os.getpid()})
        elif op == "cancel":
            target = link.requests.get(int(message.get("target", 0)))
            if target is not None:
                target.cancelled.set()
            # What has just ended cannot be cancelled any more, and that is no fault.
            link.send(number, "done", {"cancelled": target is not None})
        elif op == "shutdown":
            link.send(number, "done", {})
            self.end("asked to")
        else:
            request = _Request(number, message, link)
            link.requests[number] = request
            self._requests.put(request)

    def _serve(self, request: _Request) -> None:
        if request.cancelled.is_set():
            self._finish(request, "cancelled", {"message": "stopped before it began"})
            return
        try:
            answer = self._answer(request)
        except JobError as error:
            self._finish(request, "failed", failure_facts(InputError(error.message, remedy=error.remedy)))
        except Interrupted as error:
            self._finish(request, "cancelled", {"message": str(error)})
        except PaintoverError as error:
            self._finish(request, "failed", failure_facts(error))
        except MemoryError:
            self._finish(
                request, "failed", failure_facts(PaintoverError("memory ran out", remedy="give a smaller tile"))
            )
        except OSError as fault:
            path = fault.filename if isinstance(fault.filename, str) else None
            self._finish(request, "failed", failure_facts(PaintoverError(fault.strerror or str(fault), path=path)))
        except Exception as fault:  # A fault of ours: the host hears of it, and the worker goes on.
            log.debug("request %d", request.id, exc_info=True)
            what = f"internal fault: {type(fault).__name__}, {fault}"
            self._finish(
                request, "failed", failure_facts(PaintoverError(what, remedy="run paintover worker with --debug"))
            )
        else:
            self._finish(request, "done", answer)

    def _answer(self, request: _Request) -> dict[str, Any]:
        message = request.message
        if "job" not in message:
            raise JobError(f"{message['op']} needs a job")
        job = Job.from_dict(message["job"])

        def tell(event: str, facts: Mapping[str, Any]) -> None:
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

    def _finish(self, request: _Request, event: str, facts: Mapping[str, Any]) -> None:
        request.link.requests.pop(request.id, None)
        request.link.send(request.id, event, facts)

    def _refuse(self, link: _Link, number: int | None, error: JobError) -> None:
        link.send(number, "failed", failure_facts(InputError(error.message, remedy=error.remedy)))


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
    link = worker.open_link(sink.write, token=None)

    def listen() -> None:
        worker.listen(link, source)
        worker.end("the host closed its end")

    threading.Thread(target=listen, name="host", daemon=True).start()
    worker.run()


def serve_socket(worker: Worker, address_file: Path) -> None:
    """Serve hosts on this machine, each of which must send the token from ``address_file`` with its first request.

    The file is JSON with ``host``, ``port``, ``token``, ``pid`` and ``protocol``; only this user can read it (on
    Windows it has the permissions of its folder), and it goes when the worker ends.

    Raises:
        InputError: the file is there already, and the worker that wrote it is alive.
        OutputError: it cannot be written.
    """
    token = secrets.token_hex(32)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = {"host": "127.0.0.1", "port": server.getsockname()[1], "token": token, "pid": os.getpid()}
        text = json.dumps({**address, "protocol": PROTOCOL}) + "\n"
        _write_private(address_file, text)
        threading.Thread(target=_accept, args=(worker, server, token), name="accept", daemon=True).start()
        try:
            worker.run()
        finally:
            with contextlib.suppress(OSError, ValueError):
                # Another worker's by now, where somebody removed ours.
                if address_file.read_text(encoding="utf-8") == text:
                    address_file.unlink()


def _accept(worker: Worker, server: socket.socket, token: str) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        # Small events must not wait for one another.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_talk, args=(worker, connection, token), name="host", daemon=True).start()


def _talk(worker: Worker, connection: socket.socket, token: str) -> None:
    with connection, connection.makefile("rb") as source:
        link = worker.open_link(connection.sendall, token=token)
        worker.listen(link, source)
        worker.forget(link)


def _write_private(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if _is_left_over(path):
            path.unlink(missing_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise InputError(
            "another worker may be using this file", path=path, remedy="end that worker, or delete the file"
        ) from error
    except OSError as error:
        raise output_error(path, error) from error
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)


def _is_left_over(path: Path) -> bool:
    """Whether an address file tells of a worker that is gone, such as one that was killed."""
    try:
        address = json.loads(path.read_text(encoding="utf-8"))
        place = (str(address["host"]), int(address["port"]))
    except (OSError, ValueError, KeyError, TypeError):
        return False
    try:
        socket.create_connection(place, timeout=2).close()
    except OSError:
        return True
    return False


def _is_token(wanted: str, said: object) -> bool:
    # As bytes: of text, compare_digest takes ASCII alone. What is said may hold anything that JSON can, surrogates too.
    return hmac.compare_digest(wanted.encode(), str(said).encode("utf-8", "backslashreplace"))


def _id_in(line: str) -> int | None:
    """The id of a request that is refused, as far as it can be told."""
    try:
        number = json.loads(line)["id"]
    except (ValueError, TypeError, KeyError):
        return None
    return number if isinstance(number, int) and not isinstance(number, bool) else None
