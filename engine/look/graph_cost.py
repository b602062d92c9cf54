"""Cost of a look's graph: memory and work that a run of an image's size takes, known before anything runs.

The shapes of all values are followed from the image's size on (:mod:`engine.look.operator_shapes`); what needs more
than a look may take is refused before a session is made, and again before a run of any other size.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import onnx
from onnx import TensorProto

from engine.base.errors import LookError
from engine.look.graph_check import ITEM_BYTES, REMEDY
from engine.look.operator_shapes import make, stored
from engine.look.operator_values import Value

__all__ = ["Cost", "GraphPlan"]

ARENA = 1.7
"""Blocked layouts are copies, and the arena keeps blocks between tensors: a network with 32 to 96 channels peaked at
1.6 times the sum of its tensors (868 bytes a pixel against 536)."""
PROBES = (32, 64)
"""Sides in pixels of the two images that tell what grows with the image."""
TYPICAL_PIXELS = 2**20
"""Of a tile, for what does not grow with it."""
FIXED_BYTES = 2**30
"""That a look may take beside its weights, whatever the image's size; with the arena's share, under 2 GiB."""
PIXEL_BYTES = 8 * 2**10
"""That a look may take for each pixel of a tile; trained ones take 200 to 2000."""
FIXED_WORK = 2**32
"""Multiplications whatever the image's size, beside sixteen for each stored weight."""
PIXEL_WORK = 2**22
"""Multiplications for each pixel; trained looks take 20,000 to 1,200,000."""


@dataclass(frozen=True)
class Cost:
    """Of one run."""

    peak_bytes: float
    """Of the tensors alive at once, inputs included and weights not."""
    constant_bytes: int
    """Of what is made of constants alone, which a session makes once and keeps."""
    work: int
    """Multiplications, or values where there are more of these."""
    value_bytes: dict[str, int]
    """Of each input and of each value that a node makes."""


class GraphPlan:
    """A graph that passed :func:`engine.look.graph_check.check_structure`, without its weights."""

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self._constants = {tensor.name: stored(tensor) for tensor in graph.initializer}
        self._inputs = {
            value.name: value.type.tensor_type.shape.dim[1].dim_value
            for value in graph.input
            if value.name not in self._constants
        }
        self._declared = {
            value.name: value.type.tensor_type for value in (*graph.input, *graph.value_info, *graph.output)
        }
        self._nodes = list(graph.node)
        self._names = [(list(node.input), list(node.output)) for node in graph.node]
        self.weight_bytes = sum(value.count * ITEM_BYTES[value.kind] for value in self._constants.values())
        """Of all that the file stores."""
        self._check_size = functools.lru_cache(maxsize=256)(self._check)

    def cost(self, height: int, width: int) -> Cost:
        """What a run with an image of this size takes.

        Raises:
            LookError: it cannot be said, or a node would not take what it gets.
        """
        values: dict[str, Value | None] = {"": None, **self._constants}
        sizes: dict[str, int] = {}
        for name, channels in self._inputs.items():
            values[name] = Value(TensorProto.FLOAT, (1, channels, height, width))
            sizes[name] = 4 * channels * height * width
            self._compare(name, Value(TensorProto.FLOAT, (1, channels, height, width)))
        constant_bytes = work = 0
        for node in self._nodes:
            try:
                made = make(node, [values[name] for name in node.input])
            except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
                line = (str(error) or type(error).__name__).splitlines()[0]
                raise LookError(
                    f"the look uses {node.op_type} in a way that no look does: {line}", remedy=REMEDY
                ) from error
            (name,) = node.output
            self._compare(name, made.value)
            values[name] = made.value
            sizes[name] = made.value.count * ITEM_BYTES[made.value.kind]
            constant_bytes += sizes[name] if made.value.is_constant else 0
            work += made.work
            # Numbers would grow without end otherwise, long before any limit below is looked at.
            if sizes[name] > 2**50:
                raise LookError(f"a value of the look would take {sizes[name] / 2**40:,.0f} TiB", remedy=REMEDY)
        for name, channels in (("styled", 3), ("carried", 1)):
            value = values.get(name)
            if value is None or value.kind != TensorProto.FLOAT or value.shape != (1, channels, height, width):
                got = "nothing" if value is None else f"{list(value.shape)}"
                raise LookError(f"the look makes {got} as {name} of an image of {width}x{height}", remedy=REMEDY)
        return Cost(self._peak(sizes), constant_bytes, work, sizes)

    def _compare(self, name: str, value: Value) -> None:
        """With what the file says of a value, which onnxruntime would go by."""
        declared = self._declared.get(name)
        if declared is None:
            return
        sides = [each.dim_value if each.HasField("dim_value") else None for each in declared.shape.dim]
        is_of_shape = not declared.HasField("shape") or (
            len(sides) == len(value.shape)
            and all(side in (None, own) for side, own in zip(sides, value.shape, strict=True))
        )
        if declared.elem_type != value.kind or not is_of_shape:
            raise LookError("a value of the look is not what the file says of it", remedy=REMEDY)

    def _peak(self, sizes: Mapping[str, float]) -> float:
        """Bytes of the values alive at once, from each one's size."""
        last_use = {name: i for i, (taken, _) in enumerate(self._names) for name in taken}
        alive = highest = float(sum(sizes[name] for name in self._inputs))
        for i, (taken, made) in enumerate(self._names):
            alive += sum(sizes[name] for name in made)
            highest = max(highest, alive)
            alive -= sum(sizes.get(name, 0) for name in set(taken) if last_use[name] == i)
        return highest

    def bytes_per_pixel(self) -> float:
        """Memory that a run takes for each pixel of its input: the peak of the tensors alive at once.

        Raises:
            LookError: as :meth:`cost`.
        """
        small, large = (self.cost(side, side).value_bytes for side in PROBES)
        # Exemplars are as large as they are: only what grows with the image counts for each of its pixels.
        pixels = [side**2 for side in PROBES]
        growth = {name: (large[name] - small[name]) / (pixels[1] - pixels[0]) for name in small}
        sizes = {name: small[name] + growth[name] * (TYPICAL_PIXELS - pixels[0]) for name in small}
        return ARENA * self._peak(sizes) / TYPICAL_PIXELS

    def check_size(self, height: int, width: int) -> None:
        """Refuse a run with an image of this size where it takes more than a look may; asked again, it is remembered.

        Raises:
            LookError: too much memory or work, beside the weights and for the image's pixels.
        """
        self._check_size(height, width)

    def _check(self, height: int, width: int) -> None:
        cost, pixels = self.cost(height, width), height * width
        beside = max(cost.peak_bytes - pixels * PIXEL_BYTES, cost.constant_bytes) - self.weight_bytes
        if beside > FIXED_BYTES:
            raise LookError(
                f"the look takes {math.ceil(beside / 2**20):,} MiB beside its weights for an image of {width}x{height}",
                remedy=REMEDY,
            )
        if cost.work > FIXED_WORK + 4 * self.weight_bytes + pixels * PIXEL_WORK:
            raise LookError(
                f"the look takes {cost.work:.2g} multiplications for an image of {width}x{height}", remedy=REMEDY
            )
