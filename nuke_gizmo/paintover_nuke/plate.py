"""The plate that a Paintover node stands on: the files of the Read above it, at full size, whatever the proxy mode.

Nothing may change pixels between the two, because Paintover reads the files, not the node.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .client.errors import JobError
from .patterns import colorspace_name

__all__ = ["ReadFacts", "facts_of_read", "read_above"]

_TRANSPARENT = ("Dot", "NoOp", "PostageStamp")


@dataclass(frozen=True)
class ReadFacts:
    """What a Read says of its files."""

    pattern: str
    """Its path, Tcl evaluated, frame and view not."""
    first: int
    last: int
    colorspace: str | None
    """As OCIO names it; None where the node does not say."""


def read_above(node: Any) -> Any:
    """The Read that the node's input leads to.

    Raises:
        JobError: nothing is connected, or a node in between changes pixels or frames.
    """
    above = node.input(0)
    while above is not None and (above.Class() in _TRANSPARENT or _disabled(above)):
        above = above.input(0)
    if above is None:
        raise JobError(f"{node.name()} has no plate", "connect its input to a Read, or fill in the knob plate")
    if above.Class() != "Read":
        raise JobError(
            f"{above.name()} lies between {node.name()} and its Read, and Paintover reads the files themselves",
            f"move {above.name()} below, or write its result to disk and read that",
        )
    return above


def facts_of_read(read: Any, evaluated: Callable[[Any, str], str], working_space: str | None) -> ReadFacts:
    """What a Read says of its files.

    Args:
        evaluated: gives a file knob's text with Tcl evaluated, of a node and the knob's name.
        working_space: the project's, which a raw Read is taken to hold.

    Raises:
        JobError: it has no file, or its frames are not those of the timeline.
    """
    pattern = evaluated(read, "file")
    if not pattern:
        raise JobError(f"{read.name()} has no file", "choose one")
    shift = str(_value(read, "frame") or "").strip()
    if shift and shift != "frame":
        raise JobError(
            f"{read.name()} shifts its frames ({shift}), so that keyframes would not fit the files",
            "clear its frame knob and put a TimeOffset below Paintover",
        )
    colorspace = working_space if _value(read, "raw") else colorspace_name(_value(read, "colorspace"))
    return ReadFacts(pattern, int(_value(read, "first") or 0), int(_value(read, "last") or 0), colorspace)


def _disabled(node: Any) -> bool:
    return bool(_value(node, "disable")) and node.Class() != "Read"


def _value(node: Any, name: str) -> Any:
    knob = node.knob(name)
    return None if knob is None else knob.value()
