"""Affine fits: what a flow's own models say, and what windows are looked at by."""

from __future__ import annotations

import numpy as np
import pytest

from engine.motion.affine_fits import FIT_STEP, decayed, fitted_models, lattice_planes
from engine.motion.registration import image_gradients

HEIGHT, WIDTH = 61, 83
Y, X = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)


def test_the_weight_is_that_of_an_exponential() -> None:
    for e in np.linspace(0, 8, 41, dtype=np.float32):
        assert decayed(e) == pytest.approx(np.exp(-e), rel=6e-4)


@pytest.mark.parametrize("far_px", [0.0, 900.0])
def test_an_affine_flow_is_its_own_model_however_far_it_leads(far_px: float) -> None:
    flow = np.stack([far_px + 0.03 * X - 0.02 * Y, 5 + 0.01 * X + 0.04 * Y], axis=2).astype(np.float32)
    here = image_gradients(np.full((HEIGHT, WIDTH, 3), 0.5, np.float32))
    y, x = np.array([4, 30, HEIGHT - 1]), np.array([4, 41, WIDTH - 1])
    planes = lattice_planes(here, flow, np.ones((HEIGHT, WIDTH), np.float32), FIT_STEP)
    models = fitted_models(planes, here.color, flow, y, x, -(-WIDTH // FIT_STEP))
    # In a corner, where half of a window is missing, a little less: fits are drawn towards no change of shape.
    assert np.allclose(models[1, [0, 3]], flow[30, 41], atol=0.005) and np.allclose(
        models[:, [0, 3]], flow[y, x], atol=0.02
    )
    assert np.allclose(models[:, [1, 2, 4, 5]], [0.03, -0.02, 0.01, 0.04], atol=0.003)


def test_planes_are_every_so_many_pixels_of_odd_pictures_too() -> None:
    color = np.random.default_rng(2).random((HEIGHT, WIDTH, 3), dtype=np.float32)
    here, flow = image_gradients(color), np.stack([X, Y], axis=2)
    planes = lattice_planes(here, flow, Y / HEIGHT, 4)
    assert planes.shape == (9, 16 * 21)
    assert np.array_equal(planes[3].reshape(16, 21)[3], X[0, ::4]) and np.array_equal(planes[4, ::21], Y[::4, 0])
    assert np.array_equal(planes[1], here.color[::4, ::4, 1].ravel())
    assert np.array_equal(planes[5], here.luma[::4, ::4].ravel())
