"""Coherence: surfaces and their edges keep it, places that lead anywhere do not."""

from __future__ import annotations

import numpy as np

from engine.motion.coherence import coherence, going_along

HEIGHT, WIDTH = 40, 60


def test_a_surface_up_to_its_edge_is_coherent() -> None:
    """Two surfaces side by side, one of them turning: up to ten degrees between two frames."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    flow = np.dstack([0.17 * y, -0.17 * x])
    flow[:, 30:] = (20, 5)
    assert coherence(flow).min() > 0.9
    assert going_along(flow)[4:-4, 8:20].min() == 1


def test_what_leads_anywhere_is_not() -> None:
    flow = np.zeros((HEIGHT, WIDTH, 2), np.float32)
    flow[10:30, 20:40] = np.random.default_rng(1).uniform(-30, 30, (20, 20, 2))
    found = coherence(flow)
    assert found[10:30, 20:40].max() == 0
    assert (found[:, :14] == 1).all() and (found[:, 46:] == 1).all()


def test_crumbs_are_not_and_corners_are_in_part() -> None:
    flow = np.zeros((HEIGHT, WIDTH, 2), np.float32)
    flow[4:6, 4:6] = 9
    flow[20:, 30:] = 9
    found = coherence(flow)
    assert not found[4:6, 4:6].any()
    # 15 of 48 others: four rows of four, less itself.
    assert going_along(flow)[20, 30] == np.float32(15 / 48)
    assert 0 < found[20, 30] < 1


def test_a_picture_of_one_pixel() -> None:
    assert coherence(np.zeros((1, 1, 2), np.float32)).shape == (1, 1)
