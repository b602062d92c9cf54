"""``paintover worker``: the resident process behind a host."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.base.errors import InputError, PaintoverError
from plugin.arguments.options import Options, Parser, add_reporting, add_threads
from plugin.client.errors import HostError
from plugin.client.worker_request import ask
from plugin.progress.child import child_environment
from plugin.progress.protocol import Progress
from plugin.progress.stop import StopRequest

__all__ = ["parser", "run"]


def parser() -> Parser:
    """The options of ``paintover worker``."""
    made = Parser(
        "worker",
        "Keeps looks loaded and renders frames on request, for hosts: one JSON object a line on its standard\n"
        "streams, or on a socket of this machine. It ends when its host does, or when nobody asks for anything.",
        examples=[
            "paintover worker",
            "paintover worker --socket ~/.paintover/worker.json --idle 3600",
            "paintover worker --socket ~/.paintover/worker.json --ask request.json",
        ],
    )
    group = made.add_argument_group("serving")
    group.add_argument(
        "--socket",
        metavar="FILE",
        help="listen on 127.0.0.1; port and token go to this new file, for you alone (default: stdin and stdout)",
    )
    group.add_argument(
        "--ask",
        metavar="FILE",
        help="send one request to the worker at --socket, starting it if need be, and print the answer's JSON",
    )
    group.add_argument(
        "--idle", type=_seconds, metavar="SECONDS", help="end after so many without a request (default: 600)"
    )
    group.add_argument(
        "--memory", type=_gib, metavar="GIB", help="for the looks kept loaded (default: a quarter of what is free)"
    )
    add_threads(made)
    add_reporting(made, progress=False)
    return made


def run(options: Options, progress: Progress, stop: StopRequest) -> int:
    """Serve until there is nobody left to serve."""
    if options.ask is not None:
        return _ask(options)
    # Here, because --help should not wait for the engine.
    from plugin.worker.looks import LoadedLooks, default_limit
    from plugin.worker.server import DEFAULT_IDLE_S, Worker, serve_socket, serve_streams

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
        request = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(request, dict):
            raise ValueError("not an object")
    except (OSError, ValueError) as error:
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


def _seconds(text: str) -> float:
    return _positive("--idle", text)


def _gib(text: str) -> float:
    return _positive("--memory", text)


def _positive(option: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise InputError(f"{option} {text!r} is no positive number", remedy="give one, such as 600")
    return value
