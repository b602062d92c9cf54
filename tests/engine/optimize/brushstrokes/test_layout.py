"""Layout: strokes that leave nothing bare, lie along what they show, and keep to a matte."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training is not installed")
torch.set_num_threads(1)

from engine.optimize.brushstrokes.directions import vector_directions
from engine.optimize.brushstrokes.layout import lay_out
from engine.optimize.brushstrokes.regularity import doubled
from engine.optimize.brushstrokes.render import bare, render

HEIGHT, WIDTH = 60, 90


def stripes(angle_deg: float) -> np.ndarray:
    """Soft stripes that run at an angle from right toward down."""
    turn = np.radians(angle_deg)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    wave = 0.5 + 0.4 * np.sin((x * -np.sin(turn) + y * np.cos(turn)) / 1.8)
    return np.stack([wave, wave * 0.6, 1 - wave], axis=2).astype(np.float32)


def off_deg(strokes: object, angle_deg: float) -> float:
    """Mean angle between strokes and a direction, without sign: 45 by chance."""
    double = doubled(strokes).numpy()  # type: ignore[arg-type]
    turn = np.radians(2 * angle_deg)
    return float(np.degrees(np.arccos(np.clip(double @ [np.cos(turn), np.sin(turn)], -1, 1)) / 2).mean())


@pytest.mark.parametrize("count", [20, 400])
def test_nothing_is_bare(count: int) -> None:
    plate = np.random.default_rng(1).random((HEIGHT, WIDTH, 3), dtype=np.float32)
    layout = lay_out(plate, count, seed=0, directions=None, matte=None)
    assert 0.9 * count <= len(layout.strokes) <= count
    assert float(bare(layout.strokes, HEIGHT, WIDTH).max()) == 0.0
    under = type(layout.strokes)(*(each[: layout.broad] for each in layout.strokes.tensors))
    assert float(bare(under, HEIGHT, WIDTH).max()) == 0.0


@pytest.mark.parametrize("angle", [20.0, 110.0])
def test_strokes_run_along_the_forms(angle: float) -> None:
    layout = lay_out(stripes(angle), 300, seed=0, directions=None, matte=None)
    assert off_deg(layout.strokes, angle) < 6


def test_strokes_run_as_the_artist_wants() -> None:
    wish = np.zeros((HEIGHT, WIDTH, 3), np.float32) + np.float32([0.5, 1.0, 0.5])  # down
    layout = lay_out(stripes(20.0), 300, seed=0, directions=vector_directions(wish), matte=None)
    assert off_deg(layout.strokes, 90.0) < 3


def test_strokes_have_the_plates_colors() -> None:
    plate = stripes(30.0) * 0.3 + 0.35
    layout = lay_out(plate, 400, seed=0, directions=None, matte=None)
    drawn = render(layout.strokes, HEIGHT, WIDTH, torch.zeros(3))[0].permute(1, 2, 0).numpy()
    assert np.abs(drawn.mean((0, 1)) - plate.mean((0, 1))).max() < 0.02
    assert np.abs(drawn - plate).mean() < 0.5 * np.abs(plate - plate.mean((0, 1))).mean()


def test_a_matte_gets_all_the_strokes() -> None:
    matte = np.zeros((HEIGHT, WIDTH), np.float32)
    matte[15:40, 20:60] = 1
    plate = np.random.default_rng(1).random((HEIGHT, WIDTH, 3), dtype=np.float32)
    layout = lay_out(plate, 100, seed=0, directions=None, matte=matte)
    x, y = layout.strokes.location_px.numpy().T
    assert 80 <= len(layout.strokes) <= 100
    # Regions are larger than the matte's edge is sharp.
    assert x.min() > 8 and x.max() < 72 and y.min() > 3 and y.max() < 52
    assert float((bare(layout.strokes, HEIGHT, WIDTH).numpy() * matte).max()) == 0.0


def test_the_seed_is_the_order() -> None:
    made = [lay_out(stripes(20.0), 100, seed=seed, directions=None, matte=None).strokes for seed in (0, 0, 1)]
    assert torch.equal(made[0].color, made[1].color) and not torch.equal(made[0].color, made[2].color)
    assert torch.allclose(made[0].color.sort(0)[0], made[2].color.sort(0)[0])
