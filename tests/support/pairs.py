"""Pairs of plate and painting as training takes them, and a sampler of their patches that remembers its places."""

from __future__ import annotations

import numpy as np
import torch

from engine.training.data.keyframes import LoadedKeyframe
from engine.training.data.patches import Pair, PatchSampler
from tests.support.procedural import TINY, painting_of, plate

HALO = 24
"""Of the tiny network."""


def make_pair(height: int, width: int, weight: np.ndarray | None = None, frame: int = 0) -> Pair:
    pixels = plate(height, width, seed=frame)
    covered = np.ones((height, width), np.float32) if weight is None else weight
    painting = np.where(covered[..., None] > 0, painting_of(pixels), np.float32(0))
    return LoadedKeyframe(frame, pixels, painting, covered, "", "", "").pair(torch.device("cpu"), 8)


class Recording(PatchSampler):
    """Remembers where its crops came from."""

    places: list[tuple[int, int, int]]

    def _origin(self, index: int, height: int, width: int, rows: int, columns: int) -> tuple[int, int]:
        place = super()._origin(index, height, width, rows, columns)
        self.places.append((index, *place))
        return place

    def draw(self) -> tuple[object, list[tuple[int, int, int]]]:
        self.places.clear()
        return self.next(), list(self.places)


def sampler(pairs: list[Pair], *, halo: int = HALO, batch: int = 4, crop: int = TINY.crop) -> Recording:
    made = Recording(pairs, crop=crop, halo=halo, batch=batch, rng=np.random.default_rng(0))
    made.places = []
    made._spoiler.RELIT = 0.0  # type: ignore[misc]
    return made
