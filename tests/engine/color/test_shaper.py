"""The shaper: exact inverse, odd, monotone, smooth at 1, and the same curve inside a look's graph."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.color import shaper

FLOAT32_RELATIVE = 1e-5
"""The exponent's argument reaches 11, whose float32 spacing is 1e-6; a half float's own precision is 5e-4."""

values = st.floats(-65504, 65504, width=32)


def encode(*x: float) -> np.ndarray:
    return shaper.encode(np.array(x, np.float32))


def decode(*y: float) -> np.ndarray:
    return shaper.decode(np.array(y, np.float32))


@given(values)
def test_round_trip_is_far_within_half_float_precision(x: float) -> None:
    back = float(decode(float(encode(x)[0]))[0])
    assert abs(back - x) <= FLOAT32_RELATIVE * abs(x) + 1e-38


@given(values)
def test_every_half_float_comes_back_as_itself(x: float) -> None:
    half = np.array([x], np.float16)
    assert shaper.decode(shaper.encode(half.astype(np.float32))).astype(np.float16) == half


@given(values)
def test_odd(x: float) -> None:
    assert encode(-x)[0] == -encode(x)[0]
    assert decode(-float(encode(x)[0]))[0] == -decode(float(encode(x)[0]))[0]


@given(values, values)
def test_monotone(a: float, b: float) -> None:
    low, high = sorted((a, b))
    # sRGB's published constants leave a step of -3e-8 where its toe meets its curve.
    assert encode(low)[0] <= encode(high)[0] + 5e-8


def test_strictly_rising_over_every_stop() -> None:
    stops = np.concatenate([-(2.0 ** np.arange(15.9, -20, -0.01)), 2.0 ** np.arange(-20, 15.9, 0.01)])
    assert (np.diff(shaper.encode(np.sort(stops).astype(np.float32))) > 0).all()


def test_value_and_slope_are_continuous_at_one() -> None:
    assert encode(1.0)[0] == pytest.approx(1.0, abs=1e-7)
    assert encode(1.0)[0] == pytest.approx(encode(np.nextafter(np.float32(1), np.float32(2)))[0], abs=1e-6)
    h = 0.01
    below, above = encode(1 - 2 * h, 1 - h, 1.0), encode(1.0, 1 + h, 1 + 2 * h)
    from_below = (3 * below[2] - 4 * below[1] + below[0]) / (2 * h)
    from_above = (-3 * above[0] + 4 * above[1] - above[2]) / (2 * h)
    # A second-order difference over 0.01 is wrong by 5e-5 here, and float32 by 2e-5.
    assert from_below == pytest.approx(1.055 / 2.4, abs=2e-4)
    assert from_above == pytest.approx(1.055 / 2.4, abs=2e-4)


def test_the_curve_is_srgb_up_to_one_and_logarithmic_above() -> None:
    # 0.5 in sRGB is linear 0.21404; 40 lies ln(40) slopes above 1.
    assert encode(0.21404114)[0] == pytest.approx(0.5, abs=1e-6)
    assert encode(0.001)[0] == pytest.approx(0.01292, abs=1e-7)
    assert encode(40.0)[0] == pytest.approx(1 + 1.055 / 2.4 * np.log(40), abs=1e-6)
    assert encode(65504.0)[0] == pytest.approx(5.875, abs=1e-3)


def test_beyond_half_floats_both_ways_hold_the_limit() -> None:
    assert encode(1e9)[0] == encode(65504.0)[0]
    assert decode(8.0, -30.0) == pytest.approx([65504.0, -65504.0], rel=FLOAT32_RELATIVE)
    assert np.isfinite(decode(1e30)).all()


def test_a_looks_graph_and_torch_have_the_same_curve() -> None:
    torch = pytest.importorskip("torch", reason="a look's graph is written by the training part")
    from engine.training.model import curve
    from tests.support.graphs import written

    model = written(lambda linear, signal: (curve.encode(linear), curve.decode(signal)), {"linear": 1, "signal": 1})
    graph = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    magnitudes = 2.0 ** np.arange(-24, 16, 0.003)
    linear = np.concatenate([-magnitudes, [0.0, shaper.CUT, 1.0, 65504.0, 1e6], magnitudes]).astype(np.float32)
    signal = np.linspace(-7, 7, len(linear), dtype=np.float32)
    row = (1, 1, 1, len(linear))
    encoded, decoded = graph.run(None, {"linear": linear.reshape(row), "signal": signal.reshape(row)})
    in_torch = curve.encode(torch.from_numpy(linear)).numpy(), curve.decode(torch.from_numpy(signal)).numpy()
    for found in ((encoded.reshape(-1), decoded.reshape(-1)), in_torch):
        # Two float32 libraries: some units in the last place, 5e-7 at 5.9, and 1e-5 of the decoded value.
        np.testing.assert_allclose(found[0], shaper.encode(linear), rtol=0, atol=2e-6)
        np.testing.assert_allclose(found[1], shaper.decode(signal), rtol=2e-5, atol=1e-9)
