"""The temporal filter: the published result, occlusion, noise removed."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from engine.base.arrays import Floats
from engine.base.errors import InputError
from engine.motion.flow import estimate, luma8
from engine.preparation.denoise import DenoiseSettings, filter_frame
from tests.support import SHARED

ORACLE = SHARED / "shots" / "bilateral"
PUBLISHED = DenoiseSettings(occlusion_aware=False)
HEIGHT, WIDTH, FRAMES, MIDDLE = 96, 128, 11, 5

Doubles = npt.NDArray[np.float64]


def _texture(height: int, width: int, seed: int, contrast: float) -> Floats:
    noise = np.random.default_rng(seed).random((height, width, 3), np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 2.0)
    return np.asarray(0.5 + contrast * (soft - 0.5) / soft.std(), np.float32)


class _Scene:
    """A card of 40 x 40 that moves 4 pixels a frame over a still ground, with exact flow."""

    def __init__(self, contrast: float, noise: float = 0.0) -> None:
        rng = np.random.default_rng(11)
        ground, card = _texture(HEIGHT, WIDTH, 1, contrast), _texture(40, 40, 2, contrast)
        self.clean, self.covered = [], []
        for frame in range(FRAMES):
            picture, covered = ground.copy(), np.zeros((HEIGHT, WIDTH), bool)
            at = (slice(28, 68), slice(24 + 4 * frame, 64 + 4 * frame))
            picture[at], covered[at] = card, True
            self.clean.append(picture)
            self.covered.append(covered)
        self.noisy = [c + noise * rng.standard_normal(c.shape, np.float32) for c in self.clean]

    def image(self, frame: int) -> Floats:
        return np.asarray(self.noisy[frame], np.float32)

    def flow(self, near: int, far: int) -> Floats:
        exact = np.zeros((HEIGHT, WIDTH, 2), np.float32)
        exact[self.covered[near], 0] = 4.0 * (far - near)
        return exact

    def estimated(self, near: int, far: int) -> Floats:
        return estimate(luma8(self.noisy[near]), luma8(self.noisy[far]))

    def filtered(self, settings: DenoiseSettings, *, estimated: bool = False) -> Floats:
        flow = self.estimated if estimated else self.flow
        return filter_frame(MIDDLE, first=0, last=FRAMES - 1, image=self.image, flow=flow, settings=settings)


def _psnr_db(found: Floats, wanted: Floats) -> float:
    return float(-10 * np.log10(np.mean((found - wanted) ** 2)))


def test_ghosts_beside_an_occluder_go_when_occlusion_is_known() -> None:
    # Little contrast: the weight in color cannot tell the card from the ground, so that only occlusion can.
    scene = _Scene(contrast=0.03)
    near_edges = cv2.dilate(scene.covered[MIDDLE].astype(np.uint8), np.ones((41, 41), np.uint8)).astype(bool)
    ring = near_edges & ~scene.covered[MIDDLE]
    plain, aware = (scene.filtered(DenoiseSettings(occlusion_aware=mode)) for mode in (False, True))
    ghost_plain, ghost_aware = (float(np.abs(x - scene.clean[MIDDLE])[ring].mean()) for x in (plain, aware))
    assert ghost_plain > 0.002
    assert ghost_aware < 0.1 * ghost_plain


@pytest.mark.parametrize(("estimated", "gain_db"), [(False, 6.0), (True, 3.0)])
def test_noise_falls(estimated: bool, gain_db: float) -> None:
    scene = _Scene(contrast=0.12, noise=0.03)
    found = scene.filtered(DenoiseSettings(), estimated=estimated)
    before = _psnr_db(scene.noisy[MIDDLE], scene.clean[MIDDLE])
    assert _psnr_db(found, scene.clean[MIDDLE]) > before + gain_db


def test_one_neighbor_is_held_at_a_time_and_asked_for_once() -> None:
    scene, asked = _Scene(contrast=0.1), []

    def image(frame: int) -> Floats:
        asked.append(frame)
        return scene.image(frame)

    filter_frame(2, first=0, last=9, image=image, flow=scene.flow, settings=DenoiseSettings(range=4))
    assert asked == [2, 1, 0, 3, 4, 5, 6]


def test_a_shot_of_one_frame_and_a_range_of_zero_leave_the_image() -> None:
    picture = _texture(3, 5, 4, 0.1)

    def never(near: int, far: int) -> Floats:
        raise AssertionError((near, far))

    assert np.array_equal(filter_frame(7, first=7, last=7, image=lambda _: picture, flow=never), picture)
    still = filter_frame(7, first=0, last=9, image=lambda _: picture, flow=never, settings=DenoiseSettings(range=0))
    assert np.array_equal(still, picture)


def test_impossible_settings_and_frames_are_refused() -> None:
    with pytest.raises(InputError, match="range of -1"):
        DenoiseSettings(range=-1)
    for divisor in (0.0, float("nan")):
        with pytest.raises(InputError, match="divisor"):
            DenoiseSettings(divisor=divisor)
    with pytest.raises(InputError, match="frame 3 is not within 4-9"):
        filter_frame(3, first=4, last=9, image=lambda _: np.zeros((2, 2, 3), np.float32), flow=_published_flow)


# The published result


def _plate(frame: int) -> Floats:
    picture = np.asarray(cv2.imread(str(ORACLE / f"plate.{frame:04d}.png")), np.float32)
    return np.asarray(picture / 255, np.float32)


def _published_flow(near: int, far: int) -> Floats:
    name = "next" if far > near else "prev"
    return np.asarray(cv2.readOpticalFlow(str(ORACLE / f"flow_{name}.{near:04d}.flo")), np.float32)


def _bilinear(image: npt.NDArray[Any], x: Doubles, y: Doubles, *, faults: bool) -> Doubles:
    """The published code cuts coordinates toward zero, so that it extrapolates beyond the left and upper border."""
    height, width = image.shape[:2]
    left, top = (np.trunc(x), np.trunc(y)) if faults else (np.floor(x), np.floor(y))
    right_share, lower_share = (x - left)[..., None], (y - top)[..., None]
    columns = [np.clip(left + k, 0, width - 1).astype(int) for k in (0, 1)]
    rows = [np.clip(top + k, 0, height - 1).astype(int) for k in (0, 1)]
    upper, lower = (image[row, columns[0]] * (1 - right_share) + image[row, columns[1]] * right_share for row in rows)
    return np.asarray(upper * (1 - lower_share) + lower * lower_share)


def _reference(*, faults: bool) -> Doubles:
    """The formulas pixel by pixel in 8-bit units; with the published code's faults, or without.

    The faults: samples and result are cut to whole codes, the weights in time of the frames before stand in reverse
    order, and the border is extrapolated.
    """
    center = _plate(5).astype(np.float64) * 255
    total, weights = center.copy(), np.ones(center.shape[:2])
    for step in (-1, 1):
        y, x = np.mgrid[0 : center.shape[0], 0 : center.shape[1]].astype(np.float64)
        for distance in range(1, 6):
            far = 5 + step * distance
            flow = _bilinear(_published_flow(far - step, far), x, y, faults=faults)
            x, y = x + flow[..., 0], y + flow[..., 1]
            found = _bilinear(_plate(far).astype(np.float64) * 255, x, y, faults=faults)
            found = np.floor(np.clip(found + 1e-4, 0, 255)) if faults else found
            time = 6 - distance if faults and step < 0 else distance
            color = 2 * (3**0.5 * 255 / 16) ** 2
            weight = np.exp(-(time**2) / (2 * 5.0**2) - np.square(found - center).sum(axis=2) / color)
            total, weights = total + weight[..., None] * found, weights + weight
    result = total / weights[..., None]
    return np.asarray(np.floor(result) if faults else result)


@pytest.mark.skipif(not ORACLE.is_dir(), reason="needs ../shared/shots/bilateral")
def test_the_published_result() -> None:
    expected = np.asarray(cv2.imread(str(ORACLE / "filtered.0005.png")), np.float64)
    off = np.abs(_reference(faults=True) - expected).max(axis=2)
    assert off.max() <= 2
    assert (off > 0).sum() <= 32, "of 32,400 pixels"

    found = filter_frame(5, first=0, last=10, image=_plate, flow=_published_flow, settings=PUBLISHED) * 255
    # OpenCV places samples to 1/32 pixel.
    assert np.abs(found - _reference(faults=False)).max() <= 0.5
    # Cutting samples and result to whole codes makes the published one darker, by 0.92 in the mean.
    off = np.abs(found - 0.92 - expected).max(axis=2)
    assert (off <= 2).mean() > 0.999
    assert off.max() <= 3.5, "on the left border, which they extrapolate"
