"""Looks that would read, hang, crash or fill the memory: refused with one line, before a session is made."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from engine.base.errors import LookError
from engine.base.runtime import ort
from engine.look.card import open_look, read_card
from engine.look.graph_check import OPERATORS
from engine.look.session import Look
from tests.support import lookfactory
from tests.support.lookfactory import GraphBuilder

Build = Callable[[GraphBuilder], str]


def look(path: Path, build: Build, **card: Any) -> Path:
    """A look whose picture is what ``build`` makes of "plate"."""
    b, exemplars = GraphBuilder(), lookfactory.exemplars_of(1)
    return lookfactory.finish(path, b, build(b), exemplars, lookfactory.card_for(exemplars, halo=0, multiple=1, **card))


def changed(path: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


def whole(b: GraphBuilder, *values: int) -> str:
    return b.constant(list(values), np.int64)


def added(b: GraphBuilder, value: str) -> str:
    """The plate and the largest number of something."""
    return b.op("Add", "plate", b.op("ReduceMax", value, keepdims=0))


def quotient(b: GraphBuilder) -> str:
    return added(b, b.op("Cast", b.op("Div", whole(b, -(2**63)), whole(b, -1)), to=1))


def remainder(b: GraphBuilder) -> str:
    return added(b, b.op("Cast", b.op("Mod", b.size("plate", 2, 4), whole(b, 0)), to=1))


def hidden_zero(b: GraphBuilder) -> str:
    """A divisor that is zero for images of 1000 rows only."""
    rows = b.op("Sub", b.size("plate", 2, 3), whole(b, 1024))
    return added(b, b.op("Cast", b.op("Div", whole(b, 1), rows), to=1))


def divisor_of_pixels(b: GraphBuilder) -> str:
    pixel = b.op("Cast", b.op("ReduceMax", "plate", keepdims=0), to=7)
    return added(b, b.op("Cast", b.op("Div", whole(b, 1), pixel), to=1))


def huge_expand(b: GraphBuilder) -> str:
    return added(b, b.op("Expand", b.constant(0.0), whole(b, 1, 1, 60_000, 60_000)))


def hidden_huge_expand(b: GraphBuilder) -> str:
    sides = b.op("Mul", b.size("plate", 2, 4), whole(b, 900, 900))
    return added(b, b.op("Expand", b.constant(0.0), b.op("Concat", whole(b, 1, 1), sides, axis=0)))


def huge_pad(b: GraphBuilder) -> str:
    return added(b, b.op("Pad", "plate", whole(b, 0, 0, 40_000, 40_000, 0, 0, 0, 0), mode="edge"))


def huge_resize(b: GraphBuilder) -> str:
    return added(b, b.op("Resize", "plate", "", b.constant([1, 1, 3000, 3000]), mode="nearest"))


def grown_constants(b: GraphBuilder) -> str:
    value = b.op("Expand", b.constant(0.0), whole(b, 1, 1, 4096, 4096))
    for _ in range(20):
        value = b.op("Concat", value, value, axis=1)
    return added(b, value)


def grown_sum(b: GraphBuilder) -> str:
    """Many constants, each of a size that is allowed."""
    return added(b, b.op("Sum", *(b.op("Expand", b.constant(i), whole(b, 1, 1, 8192, 4096)) for i in range(9))))


def long_work(b: GraphBuilder) -> str:
    kernel = b.op("Expand", b.constant(0.0), whole(b, 64, 64, 101, 101))
    return added(b, b.op("Conv", b.op("Expand", b.constant(1.0), whole(b, 1, 64, 999, 999)), kernel))


def shape_of_pixels(b: GraphBuilder) -> str:
    sides = b.op("Cast", b.op("ReduceMax", "plate", axes=[1, 2, 3], keepdims=0), to=7)
    return added(b, b.op("Expand", b.constant(0.0), sides))


def zero_block(b: GraphBuilder) -> str:
    return added(b, b.op("DepthToSpace", "plate", blocksize=0))


def zero_stride(b: GraphBuilder) -> str:
    return added(b, b.op("AveragePool", "plate", kernel_shape=[2, 2], strides=[0, 0]))


def zero_group(b: GraphBuilder) -> str:
    return added(b, b.op("Conv", "plate", b.constant(np.zeros((3, 3, 1, 1))), group=0))


def reflecting_sample(b: GraphBuilder) -> str:
    grid = b.op("Transpose", b.slice("plate", 0, 2, 1), perm=[0, 2, 3, 1])
    return b.op("GridSample", "plate", grid, padding_mode="reflection")


def outside_gather(b: GraphBuilder) -> str:
    return b.op("Gather", "plate", whole(b, 0, 1, 99), axis=1)


def other_size(b: GraphBuilder) -> str:
    return b.op("Pad", "plate", whole(b, 0, 0, 1, 1, 0, 0, 1, 1), mode="edge")


def loop(b: GraphBuilder) -> str:
    body = helper.make_graph([], "b", [], [])
    return b.op("Loop", whole(b, 2**62), "", "plate", body=body)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (quotient, "whole numbers"),
        (remainder, "divides whole numbers by zero"),
        (hidden_zero, "divides whole numbers by zero"),
        (divisor_of_pixels, "not known"),
        (huge_expand, "MiB beside its weights"),
        (hidden_huge_expand, "MiB beside its weights"),
        (huge_pad, "MiB beside its weights"),
        (huge_resize, "MiB beside its weights"),
        (grown_constants, "TiB|would make|MiB beside"),
        (grown_sum, "MiB beside its weights"),
        (long_work, "multiplications"),
        (shape_of_pixels, "sizes are not known"),
        (zero_block, "blocksize"),
        (zero_stride, "strides"),
        (zero_group, "weights do not go"),
        (reflecting_sample, "padding_mode"),
        (outside_gather, "places that are not there"),
        (other_size, "shapes of its inputs do not go together"),
        (loop, "operator Loop"),
        *((lambda b, kind=kind: b.op(kind, "plate"), f"operator {kind}") for kind in ("If", "Scan", "Tile", "Einsum")),
        (lambda b: b.op("ConstantOfShape", whole(b, 2**40)), "operator ConstantOfShape"),
        (lambda b: b.op("RandomNormal", shape=[2**31, 9]), "operator RandomNormal"),
    ],
)
def test_what_a_graph_may_not_do_is_refused_at_once(tmp_path: Path, build: Build, said: str) -> None:
    path = look(tmp_path / "a.onnx", build)
    started = time.perf_counter()
    with pytest.raises(LookError, match=said) as caught:
        open_look(path)
    assert time.perf_counter() - started < 1 and "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_a_size_that_costs_too_much_is_refused_before_it_runs(tmp_path: Path) -> None:
    """Sizes that are checked at first say nothing of others."""

    def build(b: GraphBuilder) -> str:
        # One pixel up to 2999 columns, and 100,000 squared from there.
        over = b.op("Div", b.size("plate", 3, 4), whole(b, 3000))
        side = b.op("Add", b.op("Mul", over, whole(b, 100_000)), whole(b, 1))
        return added(b, b.op("Expand", b.constant(0.0), b.op("Concat", whole(b, 1, 1), side, side, axis=0)))

    with Look.load(look(tmp_path / "a.onnx", build), device="cpu", threads=1) as loaded:
        loaded.stylize(np.ones((2, 2999, 3), np.float32), tile=0)
        with pytest.raises(LookError, match="MiB beside its weights for an image of 3000x2"):
            loaded.stylize(np.ones((2, 3000, 3), np.float32), tile=0)


def external() -> TensorProto:
    tensor = TensorProto(name="e", data_type=1, dims=[1, 3, 1, 1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="secret.bin")
    return tensor


def in_a_branch(model: onnx.ModelProto) -> None:
    info = [helper.make_tensor_value_info("e", TensorProto.FLOAT, None)]
    graphs = [helper.make_graph([], name, [], info, [external()]) for name in "ab"]
    model.graph.node.insert(0, helper.make_node("If", ["c0"], ["e"], then_branch=graphs[0], else_branch=graphs[1]))


def in_a_constant(model: onnx.ModelProto) -> None:
    model.graph.node.insert(0, helper.make_node("Constant", [], ["e"], value=external()))


def in_a_sparse_constant(model: onnx.ModelProto) -> None:
    sparse = onnx.SparseTensorProto(values=external(), indices=external(), dims=[3])
    model.graph.node.insert(0, helper.make_node("Constant", [], ["e"], sparse_value=sparse))


def in_sparse_weights(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.append(onnx.SparseTensorProto(values=external(), indices=external(), dims=[3]))


def beside_a_number(model: onnx.ModelProto) -> None:
    """A graph in an attribute whose type says that it is a number."""
    node = next(each for each in model.graph.node if each.op_type == "Concat")
    node.attribute[0].g.CopyFrom(helper.make_graph([], "g", [], [], [external()]))


def in_training_info(model: onnx.ModelProto) -> None:
    model.training_info.add().initialization.initializer.append(external())


def functions(model: onnx.ModelProto) -> None:
    model.functions.add(name="f", domain="")


def of_another_length(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [2**40, 2**40]


def negative_side(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [-1, -1]


def of_texts(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(TensorProto(name="t", data_type=TensorProto.STRING, dims=[1], string_data=[b"a"]))


def many_nodes(model: onnx.ModelProto) -> None:
    model.graph.node.extend(helper.make_node("Abs", ["plate"], [f"n{i}"]) for i in range(5000))


def many_constants(model: onnx.ModelProto) -> None:
    model.graph.initializer.extend(numpy_helper.from_array(np.zeros(1), f"n{i}") for i in range(5000))


def wrong_description(model: onnx.ModelProto) -> None:
    model.graph.value_info.append(helper.make_tensor_value_info("v0", TensorProto.FLOAT, [1, 1, 1, 1]))


def other_batch(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2**31


def other_output(model: onnx.ModelProto) -> None:
    last = next(node for node in model.graph.node if "carried" in node.output)
    last.CopyFrom(helper.make_node("Identity", ["plate"], ["carried"]))


def old_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 9


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (in_a_branch, "operator If"),
        (in_a_constant, "another file"),
        (in_a_sparse_constant, "no look needs"),
        (in_sparse_weights, "sparse"),
        (beside_a_number, "more than numbers"),
        (in_training_info, "training information"),
        (functions, "functions of its own"),
        (of_another_length, "not of the size|the shape"),
        (negative_side, "the shape"),
        (of_texts, "type 8"),
        (many_nodes, "nodes"),
        (many_constants, "constants"),
        (wrong_description, "not what the file says"),
        (other_batch, "not what the file says"),
        (old_opset, "opset 9"),
        (other_output, r"not what the file says"),
    ],
)
def test_what_a_file_may_not_hold_is_refused(tmp_path: Path, change: Any, said: str) -> None:
    with pytest.raises(LookError, match=said):
        read_card(changed(lookfactory.gain(tmp_path / "a.onnx"), change))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 900 + "1" + "}" * 900, "nested too deeply"),
        ('{"format": ' + "9" * 5000 + "}", "digits"),
        ('{"format": 1, "name": "' + "x" * 2**20 + '"}', "over 1,048,576"),
    ],
)
def test_a_card_is_bounded(tmp_path: Path, text: str, said: str) -> None:
    exemplars = lookfactory.exemplars_of(1)
    b = GraphBuilder()
    path = lookfactory.finish(tmp_path / "a.onnx", b, "plate", exemplars, text)
    with pytest.raises(LookError, match=said):
        read_card(path)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "\ud800"},
        {"halo": 10**20},
        {"halo": 2**31},
        {"multiple": 10**9},
        {"trained": {"recipe": "t", "steps": 0, "seconds": 10**20, "seed": 0, "loss": 0.0, "losses": {}}},
        {"trained": {"recipe": "t", "steps": 0, "seconds": float("inf"), "seed": 0, "loss": 0.0, "losses": {}}},
        {"trained": []},
        {"keyframes": {}},
        {"keyframes": [[]]},
        {"keyframes": 5},
        {"shaper": 5},
        {"versions": [1]},
        {"guide_kind": []},
        {"working_colorspace": "a\0b"},
    ],
)
def test_values_of_a_card_are_bounded(tmp_path: Path, change: dict[str, Any]) -> None:
    exemplars = lookfactory.exemplars_of(1)
    card = {**lookfactory.card_for(exemplars, halo=0, multiple=1), **change}
    path = lookfactory.finish(tmp_path / "a.onnx", GraphBuilder(), "plate", exemplars, json.dumps(card))
    with pytest.raises(LookError, match="card") as caught:
        read_card(path)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"\x0a\x00" * 2_000_000, "entries"),  # empty nodes
        (b"\x2a\x00" * 2_000_000, "entries"),  # empty constants
        (b"\x0a\x80\x80\x80\x04" + b"\x2a\x00" * 2**22, "no weights"),  # a node of empty attributes
        (b"\x2a\x80\x80\x80\x04" + b"\x6a\x00" * 2**22, "entries"),  # a constant of empty references
    ],
)
def test_structure_is_bounded_before_it_is_parsed(tmp_path: Path, body: bytes, said: str) -> None:
    length, digits = len(body), bytearray()
    while length:
        digits.append(length & 127 | (128 if length > 127 else 0))
        length >>= 7
    (tmp_path / "a.onnx").write_bytes(b"\x08\x08\x3a" + bytes(digits) + body)
    started = time.perf_counter()
    with pytest.raises(LookError, match=said):
        open_look(tmp_path / "a.onnx")
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize("name", [b"v0", b"c0", b"Mul", b"plate", b"styled"])
def test_a_name_that_is_no_utf8_is_a_line(tmp_path: Path, name: bytes) -> None:
    """Where it stands first, so that nothing is called so elsewhere."""
    data = lookfactory.gain(tmp_path / "a.onnx").read_bytes()
    (tmp_path / "b.onnx").write_bytes(data.replace(name, b"\xff" * len(name), 1))
    with pytest.raises(LookError) as caught:
        read_card(tmp_path / "b.onnx")
    assert caught.value.path == tmp_path / "b.onnx"
    str(caught.value).encode()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_only_a_regular_file_is_a_look(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    (tmp_path / "circle.onnx").symlink_to(tmp_path / "circle.onnx")
    for name in ("pipe.onnx", "circle.onnx", "x" * 5000 + ".onnx", "a\0b.onnx"):
        with pytest.raises(LookError, match="cannot read the look"):
            open_look(tmp_path / name)
    with pytest.raises(LookError, match="not a regular file"):
        open_look("/dev/zero")


def test_every_operator_has_a_rule() -> None:
    from engine.look import operator_shapes

    assert set(operator_shapes._RULES) == set(OPERATORS)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (64, 33)])
@pytest.mark.parametrize("make", ["network", "blur", "gain"])
def test_shapes_are_those_of_onnxruntime(tmp_path: Path, make: str, size: tuple[int, int]) -> None:
    path = getattr(lookfactory, make)(tmp_path / "a.onnx", k=2)
    model = onnx.load(path)
    names = [name for node in model.graph.node for name in node.output]
    final = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in final)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feeds = {each.name: np.zeros((1, each.shape[1], *size), np.float32) for each in session.get_inputs()}
    found = dict(zip(names, session.run(names, feeds), strict=True))
    counted = open_look(path).graph.cost(*size).value_bytes
    assert {name: counted[name] for name in names} == {name: value.nbytes for name, value in found.items()}
