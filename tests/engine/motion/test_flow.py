"""Optical flow: following, composing, and the published reliability maps."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.base.arrays import Floats
from engine.motion.flow import compose, either, estimate, inside, luma8, occluded, pull, reliability, squared_px
from tests.support import SHARED

SHOTS = SHARED / "shots"


def _texture(height: int = 120, width: int = 160) -> Floats:
    noise = np.random.default_rng(3).random((height, width), np.float32)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.5), None, 0, 1, cv2.NORM_MINMAX)  # type: ignore[call-overload,no-any-return]


def _flow(height: int, width: int, dx: float, dy: float) -> Floats:
    return np.full((height, width, 2), (dx, dy), np.float32)


def test_estimate_finds_a_shift_and_its_sign() -> None:
    picture = _texture()
    moved = pull(picture, _flow(*picture.shape, -5, 3))
    flow = estimate(luma8(np.repeat(picture[..., None], 3, 2)), luma8(np.repeat(moved[..., None], 3, 2)))
    middle = flow[20:-20, 20:-20].reshape(-1, 2)
    # The picture moved by (5, -3): what a shows at p, b shows at p + (5, -3).
    assert np.allclose(np.median(middle, axis=0), (5, -3), atol=0.2)


def test_tiny_images_do_not_move() -> None:
    gray = np.zeros((7, 9), np.uint8)
    assert estimate(gray, gray).shape == (7, 9, 2)


def test_pull_then_pull_back_is_the_picture() -> None:
    picture = _texture()
    there, back = _flow(*picture.shape, 4, -2), _flow(*picture.shape, -4, 2)
    assert np.array_equal(pull(pull(picture, there), back)[5:-5, 5:-5], picture[5:-5, 5:-5])


def test_pull_by_steps_is_every_so_many_pixels_of_it_all() -> None:
    picture, flow = _texture(41, 53), np.random.default_rng(4).normal(0, 3, (41, 53, 2)).astype(np.float32)
    assert np.array_equal(pull(picture, flow, step=2), pull(picture, flow)[::2, ::2])


def test_either_flow_and_how_long_it_is() -> None:
    one, other = (np.random.default_rng(seed).normal(0, 3, (9, 14, 2)).astype(np.float32) for seed in (1, 2))
    mask = np.random.default_rng(3).random((9, 14)) > 0.5
    found = either(mask, one, other[::-1])
    assert found.dtype == np.float32 and np.array_equal(found, np.where(mask[..., None], one, other[::-1]))
    assert np.array_equal(squared_px(one), np.square(one).sum(axis=2))


def test_compose_adds_along_the_way() -> None:
    rows, columns = np.mgrid[0:40, 0:50].astype(np.float32)
    varying = np.stack([0.1 * columns, np.zeros_like(rows)], axis=2)
    total = compose(_flow(40, 50, 3, 0), varying)
    assert np.allclose(total[:, :40, 0], 3 + 0.1 * (columns[:, :40] + 3), atol=1e-3)


def test_inside_counts_the_last_pixel_center() -> None:
    found = inside(_flow(4, 6, 2, 0))
    assert found[:, :4].all()
    assert not found[:, 4:].any()


def test_reliability_of_a_consistent_and_an_inconsistent_flow() -> None:
    forth, back = _flow(30, 40, 6, 0), _flow(30, 40, -6, 0)
    trusted = reliability(forth, back)
    assert (trusted[:, 4:30] == 1).all()
    assert (trusted[:, 37:] == 0).all(), "leaves the frame"
    assert (reliability(forth, _flow(30, 40, 6, 0)) == 0).all(), "the way back leads elsewhere"


@pytest.mark.parametrize(
    ("first", "second", "published"),
    [("forward_1_2", "backward_2_1", "reliable_1_2"), ("backward_2_1", "forward_1_2", "reliable_2_1")],
)
def test_exact_reliability_equals_the_published_maps_to_their_rounding(first: str, second: str, published: str) -> None:
    folder = SHOTS / "marple"
    if not folder.is_dir():
        pytest.skip("needs ../shared/shots/marple")
    expected = cv2.imread(str(folder / f"{published}.pgm"), cv2.IMREAD_UNCHANGED).astype(np.float32)
    forth, back = _flo(folder / f"{first}.flo"), _flo(folder / f"{second}.flo")
    assert np.abs(reliability(forth, back, exact=True) * 255 - expected).max() <= 1.0
    # To 1/32 of a pixel one pixel of 157,500 at the threshold falls the other way.
    assert np.abs(reliability(forth, back) * 255 - expected).max() <= 2.5


def test_a_flow_is_followed_exactly_to_any_part_of_a_pixel() -> None:
    rows, columns = np.mgrid[0:12, 0:16].astype(np.float32)
    # From column 7 the way back is 1.2 pixels off at 8.01 and right at 8: steps of 1/32 do not tell them apart.
    back = np.stack([-1.01 + 120 * (columns - 8) * (columns > 8), np.zeros_like(rows)], axis=2)
    forth = _flow(12, 16, 1.01, 0)
    assert not occluded(forth, back)[:, 7].any()
    assert occluded(forth, back, exact=True)[:, 7].all()
    assert np.array_equal(occluded(forth, back)[:, :7], occluded(forth, back, exact=True)[:, :7])


def _flo(path: Path) -> Floats:
    return np.asarray(cv2.readOpticalFlow(str(path)), np.float32)
