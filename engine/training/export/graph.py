"""The writer of ONNX graphs: symbols become nodes, constants are stored once, names are numbered.

See docs/decisions/016-network-written-once.md for why the framework's exporter is not used, and for the opset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engine.training.export.trace import Symbol, ordered

__all__ = ["IR_VERSION", "OPSET", "GraphWriter"]

OPSET = 18
"""Of 19, 20 and 21 no CUDA kernel of onnxruntime 1.19 to 1.23 knows Pad, Resize, AveragePool or a cubic GridSample."""
IR_VERSION = 9


class GraphWriter:
    """Collects nodes and initializers; names are numbered by operator, so the same network gives the same bytes."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._counts: dict[str, int] = {}
        self._known: dict[tuple[Any, ...], str] = {}

    def _name(self, stem: str) -> str:
        number = self._counts.get(stem, 0)
        self._counts[stem] = number + 1
        return f"{stem}_{number}"

    def constant(self, values: NDArray[Any] | Sequence[float] | float, dtype: Any = np.float32) -> str:
        """The name of an initializer of any shape, the same for the same values."""
        array = np.ascontiguousarray(np.asarray(values, dtype)).reshape(np.shape(values))
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._known:
            self._known[key] = self._name("const")
            self.initializers.append(numpy_helper.from_array(array, self._known[key]))
        return self._known[key]

    def op(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """The name of the one output of a node, the same for the same inputs; ``attributes`` are the operator's own."""
        key = (kind, inputs, repr(sorted(attributes.items())))
        if output is None and key in self._known:
            return self._known[key]
        name = output or self._name(kind.lower())
        self._known.setdefault(key, name)
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def write(self, outputs: Mapping[str, Symbol]) -> None:
        """Add all nodes of ``outputs``, whose names they get."""
        names: dict[Symbol, str] = {}
        wanted = {symbol: name for name, symbol in outputs.items()}
        for symbol in ordered(outputs.values()):
            if symbol.kind == "Input":
                names[symbol] = symbol.attributes["name"]
            elif symbol.array is not None:
                is_double = symbol.array.dtype == np.float64
                names[symbol] = self.constant(symbol.array, np.float32 if is_double else symbol.array.dtype)
            else:
                inputs = ["" if value is None else names[value] for value in symbol.inputs]
                names[symbol] = self.op(symbol.kind, *inputs, output=wanted.get(symbol), **symbol.attributes)
        for name, symbol in outputs.items():
            if names[symbol] != name:
                self.op("Identity", names[symbol], output=name)

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
