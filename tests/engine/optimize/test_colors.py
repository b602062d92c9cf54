"""Color preservation: means, covariances and lightness of made pictures."""

from __future__ import annotations

import numpy as np

from engine.optimize.colors import match_colors, match_lightness, with_lightness


def pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    style = 0.5 + rng.normal(0, 1, (40, 50, 3)) @ np.diag([0.1, 0.05, 0.08])
    plate = 0.45 + rng.normal(0, 1, (30, 60, 3)) @ np.array([[0.05, 0.02, 0.0], [0, 0.06, 0.01], [0, 0, 0.04]])
    return style.astype(np.float32), plate.astype(np.float32)


def test_histogram_gives_the_plates_mean_and_covariance() -> None:
    style, plate = pair()
    matched = match_colors(style, plate).reshape(-1, 3)
    np.testing.assert_allclose(matched.mean(0), plate.reshape(-1, 3).mean(0), atol=2e-3)
    np.testing.assert_allclose(np.cov(matched.T), np.cov(plate.reshape(-1, 3).T), atol=2e-4)


def test_a_flat_style_image_stays_finite() -> None:
    flat = np.full((8, 8, 3), 0.25, np.float32)
    assert np.isfinite(match_colors(flat, pair()[1])).all()
    assert np.isfinite(match_lightness(flat, pair()[1])).all()


def test_lightness_comes_from_the_painting_and_the_rest_from_the_plate() -> None:
    style, plate = pair()
    gray = match_lightness(style, plate)
    assert (gray[..., 0] == gray[..., 2]).all()
    luma = np.array([0.299, 0.587, 0.114], np.float32)
    np.testing.assert_allclose(gray[..., 0].std(), (plate @ luma).std(), rtol=0.02)
    painted = np.clip(plate[::-1] * 0.9, 0, 1)
    mixed = with_lightness(plate, painted)
    np.testing.assert_allclose(mixed @ luma, painted @ luma, atol=2e-3)
    np.testing.assert_allclose((mixed[..., 0] - mixed[..., 1]), (plate[..., 0] - plate[..., 1]), atol=2e-3)
