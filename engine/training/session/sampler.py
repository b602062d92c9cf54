"""Sampler of a session: patches of paintings that change, new strokes more often."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from engine.training.data.patches import CELL, Pair, PatchSampler

__all__ = ["FreshPatches", "changed_cells"]

FRESH_SHARE = 0.6
"""Of the crops, as long as there are fresh cells: the rest keeps what was learnt elsewhere."""
FRESH_TURNS = 60
"""Batches after a change in which its cells come more often."""
CHANGED = 1.5 / 255
"""Working encoding: a smaller difference is none."""


class FreshPatches(PatchSampler):
    """A sampler whose paintings may be replaced."""

    @classmethod
    def of(cls, sampler: PatchSampler) -> FreshPatches:
        """With the paintings and sizes of another one."""
        return cls(sampler.pairs, crop=sampler.crop, halo=sampler.halo, batch=sampler.batch, rng=sampler.rng)

    def __init__(self, pairs: list[Pair], *, crop: int, halo: int, batch: int, rng: np.random.Generator) -> None:
        super().__init__(pairs, crop=crop, halo=halo, batch=batch, rng=rng)
        self._fresh: dict[int, NDArray[np.int64]] = {}
        self._fresh_turns = 0

    def replace(self, pairs: list[Pair], fresh: Mapping[int, NDArray[np.int64]]) -> None:
        """Other paintings from now on.

        Args:
            fresh: by keyframe, rows and columns (n, 2) of the cells that changed, as :func:`changed_cells` has them.
        """
        self._take(pairs)
        places = {pair.frame: index for index, pair in enumerate(pairs)}
        self._fresh = {places[frame]: cells for frame, cells in fresh.items() if len(cells) and frame in places}
        self._fresh_turns = FRESH_TURNS if self._fresh else 0

    def _keyframe(self) -> int:
        """A keyframe with new strokes gets every other batch, beside its own turns."""
        if self._fresh_turns:
            self._fresh_turns -= 1
            if self._fresh_turns % 2:
                fresh = list(self._fresh)
                return fresh[(self._fresh_turns // 2) % len(fresh)]
        return super()._keyframe()

    def _cell(self, index: int) -> tuple[int, int]:
        cells = self._fresh.get(index) if self._fresh_turns else None
        if cells is None or self.rng.random() >= FRESH_SHARE:
            return super()._cell(index)
        row, column = cells[int(self.rng.integers(len(cells)))]
        return int(row), int(column)


def changed_cells(before: Pair | None, after: Pair) -> NDArray[np.int64]:
    """Rows and columns (n, 2), in pixels, of the painted cells where two paintings of a keyframe differ.

    Args:
        before: None where there was none; then all painted cells are.
    """
    weight = after.weight.cpu()
    if before is None or before.painting.shape != after.painting.shape:
        different = weight > 0
    else:
        change = (before.painting - after.painting).abs().amax(0, keepdim=True).cpu()
        different = ((change > CHANGED) | ((before.weight.cpu() > 0) != (weight > 0))) & (weight > 0)
    pooled = torch.nn.functional.max_pool2d(different[None].float(), CELL, ceil_mode=True)[0, 0]
    return np.asarray(np.argwhere(pooled.numpy() > 0) * CELL, np.int64)
