"""The guided filter: the formula of the paper, window by window, and the edges that it keeps."""

from __future__ import annotations

import numpy as np

from engine.optimize.exemplars.guided_filter import guided_filter
from tests.support.pictures import noise


def plainly(picture: np.ndarray, guide: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """He, Sun and Tang 2010, equations 14 to 16, for pixels whose windows are all within; others stay 0."""
    height, width = guide.shape[:2]
    slopes, offsets = np.zeros((height, width, 3)), np.zeros((height, width))
    for y in range(radius, height - radius):
        for x in range(radius, width - radius):
            window = slice(y - radius, y + radius + 1), slice(x - radius, x + radius + 1)
            colors, values = guide[window].reshape(-1, 3).astype(float), picture[window].ravel().astype(float)
            together = (colors * values[:, None]).mean(0) - colors.mean(0) * values.mean()
            slopes[y, x] = np.linalg.solve(np.cov(colors.T, bias=True) + epsilon * np.eye(3), together)
            offsets[y, x] = values.mean() - slopes[y, x] @ colors.mean(0)
    out = np.zeros((height, width))
    for y in range(2 * radius, height - 2 * radius):
        for x in range(2 * radius, width - 2 * radius):
            window = slice(y - radius, y + radius + 1), slice(x - radius, x + radius + 1)
            out[y, x] = slopes[window].reshape(-1, 3).mean(0) @ guide[y, x] + offsets[window].mean()
    return out


def test_it_is_the_published_formula() -> None:
    guide, picture = noise(14, 16, 3, seed=1), noise(14, 16, 2, seed=2)
    found = guided_filter(picture, guide, 2, 0.01)
    inside = slice(4, -4), slice(4, -4)
    for channel in range(2):
        expected = plainly(picture[..., channel], guide, 2, 0.01)
        np.testing.assert_allclose(found[inside][..., channel], expected[inside], atol=2e-5)


def test_a_step_stays_where_the_guide_has_it_and_is_smoothed_elsewhere() -> None:
    step = np.zeros((40, 40, 3), np.float32)
    step[:, 20:] = 1
    np.testing.assert_allclose(guided_filter(step, step, 6, 1e-5), step, atol=1e-3)
    blurred = guided_filter(step, np.full_like(step, 0.5), 6, 1e-3)
    assert 0.4 < blurred[20, 19, 0] < 0.6 and np.abs(np.diff(blurred[20, :, 0])).max() < 0.1
