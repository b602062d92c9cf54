"""Flat regions: a sky moves as the ground under it, whatever its grain says, and textured surfaces stay as they are."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from engine.base.arrays import Floats
from engine.motion.flat_regions import FlatView, settled
from engine.motion.flow import estimate
from engine.motion.track import advance, begin, features_of, flatness

HEIGHT, WIDTH, HORIZON = 160, 256, 100
PAN = np.array([5.3, -1.2], np.float32)
TURN, ZOOM = 0.01, 1.02


def scene(moved: bool, grain: int, cloud: float = 0.0) -> Floats:
    """(H, W, 3) in 0..1: a flat sky with grain over textured ground; moved by a camera."""
    big_height, big_width = HEIGHT + 80, WIDTH + 80
    rng = np.random.default_rng(5)
    ground = np.zeros((big_height, big_width, 3), np.float32)
    for sigma in (1.2, 3.0, 8.0):
        noise = cv2.GaussianBlur(rng.standard_normal(ground.shape).astype(np.float32), (0, 0), sigma)
        ground += 0.1 * noise / noise.std()
    rows = np.arange(big_height, dtype=np.float32)[:, None]
    sky = (0.6 + 0.001 * rows)[..., None] * np.ones((1, big_width, 3), np.float32)
    if cloud:
        faint = cv2.GaussianBlur(rng.standard_normal((big_height, big_width)).astype(np.float32), (0, 0), 25)
        sky += cloud * (faint / faint.std())[..., None]
    picture = np.where(rows[..., None] < HORIZON + 40, sky, np.clip(0.4 + ground, 0, 1))
    shift = matrix() if moved else np.eye(2, 3)
    whole = np.float32([[1, 0, 40], [0, 1, 40]]) @ np.vstack([shift, [0, 0, 1]])
    shot = cv2.warpAffine(
        picture.astype(np.float32), whole, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    )
    noise = np.random.default_rng(grain).normal(0, 0.006, shot.shape)
    return np.clip(shot + noise, 0, 1).astype(np.float32)


def matrix() -> np.ndarray:
    """(2, 3): a place of the moved picture in the other one."""
    turn = ZOOM * np.array([[np.cos(TURN), -np.sin(TURN)], [np.sin(TURN), np.cos(TURN)]])
    middle = np.array([WIDTH / 2, HEIGHT / 2])
    return np.column_stack([turn, middle + PAN - turn @ middle])


def truth() -> Floats:
    """(H, W, 2): where each pixel of the moved picture lies in the other one, less itself."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    (a, b, c), (d, e, f) = matrix()
    return np.stack([a * x + b * y + c - x, d * x + e * y + f - y], axis=2).astype(np.float32)


def errors(flow: Floats) -> Floats:
    return np.asarray(np.linalg.norm(flow - truth(), axis=2), np.float32)


@pytest.mark.parametrize("cloud", [0.0, 0.01])
def test_a_sky_moves_as_the_ground_does(cloud: float) -> None:
    key, frame = features_of(scene(False, 1, cloud)), features_of(scene(True, 2, cloud))
    track = advance(begin(key), estimate(frame.gray, key.gray), estimate(key.gray, frame.gray), frame, key)
    error = errors(track.to_key)
    inner = (slice(12, -12), slice(12, -12))
    assert np.median(error[inner][: HORIZON - 40]) < 0.25, "the sky"
    assert np.median(error[inner][HORIZON - 6 :]) < 0.12, "the ground"


def test_grain_does_not_move_a_sky() -> None:
    moved = scene(True, 2)
    wrong = truth() + np.random.default_rng(3).normal(0, 2, (HEIGHT, WIDTH, 2)).astype(np.float32)
    flow = np.where((flatness(features_of(moved)) > 0.5)[..., None], wrong, truth())
    sure, flat = np.ones((HEIGHT, WIDTH), np.float32), flatness(features_of(moved))
    found = settled(np.asarray(flow, np.float32), sure, FlatView(moved, flat), FlatView(scene(False, 1), flat))
    assert errors(np.asarray(flow))[10:70, 20:-20].mean() > 2
    assert errors(found)[10:70, 20:-20].max() < 0.2


def test_what_is_textured_everywhere_is_left_alone() -> None:
    flow = np.random.default_rng(1).normal(0, 1, (HEIGHT, WIDTH, 2)).astype(np.float32)
    here, sure = scene(True, 2), np.ones((HEIGHT, WIDTH), np.float32)
    assert settled(flow, sure, *(FlatView(here, np.zeros_like(sure)),) * 2) is flow


def test_a_picture_without_any_texture_is_left_alone() -> None:
    flow = np.ones((HEIGHT, WIDTH, 2), np.float32)
    gray, sure = np.full((HEIGHT, WIDTH, 3), 0.5, np.float32), np.ones((HEIGHT, WIDTH), np.float32)
    assert settled(flow, sure, *(FlatView(gray, sure),) * 2) is flow


def test_a_motion_that_matches_worse_than_what_is_there_is_not_taken() -> None:
    """A plain wall that carries a wide, faint shape another way than its surroundings go."""
    height, width = 200, 300
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    inside = (abs(x - 150) < 80) & (abs(y - 100) < 60)
    rng = np.random.default_rng(9)
    texture = cv2.GaussianBlur(rng.standard_normal((height, width + 40)).astype(np.float32), (0, 0), 2)
    texture *= 0.1 / texture.std()

    def picture(pan: int, wall: int) -> Floats:
        shape = 0.5 + 0.12 * np.sin((x + wall) / 14) * np.sin(y / 17)
        gray = np.where(inside, shape, 0.5 + texture[:, 20 + pan : 20 + pan + width])
        return np.asarray(gray[..., None] + rng.normal(0, 0.006, (height, width, 3)), np.float32)

    flow = np.zeros((height, width, 2), np.float32)
    flow[..., 0] = np.where(inside, -9, 6)
    trusted = 1 - cv2.dilate(inside.astype(np.float32), np.ones((25, 25), np.uint8))
    flat = inside.astype(np.float32)
    kept = settled(flow, trusted, FlatView(picture(6, -9), flat), FlatView(picture(0, 0), flat))
    assert np.array_equal(kept[70:130, 100:200], flow[70:130, 100:200])


def test_a_large_sky_moves_as_the_ground_as_well() -> None:
    # More places than OpenCV takes in a row, as in any sky of a frame of 1920x1080.
    height, width, shift = 640, 800, 4
    rng = np.random.default_rng(3)
    ground = cv2.GaussianBlur(rng.standard_normal((height, width + shift, 3)).astype(np.float32), (0, 0), 1.5)
    picture = 0.4 + 0.15 * ground / ground.std()
    picture[:450] = 0.7
    picture += rng.normal(0, 0.003, picture.shape).astype(np.float32)
    here, there = picture[:, :width], picture[:, shift:]
    flow = np.zeros((height, width, 2), np.float32)
    flow[450:] = (-shift, 0)
    share = np.zeros((height, width), np.float32)
    share[:440] = 1.0
    sure = np.ones((height, width), np.float32)
    found = settled(flow, sure, FlatView(here.copy(), share), FlatView(there.copy(), share))
    assert np.abs(found[:430, 20:-20] - (-shift, 0)).max() < 0.1
    assert np.array_equal(found[460:], flow[460:])
