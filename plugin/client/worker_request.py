"""One request to a worker that is shared through a socket: started where there is none, asked, and left running.

Standard library only, Python 3.9: this runs inside hosts, and behind ``paintover worker --ask`` for hosts that can only
start a command and read what it prints.
"""

from __future__ import annotations

import json
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from .address import connect, read_address
from .command import find_command, start_beside
from .errors import HostError, JobError, RequestCancelled, RequestFailed, WorkerCrashed
from .job import PROTOCOL, Job, check_message, parse_line

__all__ = ["ask"]

_POLL_S = 0.05
_EVENT_LIMIT = 1 << 28
"""Bytes of an event; the states of a million frames are less."""


def ask(
    address_file: str | Path,
    request: Mapping[str, Any],
    *,
    on_event: Callable[[Mapping[str, Any]], None] | None = None,
    command: Sequence[str] | None = None,
    environment: Mapping[str, str] | None = None,
    start_timeout_s: float = 300.0,
) -> Mapping[str, Any]:
    """Send one request to the worker that ``address_file`` tells of, and wait for its answer.

    Args:
        address_file: where ``paintover worker --socket`` writes; a worker is started on it where none answers.
        request: ``op`` and what belongs to it, as ``job.schema.json`` has them, without protocol, id and token.
        on_event: gets each progress and warning event.
        command: what starts ``paintover``; None finds it.
        environment: of a worker that is started; None for this process's without a host's Python settings.
        start_timeout_s: how long it may take to answer; long, because a busy machine takes minutes for what takes a
            second, and one that ends is noticed at once.

    Raises:
        JobError: not a request that the schema knows, or the file names another machine.
        RequestFailed, RequestCancelled: the worker's answer.
        WorkerCrashed: the worker ended while it was at work, and the one started after it as well.
        CommandMissing, HostError: no worker can be started.
    """
    words = {name: value.to_dict() if isinstance(value, Job) else value for name, value in request.items()}
    message = check_message({**words, "protocol": PROTOCOL, "id": 1}, "request")
    path = Path(address_file)
    crashes, deadline = 0, time.monotonic() + start_timeout_s
    while crashes < 2:
        connection, token = _connected(path, command, environment, start_timeout_s)
        with connection:
            greeted, answer = _talk(connection, {**message, "token": token}, on_event)
        if answer is not None:
            return _judged(answer)
        if greeted:
            crashes, deadline = crashes + 1, time.monotonic() + start_timeout_s
        elif time.monotonic() > deadline:
            raise HostError(f"the worker did not answer within {start_timeout_s:g} s", "see paintover doctor")
        else:
            # A worker that was just killed still takes connections for a moment, and serves none.
            time.sleep(_POLL_S)
    raise WorkerCrashed("the worker ended by itself twice in a row", "see paintover doctor")


def _talk(
    connection: socket.socket, message: Mapping[str, Any], on_event: Callable[[Mapping[str, Any]], None] | None
) -> tuple[bool, Mapping[str, Any] | None]:
    """Whether the worker said anything, and the last event, or None where it went away."""
    greeted = False
    try:
        connection.sendall(json.dumps(message).encode() + b"\n")
        with connection.makefile("rb") as stream:
            for line in iter(lambda: stream.readline(_EVENT_LIMIT), b""):
                if len(line) >= _EVENT_LIMIT and not line.endswith(b"\n"):
                    raise HostError(f"the worker's answer has more than {_EVENT_LIMIT} bytes", "ask for fewer frames")
                event = parse_line(line.decode("utf-8", "replace"), "event")
                # One that says goodbye was at its end, or has too many hosts: it is asked again.
                greeted = event["event"] != "bye"
                if event["event"] in ("done", "failed", "cancelled"):
                    return True, event
                if on_event is not None and event["event"] in ("progress", "warning"):
                    on_event(event)
    except OSError:
        pass
    return greeted, None


def _connected(
    path: Path, command: Sequence[str] | None, environment: Mapping[str, str] | None, timeout_s: float
) -> tuple[socket.socket, str]:
    process: subprocess.Popen[bytes] | None = None
    deadline = time.monotonic() + timeout_s
    # No pipe: the worker outlives whoever would have to read it.
    with tempfile.TemporaryFile() as said:
        while True:
            found = _reached(path)
            if found is not None:
                return found
            if process is None:
                process = _start(path, command, environment, said)
            elif process.poll() is not None and _reached(path) is None:
                # Exit code 2 may mean that another worker was faster, which the next look finds.
                if process.returncode != 2 or time.monotonic() > deadline - timeout_s + 2:
                    raise _ended(process.returncode, said)
            if time.monotonic() > deadline:
                if process is not None:
                    process.kill()
                raise HostError(f"the worker did not answer within {timeout_s:g} s", "see paintover doctor")
            time.sleep(_POLL_S)


def _ended(code: int, said: IO[bytes]) -> HostError:
    """The error of a worker that ended as it began: its own last line, if there is one."""
    said.seek(0)
    lines = [line.strip() for line in said.read().decode("utf-8", "replace").splitlines() if line.strip()]
    if not lines:
        return HostError(f"the worker ended with code {code} as it began", "see paintover doctor")
    return RequestFailed(lines[-1].split("paintover: ", 1)[-1], code if code > 0 else 1)


def _reached(path: Path) -> tuple[socket.socket, str] | None:
    address = read_address(path)
    if address is None:
        return None
    if address.protocol != PROTOCOL:
        known = address.protocol
        raise JobError(f"the worker at {path} speaks protocol {known}, and this part {PROTOCOL}", "end that worker")
    try:
        connection = connect(address)
    except OSError:
        return None
    connection.settimeout(None)
    return connection, address.token


def _start(
    path: Path, command: Sequence[str] | None, environment: Mapping[str, str] | None, said: IO[bytes]
) -> subprocess.Popen[bytes]:
    words = [*(find_command() if command is None else command), "worker", "--socket", str(path)]
    # It outlives whoever started it, and ends when nobody asks for long.
    return start_beside(words, environment, output=subprocess.DEVNULL, errors=said)


def _judged(event: Mapping[str, Any]) -> Mapping[str, Any]:
    if event["event"] == "failed":
        raise RequestFailed.of(event)
    if event["event"] == "cancelled":
        raise RequestCancelled(str(event.get("message", "stopped on request")))
    return event
