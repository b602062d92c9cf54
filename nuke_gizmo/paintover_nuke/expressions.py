"""What the expressions inside the node ask, for each frame: may it be shown, and if not, why.

Nothing here starts a process or waits: Nuke asks while it draws.
"""

from __future__ import annotations

from . import nuke_host
from .client.errors import HostError
from .client.host import FrameState

__all__ = ["FAILS", "NOTICE", "RESULT", "missing_path", "reason", "which"]

FAILS, RESULT, NOTICE = 0, 1, 2
"""Inputs of the Switch inside: a Read that fails, the frame, the reason as an image."""


def which() -> int:
    """The input of the Switch for the frame that is asked for. Never the plate."""
    host, _ = nuke_host.asking()
    if _state().shown:
        return RESULT
    drawing = nuke_host.has_window() and not nuke_host.executing()
    return NOTICE if drawing and host.text("missing") == "notice" else FAILS


def reason() -> str:
    """Why the frame is not shown; empty where it is."""
    return _state().reason


def missing_path() -> str:
    """A path that does not exist and says why, because Nuke's message for a Read that fails is its path."""
    state = _state()
    return "" if state.shown else f"{state.path} ({state.reason.replace('/', '|')})"


def _state() -> FrameState:
    host, frame = nuke_host.asking()
    try:
        job = host.job()
        if not host.result_matches(job):
            return FrameState(frame, "unknown", "the knobs changed since the result was looked at: press Refresh", "")
        return nuke_host.SHOWN.state(job, frame)
    except HostError as error:
        return FrameState(frame, "unknown", str(error), "")
