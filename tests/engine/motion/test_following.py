"""Following a keyframe: where one frame's state is saved, the next comes out the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from engine.base.arrays import Floats
from engine.motion.flow import one_thread
from engine.motion.following import Followed, begin_following, follow
from engine.motion.layers import LayeredFrame, Steps, layered_frame, neighbor_steps

HEIGHT, WIDTH = 64, 96


def frame(number: int) -> LayeredFrame:
    """A disk that moves over a texture."""
    rng = np.random.default_rng(1)
    picture = cv2.resize(rng.uniform(0.05, 0.5, (HEIGHT // 4, WIDTH // 4, 3)).astype(np.float32), (WIDTH, HEIGHT))
    return layered_frame(
        np.asarray(cv2.circle(picture, (20 + 6 * number, 32), 12, (0.6, 0.5, 0.4), -1), np.float32), None
    )


def steps(number: int) -> Steps:
    with one_thread(), ThreadPoolExecutor(1) as pool:
        return neighbor_steps(frame(number - 1), frame(number), pool)


def places(followed: Followed) -> list[Floats]:
    return [np.asarray(each, np.float32) for each in followed.places()]


def test_a_saved_state_goes_on_to_the_same_bytes() -> None:
    key = frame(0)
    at = begin_following(key)
    for number in (1, 2):
        at = follow(at, steps(number), frame(number), key)
    again = Followed.restored(at.saved(), 1)
    here, there = (follow(each, steps(3), frame(3), key) for each in (at, again))
    assert all(np.array_equal(one, two) for one, two in zip(places(here), places(there), strict=True))
    flow, confidence, elsewhere = here.places()
    assert elsewhere.any() and not elsewhere[:, 70:].any()
    assert confidence[:, 70:].min() > 0.5 and np.abs(flow[:, 70:]).max() < 0.5


def test_nothing_rides_or_is_repainted_where_that_is_turned_off() -> None:
    key = frame(0)
    at = follow(begin_following(key), steps(1), frame(1), key, repaint=False)
    flow, confidence, elsewhere = at.places()
    assert not elsewhere.any()
    assert np.array_equal(flow, at.tracks[0].to_key) and np.array_equal(confidence, at.tracks[0].confidence)


def test_a_state_of_another_size_or_number_of_layers_is_refused() -> None:
    saved = begin_following(frame(0)).saved()
    with pytest.raises(ValueError, match="another size"):
        Followed.restored(saved, 2)
    with pytest.raises(ValueError, match="rides"):
        Followed.restored({**saved, "kept": saved["kept"][1:]}, 1)
    with pytest.raises(KeyError):
        Followed.restored({name: each for name, each in saved.items() if name != "ridden"}, 1)
