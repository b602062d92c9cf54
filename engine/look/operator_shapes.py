"""Shapes of operators: type, shape and work of what an operator makes, without running it.

Each rule takes the values that a node takes, all of known shape, and gives the one that it makes. Whole numbers that
shapes are made of are computed on the way. What a rule does not know it refuses, and what would end a process in
onnxruntime (a division by zero, a stride of zero, a sampling mode that reads outside its picture) has no rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import onnx
from onnx import TensorProto

from engine.look.operator_values import (
    MAX_DIM,
    MAX_KNOWN,
    MAX_RANK,
    MAX_STEP,
    REAL,
    WHOLE,
    Attributes,
    Inputs,
    Made,
    Numbers,
    Rule,
    Value,
    axis_of,
    broadcast,
    needed,
    of_reals,
    optional,
    whole_numbers,
)
from engine.look.picture_operators import averaged, convolved, depth_to_space, padded, resized, sampled, space_to_depth

__all__ = ["make", "stored"]


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


def _each(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    (x,) = needed(inputs, 1, 1)
    of_reals(x)
    return Value(x.kind, x.shape), x.count


def _identity(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    (x,) = needed(inputs, 1, 1)
    return replace(x), x.count


def _negated(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    (x,) = needed(inputs, 1, 1)
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
        a, b = needed(inputs, 2, 2)
        shape = broadcast(a, b)
        if a.kind in WHOLE and a.kind == b.kind:
            if math.prod(shape) > MAX_KNOWN:
                raise ValueError("it reckons with too many whole numbers")
            return Value(a.kind, shape, reckon(_small(a), _small(b))), math.prod(shape)
        return Value(of_reals(a, b), shape), math.prod(shape)

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
    values = needed(inputs, len(inputs), MAX_STEP)
    if not values:
        raise ValueError("it has no inputs")
    shape = broadcast(*values)
    return Value(of_reals(*values), shape), math.prod(shape) * len(values)


def _power(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    a, b = needed(inputs, 2, 2)
    shape = broadcast(a, b)
    return Value(of_reals(a, b), shape), 16 * math.prod(shape)


def _comparison(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    a, b = needed(inputs, 2, 2)
    of_reals(a, b)
    shape = broadcast(a, b)
    return Value(TensorProto.BOOL, shape), math.prod(shape)


def _where(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    condition, a, b = needed(inputs, 3, 3)
    if condition.kind != TensorProto.BOOL:
        raise ValueError("its condition is not of true and false")
    shape = broadcast(condition, a, b)
    return Value(of_reals(a, b), shape), math.prod(shape)


def _clip(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    (x,) = needed(inputs, 1, 3)
    ends = [each for each in inputs[1:] if each is not None]
    if any(each.count != 1 for each in ends):
        raise ValueError("its ends are more than one number")
    return Value(of_reals(x, *ends), x.shape), x.count


def _cast(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    (x,) = needed(inputs, 1, 1)
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
    (x,) = needed(inputs, 1, 1)
    sides = np.asarray(x.shape[attributes.get("start", 0) : attributes.get("end")], np.int64)
    return Value(TensorProto.INT64, sides.shape, sides), 0


def _concatenated(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    values = needed(inputs, len(inputs), MAX_STEP)
    if not values or len({value.kind for value in values}) != 1 or not values[0].shape:
        raise ValueError("its inputs are not of one type")
    axis = axis_of(attributes["axis"], len(values[0].shape))
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
    x, wanted = needed(inputs, 2, 2)
    sides = whole_numbers(wanted, "sizes")
    if len(sides) > MAX_RANK or any(not 0 < side < MAX_DIM for side in sides):
        raise ValueError(f"it would make {sides[:MAX_RANK]}")
    shape = broadcast(x, Value(x.kind, tuple(sides)))
    known = _followed(x, shape, lambda numbers: np.broadcast_to(numbers, shape))
    return Value(x.kind, shape, known), math.prod(shape)


def _gathered(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    x, order = needed(inputs, 2, 2)
    axis = axis_of(attributes.get("axis", 0), len(x.shape))
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
    x, starts, ends = needed(inputs, 3, 5)
    first, last = whole_numbers(starts, "starts"), whole_numbers(ends, "ends")
    axes_given, steps_given = optional(inputs, 3), optional(inputs, 4)
    axes = list(range(len(first))) if axes_given is None else whole_numbers(axes_given, "axes")
    steps = [1] * len(first) if steps_given is None else whole_numbers(steps_given, "steps")
    axes = [axis_of(axis, len(x.shape)) for axis in axes]
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
    (x,) = needed(inputs, 1, 1)
    order = list(attributes.get("perm", range(len(x.shape))[::-1]))
    if sorted(order) != list(range(len(x.shape))):
        raise ValueError("its order of axes is none")
    return Value(x.kind, tuple(x.shape[axis] for axis in order)), x.count


def _reduced(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    (x,) = needed(inputs, 1, 2)
    given = optional(inputs, 1)
    if given is not None and "axes" in attributes:
        raise ValueError("it has its axes twice")
    axes = list(attributes.get("axes", [])) if given is None else whole_numbers(given, "axes")
    if attributes.get("noop_with_empty_axes", 0):
        raise ValueError("it may do nothing")
    chosen = {axis_of(axis, len(x.shape)) for axis in axes} if axes else set(range(len(x.shape)))
    if len(chosen) != len(axes or chosen):
        raise ValueError("an axis stands there twice")
    keep = bool(attributes.get("keepdims", 1))
    shape = [1 if axis in chosen else side for axis, side in enumerate(x.shape) if keep or axis not in chosen]
    return Value(of_reals(x), tuple(shape)), x.count


_RULES: dict[str, Rule] = {
    **dict.fromkeys(("Abs", "Exp", "Floor", "LeakyRelu", "Log", "Relu", "Sigmoid", "Sign", "Sqrt", "Tanh"), _each),
    **dict.fromkeys(("Less", "LessOrEqual", "Greater"), _comparison),
    **dict.fromkeys(("Max", "Min", "Sum"), _of_several),
    "Add": _arithmetic(np.add),
    "AveragePool": averaged,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concatenated,
    "Constant": _constant,
    "Conv": convolved,
    "DepthToSpace": depth_to_space,
    "Div": _DIVIDE,
    "Expand": _expanded,
    "Gather": _gathered,
    "GridSample": sampled,
    "Identity": _identity,
    "Mod": _mod,
    "Mul": _arithmetic(np.multiply),
    "Neg": _negated,
    "Pad": padded,
    "Pow": _power,
    "ReduceMax": _reduced,
    "ReduceMean": _reduced,
    "Resize": resized,
    "Shape": _shape,
    "Slice": _sliced,
    "SpaceToDepth": space_to_depth,
    "Sub": _arithmetic(np.subtract),
    "Transpose": _transposed,
    "Where": _where,
}
