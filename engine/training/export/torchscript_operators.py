"""ONNX operators as lines of TorchScript: the generated source of one module's ``forward``.

A value is an array that is known while the code is written, integers that are expressions (shapes, and what is computed
from them), or a tensor's name. Tensors have four dimensions, as every value of a look.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["OPERATORS", "Code", "Ints", "Number", "Untranslatable", "Value"]

Ints = tuple[str, ...]
"""Integer expressions, such as ``n3`` or ``16``."""
Number = NDArray[Any]
Value = str | Ints | Number | None
"""A tensor's name, integers, a known array, or an input that was left out."""

_HEAD = """\
from typing import List

import torch


class ScriptedLook(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.precise = 1

    def conv(self, x: torch.Tensor, weight: torch.Tensor, weight_rest: torch.Tensor, bias: torch.Tensor,
             bias_rest: torch.Tensor, stride: List[int], padding: List[int], groups: int, half: bool) -> torch.Tensor:
        if half:
            return torch.conv2d(x.half(), weight.half(), bias.half(), stride, padding, [1, 1], groups).float()
        return torch.conv2d(x, weight.float() + weight_rest.float(), bias.float() + bias_rest.float(),
                            stride, padding, [1, 1], groups)

    def forward(self, packed: torch.Tensor) -> torch.Tensor:
        image = packed.float()
        half = self.precise == 0 and packed.dtype == torch.float16
"""


class Untranslatable(ValueError):
    """A graph that has no words here; the message says what it has."""


class Code:
    """The source that grows, and the tensors that the module will hold."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.buffers: dict[str, Tensor] = {}

    def source(self) -> str:
        """The whole Python module, with one class ``ScriptedLook``."""
        return _HEAD + "\n".join(f"        {line}" for line in self.lines) + "\n"

    def assign(self, expression: str) -> str:
        """Add a tensor; returns its name."""
        name = f"t{len(self.lines)}"
        self.lines.append(f"{name} = {expression}")
        return name

    def integer(self, expression: str) -> str:
        """Add an integer; returns its name."""
        name = f"n{len(self.lines)}"
        self.lines.append(f"{name} = {expression}")
        return name

    def buffer(self, array: Number) -> str:
        """Hold an array exactly as it is; integers and half floats survive ``half()``."""
        name = f"b{len(self.buffers)}"
        self.buffers[name] = torch.from_numpy(np.array(array))
        return f"self.{name}"

    def split(self, array: Number) -> tuple[str, str]:
        """Hold a float array as two half floats, whose sum has 22 bits."""
        whole = array.astype(np.float32)
        first = whole.astype(np.float16)
        if not np.isfinite(first).all():
            raise Untranslatable("a number beyond half floats")
        return self.buffer(first), self.buffer((whole - first.astype(np.float32)).astype(np.float16))

    def tensor(self, value: Value) -> str:
        """The name of a tensor that has this value, float32."""
        if isinstance(value, str):
            return value
        if not isinstance(value, np.ndarray):
            raise Untranslatable("integers where a picture is expected")
        if value.dtype == np.float16:
            return self.assign(f"{self.buffer(value)}.float()")
        first, rest = self.split(value)
        return self.assign(f"{first}.float() + {rest}.float()")

    def finish(self, styled: Value, carried: Value) -> None:
        """Return the output."""
        if not isinstance(styled, str) or not isinstance(carried, str):
            raise Untranslatable("an output that no node computes")
        # Half floats end at 65504, where the look's own curve ends.
        self.lines.append(f"return torch.cat([{styled}, {carried}], 1).to(packed.dtype)")


Emit = Callable[[Code, Sequence[Value], Mapping[str, Any]], Value]


def _scalar(value: Value) -> float | None:
    """The number that an array of one element holds."""
    if isinstance(value, np.ndarray) and value.size == 1 and value.dtype.kind == "f":
        return float(value.reshape(-1)[0])
    return None


def _ints(value: Value) -> Ints:
    """Integers, from expressions or an array."""
    if isinstance(value, tuple):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind == "i":
        return tuple(str(int(n)) for n in value.reshape(-1))
    raise Untranslatable("a tensor where integers are expected")


def _known(value: Value) -> list[int]:
    """Integers that are known while the code is written."""
    return [int(text) for text in _ints(value)]


def _about_ints(values: Sequence[Value]) -> bool:
    return any(isinstance(v, tuple) for v in values) or all(
        isinstance(v, np.ndarray) and v.dtype.kind == "i" for v in values
    )


def _operand(code: Code, value: Value) -> str:
    """A tensor or, where it is a single number, that number."""
    number = _scalar(value)
    return code.tensor(value) if number is None else repr(number)


def _unary(template: str, integers: str = "") -> Emit:
    def emit(code: Code, values: Sequence[Value], attributes: Mapping[str, Any]) -> Value:
        if integers and _about_ints(values[:1]):
            return tuple(code.integer(integers.format(n)) for n in _ints(values[0]))
        return code.assign(template.format(code.tensor(values[0])))

    return emit


def _binary(template: str, integers: str = "") -> Emit:
    def emit(code: Code, values: Sequence[Value], attributes: Mapping[str, Any]) -> Value:
        a, b = values
        if integers and _about_ints(values):
            left, right = _ints(a), _ints(b)
            left = left * len(right) if len(left) == 1 else left
            right = right * len(left) if len(right) == 1 else right
            return tuple(code.integer(integers.format(x, y)) for x, y in zip(left, right, strict=True))
        if not template:
            raise Untranslatable("tensors of this kind")
        if _scalar(a) is not None and _scalar(b) is not None:
            return code.assign(template.format(code.tensor(a), _operand(code, b)))
        return code.assign(template.format(_operand(code, a), _operand(code, b)))

    return emit


def _extreme(name: str, bound: str) -> Emit:
    """Max and Min of any number of values."""

    def emit(code: Code, values: Sequence[Value], attributes: Mapping[str, Any]) -> Value:
        result = code.tensor(values[0])
        for value in values[1:]:
            number = _scalar(value)
            if number is not None:
                result = code.assign(f"torch.clamp({result}, {bound}={number!r})")
            else:
                result = code.assign(f"torch.{name}({result}, {code.tensor(value)})")
        return result

    return emit


def _sum(code: Code, values: Sequence[Value], attributes: Mapping[str, Any]) -> Value:
    return code.assign(" + ".join(code.tensor(value) for value in values))


def _clip(code: Code, values: Sequence[Value], attributes: Mapping[str, Any]) -> Value:
    bounds = []
    for name, value in zip(("min", "max"), values[1:], strict=False):
        number = _scalar(value)
        if value is not None and number is None:
            raise Untranslatable("bounds that are computed")
        bounds += [] if number is None else [f"{name}={number!r}"]
    return code.assign(f"torch.clamp({', '.join([code.tensor(values[0]), *bounds])})")


def _where(code: Code, values: Sequence[Value], attributes: Mapping[str, Any]) -> Value:
    condition = values[0]
    if not isinstance(condition, str):
        raise Untranslatable("a condition that is known beforehand")
    return code.assign(f"torch.where({condition}, {code.tensor(values[1])}, {code.tensor(values[2])})")


def _leaky(code: Code, values: Sequence[Value], attributes: Mapping[str, Any]) -> Value:
    return code.assign(f"torch._C._nn.leaky_relu({code.tensor(values[0])}, {attributes.get('alpha', 0.01)!r})")


def _conv(code: Code, values: Sequence[Value], attributes: Mapping[str, Any]) -> Value:
    weight = values[1]
    bias = values[2] if len(values) > 2 else None
    if not isinstance(weight, np.ndarray) or weight.ndim != 4:
        raise Untranslatable("weights that are computed")
    bias = np.zeros(weight.shape[0], np.float32) if bias is None else bias
    pads = list(attributes.get("pads", [0] * 4))
    plain = attributes.get("auto_pad", b"NOTSET") == b"NOTSET" and set(attributes.get("dilations", [1])) == {1}
    if not isinstance(bias, np.ndarray) or pads[:2] != pads[2:] or not plain:
        raise Untranslatable("padding that differs by side, or dilation")
    tensors = ", ".join((*code.split(weight), *code.split(bias)))
    stride, group = list(attributes.get("strides", [1, 1])), int(attributes.get("group", 1))
    return code.assign(f"self.conv({code.tensor(values[0])}, {tensors}, {stride}, {pads[:2]}, {group}, half)")


def _average_pool(code: Code, values: Sequence[Value], attributes: Mapping[str, Any]) -> Value:
    kernel, stride = list(attributes["kernel_shape"]), list(attributes.get("strides", [1, 1]))
    if any(attributes.get("pads", [0])) or attributes.get("ceil_mode", 0):
        raise Untranslatable("padding or rounding up")
    return code.assign(f"torch._C._nn.avg_pool2d({code.tensor(values[0])}, {kernel}, {stride}, [0, 0], False, True)")


def _mean(code: Code, values: Sequence[Value], attributes: Mapping[str, Any]) -> Value:
    axes = _known(values[1]) if len(values) > 1 else [int(axis) for axis in attributes["axes"]]
    return code.assign(f"torch.mean({code.tensor(values[0])}, {axes}, {bool(attributes.get('keepdims', 1))})")


def _concat(code: Code, values: Sequence[Value], attributes: Mapping[str, Any]) -> Value:
    if _about_ints(values):
        return tuple(text for value in values for text in _ints(value))
    return code.assign(f"torch.cat([{', '.join(code.tensor(v) for v in values)}], {int(attributes['axis'])})")


def _shape(code: Code, values: Sequence[Value], attributes: Mapping[str, Any]) -> Value:
    name = code.tensor(values[0])
    sizes = [code.integer(f"{name}.size({axis})") for axis in range(4)]
    return tuple(sizes[attributes.get("start", 0) : attributes.get("end", 4)])


def _slice(code: Code, values: Sequence[Value], attributes: Mapping[str, Any]) -> Value:
    data = values[0]
    starts, ends = _ints(values[1]), _ints(values[2])
    axes = _known(values[3]) if len(values) > 3 else list(range(len(starts)))
    if len(values) > 4 and set(_known(values[4])) != {1}:
        raise Untranslatable("steps")
    if isinstance(data, tuple):
        return data[int(starts[0]) : min(int(ends[0]), len(data))]
    name = code.tensor(data)
    places = [":"] * (max(axis % 4 for axis in axes) + 1)
    for axis, start, end in zip(axes, starts, ends, strict=True):
        # "To the end" is written as the largest integer.
        far = end.lstrip("-").isdigit() and int(end) >= 2**31 - 1
        places[axis % 4] = f"{start}:{'' if far else end}"
    return code.assign(f"{name}[{', '.join(places)}]")


def _gather(code: Code, values: Sequence[Value], attributes: Mapping[str, Any]) -> Value:
    axis, index = int(attributes.get("axis", 0)), values[1]
    if isinstance(values[0], tuple):
        chosen = tuple(values[0][i] for i in _known(index))
        return chosen
    if not isinstance(index, np.ndarray) or index.ndim != 1:
        raise Untranslatable("places that are computed")
    return code.assign(f"torch.index_select({code.tensor(values[0])}, {axis}, {code.buffer(index.astype(np.int64))})")


def _pad(code: Code, values: Sequence[Value], attributes: Mapping[str, Any]) -> Value:
    mode = attributes.get("mode", b"constant").decode()
    sides = _ints(values[1])
    outer = {sides[0], sides[1], sides[4], sides[5]}
    if len(sides) != 8 or outer != {"0"} or mode not in ("edge", "reflect"):
        raise Untranslatable("padding of this mode or these axes")
    name = {"edge": "replication_pad2d", "reflect": "reflection_pad2d"}[mode]
    order = ", ".join((sides[3], sides[7], sides[2], sides[6]))
    return code.assign(f"torch._C._nn.{name}({code.tensor(values[0])}, [{order}])")


def _resize(code: Code, values: Sequence[Value], attributes: Mapping[str, Any]) -> Value:
    scales = values[2]
    mode = attributes.get("mode", b"nearest").decode()
    how = attributes.get("coordinate_transformation_mode", b"half_pixel").decode()
    if not isinstance(scales, np.ndarray) or scales.size != 4 or (scales[:2] != 1).any() or (scales % 1).any():
        raise Untranslatable("scales that are no whole numbers")
    name, (rows, columns) = code.tensor(values[0]), (int(scales[2]), int(scales[3]))
    height, width = f"{name}.size(2) * {rows}", f"{name}.size(3) * {columns}"
    if mode == "linear" and how == "half_pixel":
        return code.assign(f"torch._C._nn.upsample_bilinear2d({name}, [{height}, {width}], False)")
    if mode == "nearest" and how == "asymmetric" and attributes.get("nearest_mode", b"") == b"floor":
        spread = f"{name}.unsqueeze(3).unsqueeze(5).expand(-1, -1, -1, {rows}, -1, {columns})"
        return code.assign(f"{spread}.reshape({name}.size(0), {name}.size(1), {height}, {width})")
    raise Untranslatable("interpolation of this mode")


def _grid_sample(code: Code, values: Sequence[Value], attributes: Mapping[str, Any]) -> Value:
    mode, padding = attributes.get("mode", b"linear").decode(), attributes.get("padding_mode", b"zeros").decode()
    # Opset 20 renamed them.
    kind = {"linear": 0, "bilinear": 0, "cubic": 2, "bicubic": 2}.get(mode)
    if kind is None:
        raise Untranslatable("sampling of this mode")
    side = {"zeros": 0, "border": 1, "reflection": 2}[padding]
    aligned = bool(attributes.get("align_corners", 0))
    picture, grid = code.tensor(values[0]), code.tensor(values[1])
    return code.assign(f"torch.grid_sampler({picture}, {grid}, {kind}, {side}, {aligned})")


def _expand(code: Code, values: Sequence[Value], attributes: Mapping[str, Any]) -> Value:
    name, shape = code.tensor(values[0]), _ints(values[1])
    if len(shape) != 4:
        raise Untranslatable("a shape that has not four axes")
    # Either side may be the 1 that is repeated.
    sizes = [f"{name}.size({axis})" if size == "1" else f"max({size}, {name}.size({axis}))"
             for axis, size in enumerate(shape)]  # fmt: skip
    return code.assign(f"{name}.expand({', '.join(sizes)})")


def _transpose(code: Code, values: Sequence[Value], attributes: Mapping[str, Any]) -> Value:
    order = ", ".join(str(axis) for axis in attributes["perm"])
    return code.assign(f"{code.tensor(values[0])}.permute({order})")


def _cast(code: Code, values: Sequence[Value], attributes: Mapping[str, Any]) -> Value:
    if int(attributes["to"]) != 1:
        raise Untranslatable("a cast to another type than float32")
    return values[0] if isinstance(values[0], str) else code.tensor(values[0])


def _identity(code: Code, values: Sequence[Value], attributes: Mapping[str, Any]) -> Value:
    return values[0]


def _depth_to_space(code: Code, values: Sequence[Value], attributes: Mapping[str, Any]) -> Value:
    if attributes.get("mode", b"DCR") != b"CRD":
        raise Untranslatable("this order of blocks")
    return code.assign(f"torch.pixel_shuffle({code.tensor(values[0])}, {int(attributes['blocksize'])})")


def _space_to_depth(code: Code, values: Sequence[Value], attributes: Mapping[str, Any]) -> Value:
    x, b = code.tensor(values[0]), int(attributes["blocksize"])
    n, c, h, w = (f"{x}.size({axis})" for axis in range(4))
    blocks = f"{x}.reshape({n}, {c}, {h} // {b}, {b}, {w} // {b}, {b}).permute(0, 3, 5, 1, 2, 4)"
    return code.assign(f"{blocks}.reshape({n}, {c} * {b * b}, {h} // {b}, {w} // {b})")


OPERATORS: Mapping[str, Emit] = {
    "Abs": _unary("torch.abs({})"),
    "Add": _binary("{} + {}", "{} + {}"),
    "AveragePool": _average_pool,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "DepthToSpace": _depth_to_space,
    "Div": _binary("{} / {}"),
    "Exp": _unary("torch.exp({})"),
    "Expand": _expand,
    "Floor": _unary("torch.floor({})"),
    "Gather": _gather,
    "Greater": _binary("{} > {}"),
    "GridSample": _grid_sample,
    "Identity": _identity,
    "LeakyRelu": _leaky,
    "Less": _binary("{} < {}"),
    "LessOrEqual": _binary("{} <= {}"),
    "Log": _unary("torch.log({})"),
    "Max": _extreme("max", "min"),
    "Min": _extreme("min", "max"),
    # Twice, because the sign of a remainder is not everywhere the divisor's.
    "Mod": _binary("", "(({0} % {1}) + {1}) % {1}"),
    "Mul": _binary("{} * {}", "{} * {}"),
    "Neg": _unary("-{}", "-{}"),
    "Pad": _pad,
    "Pow": _binary("torch.pow({}, {})"),
    "ReduceMean": _mean,
    "Relu": _unary("torch.relu({})"),
    "Resize": _resize,
    "Shape": _shape,
    "Sigmoid": _unary("torch.sigmoid({})"),
    "Sign": _unary("torch.sign({})"),
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Sqrt": _unary("torch.sqrt({})"),
    "Sub": _binary("{} - {}", "{} - {}"),
    "Sum": _sum,
    "Tanh": _unary("torch.tanh({})"),
    "Transpose": _transpose,
    "Where": _where,
}
"""What a look may be made of."""
