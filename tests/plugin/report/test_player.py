"""The player's reel: its frames and its bound on the page's size."""

from __future__ import annotations

import cv2
import numpy as np

from plugin.report.player import Reel, View, as_uri

BOUND = 7_500_000


def test_a_short_shot_is_shown_whole_and_large() -> None:
    reel = Reel.of(range(1, 12), [1])
    assert reel.step == 1 and reel.chosen(1) == set(range(1, 12)) and reel.area_px == 960 * 540
    assert reel.width_px == 960


def test_a_long_shot_is_shown_smaller_then_in_steps() -> None:
    middle = Reel.of(range(150), [])
    assert middle.step == 1 and 400 * 225 < middle.area_px < 960 * 540
    long = Reel.of(range(1001, 2001), [1001, 1500, 4000])
    assert long.step == 5 and {1001, 1500, 2000} < long.chosen(long.step) and 4000 not in long.chosen(1)
    assert 400 * 225 <= long.area_px < 401 * 226 + 5000


def test_pictures_keep_their_shape_within_the_area() -> None:
    reel = Reel.of(range(300), [])
    for height, width in ((1080, 1920), (1920, 1080), (90, 160)):
        view = reel.view(0, np.zeros((height, width, 3), np.uint8), None)
        assert view is not None and view.result is None and view.plate is not None
        rows, columns = cv2.imdecode(np.frombuffer(view.plate, np.uint8), cv2.IMREAD_COLOR).shape[:2]
        assert rows * columns <= reel.area_px * 1.01 and abs(columns / rows / (width / height) - 1) < 0.01
        assert (rows, columns) == (90, 160) or height > 90
    assert reel.step == 2 and reel.view(1, np.zeros((90, 160, 3), np.uint8), None) is None


def test_the_bound_holds_whatever_the_pictures_take() -> None:
    """Noise takes several times of what a picture usually takes."""
    reel = Reel.of(range(100), [37])
    heavy = View(b"x" * 150_000, b"x" * 150_000)
    kept = reel.fitted({frame: heavy for frame in range(100)})
    assert sum(view.size_bytes for view in kept.values()) <= BOUND
    assert {0, 37, 99} <= set(kept) and len(kept) >= 12
    light = {frame: View(b"x" * 1000, None) for frame in range(100)}
    assert reel.fitted(light) == light


def test_a_page_of_noise_stays_under_its_limit() -> None:
    reel = Reel.of(range(40), [])
    noise = np.random.default_rng(1).integers(0, 256, (540, 960, 3), np.uint8)
    view = reel.view(0, noise, noise)
    assert view is not None and view.plate is not None
    kept = reel.fitted({frame: view for frame in range(40)})
    text = sum(len(as_uri(one.plate or b"")) + len(as_uri(one.result or b"")) for one in kept.values())
    assert len(kept) < 40 and text < 10_100_000
