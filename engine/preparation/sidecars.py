"""STMap sidecars made from a plate: for each keyframe and frame where every pixel was in the keyframe, and how sure.

::

    work/stmap/key_0001/0007.exr    R = u, G = v (Nuke's: 0..1, origin lower left), A = confidence; float

A sidecar carries the hash of every plate frame that its chain went through, so it is made again exactly when one of
them changed. One that carries no hash was put there by somebody, who knows better than flow: it stays. The same plate
gives the same bytes, alone, in parallel, or after a stop.

Chains of one direction sweep through the plate together: a frame is decoded, and its flow to the neighbor estimated,
once for all of them.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from engine.base.errors import ImageError, InputError, Interrupted
from engine.base.machine import cpu_count
from engine.color.config import ColorConfig
from engine.motion.flow import one_thread
from engine.motion.layers import LayeredFrame, Steps, given_steps, neighbor_steps
from engine.preparation.marks import marks_of
from engine.preparation.parallel import MadeFiles, Progress, Stop
from engine.preparation.sidecar_chains import Chain, Mattes, SidecarJob, Vectors
from engine.shot.matte_reader import MatteReader
from engine.shot.matte_sequence import MatteSequence
from engine.shot.plate import PlateReader
from engine.shot.shot import Plate

__all__ = ["prepare_sidecars"]

_SAVE_BEFORE_STOP_S = 2.0
"""For how long the states of chains are saved once a stop was asked for, which must come within five seconds."""
_LEAST_TOGETHER = 3
"""Chains that sweep together however few cores there are; each holds its keyframe and a track in memory."""


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
        layers = Mattes(MatteReader(matte.tracked, plate.path), blended=matte.stylized is not None)
    stop = stop or (lambda: False)
    job = SidecarJob(plate, reader, config, Path(work), vectors, repaint, {}, layers, overwrite, stop)
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


def _sweeps(job: SidecarJob, keys: Sequence[int], together: int) -> list[_Sweep]:
    """Neighboring keyframes in groups, each followed towards later and towards earlier frames."""
    ordered = sorted(keys)
    groups = [ordered[start : start + together] for start in range(0, len(ordered), together)]
    return [_Sweep(job, group, towards) for group in groups for towards in (1, -1)]


class _Sweep:
    """Keyframes followed in one direction, frame by frame side by side."""

    def __init__(self, job: SidecarJob, keys: Sequence[int], towards: int) -> None:
        self.job, self.towards = job, towards
        self.chains = [Chain(job, key, towards) for key in keys]

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
