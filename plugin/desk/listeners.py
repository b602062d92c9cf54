"""Listeners of the desk: the pages that are open, told of every change; and the latest messages to people."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

__all__ = ["Listener", "Listeners"]

_MESSAGES = 30

Listener = Callable[[dict[str, Any]], None]
"""Takes one change, JSON values, from any thread."""


class Listeners:
    """Whoever is told; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: list[Listener] = []
        self._messages: deque[dict[str, str]] = deque(maxlen=_MESSAGES)
        self._alone_since = time.monotonic()

    def add(self, listener: Listener) -> Callable[[], None]:
        """Have every change told; returns what ends that."""
        with self._lock:
            self._all.append(listener)

        def leave() -> None:
            with self._lock, contextlib.suppress(ValueError):
                self._all.remove(listener)
                self._alone_since = time.monotonic()

        return leave

    @property
    def alone_s(self) -> float:
        """For how long there has been nobody; 0 while there is somebody."""
        with self._lock:
            return 0.0 if self._all else time.monotonic() - self._alone_since

    @property
    def messages(self) -> list[dict[str, str]]:
        """The latest, oldest first: ``level`` (note, warning, error) and ``text``."""
        with self._lock:
            return list(self._messages)

    def say(self, level: str, text: str) -> None:
        """A message to people: those who look now, and those who come later."""
        message = {"level": level, "text": text}
        with self._lock:
            self._messages.append(message)
        self.tell({"type": "message", **message})

    def tell(self, message: dict[str, Any]) -> None:
        """Tell everyone."""
        with self._lock:
            listeners = list(self._all)
        for listener in listeners:
            listener(message)
