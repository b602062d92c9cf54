"""The worker of this Nuke, which remembers what it says of frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .client.host import FrameState
from .client.job import Job
from .client.worker_client import WorkerClient
from .patterns import frame_list
from .shown import ShownFrames, facts_of

__all__ = ["WatchingWorker"]


class WatchingWorker(WorkerClient):
    """A worker whose judgment of a frame is kept together with the files that were judged."""

    def __init__(self, shown: ShownFrames) -> None:
        super().__init__()
        self._shown = shown

    def states(self, job: Job, frames: str | None = None) -> list[Mapping[str, Any]]:
        """As :meth:`WorkerClient.states`. The files are looked at before: one that changes meanwhile was not judged."""
        before = {frame: facts_of(job, frame) for frame in frame_list(frames or job.frames)}
        found = super().states(job, frames)
        states = [FrameState(one["frame"], one["state"], one["reason"], one["path"]) for one in found]
        self._shown.note(job, states, before)
        return found
