"""Which Paintover nodes a Write asks for which frame: up through groups, switches, and nodes that change time.

Knows nodes by their methods alone, not Nuke.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Asked", "asked_above"]

_RETIMES = ("AppendClip", "Kronos", "OFlow", "OFlow2", "Retime", "TimeClip", "TimeWarp")
"""Nodes that ask for frames which cannot be told from their knobs alone."""


@dataclass(frozen=True)
class Asked:
    """One Paintover node above a Write."""

    node: Any
    frame: int | None
    """The frame that the Write's frame needs of it; None where a node in between changes time in its own way."""
    retimed_by: str = ""
    """That node."""


def asked_above(write: Any, frame: int, found: Callable[[str], Any]) -> list[Asked]:
    """Every Paintover node that a Write's frame needs.

    Args:
        found: gives a node by its full name, or None.
    """
    answer: list[Asked] = []
    seen: set[tuple[str, int | None]] = set()
    waiting: list[tuple[Any, int | None, str]] = [(write, frame, "")]
    while waiting:
        node, at, retimed_by = waiting.pop()
        if node is None or (node.fullName(), at) in seen:
            continue
        seen.add((node.fullName(), at))
        disabled = bool(_value(node, "disable"))
        if node.knob("paintover_version") is not None and not disabled:
            answer.append(Asked(node, at, retimed_by))
            continue  # What lies above it are files to it.
        if not disabled:
            at, retimed_by = _time(node, at, retimed_by)
        waiting += [(one, at, retimed_by) for one in _inputs(node, disabled, found)]
    return sorted(answer, key=lambda one: str(one.node.fullName()))


def _inputs(node: Any, disabled: bool, found: Callable[[str], Any]) -> list[Any]:
    kind = node.Class()
    if disabled:
        return [node.input(0)]
    if kind == "Switch":
        return [node.input(int(_value(node, "which") or 0))]
    if kind in ("Group", "Gizmo", "LiveGroup"):
        # What it shows; its own inputs are reached from the Inputs inside, if they matter.
        return [node.output()]
    if kind == "Input":
        around = found(str(node.fullName()).rpartition(".")[0])
        return [] if around is None else [around.input(index) for index in range(around.inputs())]
    return [node.input(index) for index in range(node.inputs())]


def _time(node: Any, frame: int | None, retimed_by: str) -> tuple[int | None, str]:
    """The frame that a node asks its input for."""
    kind = node.Class()
    if kind in _RETIMES or (kind == "TimeOffset" and _value(node, "reverse_input")):
        return None, retimed_by or str(node.name())
    if frame is None:
        return None, retimed_by
    if kind == "TimeOffset":
        return frame - int(_value(node, "time_offset") or 0), ""
    if kind == "FrameHold":
        first = _value(node, "first_frame")
        first = int((_value(node, "firstFrame") if first is None else first) or 0)
        step = int(_value(node, "increment") or 0)
        return (first + (frame - first) // step * step if step > 0 else first), ""
    return frame, ""


def _value(node: Any, name: str) -> Any:
    knob = node.knob(name)
    return None if knob is None else knob.value()
