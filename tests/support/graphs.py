"""ONNX graphs made from torch functions, and as other opsets name their parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx

from engine.training.export.fold import fold
from engine.training.export.graph import GraphWriter
from engine.training.export.operators import record


def written(function: Callable[..., Any], channels: dict[str, int], folded: bool = True) -> onnx.ModelProto:
    """The graph of a function of tensors by name; outputs are y0, y1, ..."""
    found = record(function, channels)
    outputs = {f"y{i}": each for i, each in enumerate(found if isinstance(found, tuple) else (found,))}
    g = GraphWriter()
    g.write(fold(outputs) if folded else outputs)
    shapes = {name: ("n", count, "h", "w") for name, count in channels.items()}
    return g.model(shapes, {name: ("a", "b", "c", "d") for name in outputs}, {})


def renamed(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """A look as of another opset, with the names that sampling has there."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    made.opset_import[0].version = opset
    names = {b"bicubic": b"cubic", b"bilinear": b"linear"}
    for node in made.graph.node:
        for attribute in node.attribute:
            if node.op_type == "GridSample" and attribute.name == "mode" and opset >= 20:
                attribute.s = names[attribute.s]
    onnx.checker.check_model(made)
    return made
