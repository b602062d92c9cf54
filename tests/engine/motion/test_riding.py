"""Ridden tracks: strokes go on where a match is lost although motion is known, and stop where it is not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from engine.base.arrays import Floats
from engine.motion.riding import RIDING, Ridden, nothing_ridden, ride
from engine.motion.track import FrameFeatures, Track, frame_features

HEIGHT, WIDTH, PAN = 80, 120, 3
LOST = (slice(24, 56), slice(40, 80))
"""The part of the picture whose track is lost."""


def view(frame: int, contrast: float = 1.0) -> FrameFeatures:
    """A texture that moves to the left, PAN pixels a frame."""
    rng = np.random.default_rng(5)
    wide = WIDTH + 8 * PAN
    texture = cv2.resize(rng.uniform(0, 1, (HEIGHT // 4, wide // 4, 3)).astype(np.float32), (wide, HEIGHT))
    return frame_features((0.3 + contrast * 0.3 * (texture - 0.5))[:, PAN * frame : PAN * frame + WIDTH])


def shift(x: float, y: float = 0.0) -> Floats:
    return np.full((HEIGHT, WIDTH, 2), (x, y), np.float32)


def lost_track(frame: int, inside: float = 0.0, astray: float = 9.0) -> Track:
    """Right everywhere but in ``LOST``, where it leads ``astray`` pixels down at the confidence ``inside``."""
    to_key, confidence = shift(PAN * frame), np.ones((HEIGHT, WIDTH), np.float32)
    to_key[LOST][..., 1] = astray
    confidence[LOST] = inside
    return Track(to_key, -to_key, confidence)


def ridden_to(
    frame: int, track: Track, key: FrameFeatures | None = None, away_px: float = 0.0, contrast: float = 1.0
) -> Ridden:
    """From the keyframe 0, frame by frame; the step back misses the step forth by ``away_px``."""
    key = key or view(0, contrast)
    ridden = nothing_ridden(HEIGHT, WIDTH)
    for at in range(1, frame + 1):
        here = track if at == frame else lost_track(at)
        ridden = ride(ridden, (shift(PAN), shift(-PAN, away_px)), here, view(at, contrast), key)
    return ridden


def test_strokes_ride_on_where_the_match_is_lost() -> None:
    track = lost_track(3)
    joined, rode = ridden_to(3, track, contrast=0.1).joined(track)
    assert rode[LOST].all() and not rode[:20].any()
    assert np.abs(joined.to_key[LOST] - (3 * PAN, 0)).max() < 1e-3
    assert joined.confidence[LOST].min() > 0.8 * RIDING and joined.confidence[LOST].max() <= RIDING


def test_what_leads_anywhere_does_not_ride() -> None:
    track = lost_track(3)
    ridden = ridden_to(3, track, contrast=0.1)
    ridden.flow[LOST] += np.random.default_rng(2).uniform(-20, 20, ridden.flow[LOST].shape)
    joined, _ = ridden.joined(track)
    assert joined.confidence[28:52, 44:76].max() == 0 and (joined.confidence[:16] == 1).all()


def test_what_is_sure_stays_as_it_is() -> None:
    track = lost_track(2)
    joined, rode = ridden_to(2, track).joined(track)
    sure = track.confidence == 1
    assert np.array_equal(joined.to_key[sure], track.to_key[sure])
    assert np.array_equal(joined.confidence[sure], track.confidence[sure])
    assert not rode[sure].any()


def test_nothing_rides_on_a_step_that_does_not_come_back() -> None:
    track = lost_track(2)
    joined, rode = ridden_to(2, track, away_px=2.0).joined(track)
    assert not rode.any() and np.array_equal(joined.to_key, track.to_key)


def test_where_little_is_seen_a_step_may_be_off_by_more() -> None:
    faint, track = view(1, contrast=0.01), lost_track(1)
    rode = [
        ride(nothing_ridden(HEIGHT, WIDTH), (shift(PAN), shift(-PAN, away)), track, faint, view(0, contrast=0.01))
        .joined(track)[1][LOST]
        .mean()
        for away in (1.5, 7.0)
    ]
    assert rode == [1.0, 0.0]


def test_nothing_rides_to_a_plate_that_looks_different() -> None:
    track, other = lost_track(2), frame_features(np.full((HEIGHT, WIDTH, 3), (0.9, 0.1, 0.1), np.float32))
    assert not ridden_to(2, track, key=other).joined(track)[1].any()


@pytest.mark.parametrize(("astray", "raised"), [(0.0, True), (9.0, False)])
def test_a_doubted_track_is_surer_where_it_goes_on(astray: float, raised: bool) -> None:
    track = lost_track(2, inside=0.6, astray=astray)
    joined, rode = ridden_to(2, track).joined(track)
    assert np.array_equal(joined.to_key[LOST], track.to_key[LOST])
    assert bool((joined.confidence[LOST] > 0.7).all()) is raised
    assert not rode.any(), "a track that is sure by itself is a track"


def test_a_place_found_again_is_the_one_that_goes_on() -> None:
    first = lost_track(1, inside=0.6, astray=5.0)
    ridden = ride(nothing_ridden(HEIGHT, WIDTH), (shift(PAN), shift(-PAN)), first, view(1), view(0))
    assert np.array_equal(ridden.flow[LOST], first.to_key[LOST])
    assert not ridden.confidence[LOST].any() and (ridden.kept[LOST] == 1).all()


def test_a_textured_surface_whose_match_is_lost_rides_at_less() -> None:
    """A match that fails although there is much to see says that it is another surface."""
    said = []
    for contrast in (2.5, 0.1):
        here, there = view(1, contrast), view(0, contrast)
        ridden = ride(nothing_ridden(HEIGHT, WIDTH), (shift(PAN), shift(-PAN)), lost_track(1), here, there)
        said.append(float(np.median(ridden.confidence[LOST])))
    assert said[0] < 0.5 * RIDING and said[1] > 0.95 * RIDING


def test_a_place_that_is_surely_seen_elsewhere_is_not_ridden_to() -> None:
    track = lost_track(1, astray=0.0)
    # All of the keyframe is surely seen, ten pixels beside what rides to it.
    other = np.ones((HEIGHT, WIDTH), np.float32)
    other[LOST] = 0
    elsewhere = Track(np.where(other[..., None] > 0, shift(-10), track.to_key), shift(10), other)
    ridden = ride(nothing_ridden(HEIGHT, WIDTH), (shift(PAN), shift(-PAN)), elsewhere, view(1), view(0))
    inner = (slice(28, 52), slice(74, 79))
    assert not ridden.confidence[inner].any()


def test_a_lost_track_begins_the_next_frame_where_its_surface_was() -> None:
    track = lost_track(2)
    begun = ridden_to(2, track).begun(track)
    assert np.abs(begun.to_key - (2 * PAN, 0)).max() < 1e-3
    assert np.array_equal(begun.from_key, track.from_key)
