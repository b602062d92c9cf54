"""Filling: what is known stays, the rest is what is around."""

from __future__ import annotations

import numpy as np

from engine.motion.filling import filled


def test_what_is_known_stays_and_a_slope_goes_on() -> None:
    y, x = np.mgrid[0:61, 0:83].astype(np.float32)
    values = np.dstack([x, y])
    known = np.ones(x.shape, bool)
    known[20:40, 30:55] = False
    spoilt = np.where(known[..., None], values, np.float32(1e6))
    found = filled(spoilt, known)
    assert np.array_equal(found[known], values[known])
    assert np.abs(found - values)[~known].max() < 8 and np.abs(found - values)[~known].mean() < 3


def test_nothing_and_all() -> None:
    values = np.ones((5, 7, 2), np.float32)
    assert np.array_equal(filled(values, np.zeros((5, 7), bool)), 0 * values)
    assert filled(values, np.ones((5, 7), bool)) is values
    one = np.zeros((5, 7), bool)
    one[0, 6] = True
    assert np.allclose(filled(3 * values, one), 3)
    assert np.allclose(filled(3 * values[..., :1], one), 3) and filled(values[..., :1], one).shape == (5, 7, 1)
