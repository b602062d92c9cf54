"""The progress protocol: what a verb reports to, whatever is at the other end, and the words that all ends share.

Convention: stdout belongs to the progress protocol, one whole line at a time and flushed; warnings and errors go to
stderr. Percentages cover the whole command, never fall, and reach 100 only when everything is done. No line of a
successful run matches ``[Ee]rror: ``, which farm plugins read as a failure.
"""

from __future__ import annotations

import math
import re
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TextIO

from engine.base.errors import InputError, PaintoverError

__all__ = [
    "MODES",
    "NO_FACTS",
    "Facts",
    "LineStream",
    "NoProgress",
    "Overall",
    "Phase",
    "Progress",
    "counted_frames",
    "duration",
    "open_progress",
    "quiet_errors",
    "visible",
    "warn_on_stderr",
]

MODES = ("auto", "bar", "lines", "openjd", "json", "none")

Facts = Mapping[str, object]
"""JSON values by name, for machines."""
NO_FACTS: Facts = {}


@dataclass(frozen=True)
class Phase:
    """One part of a command."""

    name: str
    """A word for machines: ``train``, ``render``, ``verify``, ``sheet``."""
    title: str
    """What a person reads: ``Training hero.onnx``."""
    weight: float = 1.0
    """The share of the whole, relative to the other phases' weights: the seconds that it is expected to take, however
    roughly, for a picture of a million pixels on a few cores."""


class Progress(Protocol):
    """What a verb reports to. Every method may be called from any thread."""

    def plan(self, phases: Sequence[Phase]) -> None:
        """Fix the phases, in order, before the first :meth:`begin`."""

    def begin(self, name: str) -> None:
        """Enter a phase of the plan; the phases before it count as done."""

    def update(self, fraction: float, text: str = "", facts: Facts = NO_FACTS) -> None:
        """The phase is ``fraction`` (0..1) done; ``text`` is for people and ``facts`` (JSON values) for machines."""

    def note(self, text: str, facts: Facts = NO_FACTS) -> None:
        """One line worth keeping: what was done, or where it lies."""

    def log(self, text: str) -> None:
        """One line for the log that a farm keeps of a task; terminals and hosts leave it out."""

    def warn(self, text: str) -> None:
        """One line on stderr, the same only once in a command; the work goes on."""

    def fail(self, error: PaintoverError) -> None:
        """The command ends with this error, which the caller prints on stderr."""

    def finish(self) -> None:
        """Everything is done: 100 percent."""

    def close(self) -> None:
        """Leave the terminal as it was found. May be called twice."""


def counted_frames(count: int) -> str:
    """``1 frame``, ``11 frames``."""
    return f"{count} frame{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Seconds as people say them: ``8 s``, ``2 min 05 s``, ``1 h 02 min``."""
    if not math.isfinite(seconds):
        return "some time"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def visible(text: str) -> str:
    """``text`` with every character that would steer a terminal written out, as ``\\x1b``; it may hold names of files.

    Line ends as well: lines are split before. Bytes that are no text, and what turns writing around, count as such.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def quiet_errors(text: str) -> str:
    """``text`` as one visible line that log scrapers do not take for a failure."""
    return visible(re.sub(r"([Ee]rror): ", r"\1, ", " ".join(text.split())))


class Overall:
    """Where the whole command stands; shared by the implementations."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.phase = Phase("", "")
        self.fraction = 0.0
        self._phases: tuple[Phase, ...] = ()
        self._overall = 0.0

    def plan(self, phases: Sequence[Phase]) -> None:
        self._phases = tuple(phases)

    def begin(self, name: str) -> None:
        self.phase = next(phase for phase in self._phases if phase.name == name)
        self.fraction = 0.0

    def update(self, fraction: float) -> float:
        """Take the phase's fraction, return the whole's; neither falls."""
        if math.isfinite(fraction):
            self.fraction = max(self.fraction, min(1.0, fraction))
        before = self._phases.index(self.phase)
        total = sum(phase.weight for phase in self._phases)
        done = sum(phase.weight for phase in self._phases[:before]) + self.fraction * self.phase.weight
        # Only finish() may say 100: a scheduler that reads it takes the task for done.
        self._overall = max(self._overall, min(0.999, done / total))
        return self._overall

    @property
    def overall(self) -> float:
        return self._overall


class LineStream:
    """Writes whole lines; a reader that went away must not stop a render."""

    def __init__(self, stream: TextIO) -> None:
        self._stream: TextIO | None = stream

    def line(self, text: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            self._stream = None


def warn_on_stderr(text: str) -> None:
    LineStream(sys.stderr).line(f"paintover: warning: {quiet_errors(text)}")


class NoProgress:
    """Nothing on stdout; warnings still reach stderr, each once."""

    _warned: frozenset[str] = frozenset()

    def plan(self, phases: Sequence[Phase]) -> None:
        """Ignored."""

    def begin(self, name: str) -> None:
        """Ignored."""

    def update(self, fraction: float, text: str = "", facts: Facts = NO_FACTS) -> None:
        """Ignored."""

    def note(self, text: str, facts: Facts = NO_FACTS) -> None:
        """Ignored."""

    def log(self, text: str) -> None:
        """Ignored."""

    def warn(self, text: str) -> None:
        """One line on stderr."""
        if self._is_new(text):
            warn_on_stderr(text)

    def _is_new(self, text: str) -> bool:
        """Whether a warning was not given before; it then was."""
        known, self._warned = self._warned, self._warned | {text}
        return text not in known

    def fail(self, error: PaintoverError) -> None:
        """Ignored."""

    def finish(self) -> None:
        """Ignored."""

    def close(self) -> None:
        """Ignored."""


def open_progress(mode: str) -> Progress:
    """The terminal for a ``--progress`` value; ``auto`` is a bar on a terminal and lines elsewhere.

    Raises:
        InputError: ``mode`` is none of :data:`MODES`.
    """
    # Each import where it is needed: a farm's task should not wait for what draws bars.
    if mode in ("auto", "bar"):
        from plugin.progress.bar import BarProgress, is_screen

        if mode == "bar" or is_screen():
            return BarProgress()
    if mode in ("auto", "lines"):
        from plugin.progress.lines import LineProgress

        return LineProgress()
    if mode == "openjd":
        from plugin.progress.openjd import OpenJobProgress

        return OpenJobProgress()
    if mode == "json":
        from plugin.progress.json_lines import JsonProgress

        return JsonProgress()
    if mode == "none":
        return NoProgress()
    raise InputError(f"unknown progress mode {mode!r}", remedy=f"use one of {', '.join(MODES)}")
