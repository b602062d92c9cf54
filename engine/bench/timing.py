"""Timing: never one call alone, always alternating, median and spread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from engine.base.errors import InputError

__all__ = ["Samples", "alternate", "seconds_of"]


@dataclass(frozen=True)
class Samples:
    """Repeated measurements of one figure.

    Raises:
        InputError: there are none.
    """

    values: tuple[float, ...]
    """In the order in which they were taken."""

    def __post_init__(self) -> None:
        if not self.values:
            raise InputError("nothing was measured", remedy="use --repeats 1 or more")

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        return min(self.values)

    @property
    def high(self) -> float:
        return max(self.values)

    def over(self, other: Samples) -> Samples:
        """The ratio to another figure, round by round, so that a machine that slows down slows both."""
        return Samples(tuple(a / b for a, b in zip(self.values, other.values, strict=True)))

    def to_json(self) -> dict[str, object]:
        """Median, spread, count and every value."""
        return {
            "median": self.median,
            "min": self.low,
            "max": self.high,
            "samples": len(self.values),
            "values": list(self.values),
        }

    def __str__(self) -> str:
        def short(value: float) -> str:
            return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"

        return f"{short(self.median)} ({short(self.low)}..{short(self.high)}, n={len(self.values)})"


def seconds_of(work: Callable[[], object]) -> Callable[[], float]:
    """A measurement that takes the seconds of ``work`` on the wall clock."""

    def measure() -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    return measure


def alternate(cases: Mapping[str, Callable[[], float]], rounds: int, *, warmups: int = 1) -> dict[str, Samples]:
    """Measure every case once a round, in turn: A, B, A, B, ...

    Args:
        cases: each returns the figure that it measured.
        rounds: how often each counts.
        warmups: how often each runs before that, uncounted.

    Raises:
        InputError: fewer than one round.
    """
    for _ in range(warmups):
        for measure in cases.values():
            measure()
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, measure in cases.items():
            taken[name].append(measure())
    return {name: Samples(tuple(values)) for name, values in taken.items()}
