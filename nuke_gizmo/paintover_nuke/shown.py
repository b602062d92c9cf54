"""Which frames may be shown, remembered until a file that they depend on changes.

Paintover judges a frame by its hashes, which takes a moment; a node is asked many times a second. So what was judged is
kept together with size and time of every file behind it, and holds only as long as all of them are as they were.

Knows nothing of Nuke; Python 3.9, standard library only.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .client.host import FrameState
from .client.job import Job
from .patterns import frame_path

__all__ = ["Facts", "ShownFrames", "facts_of"]

Facts = list[list[Any]]
"""Path, time and size of every file that decides about a frame."""

_DECIDES = ("plate", "colorspace", "out", "work", "look_path", "out_colorspace", "ocio", "tile", "carried", "guides")
"""What of a job a frame depends on; the rest is about training."""


class ShownFrames:
    """What is known of frames on disk, in this process and, beside the frames' work folder, for later ones."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, dict[str, Any]] = {}

    def note(self, job: Job, states: Sequence[FrameState], facts: Mapping[int, Facts]) -> None:
        """Remember what Paintover said of frames.

        Args:
            facts: of the frames as they were before Paintover looked; what changed meanwhile is not known.
        """
        key = _key(job)
        with self._lock:
            frames = self._frames(key, job)
            for state in states:
                known = {"state": state.state, "reason": state.reason, "facts": facts.get(state.frame)}
                frames[str(state.frame)] = known

    def keep(self, job: Job) -> None:
        """Write to disk what is known. A farm's machines do not, because they would overwrite each other."""
        key = _key(job)
        with self._lock:
            _write(_file(job, key), {"key": key, "frames": self._frames(key, job)})

    def state(self, job: Job, frame: int) -> FrameState:
        """What may be done with a frame now, with the reason for one that may not be shown."""
        key = _key(job)
        path = frame_path(job.out or "", frame)
        with self._lock:
            known = self._frames(key, job).get(str(frame))
        if known is None:
            return FrameState(frame, "unknown", f"frame {frame} was not looked at yet: press Refresh", path)
        if known["facts"] != facts_of(job, frame):
            return FrameState(
                frame, "unknown", f"frame {frame}, or what it was made from, changed on disk: press Refresh", path
            )
        return FrameState(frame, str(known["state"]), str(known["reason"]), path)

    def forget(self) -> None:
        """Forget what this process knows; what is on disk stays."""
        with self._lock:
            self._known.clear()

    def _frames(self, key: str, job: Job) -> dict[str, Any]:
        if key not in self._known:
            self._known[key] = _read(_file(job, key), key)
        return self._known[key]


def _key(job: Job) -> str:
    values = {name: getattr(job, name) for name in _DECIDES}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _file(job: Job, key: str) -> Path:
    return Path(job.work) / "nuke" / f"shown-{key[:12]}.json"


def facts_of(job: Job, frame: int) -> Facts:
    """Path, time and size of every file that decides about a frame; a file that is not there has none."""
    work = Path(job.work)
    paths = [frame_path(job.out or "", frame), job.look_path, frame_path(job.plate, frame)]
    if job.guides:
        paths += sorted(str(path) for path in (work / "stmap").glob(f"key_*/{frame:04d}.exr"))
    paths += [str(work / "guide" / f"{frame:04d}.exr"), str(work / "denoised" / f"plate.{frame:04d}.exr")]
    return [_fact(path) for path in paths]


def _fact(path: str) -> list[Any]:
    try:
        found = os.stat(path)  # noqa: PTH116 (many times a second)
    except OSError:
        return [path, None, None]
    return [path, found.st_mtime_ns, found.st_size]


def _read(path: Path, key: str) -> dict[str, Any]:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        frames = kept["frames"]
        if kept["key"] == key and all({"state", "reason", "facts"} <= set(one) for one in frames.values()):
            return dict(frames)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # Nothing is known, which Refresh mends.
    return {}


def _write(path: Path, value: Any) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(value), encoding="utf-8")
        os.replace(temporary, path)  # noqa: PTH105 (one call, whatever the system)
    except OSError:
        pass  # A folder that cannot be written: this process knows all the same.
