"""Picture operators: shapes of convolution, sampling, padding, enlargement, and moves between space and depth."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from onnx import TensorProto

from engine.look.operator_values import (
    MAX_DIM,
    MAX_STEP,
    Attributes,
    Inputs,
    Value,
    needed,
    of_reals,
    one_of,
    optional,
    steps_of,
    whole_numbers,
)

__all__ = ["averaged", "convolved", "depth_to_space", "padded", "resized", "sampled", "space_to_depth"]


def _picture(value: Value) -> tuple[int, int, int, int]:
    of_reals(value)
    if len(value.shape) != 4:
        raise ValueError("its input is no picture")
    batch, channels, height, width = value.shape
    return batch, channels, height, width


def _windows(
    sides: Sequence[int], kernel: Sequence[int], attributes: Attributes, most_pad: Sequence[int]
) -> tuple[int, ...]:
    """Rows and columns of what a kernel makes that moves over a picture."""
    one_of(attributes, "auto_pad", "NOTSET", ["NOTSET"])
    steps, spread = steps_of(attributes, "strides", [1, 1]), steps_of(attributes, "dilations", [1, 1])
    pads = list(attributes.get("pads", [0] * 4))
    if len(pads) != 4 or any(not 0 <= pad <= most for pad, most in zip(pads, [*most_pad, *most_pad], strict=True)):
        raise ValueError(f"its pads are {pads}")
    reach = [gap * (side - 1) + 1 for gap, side in zip(spread, kernel, strict=True)]
    room = [side + pads[i] + pads[i + 2] - reach[i] for i, side in enumerate(sides)]
    if min(room) < 0:
        raise ValueError("its kernel is larger than its picture")
    return tuple(left // step + 1 for left, step in zip(room, steps, strict=True))


def convolved(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    x, weight = needed(inputs, 2, 3)
    bias = optional(inputs, 2)
    batch, channels, *sides = _picture(x)
    made, taken, *kernel = _picture(weight)
    groups = attributes.get("group", 1)
    if not 1 <= groups <= channels or channels != taken * groups or made % groups:
        raise ValueError("its weights do not go with its picture")
    if list(attributes.get("kernel_shape", kernel)) != kernel or max(kernel) > MAX_STEP:
        raise ValueError("its kernel is not of its weights' size")
    kind = of_reals(x, weight, *([] if bias is None else [bias]))
    if bias is not None and bias.shape != (made,):
        raise ValueError("its bias does not go with its weights")
    shape = (batch, made, *_windows(sides, kernel, attributes, [MAX_STEP] * 2))
    return Value(kind, shape), math.prod(shape) * taken * math.prod(kernel)


def averaged(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    (x,) = needed(inputs, 1, 1)
    batch, channels, *sides = _picture(x)
    kernel = steps_of(attributes, "kernel_shape", [0, 0])
    if attributes.get("ceil_mode", 0):
        raise ValueError("it counts windows that are cut")
    shape = (batch, channels, *_windows(sides, kernel, attributes, [side - 1 for side in kernel]))
    return Value(x.kind, shape), math.prod(shape) * math.prod(kernel)


def depth_to_space(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    (x,) = needed(inputs, 1, 1)
    batch, channels, height, width = _picture(x)
    (block,) = steps_of({"blocksize": [attributes.get("blocksize", 0)]}, "blocksize", [0])
    one_of(attributes, "mode", "DCR", ["DCR", "CRD"])
    if channels % block**2:
        raise ValueError("its channels are no whole blocks")
    return Value(x.kind, (batch, channels // block**2, height * block, width * block)), x.count


def space_to_depth(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    (x,) = needed(inputs, 1, 1)
    batch, channels, height, width = _picture(x)
    (block,) = steps_of({"blocksize": [attributes.get("blocksize", 0)]}, "blocksize", [0])
    if height % block or width % block:
        raise ValueError("its picture is no whole blocks")
    return Value(x.kind, (batch, channels * block**2, height // block, width // block)), x.count


def sampled(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    x, grid = needed(inputs, 2, 2)
    kind = of_reals(x, grid)
    batch, channels, _, _ = _picture(x)
    if len(grid.shape) != 4 or grid.shape[0] != batch or grid.shape[3] != 2:
        raise ValueError("its grid is none")
    mode = one_of(attributes, "mode", "linear", ["bilinear", "linear", "nearest", "bicubic", "cubic"])
    # Reflections of a place that is no number are read from outside the picture.
    one_of(attributes, "padding_mode", "zeros", ["zeros", "border"])
    shape = (batch, channels, grid.shape[1], grid.shape[2])
    return Value(kind, shape), math.prod(shape) * (16 if "cubic" in mode else 4)


def padded(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    x, given = needed(inputs, 2, 3)
    of_reals(x)
    filling = optional(inputs, 2)
    if filling is not None and (filling.count != 1 or filling.kind != x.kind):
        raise ValueError("its filling is more than one number")
    pads, rank = whole_numbers(given, "pads"), len(x.shape)
    mode = one_of(attributes, "mode", "constant", ["constant", "edge", "reflect"])
    if len(pads) != 2 * rank or any(not 0 <= pad < MAX_DIM for pad in pads):
        raise ValueError("its pads do not go with its input")
    if mode == "reflect" and any(pad >= side for pad, side in zip(pads, [*x.shape, *x.shape], strict=True)):
        raise ValueError("it reflects more than there is")
    shape = tuple(side + pads[axis] + pads[rank + axis] for axis, side in enumerate(x.shape))
    return Value(x.kind, shape), math.prod(shape)


def resized(inputs: Inputs, attributes: Attributes) -> tuple[Value, int]:
    (x,) = needed(inputs, 1, 4)
    batch, channels, height, width = _picture(x)
    region, scales, sizes = (optional(inputs, index) for index in (1, 2, 3))
    mode = one_of(attributes, "mode", "nearest", ["nearest", "linear", "cubic"])
    known = ["half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"]
    one_of(attributes, "coordinate_transformation_mode", "half_pixel", known)
    if region is not None or attributes.get("antialias", 0) or (scales is None) == (sizes is None):
        raise ValueError("it takes other than scales or sizes")
    if sizes is not None:
        wanted = whole_numbers(sizes, "sizes")
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
