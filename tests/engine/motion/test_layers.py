"""Layers: an object followed apart from what lies behind it, against motion that is known to the pixel."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import cv2
import numpy as np
import pytest

from engine.color import shaper
from engine.motion.layers import (
    LayeredFrame,
    advance_layers,
    begin_layers,
    given_steps,
    joined,
    layered_frame,
    neighbor_steps,
    repainted_within,
)
from engine.motion.repaint import Repainted
from engine.motion.track import Track, advance, begin, frame_features
from tests.support.layered_shots import drawn, edge, truth
from tests.support.textures import HEIGHT, WIDTH

LAST = 5


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


def seen(frame: int, with_matte: bool) -> LayeredFrame:
    pixels, matte = drawn(frame)
    return layered_frame(shaper.decode(pixels), matte if with_matte else None)


@lru_cache(maxsize=2)
def followed(with_matte: bool) -> tuple[Track, LayeredFrame, LayeredFrame]:
    """The joined track of the last frame, that frame, and the keyframe."""
    key = previous = seen(0, with_matte)
    tracks = begin_layers(key)
    with ThreadPoolExecutor(2) as pool:
        for frame in range(1, LAST + 1):
            current = seen(frame, with_matte)
            tracks = advance_layers(tracks, neighbor_steps(previous, current, pool), current, key)
            previous = current
    return joined(tracks, previous, key), previous, key


def wrong(track: Track) -> tuple[float, float, float]:
    """At the outline: shares of seen pixels over a pixel off, of pixels sure but hidden, of pixels lost but seen."""
    flow, visible = truth(LAST)
    error, sure, near = np.linalg.norm(track.to_key - flow, axis=2), track.confidence > 0.5, edge(LAST)
    shares = ((error > 1)[near & visible], (sure & ~visible)[near], (~sure & visible)[near])
    return tuple(float(share.mean()) for share in shares)  # type: ignore[return-value]


@pytest.mark.slow
def test_edges_are_followed_better_with_mattes_than_without() -> None:
    off, hidden, lost = wrong(followed(True)[0])
    plain_off, _, plain_lost = wrong(followed(False)[0])
    assert off < 0.025 and off < 0.5 * plain_off
    # What is hidden by a pixel and a half at most is taken from beside.
    assert hidden < 0.03
    assert lost < plain_lost + 0.02


@pytest.mark.slow
def test_a_pixel_comes_from_its_own_layer_or_from_nowhere() -> None:
    track, frame, key = followed(True)
    assert not track.confidence[_target(key.inside, track) != frame.inside].any()
    plain = followed(False)[0]
    assert (plain.confidence > 0.1)[_target(key.inside, plain) != frame.inside].any()


def _target(image: np.ndarray, track: Track) -> np.ndarray:
    """Of the keyframe's image what each pixel comes from."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    to_x = np.clip(np.rint(x + track.to_key[..., 0]).astype(int), 0, WIDTH - 1)
    to_y = np.clip(np.rint(y + track.to_key[..., 1]).astype(int), 0, HEIGHT - 1)
    return np.asarray(image[to_y, to_x])


def test_the_keyframe_itself_is_exact() -> None:
    key = seen(0, True)
    track = joined(begin_layers(key), key, key)
    assert (track.confidence == 1).all() and not track.to_key.any() and not track.from_key.any()


def test_without_a_matte_nothing_is_different() -> None:
    first, second = (frame_features(shaper.decode(drawn(frame)[0])) for frame in (0, 1))
    key, frame = seen(0, False), seen(1, False)
    with ThreadPoolExecutor(1) as pool:
        steps = neighbor_steps(key, frame, pool)
    layered = joined(advance_layers(begin_layers(key), steps, frame, key), frame, key)
    plain = advance(begin(first), *steps[0], second, first)
    for one, other in zip(
        (layered.to_key, layered.from_key, layered.confidence),
        (plain.to_key, plain.from_key, plain.confidence),
        strict=True,
    ):
        assert np.array_equal(one, other)


def test_given_motion_is_taken_where_the_layer_is_seen() -> None:
    key, frame = seen(0, True), seen(1, True)
    flow, _ = truth(1)
    (mine, _), (behind, _) = given_steps(key, frame, flow, -flow)
    matte = drawn(1)[1]
    assert np.array_equal(mine[matte >= 0.9], flow[matte >= 0.9])
    # What lies behind the object moves on behind it.
    assert np.abs(behind - np.float32((2, -1))).max() < 1e-4


def test_an_object_that_is_not_in_a_frame() -> None:
    pixels, matte = drawn(0)
    key, frame = seen(0, True), layered_frame(shaper.decode(pixels), np.zeros_like(matte))
    with ThreadPoolExecutor(1) as pool:
        tracks = advance_layers(begin_layers(key), neighbor_steps(key, frame, pool), frame, key)
    track = joined(tracks, frame, key)
    assert np.isfinite(track.to_key).all() and not frame.inside.any()
    # Where the object was, nothing of it may be taken.
    assert not track.confidence[_target(key.inside, track)].any()


def test_what_is_lent_across_the_outline_is_dropped() -> None:
    key = seen(0, True)
    still = np.zeros((HEIGHT, WIDTH, 2), np.float32)
    everywhere = np.ones((HEIGHT, WIDTH), bool)
    lent = Repainted(still, everywhere, everywhere.astype(np.float32))
    assert repainted_within(lent, key, key).found.all()
    frame = seen(3, True)
    assert np.array_equal(repainted_within(lent, frame, key).found, frame.inside == key.inside)


def test_a_soft_edge_that_is_laid_over_takes_the_objects_strokes() -> None:
    """At the keyframe, too: what is painted beside the object would bleed in by the matte's share."""
    pixels, _ = drawn(0)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    matte = np.clip((28 - np.hypot(x - 62, y - 50)) / 16 + 0.5, 0, 1).astype(np.float32)
    for blended in (False, True):
        key = layered_frame(shaper.decode(pixels), matte, blended=blended)
        track = joined(begin_layers(key), key, key)
        soft = (matte > 0.01) & (matte < 0.49)
        assert (track.confidence == 1).all()
        assert (_target(matte, track)[soft] >= 0.5).all() == blended
        assert np.abs(track.to_key[soft]).max() < (10 if blended else 1e-6)
        assert not track.to_key[matte >= 0.5].any() and not track.to_key[matte == 0].any()
