"""Progress as events, one JSON object a line: what hosts and other programs read.

See :mod:`engine.base.events` for the vocabulary.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from typing import TextIO

from engine.base.errors import PaintoverError
from engine.base.events import event_line, failure_facts
from plugin.progress.protocol import (
    NO_FACTS,
    Facts,
    LineStream,
    NoProgress,
    Overall,
    Phase,
    quiet_errors,
    warn_on_stderr,
)

__all__ = ["JsonProgress"]

_JSON_INTERVAL_S = 0.25


class JsonProgress(NoProgress):
    """One JSON object per line; its ``event`` is phase, progress, note, warning, failed or finished.

    ``progress`` carries ``phase``, ``fraction`` (of the phase) and ``overall``, both 0..1, and the phase's own facts.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._out = LineStream(sys.stdout if stream is None else stream)
        self._state = Overall()
        self._sent_s = -math.inf

    def plan(self, phases: Sequence[Phase]) -> None:
        """Fix the phases."""
        self._state.plan(phases)

    def begin(self, name: str) -> None:
        """Send a ``phase`` event."""
        with self._state.lock:
            self._state.begin(name)
            self._sent_s = -math.inf
            self._send("phase", {"phase": name, "title": self._state.phase.title, "overall": self._state.update(0.0)})

    def update(self, fraction: float, text: str = "", facts: Facts = NO_FACTS) -> None:
        """Send a ``progress`` event: at most four a second, but every frame and the end of a phase."""
        with self._state.lock:
            due = "frame" in facts or fraction >= 1.0 > self._state.fraction
            overall = self._state.update(fraction)
            now_s = time.monotonic()
            if not due and now_s - self._sent_s < _JSON_INTERVAL_S:
                return
            self._sent_s = now_s
            place = {"phase": self._state.phase.name, "fraction": self._state.fraction, "overall": overall}
            self._send("progress", {**facts, **place, "text": text})

    def note(self, text: str, facts: Facts = NO_FACTS) -> None:
        """Send a ``note`` event."""
        with self._state.lock:
            self._send("note", {**facts, "text": text})

    def warn(self, text: str) -> None:
        """Send a ``warning`` event as well as the line on stderr."""
        with self._state.lock:
            if self._is_new(text):
                warn_on_stderr(text)
                self._send("warning", {"text": quiet_errors(text)})

    def fail(self, error: PaintoverError) -> None:
        """Send a ``failed`` event with the message and its facts."""
        with self._state.lock:
            self._send("failed", failure_facts(error))

    def finish(self) -> None:
        """Send the ``finished`` event."""
        with self._state.lock:
            self._send("finished", {"overall": 1.0})

    def _send(self, event: str, facts: Facts) -> None:
        self._out.line(event_line(event, facts))
