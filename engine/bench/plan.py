"""Plan of a run of the benchmark: what it is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.base.errors import InputError

__all__ = ["PARTS", "REFERENCE", "SHARED", "BenchPlan", "SequencePlan"]

PARTS = ("inference", "render", "tracks", "waiting", "training", "quality", "sequences")
"""In the order in which they run: what loads torch comes last."""

REFERENCE = "texler2020"
"""The recipe that ours is compared with."""

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
"""Footage, models and the scorer, where a checkout has them beside it."""


@dataclass(frozen=True)
class SequencePlan:
    """Settings of the part that compares methods on whole shots.

    Raises:
        InputError: no seed, a negative one, a name given twice, or steps that are too few or beside a budget.
    """

    families: tuple[str, ...] | None = None
    """None for all."""
    seeds: tuple[int, ...] = (0, 1, 2)
    cache: Path | None = None
    """Folder for shots, frames and scores, so that a run goes on where one ended."""
    pictures: Path | None = None
    """Folder for a page with tables and a sheet of each family."""
    frames_from: tuple[tuple[str, Path], ...] = ()
    """Names and folders of frames made elsewhere."""
    budget_s: float | None = 30.0
    """Seconds of each training; None for ``steps``."""
    steps: int | None = None
    """Steps of each training in the budget's place; None for a handful, which show only that everything runs."""
    methods: tuple[str, ...] | None = None
    """Names of the methods to compare; None for the usual ones."""

    def __post_init__(self) -> None:
        if not self.seeds or min(self.seeds) < 0:
            raise InputError(f"seeds {self.seeds} must be 0 or more, and at least one")
        if self.steps is not None and (self.steps < 1 or self.budget_s is not None):
            raise InputError(f"{self.steps} steps of training", remedy="give 1 or more, and no budget")
        names = [name for name, _ in self.frames_from]
        if len(set(names)) < len(names):
            raise InputError(f"frames from {', '.join(names)}: a name may be given once")


@dataclass(frozen=True)
class BenchPlan:
    """Settings of a run.

    Raises:
        InputError: fewer than one repeat, or a budget under 5 seconds.
    """

    quick: bool = False
    """Small sizes and few repeats, for tests of the benchmark itself; its figures are not worth publishing."""
    device: str = "cpu"
    """cpu, or cuda:N, for training, inference and rendering."""
    repeats: int | None = None
    """Rounds of each comparison; None for each part's own."""
    shot: Path | None = None
    """Folder with plate.####.*, painted.####.*; None for the footage beside the checkout, or a drawn shot."""
    features: Path | None = None
    """VGG weights for the reference's deep-feature loss; ours does not use them."""
    budget_s: float = 60.0
    """Seconds of training for the quality part."""
    sequences: SequencePlan = SequencePlan()
    """Settings of the sequences part alone."""

    def __post_init__(self) -> None:
        if self.repeats is not None and self.repeats < 1:
            raise InputError(f"{self.repeats} repeats measure nothing", remedy="use 1 or more")
        if self.budget_s < 5:
            raise InputError(f"{self.budget_s:g} s of training are too few", remedy="use 5 or more")

    def rounds(self, full: int, quick: int) -> int:
        """How often to measure: as asked, or what suits the part."""
        return self.repeats or (quick if self.quick else full)
