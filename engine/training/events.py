"""How a training process speaks: one JSON event a line on stdout, the engine's warnings among them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

__all__ = ["Emit", "open_events"]

Emit = Callable[[dict[str, Any]], None]


class _Warnings(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _emit({"event": "warning", "message": record.getMessage()})


def open_events() -> Emit:
    """Send the engine's warnings to stdout as events; returns what sends any other."""
    logging.getLogger("engine").addHandler(_Warnings(logging.WARNING))
    return _emit


def _emit(event: dict[str, Any]) -> None:
    print(json.dumps(event), flush=True)
