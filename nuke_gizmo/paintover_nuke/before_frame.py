"""Before a Write renders a frame, every Paintover node above it is asked for that frame.

In the mode frames it is checked, in on_demand it is rendered first. What cannot be had ends the render with its reason:
an exception here aborts it, and the plate is never passed through in its stead.
"""

from __future__ import annotations

import atexit

from . import nuke_host
from .above import Asked
from .buttons import quit_work, shared_worker
from .client.errors import CommandMissing, HostError, JobError, RequestFailed
from .nuke_host import SHOWN, NukeHost

__all__ = ["before_frame", "before_render", "register"]


def register() -> None:
    """Have Nuke call this module; once in a session."""
    nuke_host.register_callbacks(before_render, before_frame)
    atexit.register(quit_work)


def before_render() -> None:
    """Point the Reads inside at the frames that are to come: a script may never have been refreshed.

    Raises:
        RuntimeError: a node's knobs are wrong.
    """
    for host, _ in nuke_host.upstream():
        try:
            job = host.job()
            if not host.result_matches(job):
                host.point_result(job)
        except HostError as error:
            raise _ended(host, error) from error


def before_frame() -> None:
    """Make sure of the frame that comes next.

    Raises:
        RuntimeError: it cannot be had.
    """
    for host, asked in nuke_host.upstream():
        try:
            _ensure(host, asked)
        except HostError as error:
            raise _ended(host, error) from error


def _ensure(host: NukeHost, asked: Asked) -> None:
    job = host.job()
    frame = asked.frame
    if frame is None:
        if host.text("mode") == "on_demand":
            raise JobError(
                f"{asked.retimed_by} changes time, so that nobody knows which frame to render",
                "render the frames first, with the mode frames",
            )
        return  # The node itself still fails where a frame is not right.
    known = SHOWN.state(job, frame)
    if known.shown:
        return
    try:
        if host.text("mode") == "on_demand":
            shared_worker().render(job, str(frame))
        shared_worker().states(job, str(frame))
    except CommandMissing as error:
        # A machine without Paintover can still use what another one has checked, and only that.
        raise RequestFailed(f"{known.reason}; {error}", error.exit_code, frame, known.path) from error
    now = SHOWN.state(job, frame)
    if not now.shown:
        raise RequestFailed(f"{now.reason} ({now.path})", 1, frame, now.path)
    host.reload()


def _ended(host: NukeHost, error: HostError) -> RuntimeError:
    return RuntimeError(f"Paintover: {host.label}: {error}")
