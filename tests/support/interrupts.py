"""Stops: Ctrl-C that comes after so many steps, and the mark of tests that send signals."""

from __future__ import annotations

from engine.base.stop_flag import StopFlag


class StopAfter(StopFlag):
    """Ctrl-C after so many looks at the flag, of which there is one a step."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    @property  # type: ignore[override]
    def exit_code(self) -> int:
        self._left -= 1
        return 130 if self._left < 0 else 0
