"""Commands of a session as they come: read by a thread of their own, taken between two steps."""

from __future__ import annotations

import queue
import threading
from typing import TextIO

from engine.base.errors import InputError
from engine.training.job.session import Attend, Leave, LookAt, Paint, SessionCommand, parse_command

__all__ = ["CommandQueue"]

MAX_LINE = 1 << 20
"""Characters; a longer line is no command."""


class CommandQueue:
    """What a stream says, line by line; its end is :class:`Leave`."""

    def __init__(self, stream: TextIO) -> None:
        self._waiting: queue.SimpleQueue[SessionCommand | InputError] = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(stream,), name="commands", daemon=True).start()

    def take(self, wait_s: float) -> list[SessionCommand | InputError]:
        """What has come; where that is nothing, what comes within ``wait_s``. What a later one replaces is left out."""
        found: list[SessionCommand | InputError] = []
        try:
            found.append(self._waiting.get(timeout=wait_s) if wait_s > 0 else self._waiting.get_nowait())
            while True:
                found.append(self._waiting.get_nowait())
        except queue.Empty:
            pass
        return [one for index, one in enumerate(found) if not _replaced(one, found[index + 1 :])]

    def has_any(self) -> bool:
        """Whether somebody waits for an answer."""
        return not self._waiting.empty()

    def _read(self, stream: TextIO) -> None:
        try:
            while line := stream.readline(MAX_LINE + 1):
                if len(line) > MAX_LINE:
                    self._waiting.put(InputError(f"a command of more than {MAX_LINE} characters"))
                    break
                if line.strip():
                    try:
                        self._waiting.put(parse_command(line))
                    except InputError as error:
                        self._waiting.put(error)
        except (OSError, ValueError):
            pass
        self._waiting.put(Leave())


def _replaced(one: SessionCommand | InputError, later: list[SessionCommand | InputError]) -> bool:
    return isinstance(one, (Attend, LookAt, Paint)) and any(type(other) is type(one) for other in later)
