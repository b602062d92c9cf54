"""Stop flag: how a process that works alone hears Ctrl-C, and ends where its files are whole."""

from __future__ import annotations

import os
import signal
from types import FrameType

__all__ = ["StopFlag"]


class StopFlag:
    """Set by the first Ctrl-C or SIGTERM; the second ends the process at once."""

    def __init__(self) -> None:
        self.exit_code = 0

    def install(self) -> None:
        """Take over the signals that this platform has."""
        for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
            number = getattr(signal, name, None)
            if number is not None:
                signal.signal(number, self._on_signal)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        code = 143 if signum == signal.SIGTERM else 130
        if self.exit_code:
            os._exit(code)
        self.exit_code = code
