"""A keyframe followed through drawn motion that is known to the pixel."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from engine.color import shaper
from engine.motion import track
from engine.motion.flow import estimate
from engine.motion.track import FrameFeatures, Track, advance, begin, frame_features
from tests.support.textures import BORDER, HEIGHT, WIDTH, moved, shifted, texture

EDGE = 4
"""Pixels at the frame's edge that are not asked: blurs and the flow's patches reach over it."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


def turned(degrees: float) -> np.ndarray:
    return cv2.getRotationMatrix2D(((WIDTH - 1) / 2, (HEIGHT - 1) / 2), degrees, 1.0)


def flow_of(matrix: np.ndarray) -> np.ndarray:
    """(H, W, 2) from the frame to the keyframe."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    there = np.stack([x, y, np.ones_like(x)], axis=2) @ matrix.T
    return (there - np.stack([x, y], axis=2)).astype(np.float32)


def seen(encoded: np.ndarray, stops: float = 0.0) -> FrameFeatures:
    return frame_features(shaper.decode(encoded) * np.float32(2**stops))


def follow(views: list[FrameFeatures]) -> Track:
    """From the first view, the keyframe, to the last."""
    track = begin(views[0])
    for before, after in itertools.pairwise(views):
        back, forth = estimate(after.gray, before.gray), estimate(before.gray, after.gray)
        track = advance(track, back, forth, after, views[0])
    return track


def split(matrix: np.ndarray, margin: float = 6.0) -> tuple[np.ndarray, np.ndarray]:
    """Pixels well inside both frames, and those whose target lies well outside the keyframe."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    flow = flow_of(matrix)
    to_x, to_y = x + flow[..., 0], y + flow[..., 1]
    within = (np.minimum(x, WIDTH - 1 - x) >= EDGE) & (np.minimum(y, HEIGHT - 1 - y) >= EDGE)
    distance = np.minimum(np.minimum(to_x, WIDTH - 1 - to_x), np.minimum(to_y, HEIGHT - 1 - to_y))
    return within & (distance >= EDGE), distance <= -margin


def error_px(track: Track, matrix: np.ndarray) -> np.ndarray:
    return np.linalg.norm(track.to_key - flow_of(matrix), axis=2)


def test_the_keyframe_itself_is_exact() -> None:
    track = begin(seen(moved(texture(), shifted(0, 0))))
    assert not track.to_key.any() and not track.from_key.any() and (track.confidence == 1).all()


@pytest.mark.parametrize(
    "matrix",
    [shifted(7.3, -4.6), shifted(-12.0, 5.5), turned(4.0), turned(-3.0) + np.array([[0, 0, 3.0], [0, 0, 2.0]])],
    ids=["shift", "far", "turn", "turn and shift"],
)
def test_coordinates_and_confidence(matrix: np.ndarray) -> None:
    canvas = texture()
    half = np.array([[1, 0, 0], [0, 1, 0]]) * 0.5 + matrix * 0.5
    track = follow([seen(moved(canvas, step)) for step in (shifted(0, 0), half, matrix)])
    visible, outside = split(matrix)
    assert error_px(track, matrix)[visible].mean() < 0.3
    assert track.confidence[visible].mean() > 0.8
    assert (track.confidence[visible] > 0.5).mean() > 0.97
    if outside.sum() > 50:
        assert track.confidence[outside].mean() < 0.2


def test_what_an_object_uncovers_has_no_confidence() -> None:
    back, front = texture(1), texture(2, 40, 40)

    def frame(left: int) -> FrameFeatures:
        pixels = moved(back, shifted(0, 0))
        pixels[28:68, left : left + 40] = front
        return seen(pixels)

    track = follow([frame(left) for left in (40, 46, 52, 58, 64)])
    # The object moved 24 pixels to the right: this strip of the background was behind it.
    assert track.confidence[34:62, 43:61].mean() < 0.2
    carried = track.confidence[34:62, 70:98]
    assert carried.mean() > 0.8
    expected = np.array([-24, 0], np.float32)
    assert np.linalg.norm(track.to_key[34:62, 70:98] - expected, axis=2).mean() < 0.3
    still = np.ones((HEIGHT, WIDTH), bool)
    still[18:78, 28:116] = False
    assert track.confidence[still].mean() > 0.8
    assert np.linalg.norm(track.to_key[still], axis=1).mean() < 0.3


@pytest.mark.parametrize("stops", [1.0, -1.0])
def test_a_change_of_exposure_keeps_confidence(stops: float) -> None:
    canvas, matrix = texture(), shifted(4.0, 2.5)
    # Dark enough that a stop more clips nothing.
    first, second = (0.55 * moved(canvas, step) + 0.1 for step in (shifted(0, 0), matrix))
    visible, _ = split(matrix)
    track = follow([seen(first), seen(second, stops)])
    assert error_px(track, matrix)[visible].mean() < 0.3
    # The match itself is as sure as without the change; the doubt is about the other tone.
    assert track.confidence[visible].mean() > 0.85


@pytest.mark.parametrize("grain", [0.0, 0.006, 0.012])
def test_grain_over_a_flat_part_says_nothing_against_a_track(grain: float) -> None:
    rng = np.random.default_rng(8)
    canvas = texture()
    canvas[: BORDER + HEIGHT // 2] = 0.6  # a sky over textured ground
    frames = [moved(canvas, shifted(6.0 * step, 0)) for step in range(2)]
    key, frame = (
        seen(np.clip(image + grain * rng.standard_normal(image.shape), 0, 1).astype(np.float32)) for image in frames
    )

    def confidence(wrong_px: float) -> np.ndarray:
        to_key = flow_of(shifted(6.0, wrong_px))
        return track._confidence(to_key, -flow_of(shifted(6.0, 0)), frame, key)

    sky = np.s_[EDGE : HEIGHT // 2 - 24, EDGE : WIDTH - 12]
    ground = np.s_[HEIGHT // 2 + 12 : HEIGHT - 12, EDGE : WIDTH - 12]
    assert confidence(0)[sky].mean() > 0.9 and confidence(0)[ground].mean() > 0.9
    assert confidence(3)[sky].mean() > 0.8, "a sky's strokes may lie a little aside"
    assert confidence(3)[ground].mean() < 0.4


def test_another_picture_has_no_confidence() -> None:
    track = follow([seen(moved(texture(1), shifted(0, 0))), seen(moved(texture(9), shifted(0, 0)))])
    assert track.confidence.mean() < 0.2


def test_no_drift_over_twelve_frames() -> None:
    canvas = texture()

    def place(frame: int) -> np.ndarray:
        matrix = turned(0.5 * frame)
        matrix[:, 2] += (1.7 * frame, -0.9 * frame)
        return matrix

    track = follow([seen(moved(canvas, place(frame))) for frame in range(13)])
    visible, _ = split(place(12))
    assert error_px(track, place(12))[visible].mean() < 0.5
    assert track.confidence[visible].mean() > 0.8


def test_what_returns_is_carried_again() -> None:
    canvas = texture()
    there_and_back = [shifted(0, 0), shifted(14, 0), shifted(28, 0), shifted(14, 0), shifted(0, 0)]
    track = follow([seen(moved(canvas, step)) for step in there_and_back])
    visible, _ = split(shifted(0, 0))
    # Its left part was out of the frame, and is where it was.
    left = visible & (np.arange(WIDTH) < 24)
    assert error_px(track, shifted(0, 0))[left].mean() < 0.3
    assert track.confidence[left].mean() > 0.8
