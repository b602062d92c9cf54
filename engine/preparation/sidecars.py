"""STMap sidecars made from a plate: for each keyframe and frame where every pixel was in the keyframe, and how sure.

::

    work/stmap/key_0001/0007.exr    R = u, G = v (Nuke's: 0..1, origin lower left), A = confidence; float
    work/stmap/key_0001/after.npz   where the chain towards later frames stood when it was last saved, to go on from
    work/stmap/key_0001/before.npz  the same towards earlier frames

A sidecar carries the hash of every plate frame that its chain went through, so it is made again exactly when one of
them changed. One that carries no hash was put there by somebody, who knows better than flow: it stays. The same plate
gives the same bytes, alone, in parallel, or after a stop.

Chains of one direction sweep through the plate together: a frame is decoded, and its flow to the neighbor estimated,
once for all of them.
"""

from __future__ import annotations

import hashlib
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import OpenImageIO as oiio

from engine.base.arrays import Floats, Mask
from engine.base.errors import ImageError, InputError, Interrupted
from engine.base.machine import cpu_count
from engine.base.temporaries import clean_temporaries, replacing
from engine.color.config import ColorConfig
from engine.images.foreign_text import error_of
from engine.images.opening import open_picture
from engine.motion.flow import one_thread
from engine.motion.layers import (
    LayeredFrame,
    Steps,
    advance_layers,
    begin_layers,
    given_steps,
    joined,
    layered_frame,
    neighbor_steps,
    within,
)
from engine.motion.repaint import Repainted, nothing_repainted, repaint_frame
from engine.motion.stmap import HASH_ATTRIBUTE, read_sidecars, sidecar_path, write_sidecar
from engine.motion.track import Track
from engine.preparation.marks import marks_of, suffix_of
from engine.preparation.parallel import MadeFiles, Progress, Stop, stopped
from engine.preparation.saved_arrays import load_arrays
from engine.shot.matte_reader import MatteReader
from engine.shot.matte_sequence import MatteSequence
from engine.shot.plate import PlateReader
from engine.shot.shot import Plate

__all__ = ["Vectors", "prepare_sidecars"]

METHOD = "track-8"
"""Changes when the same plate would give another map."""
_LAYERS = "layers-1"
"""Likewise, of tracks by mattes."""
_SAVE_EVERY_S = 30.0
"""How much work a kill may cost; a chain's state at UHD is 200 MB, so it is not saved with every frame."""
_SAVE_BEFORE_STOP_S = 2.0
"""For how long the states of chains are saved once a stop was asked for, which must come within five seconds."""
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


def prepare_sidecars(
    plate: Plate,
    keys: Sequence[int],
    work: Path,
    *,
    vectors: Vectors | None = None,
    repaint: bool = True,
    paintings: Mapping[int, Path] | None = None,
    matte: MatteSequence | None = None,
    threads: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> MadeFiles:
    """Make the sidecars that are missing or no longer right.

    Memory does not grow with the number of frames, nor with that of keyframes beyond those that sweep together: a sweep
    holds two frames and their flows, and for each of its chains the keyframe and a track.

    Args:
        plate: the frames to map; chains run through all of them.
        keys: keyframes, each one of the plate's frames.
        work: the work folder.
        vectors: flow between neighbors; None to estimate it.
        repaint: whether what no track reaches gets coordinates of places that look alike.
        paintings: of keyframes, as far as there are any: marks in them are not shown a second time.
        matte: of an object that is followed apart from what lies behind it, where it is there to track by; None to
            follow all as one.
        threads: computing side by side; None for the machine's cores. Never changes a byte.
        overwrite: make every sidecar again, except those that somebody put there.
        progress: receives sidecars done, all of them, and a text.
        stop: asked between frames.

    Raises:
        InputError: a keyframe that is not in the range; vectors, with a range that leaves frames out.
        ImageError: a frame or its matte is missing, damaged, or of another size than its keyframe.
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
    config = ColorConfig.active()
    reader = PlateReader.of(plate, config)
    layers = None
    if matte is not None and matte.tracked is not None:
        layers = _Mattes(MatteReader(matte.tracked, plate.path), blended=matte.stylized is not None)
    stop = stop or (lambda: False)
    job = _SidecarJob(plate, reader, config, Path(work), vectors, repaint, {}, layers, overwrite, stop)
    for key in sorted({*keys} & {*(paintings or {})} if repaint else ()):
        view = job.read(key).whole
        job.marks[key] = marks_of((paintings or {})[key], view.color, view.contrast)
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
                            progress(done, total, f"keyframe {int(path.parent.name[4:])}, frame {int(path.stem)}")
            finally:
                # Whatever ends this loop, an error in ``progress`` included, ends the chains.
                failed.set()
            if error is not None:
                raise error
    return MadeFiles(made, kept, tuple(sorted(foreign)))


@dataclass(frozen=True)
class _Mattes:
    """The mattes that tell an object from what lies behind it."""

    reader: MatteReader
    blended: bool
    """Whether the object is laid over the plate by them as well."""

    @property
    def method(self) -> str:
        return f"{_LAYERS} blended" if self.blended else _LAYERS


@dataclass(frozen=True)
class _SidecarJob:
    """What all chains share."""

    plate: Plate
    reader: PlateReader
    config: ColorConfig
    work: Path
    vectors: Vectors | None
    repaint: bool
    marks: dict[int, Mask | None]
    """Of the keyframes whose painting is known."""
    mattes: _Mattes | None
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


def _sweeps(job: _SidecarJob, keys: Sequence[int], together: int) -> list[_Sweep]:
    """Neighboring keyframes in groups, each followed towards later and towards earlier frames."""
    ordered = sorted(keys)
    groups = [ordered[start : start + together] for start in range(0, len(ordered), together)]
    return [_Sweep(job, group, towards) for group in groups for towards in (1, -1)]


class _Sweep:
    """Keyframes followed in one direction, frame by frame side by side."""

    def __init__(self, job: _SidecarJob, keys: Sequence[int], towards: int) -> None:
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
        try:
            self._follow(flows, tracks, results, failed)
        except BaseException:
            deadline = time.monotonic() + _SAVE_BEFORE_STOP_S
            for chain in self.chains:
                if time.monotonic() < deadline:
                    chain.save()
            raise

    def _follow(
        self,
        flows: ThreadPoolExecutor,
        tracks: ThreadPoolExecutor,
        results: queue.SimpleQueue[tuple[str, Path]],
        failed: threading.Event,
    ) -> None:
        before, previous = 0, None
        for frame in self.job.plate.frames.frames[:: self.towards]:
            entering = [chain for chain in self.chains if chain.begins_at(frame)]
            passing = [chain for chain in self.chains if chain.goes_through(frame)]
            if not entering and not passing:
                previous = None
                continue
            self.job.leave_if_asked(failed)
            current = self.job.read(frame)
            if passing and previous is not None:
                self._check_size(frame, current, previous, passing[0].key)
                steps = self._steps(before, frame, previous, current, flows)
                advanced = [tracks.submit(chain.advance, frame, current, steps, flows, results) for chain in passing]
                wait(advanced)
                for future in advanced:
                    future.result()
            for chain in entering:
                chain.begin(current, results)
            before, previous = frame, current

    def _check_size(self, frame: int, current: LayeredFrame, previous: LayeredFrame, key: int) -> None:
        (height, width), before = current.whole.gray.shape, previous.whole.gray.shape
        if before != (height, width):
            raise ImageError(
                f"this frame is {width}x{height}, keyframe {key} is {before[1]}x{before[0]}",
                frame=frame,
                path=self.job.plate.path.path(frame),
                remedy="one shot has one size; leave the frame out of --frames",
            )

    def _steps(
        self, before: int, frame: int, previous: LayeredFrame, current: LayeredFrame, flows: ThreadPoolExecutor
    ) -> Steps:
        """Flow from the new frame to the previous one, and the other way, of each layer."""
        vectors = self.job.vectors
        if vectors is None:
            return neighbor_steps(previous, current, flows)
        pair = (vectors.backward(frame), vectors.forward(before))
        if self.towards < 0:
            pair = (vectors.forward(frame), vectors.backward(before))
        for flow in pair:
            if flow.shape[:2] != current.whole.gray.shape:
                raise ImageError(
                    f"the motion vectors are {flow.shape[1]}x{flow.shape[0]} and the plate "
                    f"{current.whole.gray.shape[1]}x{current.whole.gray.shape[0]}",
                    frame=frame,
                    remedy="write them in the plate's size",
                )
        return given_steps(previous, current, *pair)


class _Chain:
    """One keyframe followed in one direction; its frames depend on each other, in order."""

    def __init__(self, job: _SidecarJob, key: int, towards: int) -> None:
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
        self._tracks: tuple[Track, ...] | None = None
        """Of each layer."""
        self._repainted: Repainted | None = None
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
        if self._tracks is None:
            self._key, self._tracks = current, begin_layers(current)
            self._repainted = nothing_repainted(*current.whole.gray.shape)
            if self.key in self._missing:
                self._write(self.key, joined(self._tracks, current, current))
                results.put(("made", sidecar_path(self.job.work, self.key, self.key)))
            if self._last == self._start:
                self._key = self._tracks = self._repainted = None
            return
        self._key = self.job.read(self.key)
        if self._tracks[0].to_key.shape[:2] != current.whole.gray.shape:
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
        if self._tracks is None or self._repainted is None or self._key is None:
            raise RuntimeError(f"the chain of keyframe {self.key} has not begun")
        self._reached = None
        self._tracks = advance_layers(self._tracks, steps, current, self._key, flows)
        track = joined(self._tracks, current, self._key)
        if self.job.repaint:
            back, forth = (current.choose(tuple(step[way] for step in steps)) for way in (0, 1))
            repainted = repaint_frame(
                self._repainted, (back, forth), track, current.whole, self._key.whole, self._marks
            )
            self._repainted = within(repainted, current, self._key)
        if frame in self._missing:
            self._write(frame, track)
            results.put(("made", sidecar_path(self.job.work, self.key, frame)))
        self._reached = frame
        last = frame == self.path[self._last]
        if last or time.monotonic() - self._saved_at > _SAVE_EVERY_S:
            self.save()
        if last:
            self._key = self._tracks = self._repainted = None

    def save(self) -> None:
        """Write where the chain stands, unless that is on disk already."""
        if self._reached is None or self._tracks is None or self._repainted is None:
            return
        to_key, from_key = (
            np.stack(each) for each in zip(*((t.to_key, t.from_key) for t in self._tracks), strict=True)
        )
        flow, found = self._repainted.flow, self._repainted.found
        digest = np.array(self._digests[self._reached])
        # A damaged one is told by its checksums, and costs time only: nothing waits for the disk.
        with replacing(self.state, flush=False) as temporary, temporary.open("wb") as file:
            np.savez(file, digest=digest, to_key=to_key, from_key=from_key, repainted=flow, found=found)
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

    def _write(self, frame: int, track: Track) -> None:
        if self._repainted is None:
            raise RuntimeError(f"the chain of keyframe {self.key} has not begun")
        flow, confidence, elsewhere = self._repainted.joined(track)
        path = sidecar_path(self.job.work, self.key, frame)
        write_sidecar(path, flow, confidence, confidence.shape, self._digests[frame], elsewhere)

    def _resume(self, first: int) -> int:
        """Load the saved track if it stands before the first missing frame; returns where it stands, else 0."""
        try:
            saved = load_arrays(self.state)
            digest, to_key, from_key = str(saved["digest"]), saved["to_key"], saved["from_key"]
            repainted, found = saved["repainted"], saved["found"]
        except (ValueError, KeyError):
            return 0
        for index, frame in enumerate(self.path[:first]):
            layers = 1 if self.job.mattes is None else 2
            of_one_size = to_key.shape == from_key.shape == (layers, *repainted.shape)
            if self._digests[frame] == digest and of_one_size and repainted.shape == (*found.shape, 2):
                nothing = np.zeros(found.shape, np.float32)
                self._tracks = tuple(Track(to, back, nothing) for to, back in zip(to_key, from_key, strict=True))
                self._repainted = Repainted(repainted, found, nothing)
                return index
        return 0
