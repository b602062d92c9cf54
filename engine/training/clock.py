"""Clock of a training run: steps and seconds against its budget, across resumed runs."""

from __future__ import annotations

import math
import time
from typing import Protocol

__all__ = ["FEW_STEPS", "Clock", "Length"]

LEAST_TRAINING = 0.25
"""Share of a budget that is trained for, however long starting and exporting take."""
FEW_STEPS = 100
"""With fewer a look is told to be unfinished."""
FAIR_STEPS = 300
"""What is advised instead."""


class Length(Protocol):
    """How long a training is to be: one of both."""

    @property
    def budget_s(self) -> float | None: ...

    @property
    def steps(self) -> int | None: ...


class Clock:
    """Elapsed seconds and steps against the budget, across resumed runs.

    A budget is all of the time that a person waits for a look: starting is in it, and so is what follows the last step.
    """

    def __init__(self, job: Length, began_s: float | None = None) -> None:
        """
        Args:
            began_s: when the process began, by ``time.perf_counter``; None for now.
        """
        self.budget_s, self.steps = job.budget_s, job.steps
        self.step, self.spent_s = 0, 0.0
        self.reserve_s = 0.0
        """What the export is expected to take."""
        self._began = time.perf_counter() if began_s is None else began_s
        self._trains_from = self._began
        self._first_step = 0

    def begin(self) -> None:
        """The first step of this run is next."""
        self._trains_from = time.perf_counter()

    def resume(self, step: int, spent_s: float) -> None:
        self.step = self._first_step = step
        self.spent_s = spent_s

    @property
    def elapsed_s(self) -> float:
        return self.spent_s + time.perf_counter() - self._began

    @property
    def trained_s(self) -> float:
        """Seconds spent, without this run's start."""
        return self.spent_s + time.perf_counter() - self._trains_from

    @property
    def _trains_s(self) -> float:
        """Seconds of the budget that are left for steps, those spent before included."""
        budget_s = self.budget_s or 1.0
        start_s = self._trains_from - self._began
        return max(budget_s - start_s - self.reserve_s, LEAST_TRAINING * budget_s)

    @property
    def progress(self) -> float:
        done = self.step / self.steps if self.steps is not None else self.trained_s / self._trains_s
        return min(done, 1.0)

    @property
    def is_over(self) -> bool:
        """Whether there is no time for another step; a slow one that would end nearer to the budget is still done."""
        if self.progress >= 1.0:
            return True
        done = self.step - self._first_step
        if self.budget_s is None or done == 0:
            return False
        step_s = 1 / max(self.steps_per_s, 1e-6)
        return step_s > 0.5 and self._trains_s - self.trained_s < step_s / 2

    @property
    def steps_per_s(self) -> float:
        return (self.step - self._first_step) / max(time.perf_counter() - self._trains_from, 1e-6)

    @property
    def left_s(self) -> float | None:
        if self.budget_s is not None:
            return max(self._trains_s - self.trained_s, 0.0)
        return (self.steps - self.step) / self.steps_per_s if self.steps and self.steps_per_s > 0 else None

    def few_steps(self) -> str:
        """What a look of few steps is, and how to go on."""
        wanted_s = self.trained_s * FAIR_STEPS / max(self.step, 1) + self.reserve_s
        minutes = max(1, math.ceil(wanted_s / 60))
        return (
            f"only {self.step} step{'' if self.step == 1 else 's'} fitted into the budget of {self.budget_s:g} s, on a "
            f"machine that is slow or busy: the look is unfinished, {FAIR_STEPS} steps and more make one; "
            f"--resume --budget {minutes}m goes on"
        )
