"""Progress as Open Job Description sessions read it on stdout."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from typing import TextIO

from engine.base.errors import PaintoverError
from plugin.progress.protocol import NO_FACTS, Facts, LineStream, NoProgress, Overall, Phase, quiet_errors

__all__ = ["OpenJobProgress"]

_STATUS_INTERVAL_S = 5.0


class OpenJobProgress(NoProgress):
    """The stdout messages of Open Job Description sessions: ``openjd_progress``, ``openjd_status``, ``openjd_fail``."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._out = LineStream(sys.stdout if stream is None else stream)
        self._state = Overall()
        self._shown = -1.0
        self._status_s = -math.inf

    def plan(self, phases: Sequence[Phase]) -> None:
        """Fix the phases."""
        self._state.plan(phases)

    def begin(self, name: str) -> None:
        """Send the phase's title as the status."""
        with self._state.lock:
            self._state.begin(name)
            self._send("status", self._state.phase.title)
        self.update(0.0)

    def update(self, fraction: float, text: str = "", facts: Facts = NO_FACTS) -> None:
        """Send the progress if it rose by a tenth of a percent, and the text every few seconds."""
        with self._state.lock:
            self._show(math.floor(self._state.update(fraction) * 1000) / 10)
            if text and time.monotonic() - self._status_s >= _STATUS_INTERVAL_S:
                self._send("status", f"{self._state.phase.title}: {text}")

    def note(self, text: str, facts: Facts = NO_FACTS) -> None:
        """Send the line as the status."""
        with self._state.lock:
            self._send("status", text)

    def log(self, text: str) -> None:
        """Print the line: a session's log has everything that is printed."""
        with self._state.lock:
            self._out.line(quiet_errors(text))

    def fail(self, error: PaintoverError) -> None:
        """Send the reason; the exit code is what fails the task."""
        with self._state.lock:
            self._send("fail", str(error))

    def finish(self) -> None:
        """Send 100 percent."""
        with self._state.lock:
            self._show(100.0)

    def _show(self, percent: float) -> None:
        if percent > self._shown:
            self._shown = percent
            self._out.line(f"openjd_progress: {percent:.1f}")

    def _send(self, kind: str, text: str) -> None:
        # One message is one line; a control character would end or garble it.
        clean = "".join(character if character.isprintable() else " " for character in text)
        clean = " ".join(clean.split())
        if kind == "status":
            self._status_s = time.monotonic()
            clean = quiet_errors(clean)
        self._out.line(f"openjd_{kind}: {clean}")
