"""Chosen models: each pixel takes the one under which the frames look alike, up to where the surfaces meet."""

from __future__ import annotations

import numpy as np
import pytest

from engine.base.arrays import Floats
from engine.motion.model_choice import ModelGrid, chosen

HEIGHT, WIDTH, EDGE, PITCH = 66, 108, 51, 8
LEFT, RIGHT = (3.0, 0.0), (-4.0, 2.0)
ROWS, COLUMNS = -(-HEIGHT // PITCH), -(-WIDTH // PITCH)


def pictures(gain: float) -> tuple[Floats, Floats]:
    """Two frames (H, W, 3): what is left and right of an edge moved apart, and the light changed by a factor."""
    rng = np.random.default_rng(7)
    there = 0.2 + 0.5 * rng.random((HEIGHT, WIDTH, 3), dtype=np.float32)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    u, v = (np.where(x < EDGE, one, other).astype(int) for one, other in zip(LEFT, RIGHT, strict=True))
    here = there[np.clip(y + v, 0, HEIGHT - 1), np.clip(x + u, 0, WIDTH - 1)]
    return np.ascontiguousarray(here * np.float32(gain)), there


def grid(gain: float) -> ModelGrid:
    """The models of both sides, which meet at a block's end, five pixels away from where the surfaces do."""
    models, light = np.zeros((ROWS * COLUMNS, 6), np.float32), np.zeros((ROWS * COLUMNS, 2), np.float32)
    left = np.arange(ROWS * COLUMNS) % COLUMNS <= EDGE // PITCH
    models[np.ix_(left, [0, 3])], models[np.ix_(~left, [0, 3])] = LEFT, RIGHT
    light[:, 0] = gain
    return ModelGrid(ROWS, COLUMNS, PITCH, models, light)


@pytest.mark.parametrize("coarse", [True, False])
@pytest.mark.parametrize("gain", [1.0, 1.3])
def test_each_side_of_an_edge_moves_as_it_does(gain: float, coarse: bool) -> None:
    here, there = pictures(gain)
    flow = chosen(here, there, grid(gain), coarse=coarse)
    inner = slice(6, -6)
    assert np.allclose(flow[inner, 6 : EDGE - 2], LEFT, atol=1e-3)
    assert np.allclose(flow[inner, EDGE + 2 : -6], RIGHT, atol=1e-3)


def test_light_that_is_not_counted_with_is_no_match() -> None:
    here, there = pictures(1.3)
    flow = chosen(here, there, grid(0.4), coarse=True)
    assert np.abs(flow[6:-6, 6 : EDGE - 2] - LEFT).max() > 1
