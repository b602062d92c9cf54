"""Progress as a bar on a screen."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn
from rich.progress import Progress as RichProgress
from rich.table import Column

from plugin.progress.protocol import NO_FACTS, Facts, NoProgress, Overall, Phase, quiet_errors

__all__ = ["BarProgress", "is_screen"]


class BarProgress(NoProgress):
    """A bar for a person at a terminal; it disappears when the command ends, the notes stay."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = Console(highlight=False) if console is None else console
        self._state = Overall()
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
            self._task = self._bar.add_task(quiet_errors(self._state.phase.title), total=1.0, text="")
            self._bar.start()

    def update(self, fraction: float, text: str = "", facts: Facts = NO_FACTS) -> None:
        """Move the bar."""
        with self._state.lock:
            self._state.update(fraction)
            if self._task is not None:
                self._bar.update(self._task, completed=self._state.fraction, text=quiet_errors(text))

    def note(self, text: str, facts: Facts = NO_FACTS) -> None:
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


def is_screen() -> bool:
    """Whether stdout is a terminal that a bar can be drawn on."""
    return Console(highlight=False).is_terminal and sys.stdout.isatty()
