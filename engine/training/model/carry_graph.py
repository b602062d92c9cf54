"""The nodes of a look that carry its exemplars: what :mod:`engine.training.model.carry` does, written to ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from engine.color import shaper
from engine.training.export.graph import GraphWriter
from engine.training.model.carry import (
    BINOMIAL,
    BLURRED,
    CELL,
    FADE,
    FAINTEST,
    HELD,
    LARGEST_CHANGE,
    NEAR,
    PROVEN,
    RESTORING,
    SAME,
    SHARP,
    SHARPNESS,
    SLIGHTEST,
    SOFT,
    STEADY,
    SURELY,
    TENT,
    UNPROVEN,
    Carried,
)

__all__ = [
    "CarriedNames",
    "StoredExemplar",
    "emit_evidence",
    "emit_exposed",
    "emit_sampled",
    "emit_sharpened",
    "emit_softened",
    "emit_tone",
]


@dataclass(frozen=True)
class StoredExemplar:
    """A keyframe as a look stores it, scene-linear working colorspace."""

    painting: NDArray[np.float32]
    """(H, W, 3)."""
    coverage: NDArray[np.float32]
    """(H, W) in 0..1."""
    plate: NDArray[np.float32]
    """(H, W, 3)."""


@dataclass(frozen=True)
class CarriedNames:
    """Names of graph values; see :class:`engine.training.model.carry.Carried`."""

    painting: str
    plate: str
    share: str
    blur: str | None = None
    """None where a bilinear filter sampled."""

    def stacked(self, g: GraphWriter) -> str:
        """Emit (N, 9, H, W), or 7 channels without the last of the fields."""
        fields = [self.painting, self.plate, self.share] + ([self.blur] if self.blur else [])
        return g.op("Concat", *fields, axis=1)

    @property
    def channels(self) -> tuple[int, ...]:
        """Of the fields, in their order."""
        return Carried.CHANNELS if self.blur else Carried.CHANNELS[:-1]


def emit_sampled(g: GraphWriter, exemplars: Sequence[StoredExemplar], cubic: bool = True) -> CarriedNames:
    """Emit :func:`engine.training.model.carry.sample` of the input ``stmap``.

    STMaps are Nuke's: u to the right and v upwards in 0..1, pixel centers at (i + 0.5) / size, so that u of the
    sampler, -1..1 with corners not aligned, is 2u - 1 and its v is 1 - 2v.
    """
    flip = g.constant(np.array([2.0, -2.0]).reshape(1, 2, 1, 1))
    shift = g.constant(np.array([-1.0, 1.0]).reshape(1, 2, 1, 1))
    zero, one = g.constant(0.0), g.constant(1.0)
    batch = g.slice(g.op("Shape", "stmap"), [0], [1], [0])
    repeat = g.op("Concat", batch, g.constant([1, 1, 1], np.int64), axis=0)
    paintings, plates, shares, blurs = [], [], [], []
    for index, exemplar in enumerate(exemplars):
        painting = shaper.encode(exemplar.painting)
        coverage = exemplar.coverage[..., None]
        partial = bool((coverage < 1).any())
        # Premultiplied, so that no unpainted color bleeds in at a soft edge.
        layers = [painting * coverage, shaper.encode(exemplar.plate)] + ([coverage] if partial else [])
        stored = np.concatenate(layers, axis=2).transpose(2, 0, 1)[None]
        image = g.op("Cast", g.constant(stored, np.float16), to=onnx.TensorProto.FLOAT)
        image = g.op("Expand", image, repeat)
        uv = g.slice("stmap", [3 * index], [3 * index + 2], [1])
        grid = g.op("Transpose", g.op("Add", g.op("Mul", uv, flip), shift), perm=[0, 2, 3, 1])
        mode = "cubic" if cubic else "linear"
        got = g.op("GridSample", image, grid, mode=mode, padding_mode="border", align_corners=0)
        color = g.slice(got, [0], [3], [1])
        share = g.op("Clip", g.slice("stmap", [3 * index + 2], [3 * index + 3], [1]), zero, one)
        if partial:
            covered = g.slice(got, [6], [7], [1])
            color = g.op("Div", color, g.op("Max", covered, g.constant(SLIGHTEST)))
            share = g.op("Mul", share, g.op("Clip", covered, zero, one))
        paintings.append(color)
        plates.append(g.slice(got, [3], [6], [1]))
        shares.append(share)
        if cubic:
            blurs.append(_blur_between_pixels(g, uv, *exemplar.coverage.shape))
    if len(exemplars) == 1:
        return CarriedNames(paintings[0], plates[0], shares[0], *blurs)
    largest, sharp = g.op("Max", *shares), g.constant(SHARPNESS)
    weights = [g.op("Mul", s, g.op("Exp", g.op("Mul", sharp, g.op("Sub", s, largest)))) for s in shares]
    total = g.op("Max", g.op("Sum", *weights), g.constant(1e-6))
    weights = [g.op("Div", weight, total) for weight in weights]

    def merged(each: list[str]) -> str:
        return g.op("Sum", *[g.op("Mul", x, weight) for x, weight in zip(each, weights, strict=True)])

    return CarriedNames(*(merged(each) for each in (paintings, plates, shares, blurs) if each))


def _blur_between_pixels(g: GraphWriter, uv: str, height: int, width: int) -> str:
    """Emit :func:`engine.training.model.carry.blur_between_pixels` of coordinates in an exemplar of that size."""
    half, one = g.constant(0.5), g.constant(1.0)
    places = g.op("Sub", g.op("Mul", uv, g.constant(np.array([width, -height]).reshape(1, 2, 1, 1))), half)
    fraction = g.op("Sub", places, g.op("Floor", places))
    near = g.op("Mul", g.op("Mul", fraction, g.op("Sub", one, fraction)), g.constant(4.0))
    return g.op("Mul", g.op("Mul", near, near), near)


def emit_exposed(g: GraphWriter, plate: str, carried: CarriedNames) -> str:
    """Emit :func:`engine.training.model.carry.exposed`."""
    both = g.op("Concat", _bright(g, plate), _bright(g, carried.plate), axis=1)
    both = g.op("Mul", both, carried.share)
    means = g.op("AveragePool", both, kernel_shape=[CELL] * 2, strides=[CELL] * 2)
    means = _filtered(g, means, BINOMIAL, 6)
    here, there = g.slice(means, [0], [3], [1]), g.slice(means, [3], [6], [1])
    steady, one = g.constant(STEADY), g.constant(1.0)
    change = g.op("Div", g.op("Add", here, steady), g.op("Add", there, steady))
    change = g.op("Clip", change, g.constant(1 / LARGEST_CHANGE), g.constant(LARGEST_CHANGE))
    change = g.op("Sub", change, one)
    change = _enlarged(g, change)
    return g.op("Add", carried.painting, g.op("Mul", _bright(g, carried.painting), change))


def emit_tone(g: GraphWriter, plain: str, painted: str, share: str) -> str:
    """Emit :func:`engine.training.model.carry.tone`."""
    both = g.op("Concat", g.op("Mul", g.op("Sub", painted, plain), share), share, axis=1)
    means = g.op("AveragePool", both, kernel_shape=[CELL] * 2, strides=[CELL] * 2)
    means = _filtered(g, means, TENT, 4)
    weight = g.op("Add", g.slice(means, [3], [4], [1]), g.constant(FADE))
    near = g.op("Div", g.slice(means, [0], [3], [1]), weight)
    return _enlarged(g, near)


def emit_evidence(g: GraphWriter, plate: str, carried: str) -> tuple[str, str]:
    """Emit :func:`engine.training.model.carry.evidence`."""
    # Both plates in one convolution: the mean of three channels, less its mean over 3x3 pixels.
    finest = np.full((2, 3, 3, 3), -1 / 27)
    finest[:, :, 1, 1] += 1 / 3
    both = _edged(g, g.op("Concat", plate, carried, axis=1), 1, 1)
    both = g.op("Conv", both, g.constant(finest), kernel_shape=[3, 3], group=2)
    here, there = (g.slice(both, [i], [i + 1], [1]) for i in (0, 1))
    products = g.op("Concat", g.op("Mul", here, there), g.op("Mul", both, both), axis=1)
    means = g.op("AveragePool", products, kernel_shape=[CELL] * 2, strides=[CELL] * 2)
    reach = len(NEAR) // 2
    means = _edged(g, means, reach, reach)
    means = g.op("Conv", means, _kernel(g, NEAR, 3), kernel_shape=[len(NEAR)] * 2, group=3)
    shared, one, other = (g.slice(means, [i], [i + 1], [1]) for i in range(3))
    half, zero = g.constant(0.5), g.constant(0.0)
    one, other = g.op("Max", one, zero), g.op("Max", other, zero)
    spread = g.op("Pow", g.op("Mul", one, other), half)
    alike = g.op("Div", shared, g.op("Add", spread, g.constant(FAINTEST)))
    detail = g.op("Pow", g.op("Min", one, other), half)
    sharp = g.op("Max", _ramp(g, detail, BLURRED, SHARP), _ramp(g, alike, SURELY, SAME))
    found = _enlarged(g, g.op("Concat", _ramp(g, alike, UNPROVEN, PROVEN), sharp, axis=1))
    return g.slice(found, [0], [1], [1]), g.slice(found, [1], [2], [1])


def emit_sharpened(g: GraphWriter, carried: CarriedNames) -> str:
    """Emit :func:`engine.training.model.carry.sharpened`; what a bilinear filter sampled stays as it is."""
    if carried.blur is None:
        return carried.painting
    held, changed = _held(g, carried.painting, carried.share), [carried.painting]
    for channel, axis in enumerate((3, 2)):
        change = _difference(g, _along(g, held, RESTORING, axis), carried.painting)
        changed.append(g.op("Mul", change, g.slice(carried.blur, [channel], [channel + 1], [1])))
    return g.op("Sum", *changed)


def emit_softened(g: GraphWriter, painting: str, share: str, sharp: str) -> str:
    """Emit :func:`engine.training.model.carry.softened`."""
    near = _along(g, _along(g, _held(g, painting, share), SOFT, 3), SOFT, 2)
    change = g.op("Mul", _difference(g, near, painting), g.op("Sub", g.constant(1.0), sharp))
    return g.op("Add", painting, change)


def _held(g: GraphWriter, painting: str, share: str) -> str:
    held = g.op("Clip", g.op("Mul", share, g.constant(1 / HELD)), g.constant(0.0), g.constant(1.0))
    return g.op("Concat", g.op("Mul", painting, held), held, axis=1)


def _difference(g: GraphWriter, near: str, painting: str) -> str:
    """A filtered painting less the painting, where what is not carried counts as the pixel itself."""
    weight = g.op("Mul", painting, g.slice(near, [3], [4], [1]))
    return g.op("Sub", g.slice(near, [0], [3], [1]), weight)


def _along(g: GraphWriter, x: str, line: Sequence[float], axis: int) -> str:
    """Four channels filtered along an axis, beyond their edge as on it."""
    shape = [1, len(line)] if axis == 3 else [len(line), 1]
    rows, columns = (side // 2 for side in shape)
    weights = np.tile(np.reshape(line, shape), (4, 1, 1, 1))
    return g.op("Conv", _edged(g, x, rows, columns), g.constant(weights), kernel_shape=shape, group=4)


def _ramp(g: GraphWriter, x: str, low: float, high: float) -> str:
    """0 up to ``low``, 1 from ``high`` on."""
    rising = g.op("Mul", g.op("Sub", x, g.constant(low)), g.constant(1 / (high - low)))
    return g.op("Clip", rising, g.constant(0.0), g.constant(1.0))


def _edged(g: GraphWriter, x: str, rows: int, columns: int) -> str:
    """``x`` with its edge repeated, by as much as a convolution takes off again."""
    return g.op("Pad", x, g.constant([0, 0, rows, columns, 0, 0, rows, columns], np.int64), mode="edge")


def _enlarged(g: GraphWriter, cells: str) -> str:
    """A value for each cell, bilinearly brought to one for each pixel."""
    scales = g.constant([1.0, 1.0, CELL, CELL])
    return g.op("Resize", cells, "", scales, mode="linear", coordinate_transformation_mode="half_pixel")


def _filtered(g: GraphWriter, x: str, line: Sequence[float], channels: int) -> str:
    kernel, side = _kernel(g, line, channels), len(line)
    return g.op("Conv", x, kernel, kernel_shape=[side] * 2, pads=[side // 2] * 4, group=channels)


def _kernel(g: GraphWriter, line: Sequence[float], channels: int) -> str:
    """(channels, 1, n, n), of sum 1."""
    weights = np.array(line) / sum(line)
    return g.constant(np.tile(np.outer(weights, weights), (channels, 1, 1, 1)))


def _bright(g: GraphWriter, y: str) -> str:
    zero = g.constant(0.0)
    low = g.op("Clip", g.op("Mul", y, g.constant(10 * shaper.OFFSET)), zero, g.constant(shaper.OFFSET))
    return g.op("Add", g.op("Clip", y, zero, g.constant(1.0)), low)
