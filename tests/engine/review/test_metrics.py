"""Measures: by numbers, and on what they must tell apart."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from engine.base.arrays import Floats
from engine.base.errors import ImageError
from engine.review import metrics


@pytest.fixture(scope="module")
def truth() -> Floats:
    noise = np.random.default_rng(0).standard_normal((96, 128, 3)).astype(np.float32)
    forms = cv2.GaussianBlur(noise, (0, 0), 9) * 4 + cv2.GaussianBlur(noise, (0, 0), 1.0) * 0.25
    return np.asarray(np.clip(0.5 + forms, 0, 1), np.float32)


def test_errors_per_pixel() -> None:
    black, gray = np.zeros((8, 8, 3), np.float32), np.full((8, 8, 3), 0.1, np.float32)
    assert metrics.l1(gray, black) == pytest.approx(0.1)
    assert metrics.psnr(gray, black) == pytest.approx(20.0, abs=1e-4)
    assert metrics.psnr(gray, gray) == pytest.approx(100.0)


def test_temporal_error_is_of_the_change(truth: Floats) -> None:
    later = np.roll(truth, 2, axis=1)
    assert metrics.temporal((truth + 0.1, later + 0.1), (truth, later)) == pytest.approx(0, abs=1e-6)
    assert metrics.temporal((truth, later + 0.05), (truth, later)) == pytest.approx(0.05, abs=1e-5)
    half = metrics.temporal((truth * 0.5, later * 0.5), (truth, later))
    assert half == pytest.approx(0.5 * metrics.l1(truth, later), rel=1e-4)


def test_wash_out(truth: Floats) -> None:
    assert metrics.high_frequency(truth, truth) == pytest.approx(1.0)
    assert metrics.high_frequency(cv2.GaussianBlur(truth, (0, 0), 1.0), truth) < 0.7
    # Twice the contrast is twice the Laplacian.
    assert metrics.high_frequency(truth * 0.5, truth) == pytest.approx(0.5, rel=1e-4)


def test_structure_distance_grows_with_every_fault(truth: Floats) -> None:
    def distance(result: Floats) -> float:
        return metrics.structure_distance(np.clip(result, 0, 1).astype(np.float32), truth)

    assert distance(truth) == pytest.approx(0, abs=1e-6)
    blurs = [distance(cv2.GaussianBlur(truth, (0, 0), sigma)) for sigma in (0.5, 1.0, 2.0)]
    shifts = [distance(np.roll(truth, pixels, axis=1)) for pixels in (1, 2, 4)]
    tints = [distance(truth + np.array([step, 0, -step], np.float32)) for step in (0.02, 0.06, 0.15)]
    for faults in (blurs, shifts, tints):
        assert 0.001 < faults[0] < faults[1] < faults[2] < 1
    # 8 bits are not seen.
    assert distance((np.rint(truth * 255) / 255).astype(np.float32)) < 0.1 * blurs[0]


def test_small_pictures_have_fewer_scales(truth: Floats) -> None:
    small = truth[:12, :12]
    assert 0 < metrics.structure_distance(small[::-1].copy(), small) < 1


def test_pictures_of_two_sizes_are_refused(truth: Floats) -> None:
    for measure in (metrics.l1, metrics.psnr, metrics.high_frequency, metrics.structure_distance):
        with pytest.raises(ImageError, match="cannot compare"):
            measure(truth, truth[:50])
