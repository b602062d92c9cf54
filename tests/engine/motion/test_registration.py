"""Registration: how near it comes on surfaces whose motion is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from engine.base.arrays import Floats
from engine.motion.registration import image_gradients, refined

HEIGHT, WIDTH = 120, 168


def texture(seed: int) -> Floats:
    """(H, W, 3) in 0..1: detail of several sizes."""
    rng = np.random.default_rng(seed)
    total = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for sigma in (1.2, 3.0, 8.0):
        noise = cv2.GaussianBlur(rng.standard_normal(total.shape).astype(np.float32), (0, 0), sigma)
        total += noise / noise.std()
    return np.clip(0.5 + 0.1 * total, 0, 1).astype(np.float32)


def affine(matrix: list[list[float]]) -> Floats:
    """(H, W, 2): the flow of an affine motion around the middle, pixels."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    x, y = x - WIDTH / 2, y - HEIGHT / 2
    (a, b, c), (d, e, f) = matrix
    return np.stack([a * x + b * y + c, d * x + e * y + f], axis=2).astype(np.float32)


def seen(there: Floats, flow: Floats) -> Floats:
    """(H, W, 3): the picture from which ``flow`` leads to ``there``."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    return np.asarray(
        cv2.remap(there, x + flow[..., 0], y + flow[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    )


def error_px(flow: Floats, truth: Floats, margin: int = 12) -> Floats:
    """Distances, pixels, away from the border."""
    inner = slice(margin, -margin)
    return np.asarray(np.linalg.norm(flow - truth, axis=2)[inner, inner])


SURE = np.ones((HEIGHT, WIDTH), np.float32)


@pytest.mark.parametrize(
    "matrix",
    [
        [[0.0, 0.0, 2.3], [0.0, 0.0, -1.6]],
        [[0.0, -0.05, 1.0], [0.05, 0.0, 0.5]],  # turned by three degrees
        [[0.06, 0.0, 0.0], [0.0, 0.06, 0.0]],  # six percent larger
    ],
)
def test_a_start_that_is_a_pixel_off_comes_to_a_twentieth(matrix: list[list[float]]) -> None:
    there = texture(1)
    truth = affine(matrix)
    start = truth + np.array([0.8, -0.6], np.float32)
    found = refined(start, SURE, image_gradients(np.clip(seen(there, truth), 0, 1)), image_gradients(there))
    assert np.median(error_px(start, truth)) == pytest.approx(1.0, abs=0.01)
    assert np.median(error_px(found, truth)) < 0.05 and np.percentile(error_px(found, truth), 95) < 0.2


def test_another_light_is_no_other_place() -> None:
    there, truth = texture(2), affine([[0.0, 0.0, 1.4], [0.0, 0.0, 0.7]])
    here = np.clip(0.7 * seen(there, truth) + 0.05, 0, 1).astype(np.float32)
    found = refined(truth + np.float32(0.5), SURE, image_gradients(here), image_gradients(there))
    assert np.median(error_px(found, truth)) < 0.05


def test_grain_costs_little() -> None:
    there, truth = texture(3), affine([[0.01, 0.0, 1.4], [0.0, 0.01, 0.7]])
    rng = np.random.default_rng(4)
    here, key = (
        np.clip(image + rng.normal(0, 0.02, image.shape), 0, 1).astype(np.float32)
        for image in (seen(there, truth), there)
    )
    found = refined(truth + np.float32(0.5), SURE, image_gradients(here), image_gradients(key))
    assert np.median(error_px(found, truth)) < 0.1


def test_two_surfaces_keep_their_edge() -> None:
    """Left and right move apart; the start has the edge eight pixels aside, as flow often has."""
    back, front = texture(5), texture(6)
    edge = WIDTH // 2
    inside = np.mgrid[0:HEIGHT, 0:WIDTH][1] >= edge
    one, two = affine([[0, 0, -1.5], [0, 0, 0]]), affine([[0, 0, 2.0], [0, 0, 1.0]])
    truth = np.where(inside[..., None], two, one)
    there = np.where(inside[..., None], front, back)
    # Seen from here, the front shows what lies two pixels to its right: nothing of the edge itself.
    here = np.where(inside[..., None], seen(front, two), seen(back, one))
    start = np.where((np.mgrid[0:HEIGHT, 0:WIDTH][1] >= edge - 8)[..., None], two, one)
    found = refined(start, SURE, image_gradients(np.clip(here, 0, 1)), image_gradients(np.clip(there, 0, 1)))
    band = np.linalg.norm(found - truth, axis=2)[12:-12, edge - 8 : edge - 3]
    before = np.linalg.norm(start - truth, axis=2)[12:-12, edge - 8 : edge - 3]
    assert (before > 1).mean() == 1 and (band > 1).mean() < 0.1


def test_the_same_bytes_twice_and_in_pictures_of_many_strips() -> None:
    there, truth = texture(7), affine([[0.0, -0.02, 1.0], [0.02, 0.0, 0.5]])
    here = image_gradients(np.clip(seen(there, truth), 0, 1))
    start = truth + np.float32(0.4)
    first = refined(start, SURE, here, image_gradients(there))
    assert first.dtype == np.float32 and first.tobytes() == refined(start, SURE, here, image_gradients(there)).tobytes()


@pytest.mark.parametrize("far_px", [1e9, 1e30])
def test_a_start_that_leads_nowhere_is_survived(far_px: float) -> None:
    there, truth = texture(7), affine([[0.0, 0.0, 1.0], [0.0, 0.0, 0.5]])
    here = image_gradients(np.clip(seen(there, truth), 0, 1))
    start = truth.copy()
    start[20:30, 20:30] = far_px
    found = refined(start, SURE, here, image_gradients(there))
    assert np.isfinite(found).all()
    assert np.abs(found - truth)[40:-8, 40:-8].max() < 0.1


def test_what_shows_nothing_stays_near_where_it_was() -> None:
    flat = image_gradients(np.full((HEIGHT, WIDTH, 3), 0.4, np.float32))
    start = affine([[0.0, 0.0, 3.0], [0.0, 0.0, -2.0]])
    assert np.abs(refined(start, SURE, flat, flat) - start).max() < 0.01


@pytest.mark.parametrize("shape", [(15, 40), (16, 16), (17, 33)])
def test_small_pictures(shape: tuple[int, int]) -> None:
    image = image_gradients(np.random.default_rng(1).random((*shape, 3), dtype=np.float32))
    still = np.zeros((*shape, 2), np.float32)
    found = refined(still, np.ones(shape, np.float32), image, image)
    assert found.shape == still.shape and np.abs(found).max() < 0.01
