"""A symbolic tensor: a value of a graph, which torch functions extend where they would compute.

A network is written once, in torch. Called with symbols in place of tensors, the same code leaves behind the graph of
what it would compute: every torch function that meets a symbol asks :data:`HANDLERS` for the nodes that do the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.base.errors import ExportError

__all__ = ["HANDLERS", "Extent", "Symbol", "channel_range", "handles", "ordered"]

HANDLERS: dict[Callable[..., Any], Callable[..., Any]] = {}
"""Of each torch function, or function of ours, that may meet a symbol: what to record in its place."""


def handles(*functions: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate what records ``functions``; it takes their arguments."""

    def register(handler: Callable[..., Any]) -> Callable[..., Any]:
        HANDLERS.update(dict.fromkeys(functions, handler))
        return handler

    return register


@dataclass(frozen=True)
class Extent:
    """A size that is known only when the graph runs: batch, height or width of a symbol."""

    symbol: Symbol
    axis: int


class Symbol:
    """A value of a graph: (N, C, H, W) in float32, of which only C is known; or integers, or a constant.

    ``kind`` is the ONNX operator that gives the value, or ``Input`` or ``Constant``.
    """

    device = torch.device("cpu")

    def __init__(
        self,
        kind: str,
        *inputs: Symbol | None,
        channels: int = 1,
        array: NDArray[Any] | None = None,
        **attributes: Any,
    ) -> None:
        """
        Args:
            inputs: what the operator takes; None for one that is left out.
            channels: of the value.
            array: of a constant. Floats are kept in double precision until they are written, half floats as they are.
            attributes: the operator's own; an input has its ``name``.
        """
        self.kind = kind
        self.inputs = inputs
        self.channels = channels
        self.array = array
        self.attributes = attributes

    @classmethod
    def constant(cls, value: Any, dtype: Any = None) -> Symbol:
        """A number, array or tensor, as ``dtype``; without one, integers and floats as double, half floats as such."""
        if isinstance(value, torch.Tensor):
            value = value.detach().cpu().numpy()
        array = np.asarray(value)
        if dtype is not None or array.dtype != np.float16:
            array = array.astype(dtype or np.float64)
        return cls("Constant", array=array, channels=array.shape[1] if array.ndim == 4 else 1)

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., Any],
        types: Iterable[type],
        arguments: Sequence[Any] = (),
        options: Mapping[str, Any] | None = None,
    ) -> Any:
        handler = HANDLERS.get(function)
        if handler is None:
            name = getattr(function, "__name__", repr(function))
            raise ExportError(f"no operator does what torch's {name} does", remedy="give it one in export/operators.py")
        return handler(*arguments, **(options or {}))

    def _record(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return self.__torch_function__(function, (), (self, *arguments))

    def taken(self, index: int) -> Symbol:
        """The input of that number, which is there."""
        value = self.inputs[index]
        if value is None:
            raise ValueError(f"{self.kind} has no input {index}")
        return value

    @property
    def shape(self) -> tuple[Any, ...]:
        """Of a constant its shape; else (N, C, H, W), whose unknown sizes only a handler can take."""
        if self.array is not None:
            return self.array.shape
        return Extent(self, 0), self.channels, Extent(self, 2), Extent(self, 3)

    @property
    def dtype(self) -> torch.dtype:
        half = self.array is not None and self.array.dtype == np.float16
        return torch.float16 if half else torch.float32

    def dim(self) -> int:
        return len(self.shape)

    def __add__(self, other: Any) -> Any:
        return self._record(torch.add, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self._record(torch.sub, other)

    def __rsub__(self, other: Any) -> Any:
        return self._record(torch.rsub, other)

    def __mul__(self, other: Any) -> Any:
        return self._record(torch.mul, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        return self._record(torch.div, other)

    def __le__(self, other: Any) -> Any:
        return self._record(torch.le, other)

    def __getitem__(self, index: Any) -> Any:
        return self._record(torch.Tensor.__getitem__, index)

    def abs(self) -> Any:
        return self._record(torch.abs)

    def clamp(self, low: float, high: float) -> Any:
        return self._record(torch.clamp, low, high)

    def clamp_min(self, low: float) -> Any:
        return self._record(torch.clamp_min, low)

    def clamp_max(self, high: float) -> Any:
        return self._record(torch.clamp_max, high)

    def split(self, sizes: Any, dim: int = 0) -> Any:
        return self._record(torch.split, sizes, dim)

    def mean(self, dim: Any, keepdim: bool = False) -> Any:
        return self._record(torch.mean, dim, keepdim)

    def permute(self, *order: int) -> Any:
        return self._record(torch.permute, order)

    def expand(self, *sizes: Any) -> Any:
        return self._record(torch.Tensor.expand, sizes)

    def float(self) -> Any:
        return self._record(torch.Tensor.float)

    def to(self, dtype: torch.dtype) -> Any:
        return self._record(torch.Tensor.to, dtype)

    def contiguous(self, memory_format: torch.memory_format = torch.contiguous_format) -> Any:
        return self


def channel_range(symbol: Symbol) -> tuple[int, int] | None:
    """First channel, and the one after the last, of a symbol that is some channels of another; None for any else."""
    bounds = [None if each is None else each.array for each in symbol.inputs[1:]]
    if symbol.kind != "Slice" or any(each is None for each in bounds):
        return None
    start, end, axis = (int(each[0]) for each in bounds if each is not None)
    return (start, end) if axis == 1 else None


def ordered(outputs: Iterable[Symbol]) -> list[Symbol]:
    """Everything that ``outputs`` are made of, each after what it takes: what nothing needs is not in it."""
    done: dict[Symbol, None] = {}
    waiting: list[tuple[Symbol, bool]] = [(symbol, False) for symbol in reversed(list(outputs))]
    while waiting:
        symbol, is_ready = waiting.pop()
        if is_ready:
            done.setdefault(symbol)
        elif symbol not in done:
            waiting.append((symbol, True))
            waiting += [(each, False) for each in reversed(symbol.inputs) if each is not None]
    return list(done)
