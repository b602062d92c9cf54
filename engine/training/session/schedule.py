"""Schedule of a session: how far a training is that may be opened again, by its own time or its steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.training.job.job import TrainingJob

__all__ = ["Schedule"]

AGAIN_S = 30.0
"""Seconds of training after a changed painting, unless the first training is shorter."""
REOPENED = 0.5
"""Progress from which a finished training goes on: at half the first learning rate."""


class Schedule:
    """Progress 0..1 of the present stretch: the first training, or what follows a changed painting."""

    def __init__(self, job: TrainingJob) -> None:
        self._in_steps = job.steps is not None
        whole = float(job.steps) if job.steps is not None else float(job.budget_s or AGAIN_S)
        self._again = whole / 2 if self._in_steps else min(AGAIN_S, whole)
        self._length, self._done, self._start = whole, 0.0, 0.0
        self.trained_s = 0.0
        """Seconds spent in steps, all stretches together."""
        self.step = 0
        """Steps done, all stretches together."""

    @property
    def progress(self) -> float:
        """Drives the learning rate; 1 when there is nothing left to do."""
        return min(1.0, self._start + (1.0 - self._start) * self._done / self._length)

    @property
    def is_over(self) -> bool:
        return self._done >= self._length

    @property
    def left_s(self) -> float | None:
        """Seconds of steps left; None while nothing tells how long a step takes."""
        left = max(0.0, self._length - self._done)
        if not self._in_steps:
            return left
        return left * self.trained_s / self.step if self.step else None

    def count(self, seconds: float) -> None:
        """A step was done."""
        self.step += 1
        self.trained_s += seconds
        self._done += 1.0 if self._in_steps else seconds

    def reopen(self) -> None:
        """Go on: from where it is, or from half way where it is further."""
        progress = self.progress
        if progress < REOPENED:
            # The first training has longer to go than that.
            return
        self._start, self._done, self._length = REOPENED, 0.0, self._again

    def state(self) -> dict[str, Any]:
        """What :meth:`restore` needs, as JSON values."""
        stretch = [self._start, self._done, self._length]
        return {"stretch": stretch, "trained_s": self.trained_s, "step": self.step}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` gave; raises KeyError, TypeError or ValueError for anything else."""
        self._start, self._done, self._length = (float(value) for value in state["stretch"])
        if not (0 <= self._start <= 1 and self._done >= 0 and self._length > 0):
            raise ValueError("no stretch of a training")
        self.trained_s, self.step = float(state["trained_s"]), int(state["step"])
