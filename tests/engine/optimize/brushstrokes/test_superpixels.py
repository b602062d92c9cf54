"""Superpixels: regions that keep to colors, of about one size."""

from __future__ import annotations

import numpy as np

from engine.optimize.brushstrokes.superpixels import superpixels


def test_regions_do_not_cross_an_edge_of_color() -> None:
    y, x = np.mgrid[:40, :60]
    inside = (x - 31) ** 2 + (y - 17) ** 2 < 13**2
    picture = np.where(inside[..., None], np.float32([0.8, 0.2, 0.1]), np.float32([0.1, 0.3, 0.7]))
    found = superpixels(picture, 40)
    share = np.bincount(found.labels.ravel(), inside.ravel()) / found.pixels
    assert set(share) == {0.0, 1.0}
    assert found.pixels.sum() == 40 * 60 and 30 <= len(found.pixels) <= 40
    assert found.pixels.max() < 4 * 60


def test_a_region_knows_where_it_is_and_how_it_lies() -> None:
    found = superpixels(np.full((20, 40, 3), 0.5, np.float32), 8)
    assert sorted(map(tuple, found.center_px)) == [(5 + 10 * i, 5 + 10 * j) for i in range(4) for j in range(2)]
    # Of a square of ten pixels: (10^2 - 1) / 12.
    assert np.allclose(found.covariance_px, np.eye(2) * 8.25)


def test_no_more_regions_than_asked_for() -> None:
    picture = np.random.default_rng(0).random((9, 31, 3), dtype=np.float32)
    for count in (1, 2, 7, 1000):
        found = superpixels(picture, count)
        assert 1 <= len(found.pixels) <= count and found.labels.max() == len(found.pixels) - 1
