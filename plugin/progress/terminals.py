"""Progress for a terminal, for farms and for hosts: one protocol, five implementations.

Convention: stdout belongs to the progress protocol, one whole line at a time and flushed; warnings and errors go to
stderr. Percentages cover the whole command, never fall, and reach 100 only when everything is done. No line of a
successful run matches ``[Ee]rror: ``, which farm plugins read as a failure.
"""

from __future__ import annotations

import json
import math
import re
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn
from rich.progress import Progress as RichProgress
from rich.table import Column

from engine.base.errors import FrameFailures, InputError, PaintoverError

__all__ = [
    "MODES",
    "BarProgress",
    "JsonProgress",
    "LineProgress",
    "NoProgress",
    "OpenJobProgress",
    "Phase",
    "Progress",
    "counted_frames",
    "duration",
    "open_progress",
    "quiet_errors",
]

MODES = ("auto", "bar", "lines", "openjd", "json", "none")

_JSON_INTERVAL_S = 0.25
_STATUS_INTERVAL_S = 5.0

Facts = Mapping[str, object]
_NO_FACTS: Facts = {}


@dataclass(frozen=True)
class Phase:
    """One part of a command."""

    name: str
    """A word for machines: ``train``, ``render``, ``verify``, ``sheet``."""
    title: str
    """What a person reads: ``Training hero.onnx``."""
    weight: float = 1.0
    """The share of the whole, relative to the other phases' weights."""


class Progress(Protocol):
    """What a verb reports to. Every method may be called from any thread."""

    def plan(self, phases: Sequence[Phase]) -> None:
        """Fix the phases, in order, before the first :meth:`begin`."""

    def begin(self, name: str) -> None:
        """Enter a phase of the plan; the phases before it count as done."""

    def update(self, fraction: float, text: str = "", facts: Facts = _NO_FACTS) -> None:
        """The phase is ``fraction`` (0..1) done; ``text`` is for people and ``facts`` (JSON values) for machines."""

    def note(self, text: str, facts: Facts = _NO_FACTS) -> None:
        """One line worth keeping: what was done, or where it lies."""

    def log(self, text: str) -> None:
        """One line for the log that a farm keeps of a task; terminals and hosts leave it out."""

    def warn(self, text: str) -> None:
        """One line on stderr; the work goes on."""

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


def quiet_errors(text: str) -> str:
    """``text`` as one line that log scrapers do not take for a failure."""
    return re.sub(r"([Ee]rror): ", r"\1, ", " ".join(text.split()))


class _Overall:
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


class _Stream:
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


def _warn(text: str) -> None:
    _Stream(sys.stderr).line(f"paintover: warning: {quiet_errors(text)}")


class NoProgress:
    """Nothing on stdout; warnings still reach stderr."""

    def plan(self, phases: Sequence[Phase]) -> None:
        """Ignored."""

    def begin(self, name: str) -> None:
        """Ignored."""

    def update(self, fraction: float, text: str = "", facts: Facts = _NO_FACTS) -> None:
        """Ignored."""

    def note(self, text: str, facts: Facts = _NO_FACTS) -> None:
        """Ignored."""

    def log(self, text: str) -> None:
        """Ignored."""

    def warn(self, text: str) -> None:
        """One line on stderr."""
        _warn(text)

    def fail(self, error: PaintoverError) -> None:
        """Ignored."""

    def finish(self) -> None:
        """Ignored."""

    def close(self) -> None:
        """Ignored."""


class LineProgress(NoProgress):
    """``Progress: 45%`` whenever the integer rises, and a line for each phase: what the common farm plugins parse."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._out = _Stream(sys.stdout if stream is None else stream)
        self._state = _Overall()
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

    def update(self, fraction: float, text: str = "", facts: Facts = _NO_FACTS) -> None:
        """Print the percentage if its integer rose."""
        with self._state.lock:
            self._show(int(self._state.update(fraction) * 100))

    def note(self, text: str, facts: Facts = _NO_FACTS) -> None:
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


class OpenJobProgress(NoProgress):
    """The stdout messages of Open Job Description sessions: ``openjd_progress``, ``openjd_status``, ``openjd_fail``."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._out = _Stream(sys.stdout if stream is None else stream)
        self._state = _Overall()
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

    def update(self, fraction: float, text: str = "", facts: Facts = _NO_FACTS) -> None:
        """Send the progress if it rose by a tenth of a percent, and the text every few seconds."""
        with self._state.lock:
            self._show(math.floor(self._state.update(fraction) * 1000) / 10)
            if text and time.monotonic() - self._status_s >= _STATUS_INTERVAL_S:
                self._send("status", f"{self._state.phase.title}: {text}")

    def note(self, text: str, facts: Facts = _NO_FACTS) -> None:
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


class JsonProgress(NoProgress):
    """One JSON object per line; its ``event`` is phase, progress, note, warning, failed or finished.

    ``progress`` carries ``phase``, ``fraction`` (of the phase) and ``overall``, both 0..1, and the phase's own facts.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._out = _Stream(sys.stdout if stream is None else stream)
        self._state = _Overall()
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

    def update(self, fraction: float, text: str = "", facts: Facts = _NO_FACTS) -> None:
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

    def note(self, text: str, facts: Facts = _NO_FACTS) -> None:
        """Send a ``note`` event."""
        with self._state.lock:
            self._send("note", {**facts, "text": text})

    def warn(self, text: str) -> None:
        """Send a ``warning`` event as well as the line on stderr."""
        _warn(text)
        with self._state.lock:
            self._send("warning", {"text": quiet_errors(text)})

    def fail(self, error: PaintoverError) -> None:
        """Send a ``failed`` event with the message and its facts."""
        facts: dict[str, object] = {
            "message": str(error),
            "exit_code": error.exit_code,
            "frame": error.frame,
            "path": None if error.path is None else str(error.path),
            "kind": type(error).__name__,
        }
        if isinstance(error, FrameFailures):
            facts["frames"] = {str(frame): " ".join(why.split()) for frame, why in sorted(error.failures.items())}
        with self._state.lock:
            self._send("failed", facts)

    def finish(self) -> None:
        """Send the ``finished`` event."""
        with self._state.lock:
            self._send("finished", {"overall": 1.0})

    def _send(self, event: str, facts: Facts) -> None:
        self._out.line(json.dumps({"event": event, **_finite(facts)}, default=str))


def _finite(facts: Facts) -> dict[str, object]:
    """NaN and infinity as null: JSON has no word for them."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in facts.items()
    }


class BarProgress(NoProgress):
    """A bar for a person at a terminal; it disappears when the command ends, the notes stay."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = Console(highlight=False) if console is None else console
        self._state = _Overall()
        self._task: TaskID | None = None
        self._bar = RichProgress(
            # No markup: a file name may hold square brackets.
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(bar_width=28),
            TaskProgressColumn(),
            TextColumn(
                "{task.fields[text]}", markup=False, style="dim", table_column=Column(no_wrap=True, overflow="ellipsis")
            ),
            console=self._console,
            transient=True,
            # stderr is drawn above the bar only where both are the same screen.
            redirect_stderr=sys.stderr.isatty(),
            redirect_stdout=False,
        )

    def plan(self, phases: Sequence[Phase]) -> None:
        """Fix the phases."""
        self._state.plan(phases)

    def begin(self, name: str) -> None:
        """Show the phase's bar in place of the one before."""
        with self._state.lock:
            self._state.begin(name)
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(self._state.phase.title, total=1.0, text="")
            self._bar.start()

    def update(self, fraction: float, text: str = "", facts: Facts = _NO_FACTS) -> None:
        """Move the bar."""
        with self._state.lock:
            self._state.update(fraction)
            if self._task is not None:
                self._bar.update(self._task, completed=self._state.fraction, text=text)

    def note(self, text: str, facts: Facts = _NO_FACTS) -> None:
        """Print the line above the bar."""
        with self._state.lock:
            self._console.print(quiet_errors(text), markup=False, highlight=False, soft_wrap=True)

    def finish(self) -> None:
        """Take the bar away."""
        self.close()

    def close(self) -> None:
        """Take the bar away and give the cursor back."""
        with self._state.lock:
            self._bar.stop()


def open_progress(mode: str) -> Progress:
    """The implementation for a ``--progress`` value; ``auto`` is a bar on a terminal and lines elsewhere.

    Raises:
        InputError: ``mode`` is none of :data:`MODES`.
    """
    if mode == "auto":
        console = Console(highlight=False)
        return BarProgress(console) if console.is_terminal and sys.stdout.isatty() else LineProgress()
    if mode == "bar":
        return BarProgress()
    if mode == "lines":
        return LineProgress()
    if mode == "openjd":
        return OpenJobProgress()
    if mode == "json":
        return JsonProgress()
    if mode == "none":
        return NoProgress()
    raise InputError(f"unknown progress mode {mode!r}", remedy=f"use one of {', '.join(MODES)}")
