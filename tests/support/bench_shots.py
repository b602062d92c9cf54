"""A small shot of the benchmark, written, and its pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.bench.methods import Case
from engine.bench.scenes import Scene, make_scene

FRAMES = (3, 4)
"""Those that are scored."""


def small_scene() -> Scene:
    return make_scene("filter", 0, 160, 96, 8)


def written_case(scene: Scene, cache: Path) -> Case:
    """The scene on disk, with one step of training."""
    case = Case(lambda: scene, "filter-0", cache / "filter-0", 8, (0, 7), FRAMES, None, 1, 0)
    case.write()
    return case


def shots(case: Case, kind: str) -> dict[int, np.ndarray]:
    """The scored frames of a kind of picture, by number."""
    return {frame: case.read(kind, frame) for frame in FRAMES}
