"""Temporal consistency: weights over several frames, what frames start from, the loss by hand."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training is not installed")
torch.set_num_threads(1)  # tiny tensors on a busy machine: a second thread mostly waits

from torch import Tensor

from engine.base.arrays import Floats
from engine.optimize.sequence.temporal import (
    MULTI_PASS,
    SWEEP,
    CarriedFrame,
    Coherence,
    TemporalLoss,
    blended,
    carry,
    long_term_weights,
)


def tensor(picture: Floats) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None]


def flat(value: float, channels: int = 1) -> Tensor:
    return torch.full((1, channels, 2, 3), value)


def test_what_nearer_frames_show_does_not_count_again() -> None:
    trusts = [
        np.float32([[1.0, 0.25, 0.0, 0.0]]),
        np.float32([[1.0, 0.75, 0.5, 0.0]]),
        np.float32([[1.0, 1.0, 1.0, 0.5]]),
    ]
    first, second, third = long_term_weights(trusts)
    assert first.tolist() == [[1.0, 0.25, 0.0, 0.0]]
    assert second.tolist() == [[0.0, 0.5, 0.5, 0.0]]
    assert third.tolist() == [[0.0, 0.0, 0.5, 0.5]]
    assert float((first + second + third).max()) <= 1


def test_frames_are_pulled_along_the_flow() -> None:
    x = np.mgrid[:8, :12][1].astype(np.float32)
    painted = np.repeat((x / 12)[..., None], 3, axis=2)
    flow = np.zeros((8, 12, 2), np.float32)
    flow[..., 0] = 2
    some, none = np.full((8, 12), 0.5, np.float32), np.zeros((8, 12), np.float32)
    carried = carry([painted, painted], [flow, flow], [some, none], tensor)
    assert len(carried) == 1, "a frame that shows nothing is left out"
    shown = carried[0].pixels[0, 0].numpy()
    assert np.allclose(shown[:, 2:-4], (x[:, 2:-4] + 2) / 12, atol=1e-6)
    assert (carried[0].weight == 0.5).all()
    half = carried[0].at((4, 6))
    assert half.pixels.shape == (1, 3, 4, 6) and half.weight.shape == (1, 1, 4, 6)


@pytest.mark.parametrize(("coherence", "least", "most"), [(SWEEP, 1.05, 1.15), (MULTI_PASS, 0.95, 1.0)])
def test_ten_frames_on_a_picture_has_its_contrast(coherence: Coherence, least: float, most: float) -> None:
    """Carried by 0.6 pixels each time. Bilinear weights would leave 0.65 of it."""
    noise = np.random.default_rng(0).random((48, 96, 3), dtype=np.float32)
    first = cv2.GaussianBlur(noise, (0, 0), 0.8)
    flow, trust = np.zeros((48, 96, 2), np.float32), np.ones((48, 96), np.float32)
    flow[..., 0] = 0.6
    last = first
    for _ in range(10):
        last = carry([last], [flow], [trust], tensor, coherence.filter_)[0].pixels[0].permute(1, 2, 0).numpy()
    assert least < float(last[:, 8:-16].std() / first[:, 14:-10].std()) < most


def test_what_a_frame_starts_from() -> None:
    x = flat(0.2, 3)
    assert blended(x, [], share=True) is x
    near, far = CarriedFrame(flat(0.8, 3), flat(0.5)), CarriedFrame(flat(0.4, 3), flat(0.25))
    # 0.5 * 0.8 + 0.25 * 0.4 + 0.25 * 0.2, and (0.2 + 0.5) / 1.75
    assert torch.allclose(blended(x, [near, far], share=False), flat(0.55, 3))
    assert torch.allclose(blended(x, [near, far], share=True), flat(0.4, 3))


def test_the_loss_is_a_mean_over_the_frame_in_units_of_255() -> None:
    weight = flat(0.0)
    weight[..., 0] = 1  # a third of the pixels
    carried = [CarriedFrame(flat(0.5, 3), weight)]
    loss = TemporalLoss(lambda x: x.sum() * 0 + 7.0, carried, 1000.0)
    off = flat(0.5 + 2 / 255, 3)
    assert float(loss(off)) == pytest.approx(7 + 1000 * 4 / 3, rel=1e-4)
    assert float(loss(flat(0.5, 3))) == 7
