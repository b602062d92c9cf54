"""Values of a graph: type, shape and few numbers of a tensor, and what the rules of operators ask of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

__all__ = [
    "MAX_DIM",
    "MAX_KNOWN",
    "MAX_RANK",
    "MAX_STEP",
    "REAL",
    "WHOLE",
    "Attributes",
    "Inputs",
    "Made",
    "Numbers",
    "Rule",
    "Value",
    "as_text",
    "axis_of",
    "broadcast",
    "needed",
    "of_reals",
    "one_of",
    "optional",
    "steps_of",
    "whole_numbers",
]

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


def needed(inputs: Inputs, least: int, most: int) -> list[Value]:
    given = list(inputs)
    if not least <= len(given) <= most or any(each is None for each in given[:least]):
        raise ValueError(f"it has {len(given)} inputs")
    return [each for each in given[:least] if each is not None]


def optional(inputs: Inputs, index: int) -> Value | None:
    return inputs[index] if index < len(inputs) else None


def of_reals(*values: Value) -> int:
    """The one type of all."""
    kinds = {value.kind for value in values}
    if len(kinds) != 1 or not kinds <= set(REAL):
        raise ValueError("its inputs are not of one type of real numbers")
    return kinds.pop()


def whole_numbers(value: Value | None, what: str) -> list[int]:
    """Whole numbers that a shape hangs on."""
    if value is None or value.known is None or value.kind not in WHOLE or len(value.shape) > 1:
        raise ValueError(f"its {what} are not known before it runs")
    return [int(number) for number in value.known.reshape(-1)]


def axis_of(axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise ValueError(f"it has no axis {axis}")
    return axis % rank


def steps_of(attributes: Attributes, name: str, default: Sequence[int]) -> list[int]:
    given = list(attributes.get(name, default))
    if len(given) != len(default) or any(not 1 <= step <= MAX_STEP for step in given):
        raise ValueError(f"its {name} are {given}")
    return given


def as_text(word: Any) -> str:
    return word.decode("ascii", "replace") if isinstance(word, bytes) else str(word)


def one_of(attributes: Attributes, name: str, default: str, known: Sequence[str]) -> str:
    chosen = as_text(attributes.get(name, default))
    if chosen not in known:
        raise ValueError(f"its {name} is not one of {', '.join(known)}")
    return chosen


def broadcast(*values: Value) -> tuple[int, ...]:
    try:
        return tuple(np.broadcast_shapes(*(value.shape for value in values)))
    except ValueError as error:
        raise ValueError("the shapes of its inputs do not go together") from error
