"""Shapes of operators: type, shape and work of what an operator makes, without running it.

Each rule takes the values that a node takes, all of known shape, and gives the one that it makes. Whole numbers that
shapes are made of are computed on the way. What a rule does not know it refuses, and what would end a process in
onnxruntime (a division by zero, a stride of zero, a sampling mode that reads outside its picture) has no rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

__all__ = ["Made", "Value", "make", "stored"]

MAX_KNOWN = 2**16
"""Whole numbers that are followed as numbers: sizes, pads, and an order of channels."""
MAX_RANK = 6
MAX_DIM = 2**31
MAX_STEP = 2**10
"""Of strides, dilations, kernels, blocks."""

WHOLE = (TensorProto.INT64, TensorProto.INT32)
REAL = (TensorProto.FLOAT, TensorProto.FLOAT16)

Numbers = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor, without its numbers unless they are few."""

    kind: int
    """Its ONNX type."""
    shape: tuple[int, ...]
    known: Numbers | None = None
    """Its numbers, where they don't depend on an image's pixels and are few."""
    is_constant: bool = False
    """Whether it depends on constants alone, and not even on the image's size."""

    @property
    def count(self) -> int:
        """Numbers in it."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Made:
    """What a node makes."""

    value: Value
    work: int
    """Multiplications, or values read or written where there are more of these."""


Inputs = Sequence["Value | None"]
Attributes = Mapping[str, Any]
Rule = Callable[[Inputs, Attributes], "tuple[Value, int]"]


def make(node: onnx.NodeProto, inputs: Inputs) -> Made:
    """What a node makes of its inputs; an empty name stands as None.

    Raises:
        ValueError: it cannot be said, or onnxruntime would not take it.
    """
    if len(node.output) != 1:
        raise ValueError("it has more than one output")
    attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    if len(attributes) != len(node.attribute):
        raise ValueError("an attribute stands there twice")
    value, work = _RULES[node.op_type](inputs, attributes)
    if len(value.shape) > MAX_RANK or any(not 0 < side < MAX_DIM for side in value.shape):
        raise ValueError(f"it would make {list(value.shape)}")
    is_constant = all(each is None or each.is_constant for each in inputs)
    read = sum(each.count for each in inputs if each is not None and not each.is_constant)
    return Made(replace(value, is_constant=is_constant), max(work, value.count, read))


def _needed(inputs: Inputs, least: int, most: int) -> list[Value]:
    given = list(inputs)
    if not least <= len(given) <= most or any(each is None for each in given[:least]):
        raise ValueError(f"it has {len(given)} inputs")
    return [each for each in given[:least] if each is not None]


def _optional(inputs: Inputs, index: int) -> Value | None:
    return inputs[index] if index < len(inputs) else None


def _of_reals(*values: Value) -> int:
    """The one type of all."""
    kinds = {value.kind for value in values}
    if len(kinds) != 1 or not kinds <= set(REAL):
        raise ValueError("its inputs are not of one type of real numbers")
    return kinds.pop()


def _list(value: Value | None, what: str) -> list[int]:
    """Whole numbers that a shape hangs on."""
    if value is None or value.known is None or value.kind not in WHOLE or len(value.shape) > 1:
        raise ValueError(f"its {what} are not known before it runs")
    return [int(number) for number in value.known.reshape(-1)]


def _axis(axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise ValueError(f"it has no axis {axis}")
    return axis % rank


def _steps(attributes: Attributes, name: str, default: Sequence[int]) -> list[int]:
    given = list(attributes.get(name, default))
    if len(given) != len(default) or any(not 1 <= step <= MAX_STEP for step in given):
        raise ValueError(f"its {name} are {given}")
    return given


def _as(word: Any) -> str:
    return word.decode("ascii", "replace") if isinstance(word, bytes) else str(word)


def _one_of(attributes: Attributes, name: str, default: str, known: Sequence[str]) -> str:
    word = _as(attributes.get(name, default))
    if word not in known:
        raise ValueError(f"its {name} is not one of {', '.join(known)}")
    return word


def _broadcast(*values: Value) -> tuple[int, ...]:
    try:
        return tuple(np.broadcast_shapes(*(value.shape for value in values)))
    except ValueError as error:
        raise ValueError("the shapes of its inputs do not go together") from error


# One by one


def _each(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    (x,) = _needed(inputs, 1, 1)
    _of_reals(x)
    return Value(x.kind, x.shape), x.count


def _identity(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    (x,) = _needed(inputs, 1, 1)
    return replace(x), x.count


def _negated(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    (x,) = _needed(inputs, 1, 1)
    if x.kind in WHOLE:
        return Value(x.kind, x.shape, -_small(x)), x.count
    return _each(inputs, attributes)


def _small(value: Value) -> Numbers:
    """Whole numbers that can be added and multiplied without running over."""
    if value.known is None or (np.abs(value.known.astype(np.float64)) >= MAX_DIM).any():
        raise ValueError("it reckons with whole numbers that are not known, or too large")
    return value.known


def _arithmetic(reckon: Callable[[Numbers, Numbers], Numbers]) -> Rule:
    def rule(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
        a, b = _needed(inputs, 2, 2)
        shape = _broadcast(a, b)
        if a.kind in WHOLE and a.kind == b.kind:
            if math.prod(shape) > MAX_KNOWN:
                raise ValueError("it reckons with too many whole numbers")
            return Value(a.kind, shape, reckon(_small(a), _small(b))), math.prod(shape)
        return Value(_of_reals(a, b), shape), math.prod(shape)

    return rule


def _quotient(a: Numbers, b: Numbers) -> Numbers:
    """Rounded towards zero, as in C."""
    whole: Numbers = np.sign(a) * (np.abs(a) // _divisor(b))
    return whole


def _remainder(a: Numbers, b: Numbers) -> Numbers:
    rest: Numbers = a % _divisor(b)
    return rest


def _divisor(b: Numbers) -> Numbers:
    # Zero ends the process, and so does the least number by -1.
    if (b <= 0).any():
        raise ValueError("it divides whole numbers by zero or less")
    return b


_DIVIDE = _arithmetic(_quotient)
_MODULO = _arithmetic(_remainder)


def _mod(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    made = _MODULO(inputs, attributes)
    if attributes.get("fmod", 0) != int(made[0].kind in REAL):
        raise ValueError("its fmod does not go with its type")
    return made


def _of_several(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    values = _needed(inputs, len(inputs), MAX_STEP)
    if not values:
        raise ValueError("it has no inputs")
    shape = _broadcast(*values)
    return Value(_of_reals(*values), shape), math.prod(shape) * len(values)


def _power(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    a, b = _needed(inputs, 2, 2)
    shape = _broadcast(a, b)
    return Value(_of_reals(a, b), shape), 16 * math.prod(shape)


def _comparison(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    a, b = _needed(inputs, 2, 2)
    _of_reals(a, b)
    shape = _broadcast(a, b)
    return Value(TensorProto.BOOL, shape), math.prod(shape)


def _where(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    condition, a, b = _needed(inputs, 3, 3)
    if condition.kind != TensorProto.BOOL:
        raise ValueError("its condition is not of true and false")
    shape = _broadcast(condition, a, b)
    return Value(_of_reals(a, b), shape), math.prod(shape)


def _clip(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    (x,) = _needed(inputs, 1, 3)
    ends = [each for each in inputs[1:] if each is not None]
    if any(each.count != 1 for each in ends):
        raise ValueError("its ends are more than one number")
    return Value(_of_reals(x, *ends), x.shape), x.count


def _cast(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    (x,) = _needed(inputs, 1, 1)
    kind = attributes.get("to")
    if kind not in (*REAL, *WHOLE, TensorProto.BOOL):
        raise ValueError("it casts to a type that no look needs")
    if kind in WHOLE and x.kind in WHOLE and x.known is not None:
        return Value(kind, x.shape, _small(x).astype(np.int64)), x.count
    return Value(kind, x.shape), x.count


# Shapes


def _constant(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    if inputs or len(attributes) != 1:
        raise ValueError("it is not one constant")
    ((name, given),) = attributes.items()
    if name == "value":
        return stored(given), 0
    kind = TensorProto.INT64 if name.startswith("value_int") else TensorProto.FLOAT
    array = np.asarray(given, np.int64 if kind == TensorProto.INT64 else np.float32)
    return Value(kind, array.shape, array), 0


def stored(tensor: TensorProto) -> Value:
    """The value of a constant whose size was checked."""
    shape = tuple(tensor.dims)
    followed = math.prod(shape) <= (MAX_KNOWN if tensor.data_type in WHOLE else MAX_RANK)
    return Value(tensor.data_type, shape, onnx.numpy_helper.to_array(tensor) if followed else None, is_constant=True)


def _shape(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    (x,) = _needed(inputs, 1, 1)
    sides = np.asarray(x.shape[attributes.get("start", 0) : attributes.get("end")], np.int64)
    return Value(TensorProto.INT64, sides.shape, sides), 0


def _concatenated(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    values = _needed(inputs, len(inputs), MAX_STEP)
    if not values or len({value.kind for value in values}) != 1 or not values[0].shape:
        raise ValueError("its inputs are not of one type")
    axis = _axis(attributes["axis"], len(values[0].shape))
    rests = {(*value.shape[:axis], *value.shape[axis + 1 :]) for value in values}
    if len(rests) != 1 or len({len(value.shape) for value in values}) != 1:
        raise ValueError("the shapes of its inputs do not go together")
    first = values[0].shape
    shape = (*first[:axis], sum(value.shape[axis] for value in values), *first[axis + 1 :])
    parts = [value.known for value in values if value.known is not None]
    whole = values[0].kind in WHOLE and len(parts) == len(values) and math.prod(shape) <= MAX_KNOWN
    return Value(values[0].kind, shape, np.concatenate(parts, axis) if whole else None), math.prod(shape)


def _followed(x: Value, shape: Sequence[int], reckon: Callable[[Numbers], Numbers]) -> Numbers | None:
    """The numbers of what is made of x alone, where they are to be followed."""
    return reckon(x.known) if x.known is not None and x.kind in WHOLE and math.prod(shape) <= MAX_KNOWN else None


def _expanded(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    x, wanted = _needed(inputs, 2, 2)
    sides = _list(wanted, "sizes")
    if len(sides) > MAX_RANK or any(not 0 < side < MAX_DIM for side in sides):
        raise ValueError(f"it would make {sides[:MAX_RANK]}")
    shape = _broadcast(x, Value(x.kind, tuple(sides)))
    known = _followed(x, shape, lambda numbers: np.broadcast_to(numbers, shape))
    return Value(x.kind, shape, known), math.prod(shape)


def _gathered(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    x, order = _needed(inputs, 2, 2)
    axis = _axis(attributes.get("axis", 0), len(x.shape))
    places = order.known
    if places is None or order.kind not in WHOLE:
        raise ValueError("the places that it takes are not known before it runs")
    side = x.shape[axis]
    if ((places < -side) | (places >= side)).any():
        raise ValueError("it takes places that are not there")
    shape = (*x.shape[:axis], *order.shape, *x.shape[axis + 1 :])
    known = _followed(x, shape, lambda numbers: np.take(numbers, places, axis))
    return Value(x.kind, shape, known), math.prod(shape)


def _sliced(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    x, starts, ends = _needed(inputs, 3, 5)
    first, last = _list(starts, "starts"), _list(ends, "ends")
    axes_given, steps_given = _optional(inputs, 3), _optional(inputs, 4)
    axes = list(range(len(first))) if axes_given is None else _list(axes_given, "axes")
    steps = [1] * len(first) if steps_given is None else _list(steps_given, "steps")
    axes = [_axis(axis, len(x.shape)) for axis in axes]
    if not len(first) == len(last) == len(axes) == len(steps) == len(set(axes)) or any(step < 1 for step in steps):
        raise ValueError("its starts, ends, axes and steps do not go together")
    cut = [slice(None)] * len(x.shape)
    shape = list(x.shape)
    for axis, start, end, step in zip(axes, first, last, steps, strict=True):
        cut[axis] = slice(start, end, step)
        shape[axis] = len(range(*cut[axis].indices(x.shape[axis])))
    known = _followed(x, shape, lambda numbers: numbers[tuple(cut)])
    return Value(x.kind, tuple(shape), known), math.prod(shape)


def _transposed(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    (x,) = _needed(inputs, 1, 1)
    order = list(attributes.get("perm", range(len(x.shape))[::-1]))
    if sorted(order) != list(range(len(x.shape))):
        raise ValueError("its order of axes is none")
    return Value(x.kind, tuple(x.shape[axis] for axis in order)), x.count


def _reduced(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    (x,) = _needed(inputs, 1, 2)
    given = _optional(inputs, 1)
    if given is not None and "axes" in attributes:
        raise ValueError("it has its axes twice")
    axes = list(attributes.get("axes", [])) if given is None else _list(given, "axes")
    if attributes.get("noop_with_empty_axes", 0):
        raise ValueError("it may do nothing")
    chosen = {_axis(axis, len(x.shape)) for axis in axes} if axes else set(range(len(x.shape)))
    if len(chosen) != len(axes or chosen):
        raise ValueError("an axis stands there twice")
    keep = bool(attributes.get("keepdims", 1))
    shape = [1 if axis in chosen else side for axis, side in enumerate(x.shape) if keep or axis not in chosen]
    return Value(_of_reals(x), tuple(shape)), x.count


# Pictures


def _picture(value: Value) -> tuple[int, int, int, int]:
    _of_reals(value)
    if len(value.shape) != 4:
        raise ValueError("its input is no picture")
    batch, channels, height, width = value.shape
    return batch, channels, height, width


def _windows(
    sides: Sequence[int], kernel: Sequence[int], attributes: Attributes, most_pad: Sequence[int]
) -> tuple[int, ...]:
    """Rows and columns of what a kernel makes that moves over a picture."""
    _one_of(attributes, "auto_pad", "NOTSET", ["NOTSET"])
    steps, spread = _steps(attributes, "strides", [1, 1]), _steps(attributes, "dilations", [1, 1])
    pads = list(attributes.get("pads", [0] * 4))
    if len(pads) != 4 or any(not 0 <= pad <= most for pad, most in zip(pads, [*most_pad, *most_pad], strict=True)):
        raise ValueError(f"its pads are {pads}")
    reach = [gap * (side - 1) + 1 for gap, side in zip(spread, kernel, strict=True)]
    room = [side + pads[i] + pads[i + 2] - reach[i] for i, side in enumerate(sides)]
    if min(room) < 0:
        raise ValueError("its kernel is larger than its picture")
    return tuple(left // step + 1 for left, step in zip(room, steps, strict=True))


def _convolved(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    x, weight = _needed(inputs, 2, 3)
    bias = _optional(inputs, 2)
    batch, channels, *sides = _picture(x)
    made, taken, *kernel = _picture(weight)
    groups = attributes.get("group", 1)
    if not 1 <= groups <= channels or channels != taken * groups or made % groups:
        raise ValueError("its weights do not go with its picture")
    if list(attributes.get("kernel_shape", kernel)) != kernel or max(kernel) > MAX_STEP:
        raise ValueError("its kernel is not of its weights' size")
    kind = _of_reals(x, weight, *([] if bias is None else [bias]))
    if bias is not None and bias.shape != (made,):
        raise ValueError("its bias does not go with its weights")
    shape = (batch, made, *_windows(sides, kernel, attributes, [MAX_STEP] * 2))
    return Value(kind, shape), math.prod(shape) * taken * math.prod(kernel)


def _averaged(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    (x,) = _needed(inputs, 1, 1)
    batch, channels, *sides = _picture(x)
    kernel = _steps(attributes, "kernel_shape", [0, 0])
    if attributes.get("ceil_mode", 0):
        raise ValueError("it counts windows that are cut")
    shape = (batch, channels, *_windows(sides, kernel, attributes, [side - 1 for side in kernel]))
    return Value(x.kind, shape), math.prod(shape) * math.prod(kernel)


def _depth_to_space(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    (x,) = _needed(inputs, 1, 1)
    batch, channels, height, width = _picture(x)
    (block,) = _steps({"blocksize": [attributes.get("blocksize", 0)]}, "blocksize", [0])
    _one_of(attributes, "mode", "DCR", ["DCR", "CRD"])
    if channels % block**2:
        raise ValueError("its channels are no whole blocks")
    return Value(x.kind, (batch, channels // block**2, height * block, width * block)), x.count


def _space_to_depth(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    (x,) = _needed(inputs, 1, 1)
    batch, channels, height, width = _picture(x)
    (block,) = _steps({"blocksize": [attributes.get("blocksize", 0)]}, "blocksize", [0])
    if height % block or width % block:
        raise ValueError("its picture is no whole blocks")
    return Value(x.kind, (batch, channels * block**2, height // block, width // block)), x.count


def _sampled(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    x, grid = _needed(inputs, 2, 2)
    kind = _of_reals(x, grid)
    batch, channels, _, _ = _picture(x)
    if len(grid.shape) != 4 or grid.shape[0] != batch or grid.shape[3] != 2:
        raise ValueError("its grid is none")
    mode = _one_of(attributes, "mode", "linear", ["bilinear", "linear", "nearest", "bicubic", "cubic"])
    # Reflections of a place that is no number are read from outside the picture.
    _one_of(attributes, "padding_mode", "zeros", ["zeros", "border"])
    shape = (batch, channels, grid.shape[1], grid.shape[2])
    return Value(kind, shape), math.prod(shape) * (16 if "cubic" in mode else 4)


def _padded(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    x, given = _needed(inputs, 2, 3)
    _of_reals(x)
    filling = _optional(inputs, 2)
    if filling is not None and (filling.count != 1 or filling.kind != x.kind):
        raise ValueError("its filling is more than one number")
    pads, rank = _list(given, "pads"), len(x.shape)
    mode = _one_of(attributes, "mode", "constant", ["constant", "edge", "reflect"])
    if len(pads) != 2 * rank or any(not 0 <= pad < MAX_DIM for pad in pads):
        raise ValueError("its pads do not go with its input")
    if mode == "reflect" and any(pad >= side for pad, side in zip(pads, [*x.shape, *x.shape], strict=True)):
        raise ValueError("it reflects more than there is")
    shape = tuple(side + pads[axis] + pads[rank + axis] for axis, side in enumerate(x.shape))
    return Value(x.kind, shape), math.prod(shape)


def _resized(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    (x,) = _needed(inputs, 1, 4)
    batch, channels, height, width = _picture(x)
    region, scales, sizes = (_optional(inputs, index) for index in (1, 2, 3))
    mode = _one_of(attributes, "mode", "nearest", ["nearest", "linear", "cubic"])
    known = ["half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"]
    _one_of(attributes, "coordinate_transformation_mode", "half_pixel", known)
    if region is not None or attributes.get("antialias", 0) or (scales is None) == (sizes is None):
        raise ValueError("it takes other than scales or sizes")
    if sizes is not None:
        wanted = _list(sizes, "sizes")
        if len(wanted) != 4 or wanted[:2] != [batch, channels]:
            raise ValueError("its sizes are no picture's")
        rows, columns = wanted[2:]
    else:
        factors = None if scales is None or scales.kind != TensorProto.FLOAT else scales.known
        if factors is None or factors.shape != (4,) or not np.isfinite(factors).all() or list(factors[:2]) != [1, 1]:
            raise ValueError("its scales are not known before it runs")
        # In float32, as onnxruntime multiplies.
        rows, columns = (int(np.float32(f) * np.float32(s)) for f, s in zip(factors[2:], (height, width), strict=True))
    shape = (batch, channels, rows, columns)
    return Value(x.kind, shape), math.prod(shape) * {"nearest": 1, "linear": 4, "cubic": 16}[mode]


_RULES: dict[str, Rule] = {
    **dict.fromkeys(("Abs", "Exp", "Floor", "LeakyRelu", "Log", "Relu", "Sigmoid", "Sign", "Sqrt", "Tanh"), _each),
    **dict.fromkeys(("Less", "LessOrEqual", "Greater"), _comparison),
    **dict.fromkeys(("Max", "Min", "Sum"), _of_several),
    "Add": _arithmetic(np.add),
    "AveragePool": _averaged,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concatenated,
    "Constant": _constant,
    "Conv": _convolved,
    "DepthToSpace": _depth_to_space,
    "Div": _DIVIDE,
    "Expand": _expanded,
    "Gather": _gathered,
    "GridSample": _sampled,
    "Identity": _identity,
    "Mod": _mod,
    "Mul": _arithmetic(np.multiply),
    "Neg": _negated,
    "Pad": _padded,
    "Pow": _power,
    "ReduceMax": _reduced,
    "ReduceMean": _reduced,
    "Resize": _resized,
    "Shape": _shape,
    "Slice": _sliced,
    "SpaceToDepth": _space_to_depth,
    "Sub": _arithmetic(np.subtract),
    "Transpose": _transposed,
    "Where": _where,
}
