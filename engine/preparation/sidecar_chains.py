"""One keyframe's chain through a plate: what it shares with others, where it goes on from, and what it writes.

::

    work/stmap/key_0001/after.npz   where the chain towards later frames stood when it was last saved, to go on from
    work/stmap/key_0001/before.npz  the same towards earlier frames
"""

from __future__ import annotations

import hashlib
import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import OpenImageIO as oiio

from engine.base.arrays import Floats, Mask
from engine.base.errors import ImageError
from engine.base.temporaries import clean_temporaries, replacing
from engine.color.config import ColorConfig
from engine.images.foreign_text import error_of
from engine.images.opening import open_picture
from engine.motion.following import Followed, begin_following, follow
from engine.motion.layers import LayeredFrame, Steps, layered_frame
from engine.motion.stmap import HASH_ATTRIBUTE, read_sidecars, sidecar_path, write_sidecar
from engine.preparation.marks import suffix_of
from engine.preparation.parallel import Stop, stopped
from engine.preparation.saved_arrays import load_arrays
from engine.shot.matte_reader import MatteReader
from engine.shot.plate import PlateReader
from engine.shot.shot import Plate

__all__ = ["Chain", "Mattes", "SidecarJob", "Vectors"]

METHOD = "track-10"
"""Changes when the same plate would give another map."""
_LAYERS = "layers-1"
"""Likewise, of tracks by mattes."""
_SAVE_EVERY_S = 30.0
"""How much work a kill may cost; a chain's state at UHD is 250 MB, so it is not saved with every frame."""


class Vectors(Protocol):
    """Motion between neighbors from elsewhere, such as a renderer; see :mod:`engine.motion.flow_files`."""

    def forward(self, frame: int) -> Floats:
        """(H, W, 2) flow from a frame to the next one, pixels."""
        ...

    def backward(self, frame: int) -> Floats:
        """(H, W, 2) flow from a frame to the one before, pixels."""
        ...


@dataclass(frozen=True)
class Mattes:
    """The mattes that tell an object from what lies behind it."""

    reader: MatteReader
    blended: bool
    """Whether the object is laid over the plate by them as well."""

    @property
    def method(self) -> str:
        return f"{_LAYERS} blended" if self.blended else _LAYERS


@dataclass(frozen=True)
class SidecarJob:
    """What all chains share."""

    plate: Plate
    reader: PlateReader
    config: ColorConfig
    work: Path
    vectors: Vectors | None
    repaint: bool
    marks: dict[int, Mask | None]
    """Of the keyframes whose painting is known."""
    mattes: Mattes | None
    overwrite: bool
    stop: Stop

    def read(self, frame: int) -> LayeredFrame:
        found = self.reader.read(frame)
        linear = self.config.to_working(found.rgb, found.space)
        if self.mattes is None:
            return layered_frame(linear, None)
        matte = self.mattes.reader.fitted(frame, found.image.header, found.window)
        return layered_frame(linear, matte, blended=self.mattes.blended)

    def leave_if_asked(self, failed: threading.Event) -> None:
        if self.stop() or failed.is_set():
            raise stopped()


class Chain:
    """One keyframe followed in one direction; its frames depend on each other, in order."""

    def __init__(self, job: SidecarJob, key: int, towards: int) -> None:
        self.job, self.key, self.towards = job, key, towards
        frames = job.plate.frames.frames
        place = frames.index(key)
        # The keyframe's own sidecar belongs to the chain towards later frames.
        self.path = frames[place:] if towards > 0 else frames[place::-1]
        self.frames = self.path if towards > 0 else self.path[1:]
        self.state = sidecar_path(job.work, key, 0).parent / ("after.npz" if towards > 0 else "before.npz")
        self._marks = job.marks.get(key)
        self._suffix = suffix_of(self._marks)
        self._digests: dict[int, str] = {}
        self._missing: frozenset[int] = frozenset()
        self._start, self._last = 0, -1
        self._key: LayeredFrame | None = None
        self._followed: Followed | None = None
        self._reached: int | None = None
        """The frame that the track stands at, once that is not saved yet."""
        self._saved_at = 0.0

    def plan(self, results: queue.SimpleQueue[tuple[str, Path]], failed: threading.Event) -> None:
        """Find out what is missing, and from which frame on the chain must be followed."""
        job = self.job
        clean_temporaries(self.state.parent)
        self._digests = self._digested(failed)
        missing = []
        for frame in self.frames:
            job.leave_if_asked(failed)
            state = self._state_of(frame, self._digests[frame])
            if state == "missing":
                missing.append(frame)
            else:
                results.put((state, sidecar_path(job.work, self.key, frame)))
        if missing:
            self._missing = frozenset(missing)
            self._last = self.path.index(missing[-1])
            self._start = self._resume(self.path.index(missing[0]))

    def begins_at(self, frame: int) -> bool:
        """Whether the chain is taken up at this frame."""
        return self._last >= self._start and frame == self.path[self._start]

    def goes_through(self, frame: int) -> bool:
        """Whether the chain goes on from the frame before to this one."""
        if self._last <= self._start:
            return False
        first, last = self.path[self._start], self.path[self._last]
        return (frame - first) * self.towards > 0 and (last - frame) * self.towards >= 0

    def begin(self, current: LayeredFrame, results: queue.SimpleQueue[tuple[str, Path]]) -> None:
        """Take the chain up, at the keyframe or where it was left."""
        self._saved_at = time.monotonic()
        if self._followed is None:
            self._key, self._followed = current, begin_following(current)
            if self.key in self._missing:
                self._write(self.key, self._followed)
                results.put(("made", sidecar_path(self.job.work, self.key, self.key)))
            if self._last == self._start:
                self._key = self._followed = None
            return
        self._key = self.job.read(self.key)
        if self._followed.shape != current.whole.gray.shape:
            remedy = "delete it, and prepare again"
            raise ImageError("where the chain stands is of another size than the plate", path=self.state, remedy=remedy)

    def advance(
        self,
        frame: int,
        current: LayeredFrame,
        steps: Steps,
        flows: ThreadPoolExecutor,
        results: queue.SimpleQueue[tuple[str, Path]],
    ) -> None:
        """Go on to the next frame, and write its sidecar if it is missing; lets go of everything behind the last."""
        if self._followed is None or self._key is None:
            raise RuntimeError(f"the chain of keyframe {self.key} has not begun")
        self._reached = None
        self._followed = follow(
            self._followed, steps, current, self._key, marks=self._marks, repaint=self.job.repaint, pool=flows
        )
        if frame in self._missing:
            self._write(frame, self._followed)
            results.put(("made", sidecar_path(self.job.work, self.key, frame)))
        self._reached = frame
        last = frame == self.path[self._last]
        if last or time.monotonic() - self._saved_at > _SAVE_EVERY_S:
            self.save()
        if last:
            self._key = self._followed = None

    def save(self) -> None:
        """Write where the chain stands, unless that is on disk already."""
        if self._reached is None or self._followed is None:
            return
        digest = np.array(self._digests[self._reached])
        # A damaged one is told by its checksums, and costs time only: nothing waits for the disk.
        with replacing(self.state, flush=False) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, digest=digest, **self._followed.saved())
        self._reached, self._saved_at = None, time.monotonic()

    def _digested(self, failed: threading.Event) -> dict[int, str]:
        """For each frame a hash over the plate from the keyframe to it."""
        found: dict[int, str] = {}
        source = "dis" if self.job.vectors is None else f"vectors {self.job.vectors!r}"
        source += "" if self.job.repaint else ", nothing repainted"
        mattes = self.job.mattes
        method = METHOD if mattes is None else f"{METHOD} {mattes.method}"
        running = hashlib.sha256(f"{method} {source} {self.job.plate.colorspace} {self.job.config.working}".encode())
        for frame in self.path:
            self.job.leave_if_asked(failed)
            running.update(self.job.reader.sha256(frame).encode())
            if mattes is not None:
                running.update(mattes.reader.sha256(frame).encode())
            found[frame] = running.copy().hexdigest() + self._suffix
        return found

    def _state_of(self, frame: int, digest: str) -> str:
        """missing, kept or foreign."""
        path = sidecar_path(self.job.work, self.key, frame)
        if not path.is_file():
            return "missing"
        source = open_picture(path, frame=frame)
        if source is None:
            error_of(oiio)
            return "missing"
        spec = source.spec()
        source.close()
        written = spec.get_string_attribute(HASH_ATTRIBUTE)
        if not written:
            return "foreign"
        if self._marks is None:
            # Whoever made it knew the painting.
            written = written.partition("+")[0]
        if written != digest or self.job.overwrite:
            return "missing"
        try:
            read_sidecars([path], spec.height, spec.width, frame=frame)
        except ImageError:
            return "missing"
        return "kept"

    def _write(self, frame: int, followed: Followed) -> None:
        flow, confidence, elsewhere = followed.places()
        path = sidecar_path(self.job.work, self.key, frame)
        write_sidecar(path, flow, confidence, confidence.shape, self._digests[frame], elsewhere)

    def _resume(self, first: int) -> int:
        """Load the saved track if it stands before the first missing frame; returns where it stands, else 0."""
        try:
            saved = load_arrays(self.state)
            digest, followed = str(saved["digest"]), Followed.restored(saved, 1 if self.job.mattes is None else 2)
        except (ValueError, KeyError):
            return 0
        for index, frame in enumerate(self.path[:first]):
            if self._digests[frame] == digest:
                self._followed = followed
                return index
        return 0
