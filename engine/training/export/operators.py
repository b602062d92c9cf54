"""The table of operators: what each torch function becomes in ONNX.

A handler takes its function's arguments, with :class:`Symbol` in place of tensors, and returns symbols. What it does
not know it refuses, so that nothing is recorded as something else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.base.errors import ExportError
from engine.training.export.trace import Extent, Symbol, channel_range, handles
from engine.training.model.carry import along
from engine.training.model.edges import MARGIN, cropped, margins

__all__ = ["record"]

Value = Symbol | Tensor | float


@torch.no_grad()
def record(function: Callable[..., Any], inputs: Mapping[str, int]) -> Any:
    """What ``function`` returns for symbolic inputs (N, C, H, W), given the channels of each by name."""
    return function(**{name: Symbol("Input", name=name, channels=channels) for name, channels in inputs.items()})


def symbol(value: Value) -> Symbol:
    """A symbol as it is, a number or a tensor as a constant."""
    return value if isinstance(value, Symbol) else Symbol.constant(value)


def node(kind: str, *values: Value | None, channels: int | None = None, **attributes: Any) -> Symbol:
    """One operator; without ``channels`` as many as the widest of its values."""
    symbols = [None if value is None else symbol(value) for value in values]
    widest = max((each.channels for each in symbols if each is not None), default=1)
    return Symbol(kind, *symbols, channels=channels or widest, **attributes)


def integers(values: Sequence[int]) -> Symbol:
    """A constant list of integers."""
    return Symbol.constant(list(values), np.int64)


def _expected(is_known: bool, what: str) -> None:
    if not is_known:
        raise ExportError(f"no operator for {what}", remedy="give it one in export/operators.py")


# Arithmetic


@handles(torch.add, Tensor.add, Tensor.__add__, Tensor.__radd__)
def _add(a: Value, b: Value) -> Symbol:
    return node("Add", a, b)


@handles(torch.sub, Tensor.sub, Tensor.__sub__)
def _subtract(a: Value, b: Value) -> Symbol:
    return node("Sub", a, b)


@handles(torch.rsub, Tensor.__rsub__)
def _subtract_from(a: Value, b: Value) -> Symbol:
    return node("Sub", b, a)


@handles(torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__)
def _multiply(a: Value, b: Value) -> Symbol:
    return node("Mul", a, b)


@handles(torch.div, Tensor.div, Tensor.__truediv__)
def _divide(a: Value, b: Value) -> Symbol:
    # By a number it is a product, which is faster, and folds.
    return node("Mul", a, 1 / b) if isinstance(b, int | float) else node("Div", a, b)


@handles(torch.le)
def _less_or_equal(a: Value, b: Value) -> Symbol:
    return node("LessOrEqual", a, b)


@handles(torch.where)
def _where(condition: Symbol, a: Value, b: Value) -> Symbol:
    return node("Where", condition, a, b)


@handles(torch.minimum, torch.clamp_max)
def _minimum(a: Value, b: Value) -> Symbol:
    return node("Min", a, b)


@handles(torch.maximum, torch.clamp_min)
def _maximum(a: Value, b: Value) -> Symbol:
    return node("Max", a, b)


@handles(torch.clamp)
def _clamp(x: Symbol, min: float, max: float) -> Symbol:
    return node("Clip", x, min, max)


@handles(torch.mean)
def _mean(x: Symbol, dim: int, keepdim: bool) -> Symbol:
    _expected(dim == 1 and keepdim, "a mean that is not over the channels")
    return node("ReduceMean", x, integers([1]), channels=1, keepdims=1)


_FUNCTIONS = {
    torch.abs: "Abs", torch.exp: "Exp", torch.floor: "Floor", torch.log: "Log", torch.sigmoid: "Sigmoid",
    torch.sign: "Sign", torch.sqrt: "Sqrt", torch.tanh: "Tanh",
}  # fmt: skip


def _of_one(kind: str) -> Callable[[Symbol], Symbol]:
    return lambda x: node(kind, x)


for _function, _kind in _FUNCTIONS.items():
    handles(_function)(_of_one(_kind))


@handles(F.relu, torch.relu)
def _relu(x: Symbol, inplace: bool = False) -> Symbol:
    return node("Relu", x)


@handles(F.leaky_relu)
def _leaky_relu(x: Symbol, negative_slope: float = 0.01, inplace: bool = False) -> Symbol:
    return node("LeakyRelu", x, alpha=float(negative_slope)) if negative_slope else node("Relu", x)


# Layers


@handles(F.conv2d)
def _convolve(
    x: Symbol,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Symbol:
    _expected(_both(dilation) == [1, 1], "a dilated convolution")
    grouped = {"group": groups} if groups > 1 else {}
    return node(
        "Conv", x, weight, *([] if bias is None else [bias]), channels=weight.shape[0],
        kernel_shape=list(weight.shape[2:]), strides=_both(stride), pads=_both(padding) * 2, **grouped,
    )  # fmt: skip


@handles(F.batch_norm)
def _normalize(
    x: Symbol,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Symbol:
    """As a factor and a summand for each channel, in double precision; see :mod:`engine.training.export.fold`."""
    if training or running_mean is None or running_var is None:
        raise ExportError("a batch norm without running statistics cannot be exported", remedy="evaluate the network")
    mean, variance, gain, offset = (each.detach().cpu().double() for each in (running_mean, running_var, weight, bias))
    factor = gain / torch.sqrt(variance + eps)
    shape = (1, -1, 1, 1)
    return node("Add", node("Mul", x, factor.reshape(shape)), (offset - mean * factor).reshape(shape))


@handles(F.avg_pool2d)
def _average(x: Symbol, kernel_size: int, stride: int | None = None) -> Symbol:
    return node("AveragePool", x, kernel_shape=_both(kernel_size), strides=_both(stride or kernel_size))


def _both(size: int | Sequence[int]) -> list[int]:
    return [size] * 2 if isinstance(size, int) else list(size)


@handles(along)
def _filter_along(x: Symbol, line: Sequence[float], dim: int) -> Symbol:
    # A graph is faster with one convolution than with the sum of shifted images.
    shape = [1, len(line)] if dim == 3 else [len(line), 1]
    rows, columns = (side // 2 for side in shape)
    padded = _pad(x, (columns, columns, rows, rows), "replicate")
    weights = np.tile(np.reshape(line, shape), (x.channels, 1, 1, 1))
    return node("Conv", padded, Symbol.constant(weights), channels=x.channels, kernel_shape=shape, group=x.channels)


# Places


@handles(F.grid_sample)
def _sample(image: Symbol, grid: Symbol, mode: str, padding_mode: str, align_corners: bool) -> Symbol:
    # The names of before opset 20: no CUDA kernel knew the later ones for years.
    how = {"mode": mode, "padding_mode": padding_mode, "align_corners": int(align_corners)}
    return node("GridSample", image, grid, channels=image.channels, **how)


@handles(F.interpolate)
def _enlarge(
    x: Symbol,
    size: None = None,
    scale_factor: float = 1.0,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Symbol:
    is_plain = size is None and not align_corners and not antialias and scale_factor % 1 == 0
    _expected(mode in _RESIZING and is_plain, "this interpolation")
    scales = Symbol.constant([1.0, 1.0, scale_factor, scale_factor])
    return node("Resize", x, None, scales, channels=x.channels, **_RESIZING[mode])


_RESIZING = {
    "nearest": {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    "bilinear": {"mode": "linear", "coordinate_transformation_mode": "half_pixel"},
}


@handles(F.pixel_shuffle)
def _depth_to_space(x: Symbol, upscale_factor: int) -> Symbol:
    channels = x.channels // upscale_factor**2
    return node("DepthToSpace", x, channels=channels, blocksize=upscale_factor, mode="CRD")


@handles(F.pixel_unshuffle)
def _space_to_depth(x: Symbol, downscale_factor: int) -> Symbol:
    blocks = downscale_factor**2
    spread = node("SpaceToDepth", x, channels=blocks * x.channels, blocksize=downscale_factor)
    # The operator's channels are block by block, torch's channel by channel.
    order = [block * x.channels + channel for channel in range(x.channels) for block in range(blocks)]
    return node("Gather", spread, integers(order), channels=spread.channels, axis=1)


@handles(margins)
def _margins(picture: Symbol, multiple: int) -> Symbol:
    """All eight pads of an ONNX Pad."""
    missing = node("Mod", node("Neg", _size(picture)), integers([multiple] * 2))
    end = node("Add", missing, integers([MARGIN] * 2))
    return node("Concat", integers([0, 0, MARGIN, MARGIN, 0, 0]), end, axis=0)


@handles(cropped)
def _crop(padded: Symbol, picture: Symbol) -> Symbol:
    start = integers([MARGIN] * 2)
    ends = node("Add", _size(picture), start)
    return node("Slice", padded, start, ends, integers([2, 3]), channels=padded.channels)


def _size(picture: Symbol) -> Symbol:
    """Height and width."""
    return node("Slice", node("Shape", picture), integers([2]), integers([4]), integers([0]))


@handles(F.pad)
def _pad(x: Symbol, pad: Sequence[int] | Symbol, mode: str = "constant", value: float | None = None) -> Symbol:
    _expected(mode == "replicate", "padding other than with the edge")
    if not isinstance(pad, Symbol):
        left, right, top, bottom = pad
        pad = integers([0, 0, top, left, 0, 0, bottom, right])
    return node("Pad", x, pad, channels=x.channels, mode="edge")


# Channels


@handles(torch.cat)
def _concatenate(values: Sequence[Symbol], dim: int = 0) -> Symbol:
    _expected(dim == 1, "joining along another axis than the channels")
    return node("Concat", *values, channels=sum(each.channels for each in values), axis=1)


@handles(torch.split)
def _split(x: Symbol, sizes: int | Sequence[int], dim: int) -> tuple[Symbol, ...]:
    _expected(dim == 1, "splitting along another axis than the channels")
    widths = [sizes] * (x.channels // sizes) if isinstance(sizes, int) else list(sizes)
    ends = np.cumsum(widths).tolist()
    return tuple(_channels(x, end - width, end) for end, width in zip(ends, widths, strict=True))


@handles(Tensor.__getitem__)
def _take(x: Symbol, index: Any) -> Symbol:
    if index is None and x.array is not None:
        return Symbol.constant(x.array[None], x.array.dtype)
    known = isinstance(index, tuple) and len(index) == 2 and index[0] == slice(None) and isinstance(index[1], slice)
    _expected(known and index[1].step is None, f"the index {index}")
    start, end, _ = index[1].indices(x.channels)
    return _channels(x, start, end)


def _channels(x: Symbol, start: int, end: int) -> Symbol:
    taken = channel_range(x)
    if taken is not None:
        x, start, end = x.taken(0), taken[0] + start, taken[0] + end
    return Symbol("Slice", x, integers([start]), integers([end]), integers([1]), channels=end - start)


@handles(torch.permute)
def _permute(x: Symbol, dims: Sequence[int]) -> Symbol:
    return node("Transpose", x, perm=list(dims))


@handles(Tensor.expand)
def _repeat(x: Symbol, sizes: Sequence[Any]) -> Symbol:
    _expected(isinstance(sizes[0], Extent) and list(sizes[1:]) == [-1, -1, -1], "repeating along another axis")
    batch = node("Slice", node("Shape", sizes[0].symbol), integers([0]), integers([1]), integers([0]))
    shape = node("Concat", batch, integers([1, 1, 1]), axis=0)
    return node("Expand", x, shape, channels=x.channels)


@handles(Tensor.float, Tensor.to)
def _as_float(x: Symbol, dtype: torch.dtype = torch.float32) -> Symbol:
    _expected(dtype is torch.float32, f"{dtype}")
    return x if x.dtype is torch.float32 else node("Cast", x, to=onnx.TensorProto.FLOAT)
