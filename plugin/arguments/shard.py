"""A part of a job, for farms that have no engine: machine I of N is told no more than that."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from engine.base.errors import InputError

__all__ = ["Shard"]

T = TypeVar("T")
_MOST = 1_000_000


@dataclass(frozen=True)
class Shard:
    """The ``index``-th of ``count`` parts, from 1. All parts together are the whole, and no two share anything.

    Raises:
        InputError: an index that is not from 1 to the count, or a count over a million.
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count <= _MOST:
            raise InputError(
                f"--shard {self.index}/{self.count} is no part of a job", remedy="write 1/8 to 8/8 for eight machines"
            )

    @classmethod
    def parse(cls, text: str) -> Shard:
        """``2/8``: the second of eight parts.

        Raises:
            InputError: not two whole numbers, or see the class.
        """
        match = re.fullmatch(r"(\d{1,7})/(\d{1,7})", text.strip(), re.ASCII)
        if match is None:
            raise InputError(f'--shard "{text}" is no part of a job', remedy="write 1/8 to 8/8 for eight machines")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def of(self, items: Sequence[T]) -> tuple[T, ...]:
        """Every ``count``-th item from the ``index``-th on, so that slow passages of a shot are shared."""
        return tuple(items[self.index - 1 :: self.count])
