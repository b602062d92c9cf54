"""Events: what a process says on its stdout to whoever started it, one JSON object a line.

``docs/architecture.md`` has the table: the field ``event`` is one of :data:`EVENTS`, and what else an object holds are
facts for whom they concern. What people read is ``text`` in every event but ``failed``, whose line is ``message``.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from engine.base.errors import FrameFailures, PaintoverError

__all__ = [
    "EVENTS",
    "Emit",
    "event_line",
    "fail",
    "failed_event",
    "failure_facts",
    "finite",
    "leave",
    "open_events",
    "parse_event",
]

EVENTS = ("phase", "progress", "note", "warning", "failed", "finished")

Emit = Callable[[dict[str, Any]], None]
"""Receives one event."""


def event_line(event: str, facts: Mapping[str, object]) -> str:
    """One event as the line that says it, without its end; NaN and infinity become null.

    Args:
        event: one of :data:`EVENTS`; a fact of the name ``event`` is left out.
        facts: JSON values; what is none is said as its text.
    """
    others = {name: value for name, value in facts.items() if name != "event"}
    return json.dumps({"event": event, **finite(others)}, default=str)


def parse_event(line: str) -> dict[str, Any] | None:
    """The event that a line says; None for anything else, such as a library's own words."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def failure_facts(error: PaintoverError) -> dict[str, object]:
    """What a ``failed`` event says of an error; of several failed frames, ``frames`` has a line each."""
    facts: dict[str, object] = {
        "message": str(error),
        "exit_code": error.exit_code,
        "frame": error.frame,
        "path": None if error.path is None else str(error.path),
        "kind": type(error).__name__,
    }
    if isinstance(error, FrameFailures):
        facts["frames"] = {str(frame): " ".join(why.split()) for frame, why in sorted(error.failures.items())}
    return facts


def failed_event(error: PaintoverError) -> dict[str, Any]:
    """The event that ends a process whose work failed."""
    return {"event": "failed", **failure_facts(error)}


def fail(emit: Emit, error: PaintoverError) -> int:
    """Say how a process failed, with where it happened on stderr if ``PAINTOVER_DEBUG`` is 1; returns its exit code.

    For the handler of the exception that ``error`` is, or is made of.
    """
    if os.environ.get("PAINTOVER_DEBUG") == "1":
        traceback.print_exc(file=sys.stderr)
    emit(failed_event(error))
    return error.exit_code


def leave(code: int) -> NoReturn:
    """End a process whose work is all on disk: taking torch down takes seconds on a busy machine."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def finite(facts: Mapping[str, object]) -> dict[str, object]:
    """NaN and infinity as null, at any depth: JSON has no word for them."""
    return {str(name): _finite(value) for name, value in facts.items()}


def open_events() -> Emit:
    """Send the engine's warnings to stdout as events; returns what sends any other."""
    logging.getLogger("engine").addHandler(_Warnings(logging.WARNING))
    return _emit


class _Warnings(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _emit({"event": "warning", "text": record.getMessage()})


def _emit(event: dict[str, Any]) -> None:
    print(event_line(event["event"], event), flush=True)


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return finite(value)
    return [_finite(each) for each in value] if isinstance(value, (list, tuple)) else value
