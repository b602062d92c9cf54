"""Progress as plain lines, which the common farm plugins read."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TextIO

from plugin.progress.protocol import NO_FACTS, Facts, LineStream, NoProgress, Overall, Phase, quiet_errors

__all__ = ["LineProgress"]


class LineProgress(NoProgress):
    """``Progress: 45%`` whenever the integer rises, and a line for each phase: what the common farm plugins parse."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._out = LineStream(sys.stdout if stream is None else stream)
        self._state = Overall()
        self._shown = -1

    def plan(self, phases: Sequence[Phase]) -> None:
        """Fix the phases."""
        self._state.plan(phases)

    def begin(self, name: str) -> None:
        """Print the phase's title."""
        with self._state.lock:
            self._state.begin(name)
            self._out.line(quiet_errors(self._state.phase.title))
        self.update(0.0)

    def update(self, fraction: float, text: str = "", facts: Facts = NO_FACTS) -> None:
        """Print the percentage if its integer rose."""
        with self._state.lock:
            self._show(int(self._state.update(fraction) * 100))

    def note(self, text: str, facts: Facts = NO_FACTS) -> None:
        """Print the line."""
        with self._state.lock:
            self._out.line(quiet_errors(text))

    def log(self, text: str) -> None:
        """Print the line."""
        self.note(text)

    def finish(self) -> None:
        """Print 100 percent."""
        with self._state.lock:
            self._show(100)

    def _show(self, percent: int) -> None:
        if percent > self._shown:
            self._shown = percent
            self._out.line(f"Progress: {percent}%")
