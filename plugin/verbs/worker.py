"""``paintover worker``: the resident process behind a host."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.base.errors import InputError, PaintoverError
from engine.base.whole_file import read_text
from plugin.arguments.commands import COMMANDS
from plugin.arguments.options import Options
from plugin.arguments.parser import Parser
from plugin.client.errors import HostError
from plugin.client.worker_request import ask
from plugin.progress.child import child_environment
from plugin.progress.protocol import Progress
from plugin.progress.stop import StopRequest

__all__ = ["parser", "run"]

_REQUEST_LIMIT = 1 << 20
"""Bytes: what a worker takes as one line."""


def parser() -> Parser:
    """The options of ``paintover worker``."""
    return Parser(COMMANDS["worker"])


def run(options: Options, progress: Progress, stop: StopRequest) -> int:
    """Serve until there is nobody left to serve."""
    if options.ask is not None:
        return _ask(options)
    # Here, because --help should not wait for the engine.
    from plugin.worker.looks import LoadedLooks, default_limit
    from plugin.worker.server import DEFAULT_IDLE_S, Worker, serve_streams
    from plugin.worker.sockets import serve_socket

    limit = default_limit() if options.memory is None else int(options.memory * 2**30)
    looks = LoadedLooks(limit, threads=options.threads)
    idle_s = DEFAULT_IDLE_S if options.idle is None else options.idle
    worker = Worker(looks, stop, idle_s=idle_s, threads=options.threads)
    with stop.cooperative():
        if options.socket is None:
            serve_streams(worker)
        else:
            serve_socket(worker, Path(options.socket).expanduser())
    return 0


def _ask(options: Options) -> int:
    if options.socket is None:
        raise InputError("--ask needs --socket", remedy="name the file of the worker to ask, or to start")
    path = Path(options.ask or "")
    try:
        request = json.loads(read_text(path, _REQUEST_LIMIT))
        if not isinstance(request, dict):
            raise ValueError("not an object")
    except (OSError, ValueError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"cannot read the request: {why}", path=path, remedy="write op and job as JSON") from error
    command = [sys.executable, "-m", "plugin"]
    environment = child_environment()
    try:
        address = Path(options.socket).expanduser()
        answer = ask(address, request, on_event=_print, command=command, environment=environment)
    except HostError as error:
        failure = PaintoverError(error.message, remedy=error.remedy)
        failure.exit_code = error.exit_code
        raise failure from error
    _print(answer)
    return 0


def _print(event: Mapping[str, Any]) -> None:
    print(json.dumps(dict(event)), flush=True)
