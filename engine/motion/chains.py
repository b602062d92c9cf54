"""Makes STMap sidecars: for each keyframe and frame where every pixel was in the keyframe, and how sure that is.

::

    work/stmap/key_0001/0007.exr    R = u, G = v (Nuke's: 0..1, origin lower left), A = confidence; float
    work/stmap/key_0001/after.npz   where the chain towards later frames stands, to go on from after a stop
    work/stmap/key_0001/before.npz  the same towards earlier frames

A sidecar carries the hash of every plate frame that its chain went through, so it is made again exactly when one of
them changed. One that carries no hash was put there by somebody, who knows better than flow: it stays. The same plate
gives the same bytes, alone, in parallel, or after a stop.

Chains of one direction sweep through the plate together: a frame is decoded, and its flow to the neighbor estimated,
once for all of them.
"""

from __future__ import annotations

import hashlib
import logging
import queue
import threading
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import OpenImageIO as oiio

from engine.base.arrays import Floats
from engine.base.errors import ImageError, InputError, Interrupted
from engine.base.machine import cpu_count
from engine.base.temporaries import clean_temporaries, replacing
from engine.color.config import ColorConfig
from engine.motion.borrow import Loan, lend, nothing_lent
from engine.motion.flow import estimate, one_thread
from engine.motion.stmap import HASH_ATTRIBUTE, read_sidecars, sidecar_path, write_sidecar
from engine.motion.track import Track, View, advance, begin, view
from engine.shot.plate import plate_sha256
from engine.shot.shot import Plate
from engine.shot.windows import read_frame

__all__ = [
    "HASH_ATTRIBUTE",
    "Prepared",
    "Vectors",
    "prepare_sidecars",
]

log = logging.getLogger(__name__)

METHOD = "track-4"
"""Changes when the same plate would give another map."""
_LEAST_TOGETHER = 3
"""Chains that sweep together however few cores there are; each holds its keyframe and a track in memory."""


class Vectors(Protocol):
    """Motion between neighbors from elsewhere, such as a renderer; see :mod:`engine.motion.flow_files`."""

    def forward(self, frame: int) -> Floats:
        """(H, W, 2) flow from a frame to the next one, pixels."""
        ...

    def backward(self, frame: int) -> Floats:
        """(H, W, 2) flow from a frame to the one before, pixels."""
        ...


@dataclass(frozen=True)
class Prepared:
    """What became of the sidecars."""

    made: int
    kept: int
    """Were right already."""
    foreign: tuple[Path, ...]
    """Put there by somebody else, and left alone."""


def prepare_sidecars(
    plate: Plate,
    keys: Sequence[int],
    work: Path,
    *,
    vectors: Vectors | None = None,
    threads: int | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int, str], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Prepared:
    """Make the sidecars that are missing or no longer right.

    Memory does not grow with the number of frames, nor with that of keyframes beyond those that sweep together: a sweep
    holds two frames and their flows, and for each of its chains the keyframe and a track.

    Args:
        plate: the frames to map; chains run through all of them.
        keys: keyframes, each one of the plate's frames.
        work: the work folder.
        vectors: flow between neighbors; None to estimate it.
        threads: computing side by side; None for the machine's cores. Never changes a byte.
        overwrite: make every sidecar again, except those that somebody put there.
        progress: receives sidecars done, all of them, and a text.
        stop: asked between frames.

    Raises:
        InputError: a keyframe that is not in the range; vectors, with a range that leaves frames out.
        ImageError: a frame is missing, damaged, or of another size than its keyframe.
        OutputError: a sidecar cannot be written.
        Interrupted: ``stop`` said so; what is done stays.
    """
    for key in keys:
        if key not in plate.frames:
            raise InputError(f"keyframe {key} is outside the frame range {plate.frames}", remedy="widen --frames")
    frames = plate.frames.frames
    if vectors is not None and frames[-1] - frames[0] + 1 != len(frames):
        remedy = "prepare every frame, and render those that you need"
        raise InputError(f"motion vectors join neighboring frames, but {plate.frames} leaves some out", remedy=remedy)
    job = _Job(plate, Path(work), ColorConfig.active(), vectors, overwrite, stop or (lambda: False))
    count = max(1, threads or cpu_count())
    sweeps = _sweeps(job, keys, max(_LEAST_TOGETHER, count // 2))
    total = sum(len(chain.frames) for sweep in sweeps for chain in sweep.chains)
    results: queue.SimpleQueue[tuple[str, Path]] = queue.SimpleQueue()
    made = kept = done = 0
    foreign: list[Path] = []
    failed = threading.Event()
    with (
        one_thread(),
        ThreadPoolExecutor(count, thread_name_prefix="flow") as flows,
        ThreadPoolExecutor(count, thread_name_prefix="track") as tracks,
    ):
        # Both directions at once, as long as there is more than one core.
        with ThreadPoolExecutor(min(count, 2), thread_name_prefix="sweep") as pool:
            pending = {pool.submit(sweep.run, flows, tracks, results, failed) for sweep in sweeps}
            error: BaseException | None = None
            try:
                while pending or not results.empty():
                    finished: set[Future[None]] = set()
                    if pending:
                        finished, pending = wait(pending, timeout=0.1, return_when=FIRST_COMPLETED)
                    for future in finished:
                        problem = future.exception()
                        if problem is not None:
                            failed.set()
                            # The first real error explains the others.
                            error = problem if error is None or isinstance(error, Interrupted) else error
                    while not results.empty():
                        what, path = results.get()
                        done += 1
                        made, kept = made + (what == "made"), kept + (what == "kept")
                        if what == "foreign":
                            foreign.append(path)
                        if progress is not None:
                            progress(done, total, f"{path.parent.name}, frame {int(path.stem)}")
            finally:
                # Whatever ends this loop, an error in ``progress`` included, ends the chains.
                failed.set()
            if error is not None:
                raise error
    return Prepared(made, kept, tuple(sorted(foreign)))


@dataclass(frozen=True)
class _Job:
    plate: Plate
    work: Path
    config: ColorConfig
    vectors: Vectors | None
    overwrite: bool
    stop: Callable[[], bool]
    hashes: dict[int, str] = field(default_factory=dict)
    """Of the plate's frames, as far as they were asked for."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def view(self, frame: int) -> View:
        path = self.plate.path.path(frame)
        read = read_frame(self.plate.path, frame)
        space = self.plate.colorspace or self.config.guess(read.image.header, path)
        return view(self.config.to_working(read.rgb, self.config.resolve(space)))

    def sha256(self, frame: int) -> str:
        """Of the frame's file, which is read once for all chains."""
        with self.lock:
            if frame not in self.hashes:
                self.hashes[frame] = plate_sha256(self.plate.path, frame)
            return self.hashes[frame]

    def leave_if_asked(self, failed: threading.Event) -> None:
        if self.stop() or failed.is_set():
            raise Interrupted("stopped on request", remedy="run again to prepare the rest")


def _sweeps(job: _Job, keys: Sequence[int], together: int) -> list[_Sweep]:
    """Neighboring keyframes in groups, each followed towards later and towards earlier frames."""
    ordered = sorted(keys)
    groups = [ordered[start : start + together] for start in range(0, len(ordered), together)]
    return [_Sweep(job, group, towards) for group in groups for towards in (1, -1)]


class _Sweep:
    """Keyframes followed in one direction, frame by frame side by side."""

    def __init__(self, job: _Job, keys: Sequence[int], towards: int) -> None:
        self.job, self.towards = job, towards
        self.chains = [_Chain(job, key, towards) for key in keys]

    def run(
        self,
        flows: ThreadPoolExecutor,
        tracks: ThreadPoolExecutor,
        results: queue.SimpleQueue[tuple[str, Path]],
        failed: threading.Event,
    ) -> None:
        """Make what is missing."""
        for chain in self.chains:
            chain.plan(results, failed)
        before, previous = 0, None
        for frame in self.job.plate.frames.frames[:: self.towards]:
            entering = [chain for chain in self.chains if chain.begins_at(frame)]
            passing = [chain for chain in self.chains if chain.goes_through(frame)]
            if not entering and not passing:
                previous = None
                continue
            self.job.leave_if_asked(failed)
            current = self.job.view(frame)
            if passing and previous is not None:
                self._check_size(frame, current, previous, passing[0].key)
                back, forth = self._steps(before, frame, previous, current, flows)
                advanced = [
                    tracks.submit(chain.advance, frame, current, back, forth, flows, results) for chain in passing
                ]
                wait(advanced)
                for future in advanced:
                    future.result()
            for chain in entering:
                chain.begin(current, results)
            before, previous = frame, current

    def _check_size(self, frame: int, current: View, previous: View, key: int) -> None:
        height, width = current.gray.shape
        if previous.gray.shape != (height, width):
            raise ImageError(
                f"this frame is {width}x{height}, keyframe {key} is {previous.gray.shape[1]}x{previous.gray.shape[0]}",
                frame=frame,
                path=self.job.plate.path.path(frame),
                remedy="one shot has one size; leave the frame out of --frames",
            )

    def _steps(
        self, before: int, frame: int, previous: View, current: View, flows: ThreadPoolExecutor
    ) -> tuple[Floats, Floats]:
        """Flow from the new frame to the previous one, and the other way."""
        vectors = self.job.vectors
        if vectors is None:
            forth = flows.submit(estimate, previous.gray, current.gray)
            return estimate(current.gray, previous.gray), forth.result()
        pair = (vectors.backward(frame), vectors.forward(before))
        if self.towards < 0:
            pair = (vectors.forward(frame), vectors.backward(before))
        for flow in pair:
            if flow.shape[:2] != current.gray.shape:
                raise ImageError(
                    f"the motion vectors are {flow.shape[1]}x{flow.shape[0]} and the plate "
                    f"{current.gray.shape[1]}x{current.gray.shape[0]}",
                    frame=frame,
                    remedy="write them in the plate's size",
                )
        return pair


class _Chain:
    """One keyframe followed in one direction; its frames depend on each other, in order."""

    def __init__(self, job: _Job, key: int, towards: int) -> None:
        self.job, self.key, self.towards = job, key, towards
        frames = job.plate.frames.frames
        place = frames.index(key)
        # The keyframe's own sidecar belongs to the chain towards later frames.
        self.path = frames[place:] if towards > 0 else frames[place::-1]
        self.frames = self.path if towards > 0 else self.path[1:]
        self.state = sidecar_path(job.work, key, 0).parent / ("after.npz" if towards > 0 else "before.npz")
        self._digests: dict[int, str] = {}
        self._missing: frozenset[int] = frozenset()
        self._start, self._last = 0, -1
        self._view: View | None = None
        self._track: Track | None = None
        self._loan: Loan | None = None

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

    def begin(self, current: View, results: queue.SimpleQueue[tuple[str, Path]]) -> None:
        """Take the chain up, at the keyframe or where it was left."""
        if self._track is None:
            self._view, self._track, self._loan = current, begin(current), nothing_lent(*current.gray.shape)
            if self.key in self._missing:
                self._write(self.key)
                results.put(("made", sidecar_path(self.job.work, self.key, self.key)))
            if self._last == self._start:
                self._view = self._track = self._loan = None
            return
        self._view = self.job.view(self.key)
        if self._track.to_key.shape[:2] != current.gray.shape:
            remedy = "delete it, and prepare again"
            raise ImageError("where the chain stands is of another size than the plate", path=self.state, remedy=remedy)

    def advance(
        self,
        frame: int,
        current: View,
        back: Floats,
        forth: Floats,
        flows: ThreadPoolExecutor,
        results: queue.SimpleQueue[tuple[str, Path]],
    ) -> None:
        """Go on to the next frame, and write its sidecar if it is missing; lets go of everything behind the last."""
        if self._track is None or self._loan is None or self._view is None:
            raise RuntimeError(f"the chain of keyframe {self.key} has not begun")
        self._track = advance(self._track, back, forth, current, self._view, flows)
        self._loan = lend(self._loan, back, self._track, current, self._view)
        if frame in self._missing:
            self._write(frame)
            self._save(self._digests[frame], self._track, self._loan)
            results.put(("made", sidecar_path(self.job.work, self.key, frame)))
        if frame == self.path[self._last]:
            self._view = self._track = self._loan = None

    def _digested(self, failed: threading.Event) -> dict[int, str]:
        """For each frame a hash over the plate from the keyframe to it."""
        found: dict[int, str] = {}
        source = "dis" if self.job.vectors is None else f"vectors {self.job.vectors!r}"
        running = hashlib.sha256(f"{METHOD} {source} {self.job.plate.colorspace} {self.job.config.working}".encode())
        for frame in self.path:
            self.job.leave_if_asked(failed)
            running.update(self.job.sha256(frame).encode())
            found[frame] = running.copy().hexdigest()
        return found

    def _state_of(self, frame: int, digest: str) -> str:
        """missing, kept or foreign."""
        path = sidecar_path(self.job.work, self.key, frame)
        if not path.is_file():
            return "missing"
        source = oiio.ImageInput.open(str(path))
        if source is None:
            oiio.geterror()
            return "missing"
        spec = source.spec()
        source.close()
        written = spec.get_string_attribute(HASH_ATTRIBUTE)
        if not written:
            return "foreign"
        if written != digest or self.job.overwrite:
            return "missing"
        try:
            read_sidecars([path], spec.height, spec.width, frame=frame)
        except ImageError:
            return "missing"
        return "kept"

    def _write(self, frame: int) -> None:
        if self._track is None or self._loan is None:
            raise RuntimeError(f"the chain of keyframe {self.key} has not begun")
        flow, confidence, borrowed = self._loan.joined(self._track)
        path = sidecar_path(self.job.work, self.key, frame)
        write_sidecar(path, flow, confidence, confidence.shape, self._digests[frame], borrowed)

    def _save(self, digest: str, track: Track, loan: Loan) -> None:
        with replacing(self.state) as temporary, temporary.open("wb") as file:
            of = np.array(digest)
            np.savez(file, digest=of, to_key=track.to_key, from_key=track.from_key, loan=loan.flow, lent=loan.lent)

    def _resume(self, first: int) -> int:
        """Load the saved track if it stands before the first missing frame; returns where it stands, else 0."""
        try:
            with np.load(self.state, allow_pickle=False) as saved:
                digest, to_key, from_key = str(saved["digest"]), saved["to_key"], saved["from_key"]
                loan, lent = saved["loan"], saved["lent"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return 0
        for index, frame in enumerate(self.path[:first]):
            alike = to_key.shape == from_key.shape == loan.shape == (*lent.shape, 2)
            if self._digests[frame] == digest and alike:
                nothing = np.zeros(lent.shape, np.float32)
                self._track, self._loan = Track(to_key, from_key, nothing), Loan(loan, lent, nothing)
                return index
        return 0
