"""What can go wrong on the host's side of the process boundary.

Standard library only, Python 3.9: this runs inside a host. The worker's side has the tree of :mod:`engine.base.errors`.

::

    HostError                 exit 1
    |-- JobError              exit 2   a job or message that does not follow its schema, or is of another version
    |-- CommandMissing        exit 2   the host cannot find the paintover command
    |-- RequestFailed                  Paintover refused or failed; the exit code is the one that it gave
    |-- RequestCancelled      exit 130 stopped on request; finished frames stay
    `-- WorkerCrashed         exit 1   the worker ended by itself, again after it was started anew
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["CommandMissing", "HostError", "JobError", "RequestCancelled", "RequestFailed", "WorkerCrashed"]


class HostError(Exception):
    """Base of the tree; ``str`` is one line that says what was wrong and what to do."""

    exit_code = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return " ".join((f"{self.message}; {self.remedy}" if self.remedy else self.message).split())


class JobError(HostError):
    """Not a job, or not a message, that this version understands."""

    exit_code = 2


class CommandMissing(HostError):
    """There is no paintover command to start."""

    exit_code = 2


class RequestFailed(HostError):
    """Paintover's own one line; ``frame``, ``path`` and, of several failed frames, ``frames`` say where."""

    def __init__(
        self,
        message: str,
        exit_code: int = 1,
        frame: int | None = None,
        path: str | None = None,
        frames: dict[int, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.frame = frame
        self.path = path
        self.frames = frames or {}

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> RequestFailed:
        """The error that a ``failed`` event tells of."""
        return cls(
            str(event.get("message") or "the request failed"),
            int(event.get("exit_code", 1)),
            event.get("frame"),
            event.get("path"),
            {int(frame): str(why) for frame, why in dict(event.get("frames") or {}).items()},
        )


class RequestCancelled(HostError):
    """Stopped on request."""

    exit_code = 130


class WorkerCrashed(HostError):
    """The worker ended by itself twice in a row; it is not started again until somebody asks for it."""
