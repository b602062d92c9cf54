"""Check of a look's graph: the operators, attributes and constants that it may hold.

A look comes by mail and must be data. What it may hold is what the export writes, now or before: a flat list of
operators that compute. Nothing here runs any of it, and nothing here trusts a number that the file holds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import onnx
from onnx import AttributeProto, TensorProto

from engine.base.errors import LookError

__all__ = ["ITEM_BYTES", "OPERATORS", "REMEDY", "check_structure"]

REMEDY = "export the look again, or copy it again from where it was trained"

MIN_OPSET = 13
"""Before it, axes and sizes were attributes, which none of our exports wrote."""
MAX_OPSET = 21
MAX_IR = 10
STANDARD_DOMAINS = ("", "ai.onnx")
MAX_NODES = 4096
"""Trained looks have one to three hundred."""
MAX_CONSTANTS = 4096
MAX_RANK = 6
MAX_DIM = 2**31
MAX_LIST = 64
"""Numbers in an attribute."""

ITEM_BYTES = {
    TensorProto.FLOAT: 4,
    TensorProto.FLOAT16: 2,
    TensorProto.INT64: 8,
    TensorProto.INT32: 4,
    TensorProto.BOOL: 1,
}
"""Bytes of a number, for each type that a look may hold."""

_PLACES = {"kernel_shape", "strides", "pads", "dilations", "auto_pad"}

OPERATORS: dict[str, frozenset[str]] = {
    name: frozenset(attributes)
    for name, attributes in {
        **dict.fromkeys(
            ("Abs", "Exp", "Floor", "Identity", "Log", "Neg", "Relu", "Sigmoid", "Sign", "Sqrt", "Tanh"), ()
        ),
        **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum"), ()),
        **dict.fromkeys(("Less", "LessOrEqual", "Greater", "Where", "Clip"), ()),
        "AveragePool": _PLACES | {"ceil_mode", "count_include_pad"},
        "Cast": ("to", "saturate"),
        "Concat": ("axis",),
        "Constant": ("value", "value_int", "value_ints", "value_float", "value_floats"),
        "Conv": _PLACES | {"group"},
        "DepthToSpace": ("blocksize", "mode"),
        "Expand": (),
        "Gather": ("axis",),
        "GridSample": ("mode", "padding_mode", "align_corners"),
        "LeakyRelu": ("alpha",),
        "Mod": ("fmod",),
        "Pad": ("mode",),
        "ReduceMax": ("axes", "keepdims", "noop_with_empty_axes"),
        "ReduceMean": ("axes", "keepdims", "noop_with_empty_axes"),
        "Resize": (
            "mode",
            "coordinate_transformation_mode",
            "nearest_mode",
            "cubic_coeff_a",
            "exclude_outside",
            "antialias",
            "extrapolation_value",
        ),
        "Shape": ("start", "end"),
        "Slice": (),
        "SpaceToDepth": ("blocksize",),
        "Transpose": ("perm",),
    }.items()
}
"""The operators of a look, each with the attributes that it may have: what exports write, and no control flow."""

_ATTRIBUTE_KINDS = {
    AttributeProto.INT,
    AttributeProto.INTS,
    AttributeProto.FLOAT,
    AttributeProto.FLOATS,
    AttributeProto.STRING,
    AttributeProto.TENSOR,
}


def check_structure(model: onnx.ModelProto) -> None:
    """Refuse a graph that holds more than a look needs.

    Raises:
        LookError: an opset or IR that hosts do not read; operators or attributes beyond :data:`OPERATORS`; a graph
            inside a node, functions, training information; weights in another file, sparse, or of a size other than
            they say; too many nodes or constants.
    """
    if model.ir_version > MAX_IR:
        raise LookError(f"the look is of ONNX IR {model.ir_version}, hosts read up to {MAX_IR}", remedy=REMEDY)
    for opset in model.opset_import:
        if opset.domain not in STANDARD_DOMAINS:
            raise LookError(f'the look asks for custom operators ("{_shown(opset.domain)}")', remedy=REMEDY)
        if opset.version > MAX_OPSET:
            raise LookError(f"the look is of opset {opset.version}, hosts read up to {MAX_OPSET}", remedy=REMEDY)
        if opset.version < MIN_OPSET:
            raise LookError(f"the look is of opset {opset.version}, looks are of {MIN_OPSET} or later", remedy=REMEDY)
    if model.functions:
        raise LookError("the look defines functions of its own", remedy=REMEDY)
    if model.training_info:
        raise LookError("the look holds training information of ONNX", remedy=REMEDY)
    graph = model.graph
    for what, count, most in (
        ("nodes", len(graph.node), MAX_NODES),
        ("constants", len(graph.initializer), MAX_CONSTANTS),
        ("described values", len(graph.value_info), MAX_NODES + MAX_CONSTANTS),
    ):
        if count > most:
            raise LookError(f"the look has {count:,} {what}, looks have up to {most:,}", remedy=REMEDY)
    for tensor in graph.initializer:
        _check_tensor(tensor)
    if graph.sparse_initializer:
        raise LookError("the look has sparse weights", remedy=REMEDY)
    if graph.quantization_annotation:
        raise LookError("the look has quantized values", remedy=REMEDY)
    for node in graph.node:
        _check_node(node)


def _check_node(node: onnx.NodeProto) -> None:
    for domain, kind in ((node.domain, node.op_type), *_inner_operators(node)):
        if domain not in STANDARD_DOMAINS:
            raise LookError(f'the look uses the custom operator "{_shown(domain)}.{_shown(kind)}"', remedy=REMEDY)
    known = OPERATORS.get(node.op_type)
    if known is None:
        raise LookError(f"the look uses the operator {_shown(node.op_type)}, which no look needs", remedy=REMEDY)
    for attribute in node.attribute:
        if attribute.t.data_location == TensorProto.EXTERNAL or attribute.t.external_data:
            raise LookError("the look keeps weights in another file", remedy=REMEDY)
        if attribute.name not in known or attribute.type not in _ATTRIBUTE_KINDS or attribute.ref_attr_name:
            name = _shown(attribute.name)
            raise LookError(f'the look uses {node.op_type} with "{name}", which no look needs', remedy=REMEDY)
        # The type says which field is meant; the others are not to be there at all.
        if (
            attribute.HasField("g")
            or (attribute.HasField("t") and attribute.type != AttributeProto.TENSOR)
            or attribute.HasField("sparse_tensor")
            or attribute.HasField("tp")
            or attribute.graphs
            or attribute.sparse_tensors
            or attribute.tensors
            or attribute.strings
            or attribute.type_protos
        ):
            raise LookError(f"the look uses {node.op_type} with more than numbers", remedy=REMEDY)
        if max(len(attribute.ints), len(attribute.floats), len(attribute.s)) > MAX_LIST:
            raise LookError(f"the look uses {node.op_type} with a list of numbers that is too long", remedy=REMEDY)
        if attribute.type == AttributeProto.TENSOR:
            _check_tensor(attribute.t)


def _inner_operators(node: onnx.NodeProto) -> Iterator[tuple[str, str]]:
    """Domain and name of the operators one graph deep; a graph inside a node is refused whatever is below."""
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield inner.domain, inner.op_type


def _check_tensor(tensor: TensorProto) -> None:
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise LookError("the look keeps weights in another file", remedy=REMEDY)
    size = ITEM_BYTES.get(tensor.data_type)
    if size is None:
        raise LookError(f"the look has constants of ONNX type {tensor.data_type}, which no look needs", remedy=REMEDY)
    dims = list(tensor.dims)
    if len(dims) > MAX_RANK or any(not 0 < dim < MAX_DIM for dim in dims):
        raise LookError(f"a constant of the look has the shape {dims[: MAX_RANK + 1]}", remedy=REMEDY)
    count = math.prod(dims)
    if tensor.HasField("raw_data"):
        is_whole = len(tensor.raw_data) == count * size
    elif tensor.data_type == TensorProto.FLOAT:
        is_whole = len(tensor.float_data) == count
    elif tensor.data_type == TensorProto.INT64:
        is_whole = len(tensor.int64_data) == count
    else:
        is_whole = len(tensor.int32_data) == count
    if not is_whole or tensor.HasField("segment") or tensor.string_data or tensor.double_data or tensor.uint64_data:
        raise LookError(f"a constant of the look is not of the size that it says, {dims}", remedy=REMEDY)


def _shown(name: str) -> str:
    """A name of the file's, short and on one line."""
    return ascii(name[:60])[1:-1]
