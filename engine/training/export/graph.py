"""A small writer of ONNX graphs.

Networks here emit their own nodes beside their ``forward``; the self-check in :mod:`engine.training.export.look` holds
the two together. See docs/decisions/001-onnx-written-by-hand.md for why the framework's exporter is not used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = ["IR_VERSION", "OPSET", "GraphWriter"]

OPSET = 20
IR_VERSION = 9


class GraphWriter:
    """Collects nodes and initializers; names are numbered by operator, so the same network gives the same bytes."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._counts: dict[str, int] = {}

    def _name(self, stem: str) -> str:
        number = self._counts.get(stem, 0)
        self._counts[stem] = number + 1
        return f"{stem}_{number}"

    def constant(self, values: NDArray[Any] | Sequence[float] | float, dtype: Any = np.float32) -> str:
        """Add an initializer of any shape and return its name."""
        name = self._name("const")
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(np.asarray(values, dtype)), name))
        return name

    def op(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add one node with one output and return the output's name; ``attributes`` are the operator's own."""
        name = output or self._name(kind.lower())
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def conv(
        self,
        x: str,
        weight: NDArray[np.float32],
        bias: NDArray[np.float32] | None = None,
        *,
        stride: int = 1,
        padding: int | None = None,
    ) -> str:
        """Convolve ``x`` with ``weight`` (O, I, k, k); zero padding keeps the size unless ``padding`` is given."""
        pad = weight.shape[-1] // 2 if padding is None else padding
        inputs = [x, self.constant(weight)] + ([] if bias is None else [self.constant(bias)])
        kernel = list(weight.shape[2:])
        return self.op("Conv", *inputs, kernel_shape=kernel, strides=[stride] * 2, pads=[pad] * 4)

    def slice(self, x: str, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int]) -> str:
        """Take ``x[starts:ends]`` along ``axes``."""
        bounds = [self.constant(list(v), np.int64) for v in (starts, ends, axes)]
        return self.op("Slice", x, *bounds)

    def model(
        self,
        inputs: Mapping[str, Sequence[int | str]],
        outputs: Mapping[str, Sequence[int | str]],
        metadata: Mapping[str, str],
    ) -> onnx.ModelProto:
        """Close the graph: float32 ``inputs`` and ``outputs`` by name and shape, string ``metadata``."""

        def values(shapes: Mapping[str, Sequence[int | str]]) -> list[onnx.ValueInfoProto]:
            return [helper.make_tensor_value_info(n, TensorProto.FLOAT, list(s)) for n, s in shapes.items()]

        graph = helper.make_graph(self.nodes, "look", values(inputs), values(outputs), self.initializers)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="paintover"
        )
        helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model)
        return model
