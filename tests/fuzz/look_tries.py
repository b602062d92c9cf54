"""Hostile looks: ONNX files with other operators, shapes, numbers, cards and messages than training writes."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from onnx import TensorProto, numpy_helper

from engine.look.graph_check import OPERATORS
from tests.support import lookfactory
from tests.support.pictures import picture

from .mutations import change_value, changed, changed_text, odd_number
from .outcomes import Job

__all__ = ["look_try", "write_seeds"]

_REFUSED = ("If", "Loop", "Scan", "MatMul", "Reshape", "Tile", "ConstantOfShape", "Range", "NonZero", "Split", "Einsum")
_WORDS = tuple(
    word.encode()
    for word in (
        "nearest linear cubic bilinear bicubic edge reflect wrap constant SAME_UPPER VALID floor half_pixel"
        " align_corners tf_crop_and_resize DCR CRD zeros border "
    ).split(" ")
)
_ODD = (10**39, 10**41, 10**400, -1, 0.5, 1e308, "", "x" * 5000, None, True, [], {}, [[]], float("nan"), float("inf"),
        "\x1b[2J", "\0", "a\nb", "scene_linear", "Raw")  # fmt: skip
_MOST_BYTES = 2**22
"""Of a look that is made here: what repeats itself must end."""


def write_seeds(folder: Path) -> None:
    """Small looks of every kind that the exports write, and a frame to stylize."""
    looks = folder / "looks"
    looks.mkdir()
    lookfactory.gain(looks / "gain.onnx", 0.5)
    lookfactory.gain(looks / "three.onnx", 2.0, k=3)
    lookfactory.guided(looks / "guided.onnx")
    lookfactory.blur(looks / "blur.onnx", 2)
    lookfactory.network(looks / "network.onnx", channels=(4, 6, 8), blocks=1)
    frame = folder / "frame"
    frame.mkdir()
    picture(frame / "plate.0001.png", seed=1)
    picture(frame / "work.png", seed=2)


def look_try(rng: random.Random, seeds: Path) -> tuple[str, list[Job]]:
    """A hostile look in the current folder: what it was, and what to do with it."""
    shutil.copytree(seeds / "frame", ".", dirs_exist_ok=True)
    files = sorted((seeds / "looks").iterdir())
    seed = rng.choice(files)
    data = seed.read_bytes()
    way = rng.random()
    if way < 0.12:
        data = changed(data, rng, [path.read_bytes() for path in files])
    else:
        model = onnx.load_from_string(data)
        for _ in range(rng.choice((1, 1, 1, 2, 2, 3))):
            if model.ByteSize() < _MOST_BYTES:
                _change(model, rng)
        data = model.SerializeToString()
        if way < 0.15:
            data = changed(data, rng, [])
    Path("hostile.onnx").write_bytes(data)
    words = ("--plate", "plate.%04d.png", "--frames", "1", "--out", "out.%04d.png", "--progress", "none")
    how = rng.random()
    if how < 0.1:
        return f"{seed.name} inspected", [["inspect", "hostile.onnx", "--json"]]
    if how < 0.15:
        return f"{seed.name} exported", [["export", "hostile.onnx", "--to", "flame", "flame", "--progress", "none"]]
    if how < 0.2:
        return f"{seed.name} verified", [["verify", "--look", "hostile.onnx", *words]]
    render = ["render", "--look", "hostile.onnx", *words, "--device", "cpu"]
    return f"{seed.name} rendered", [[*render, "--tile", "64"] if rng.random() < 0.3 else render]


def _change(model: onnx.ModelProto, rng: random.Random) -> None:
    way = rng.random()
    graph = model.graph
    try:
        if way < 0.1:
            _change_card(model, rng)
        elif way < 0.35 and graph.initializer:
            _change_constant(rng.choice(graph.initializer), rng)
        elif way < 0.55 and graph.node:
            _change_node(rng.choice(graph.node), graph, rng)
        elif way < 0.6 and graph.node:
            _change_order(graph, rng)
        elif way < 0.85:
            _add_node(graph, rng)
        else:
            _change_message(model, rng)
    except (ValueError, TypeError, OverflowError, UnicodeError):
        pass  # Protocol buffers do not take it: then it cannot come in a file either.


def _change_card(model: onnx.ModelProto, rng: random.Random) -> None:
    entry = next((each for each in model.metadata_props if each.key == "paintover.card"), None)
    if entry is None:
        return
    if rng.random() < 0.4:
        entry.value = changed_text(entry.value, rng, [])
        return
    card = json.loads(entry.value)
    change_value(card, rng, _ODD)
    entry.value = json.dumps(card)


def _change_constant(tensor: TensorProto, rng: random.Random) -> None:
    """Other numbers, or another shape or type with numbers to match."""
    array = numpy_helper.to_array(tensor).copy()
    way = rng.choice((0, 0, 0, 1, 2, 3, 4))
    flat = array.reshape(-1)
    if way == 0 and flat.size:
        for _ in range(rng.choice((1, 1, 3))):
            place = rng.randrange(flat.size)
            if array.dtype.kind == "f":
                flat[place] = rng.choice((np.nan, np.inf, -np.inf, 1e38, -1e38, 1e-45, 0, -1))
            else:
                flat[place] = max(-(2**63), min(2**63 - 1, odd_number(rng)))
    elif way == 1:
        array = np.zeros([rng.choice((1, 2, 3, 5, 16)) for _ in range(rng.randrange(6))], array.dtype)
    elif way == 2:
        array = array.astype(rng.choice((np.float16, np.float32, np.int64, np.int32, np.bool_, np.float64, np.uint8)))
    elif way == 3:
        array = np.repeat(flat, rng.choice((1, 2, 64)))[: 2**16]
    else:
        array = array.reshape(array.shape[::-1])
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _change_node(node: onnx.NodeProto, graph: onnx.GraphProto, rng: random.Random) -> None:
    way = rng.randrange(5)
    if way == 0:
        node.op_type = rng.choice(sorted(OPERATORS) if rng.random() < 0.85 else _REFUSED)
    elif way == 1 and node.input:
        node.input[rng.randrange(len(node.input))] = _any_value(graph, rng, list(graph.node).index(node))
    elif way == 2:
        node.input.append(_any_value(graph, rng, list(graph.node).index(node)))
    elif way == 3 and node.input:
        del node.input[rng.randrange(len(node.input))]
    else:
        _change_attribute(node, rng)


def _change_attribute(node: onnx.NodeProto, rng: random.Random) -> None:
    known = sorted(OPERATORS.get(node.op_type, ()))
    if not known and rng.random() < 0.95:
        return
    if node.attribute and rng.random() < 0.6:
        attribute = rng.choice(node.attribute)
    elif rng.random() < 0.8 and node.op_type in OPERATORS and known:
        _add_attribute(node, rng.choice(known), rng)
        return
    else:
        known = known or ["axis"]
        odd = odd_number if rng.random() < 0.5 else _small_number
        name, numbers = rng.choice(known), [odd(rng) for _ in range(rng.choice((1, 2, 4, 8)))]
        values: tuple[Any, ...] = (numbers[0], numbers, 0.5, [0.5, -1.0], rng.choice(_WORDS))
        value = rng.choice(values)
        node.attribute.append(onnx.helper.make_attribute(name, _within(value)))
        return
    if attribute.ints:
        attribute.ints[rng.randrange(len(attribute.ints))] = _within(odd_number(rng))
    elif attribute.HasField("s"):
        attribute.s = rng.choice(_WORDS)
    elif attribute.HasField("f"):
        attribute.f = rng.choice((0.0, -1.0, 1e38, float("nan"), float("inf")))
    else:
        attribute.i = _within(odd_number(rng))


def _add_attribute(node: onnx.NodeProto, name: str, rng: random.Random) -> None:
    """One of the type that it has in ONNX, in the place of what was there."""
    kept = [each for each in node.attribute if each.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)
    facts = onnx.defs.get_schema(node.op_type, 17).attributes.get(name)
    if facts is None:
        return
    odd = odd_number if rng.random() < 0.4 else _small_number
    kind = facts.type.name
    if kind == "INT":
        value: Any = _within(odd(rng))
    elif kind == "INTS":
        value = [_within(odd(rng)) for _ in range(rng.choice((1, 2, 2, 4, 4, 8)))]
    elif kind == "FLOAT":
        value = rng.choice((0.0, -1.0, 0.5, 1e38, float("nan"), float("inf")))
    elif kind == "STRING":
        value = rng.choice(_WORDS)
    else:
        value = numpy_helper.from_array(np.array([_within(odd(rng))], np.int64))
    node.attribute.append(onnx.helper.make_attribute(name, value))


def _small_number(rng: random.Random) -> int:
    """One that may well mean something."""
    return rng.choice((0, 1, 1, 1, 2, 2, 3, 4, 8, -1, -1, -2))


def _within(value: Any) -> Any:
    if isinstance(value, list):
        return [_within(each) for each in value]
    return max(-(2**63), min(2**63 - 1, value)) if isinstance(value, int) else value


def _change_order(graph: onnx.GraphProto, rng: random.Random) -> None:
    nodes = list(graph.node)
    way, place = rng.randrange(4), rng.randrange(len(nodes))
    if way == 0:
        del nodes[place]
    elif way == 1:
        nodes.insert(rng.randrange(len(nodes)), nodes.pop(place))
    elif way == 2:
        nodes.insert(place, nodes[place])
    else:
        nodes[place].output[0] = _any_value(graph, rng, place)
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)


def _add_node(graph: onnx.GraphProto, rng: random.Random) -> None:
    """An operator between two that were there, with inputs of any kind."""
    kind = rng.choice(sorted(OPERATORS))
    name = f"n{rng.randrange(10**6)}"
    schema = onnx.defs.get_schema(kind, 17)
    count = rng.randint(schema.min_input, max(schema.min_input, min(schema.max_input, 5)))
    constants = []
    for _ in range(max(0, count - rng.choice((1, 1, 2, 3)))):
        odd = odd_number if rng.random() < 0.5 else _small_number
        number = [_within(odd(rng)) for _ in range(rng.choice((1, 2, 4, 8)))]
        array = np.array(number, np.int64) if rng.random() < 0.6 else np.array(number, np.float32)
        constants.append(numpy_helper.from_array(array, f"{name}c{len(constants)}"))
    graph.initializer.extend(constants)
    place = rng.randrange(len(graph.node) + 1)
    inputs = [_any_value(graph, rng, place) for _ in range(count - len(constants))] + [each.name for each in constants]
    node = onnx.helper.make_node(kind, inputs, [name])
    if rng.random() < 0.6:
        _change_attribute(node, rng)
    if kind == "Cast":
        node.attribute.append(onnx.helper.make_attribute("to", rng.choice((1, 6, 7, 9, 10, 11))))
    graph.node.insert(place, node)
    if rng.random() < 0.7 and place + 1 < len(graph.node):
        taker = graph.node[rng.randrange(place + 1, len(graph.node))]
        if taker.input:
            taker.input[rng.randrange(len(taker.input))] = name


def _any_value(graph: onnx.GraphProto, rng: random.Random, place: int) -> str:
    """A value that there is before a node, mostly."""
    if rng.random() < 0.04:
        return rng.choice(("", "nothing", "styled", "carried", *(name for node in graph.node for name in node.output)))
    made = [name for node in graph.node[:place] for name in node.output]
    return rng.choice([*made, *(each.name for each in graph.initializer), "plate", "stmap"])


def _change_message(message: Message, rng: random.Random) -> None:
    """Any field, however deep, of any message: another value, one more, or none."""
    while True:
        fields = [field for field, _ in message.ListFields()]
        inner = [field for field in fields if field.type == FieldDescriptor.TYPE_MESSAGE]
        if not inner or rng.random() < 0.15:
            break
        field = rng.choice(inner)
        value = getattr(message, field.name)
        message = rng.choice(value) if _is_repeated(field) else value
    field = rng.choice(message.DESCRIPTOR.fields if rng.random() < 0.4 or not fields else fields)
    if rng.random() < 0.2:
        message.ClearField(field.name)
    elif _is_repeated(field):
        _change_list(message, field, rng)
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        getattr(message, field.name).SetInParent()
    else:
        setattr(message, field.name, _value(field, rng, getattr(message, field.name)))


def _change_list(message: Message, field: FieldDescriptor, rng: random.Random) -> None:
    values = getattr(message, field.name)
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        if values and rng.random() < 0.5:
            values.append(rng.choice(values))
        elif values and rng.random() < 0.5:
            del values[rng.randrange(len(values))]
        else:
            values.add()
    elif values and rng.random() < 0.6:
        place = rng.randrange(len(values))
        values[place] = _value(field, rng, values[place])
    else:
        values.extend([_value(field, rng, None)] * rng.choice((1, 1, 3, 100)))


def _is_repeated(field: FieldDescriptor) -> bool:
    # Newer versions of protocol buffers have no ``label``, older ones no ``is_repeated``.
    found = getattr(field, "is_repeated", None)
    return bool(field.label == FieldDescriptor.LABEL_REPEATED if found is None else found)


def _value(field: FieldDescriptor, rng: random.Random, old: Any) -> Any:
    if field.type == FieldDescriptor.TYPE_STRING:
        texts = ("", "x", "../../etc/passwd", "\x1b[2J", "a" * 5000, "com.microsoft", "styled", "plate", "N")
        return changed_text(old, rng, []) if isinstance(old, str) and rng.random() < 0.4 else rng.choice(texts)
    if field.type == FieldDescriptor.TYPE_BYTES:
        if isinstance(old, bytes) and rng.random() < 0.5:
            return changed(old, rng, [])
        return rng.randbytes(rng.choice((0, 1, 4, 400)))
    if field.type in (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE):
        return rng.choice((0.0, -1.0, 1e38, float("nan"), float("inf")))
    if field.type == FieldDescriptor.TYPE_ENUM:
        return rng.choice(field.enum_type.values).number
    if field.type == FieldDescriptor.TYPE_BOOL:
        return rng.random() < 0.5
    bits = 31 if field.type == FieldDescriptor.TYPE_INT32 else 63
    number = old + rng.choice((-1, 1)) if isinstance(old, int) and rng.random() < 0.3 else odd_number(rng)
    return max(-(2**bits), min(2**bits - 1, number))
