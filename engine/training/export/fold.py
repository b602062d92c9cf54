"""Folding: factors and summands that follow a convolution become part of its weights, in double precision.

A batch norm, as recorded, is a factor and a summand for each channel; so are the ways between -1..1 and 0..1. Both pass
through everything that is linear and keeps channels apart: sums, enlargement, a choice of channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.training.export.trace import Symbol, channel_range, ordered

__all__ = ["fold"]

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Affine:
    """``factor * source + summand``, either of one number or of one a channel."""

    source: Symbol
    factor: Doubles
    summand: Doubles

    @classmethod
    def of(cls, symbol: Symbol) -> Affine | None:
        """A symbol as that; None where it is none."""
        if symbol.kind not in ("Add", "Sub", "Mul"):
            return None
        a, b = symbol.taken(0), symbol.taken(1)
        source, constant = (b, a) if a.array is not None else (a, b)
        array = constant.array
        # One that repeats its source over more channels is no work for the convolution before it.
        if array is None or source.array is not None or array.size not in (1, source.channels):
            return None
        if array.size > 1 and array.shape != (1, source.channels, 1, 1):
            return None
        values: Doubles = array.reshape(-1).astype(np.float64)
        one, zero = np.ones(1), np.zeros(1)
        if symbol.kind == "Mul":
            return cls(source, values, zero)
        if symbol.kind == "Add":
            return cls(source, one, values)
        return cls(source, -one, values) if constant is a else cls(source, one, -values)


def fold(outputs: Mapping[str, Symbol]) -> dict[str, Symbol]:
    """Outputs of the same values, of fewer nodes; the graph that they are made of is changed."""
    ends = {name: Symbol("Output", symbol, channels=symbol.channels) for name, symbol in outputs.items()}
    graph = _Graph(list(ends.values()))
    for symbol in ordered(ends.values()):
        affine = Affine.of(symbol)
        if affine is not None and graph.takes(affine.source, affine.factor.size == affine.summand.size == 1):
            graph.give(affine.source, affine.factor, affine.summand)
            graph.replace(symbol, affine.source)
    return {name: end.taken(0) for name, end in ends.items()}


class _Graph:
    """Who uses a symbol, so that none is changed behind another's back."""

    def __init__(self, outputs: list[Symbol]) -> None:
        self.users: dict[Symbol, list[Symbol]] = {}
        for symbol in ordered(outputs):
            for value in symbol.inputs:
                if value is not None:
                    self.users.setdefault(value, []).append(symbol)

    def takes(self, symbol: Symbol, uniform: bool) -> bool:
        """Whether a factor and a summand may go into a symbol; ``uniform``: the same for every channel."""
        if len(self.users[symbol]) != 1:
            return False
        if symbol.kind == "Conv":
            return all(value is not None and value.array is not None for value in symbol.inputs[1:])
        if symbol.kind == "Add":
            a, b = symbol.taken(0), symbol.taken(1)
            same = a.channels == b.channels and a is not b
            return same and all(each.array is None and self.takes(each, uniform) for each in (a, b))
        if symbol.kind == "Resize" or (symbol.kind == "DepthToSpace" and uniform):
            return self.takes(symbol.taken(0), uniform)
        return channel_range(symbol) is not None and self._alone(symbol)

    def _alone(self, symbol: Symbol) -> bool:
        """Whether some channels of a convolution are used by no one else."""
        whole, own = symbol.taken(0), channel_range(symbol)
        if whole.kind != "Conv" or own is None:
            return False
        for other in self.users[whole]:
            theirs = channel_range(other)
            if theirs is None or (other is not symbol and theirs[0] < own[1] and own[0] < theirs[1]):
                return False
        return True

    def give(self, symbol: Symbol, factor: Doubles, summand: Doubles) -> None:
        """Change what :meth:`takes`."""
        if symbol.kind == "Conv":
            _into_convolution(symbol, factor, summand)
        elif symbol.kind == "Add":
            self.give(symbol.taken(0), factor, summand)
            self.give(symbol.taken(1), factor, np.zeros(1))
        elif symbol.kind == "Slice":
            start, end = channel_range(symbol) or (0, 0)
            whole = symbol.taken(0)
            factors, summands = np.ones(whole.channels), np.zeros(whole.channels)
            factors[start:end], summands[start:end] = factor, summand
            self.give(whole, factors, summands)
        else:
            self.give(symbol.taken(0), factor, summand)

    def replace(self, symbol: Symbol, by: Symbol) -> None:
        """Let everyone use another symbol, which only the replaced one used."""
        users = self.users.pop(symbol)
        for user in users:
            user.inputs = tuple(by if value is symbol else value for value in user.inputs)
        self.users[by] = users


def _into_convolution(convolution: Symbol, factor: Doubles, summand: Doubles) -> None:
    x, weight, *rest = convolution.inputs
    array: NDArray[Any] = weight.array  # type: ignore[union-attr, assignment]
    bias = rest[0].array if rest else None  # type: ignore[union-attr]
    inputs = [x, Symbol.constant(array * factor.reshape(-1, 1, 1, 1))]
    if bias is not None or summand.any():
        before = np.zeros(len(array)) if bias is None else bias
        inputs.append(Symbol.constant(before * factor + summand))
    convolution.inputs = tuple(inputs)
