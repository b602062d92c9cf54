"""Clock of the frames that one process works on at once: how much of its time each of them had."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["FrameClock"]


class FrameClock:
    """Gives each frame in flight an equal share of the time that passes, as they share the process's threads.

    Four frames in flight for eight seconds have had two each. So a frame that began among many and ends alone is not
    judged by the few that are left, as the last frames of a chunk would be.

    Args:
        now: seconds, ever rising.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._last = now()
        self._shared_s = 0.0
        """What a frame would have had that was in flight from the beginning."""
        self._began: dict[int, tuple[float, float]] = {}
        """For each frame in flight the shared and the real time when it began, seconds."""

    def begin(self, frame: int) -> None:
        """A frame's work begins."""
        self._pass()
        self._began[frame] = (self._shared_s, self._last)

    def end(self, frame: int) -> None:
        """A frame is done; one that never began is passed over."""
        self._pass()
        self._began.pop(frame, None)

    def late(self, limit_s: float) -> dict[int, float]:
        """The frames that had more than ``limit_s`` to themselves, and for how many real seconds they are in flight."""
        self._pass()
        return {
            frame: self._last - began
            for frame, (shared, began) in self._began.items()
            if self._shared_s - shared > limit_s
        }

    def _pass(self) -> None:
        now = self._now()
        if self._began:
            self._shared_s += (now - self._last) / len(self._began)
        self._last = now
