"""Advice at the desk: how much of each frame the paintings carry, and which frame to paint next."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.base.arrays import Bytes
from engine.base.errors import Interrupted, PaintoverError
from engine.color.config import ColorConfig
from engine.shot.paintings import painted_coverage
from engine.shot.shot import Plate
from plugin.desk.paintings import Paintings
from plugin.report.advice import advice_of, luma_of, plan_paintings
from plugin.report.stills import STILL_PX, Stills

__all__ = ["Adviser", "FoundAdvice"]

_COUNT = 3
_QUIET_S = 2.0
"""After the last change: nobody needs advice in the middle of a stroke."""


@dataclass(frozen=True)
class FoundAdvice:
    """What was found last, as JSON values."""

    carried: list[float] = field(default_factory=list)
    """Share of each frame that rides on a painting; empty while nothing is known."""
    suggested: list[dict[str, Any]] = field(default_factory=list)
    """Frames to paint, with what each would add."""
    advice: str = ""
    """One sentence."""


class Adviser:
    """Finds advice anew when paintings changed, in a thread of its own."""

    def __init__(
        self,
        plate: Plate,
        config: ColorConfig,
        paintings: Paintings,
        work: Path,
        on_found: Callable[[], None],
        say: Callable[[str, str], None],
    ) -> None:
        self.found = FoundAdvice()
        self._plate, self._config, self._paintings, self._work = plate, config, paintings, work
        self._on_found, self._say = on_found, say
        self._luma: dict[int, Bytes] = {}
        self._size = (0, 0)
        self._wanted = threading.Event()
        self._closed = threading.Event()

    def start(self) -> None:
        """Begin."""
        self._wanted.set()
        threading.Thread(target=self._loop, name="advice", daemon=True).start()

    def close(self) -> None:
        """End."""
        self._closed.set()
        self._wanted.set()

    def renew(self) -> None:
        """The paintings or their tracks changed."""
        self._wanted.set()

    def _loop(self) -> None:
        while True:
            self._wanted.wait()
            while self._wanted.is_set() and not self._closed.is_set():
                self._wanted.clear()
                self._closed.wait(_QUIET_S)
            if self._closed.is_set():
                return
            try:
                self.found = self._find()
            except Interrupted:
                continue
            except PaintoverError as error:
                self._say("warning", f"no advice on what to paint: {error}")
                continue
            self._on_found()

    def _find(self) -> FoundAdvice:
        stills = Stills(self._plate.path, self._plate.colorspace, self._config, STILL_PX)
        for frame in self._plate.frames:
            self._tick(0.0)
            if frame not in self._luma:
                still = stills(frame)
                self._size = still.size
                self._luma[frame] = luma_of(still.rgb)
        coverage = {each.frame: painted_coverage(each, self._plate) for each in self._paintings.trained_from()}
        plan, _ = plan_paintings(self._luma, self._size, coverage, self._work, _COUNT, self._tick)
        suggested = [{"frame": one.frame, "gain": round(one.gain, 4)} for one in plan.chosen]
        carried = [round(share, 4) for share in plan.painted_curve]
        return FoundAdvice(carried, suggested, advice_of(plan).reason)

    def _tick(self, _fraction: float) -> None:
        if self._closed.is_set() or self._wanted.is_set():
            raise Interrupted("the paintings changed meanwhile")
