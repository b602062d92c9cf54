"""One clip of Resolve's timeline as a :class:`client.host.Host`. What it says goes to Resolve's console."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .client.errors import JobError
from .client.host import FrameState, Host
from .client.job import Job, JobKeyframe

__all__ = ["ResolveHost", "stop_file", "take_stop"]

_KEYFRAMES = "keyframes.json"
_STEP = 0.1
"""How far work must have come for another line in the console."""


def stop_file(work: str | Path) -> Path:
    """A file that stops what is at work, because a script in Resolve has no Cancel button."""
    return Path(work) / "stop"


def take_stop(work: str | Path) -> bool:
    """Whether the file is there; it is taken away, so that it stops one thing."""
    path = stop_file(work)
    if not path.exists():
        return False
    try:
        path.unlink()
    except OSError:
        pass  # It stops this work all the same.
    return True


class ResolveHost(Host):
    """A clip, its frames on disk, and its work folder, which also remembers the keyframes."""

    def __init__(
        self,
        job: Job,
        name: str,
        frame: Callable[[], int],
        say: Callable[[str], None] = print,
        stopped: Callable[[str, float], bool] | None = None,
    ) -> None:
        """
        Args:
            job: the clip's; its keyframes come from the work folder.
            name: Resolve and its version.
            frame: the number of the source file under the playhead.
            say: shows one line.
            stopped: asked with title and fraction whether to stop; None for a file ``stop`` in the work folder.
        """
        self._job = job
        self._name = name
        self._frame = frame
        self._say = say
        self._stopped = stopped
        self._told: tuple[str, float] = ("", -1.0)
        self._last: tuple[str, float] = ("", 0.0)
        self.states: dict[int, FrameState] = {}
        """What is known of each frame, by its number."""

    @property
    def name(self) -> str:
        """Resolve and its version."""
        return self._name

    def current_frame(self) -> int:
        """The number of the source file under the playhead."""
        return self._frame()

    def job(self) -> Job:
        """The clip's job, with the keyframes that were added."""
        return replace(self._job, keyframes=self._keyframes())

    def add_keyframe(self, frame: int, painting: str) -> None:
        """Remembered in the work folder."""
        kept = [*self._keyframes(), JobKeyframe(frame, painting)]
        data = [{"frame": one.frame, "painting": one.painting} for one in sorted(kept, key=lambda one: one.frame)]
        path = Path(self._job.work) / _KEYFRAMES
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f"{path.name}.{os.getpid()}")
            temporary.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
            os.replace(temporary, path)  # noqa: PTH105 (one call, whatever the system)
        except OSError as error:
            raise JobError(f"cannot write {path}: {error.strerror or error}", "choose another root") from error

    def show_progress(self, title: str, fraction: float, text: str) -> None:
        """A line at each tenth, because the console keeps every line."""
        self._last = (title, fraction)
        if title != self._told[0] or fraction >= self._told[1] + _STEP or fraction >= 1 > self._told[1]:
            self._told = (title, fraction)
            self._say(f"{title}: {fraction:.0%} {text}".rstrip())

    def cancelled(self) -> bool:
        """Whether the file ``stop`` is there; it is taken away."""
        return take_stop(self._job.work) if self._stopped is None else self._stopped(*self._last)

    def message(self, level: str, text: str) -> None:
        """A line in the console."""
        self._say(text if level == "info" else f"{level}: {text}")

    def show_preview(self, path: str) -> None:
        """Its path, once; the image is replaced in place."""
        if self._told[0] != path:
            self._told = (path, 0.0)
            self._say(f"preview: {path}")

    def show_result(self, pattern: str, states: Sequence[FrameState]) -> None:
        """Remembered; the timeline gets frames only when all of a clip are right."""
        for state in states:
            self.states[state.frame] = state

    def _keyframes(self) -> tuple[JobKeyframe, ...]:
        path = Path(self._job.work) / _KEYFRAMES
        if not path.is_file():
            return ()
        try:
            data: Any = json.loads(path.read_text(encoding="utf-8"))
            found = (JobKeyframe(int(one["frame"]), str(one["painting"]), one.get("matte")) for one in data)
            return tuple(found)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise JobError(f"cannot read the keyframes in {path}: {error}", "correct the file, or delete it") from error
