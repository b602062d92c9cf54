"""Targets of the fuzzer, and one try at one of them: everything about it follows from a seed and a number."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import image_tries, line_tries, look_tries, text_seeds
from .image_tries import image_try, movie_try
from .line_tries import line_try
from .look_tries import look_try
from .outcomes import Job, Outcome, Said, run
from .text_tries import text_try

__all__ = ["TARGETS", "attempt", "write_seeds"]


@dataclass(frozen=True)
class _Target:
    write_seeds: Callable[[Path], None]
    """Makes the files that hostile ones are made from."""
    make: Callable[[random.Random, Path], tuple[str, list[Job]]]
    """Makes a hostile input in the current folder; says what it is and what to do with it."""


TARGETS = {
    "images": _Target(image_tries.write_seeds, image_try),
    "movies": _Target(lambda folder: None, movie_try),
    "looks": _Target(look_tries.write_seeds, look_try),
    "texts": _Target(text_seeds.write_seeds, text_try),
    "lines": _Target(line_tries.write_seeds, line_try),
}


def write_seeds(folder: Path) -> None:
    """The seeds of every target, made by code and from fixed numbers."""
    folder.mkdir()
    for target in TARGETS.values():
        target.write_seeds(folder)


def attempt(
    target: str, seed: int, number: int, seeds: Path, said: Said, *, debug: bool = False
) -> tuple[str, Outcome]:
    """One try in the current folder, which is empty: what it was, and how it ended.

    The first job that ends as none should is the outcome; else the last one's.
    """
    rng = random.Random(f"{target} {seed} {number}")
    what, jobs = TARGETS[target].make(rng, seeds)
    outcome = Outcome("done")
    for job in jobs:
        outcome = run(job, said, debug=debug)
        if debug:
            print(f"{outcome.word}: {outcome.what}")
        if outcome.word == "fault":
            break
    return what, outcome
