"""Denoised frames on disk: ``work/denoised/NAME.####.exr``, scene-linear in the working colorspace, half floats.

A frame is a function of its neighbors on the plate within the filter's range and of nothing else, so any order, any
number of threads and any stop give the same bytes. What is averaged is the working encoding, where equal steps look
equal and highlights keep their light.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.base.arrays import Floats
from engine.base.errors import InputError
from engine.base.machine import cpu_count, free_bytes
from engine.base.temporaries import clean_temporaries
from engine.color import shaper
from engine.color.config import ColorConfig
from engine.motion.flow import estimate, luma8, one_thread, reliability
from engine.preparation.denoise import DenoiseSettings, filter_frame
from engine.preparation.parallel import MadeFiles, Progress, Stop, for_each, stopped
from engine.preparation.prepared_files import denoised_frames
from engine.shot.plate import PlateReader
from engine.shot.shot import Plate

__all__ = ["prepare_denoised"]

METHOD = "denoise-1"
"""Changes when the same plate would give other frames."""

_MEMORY_SHARE = 0.4
"""Of the free memory, for images and flows of the frames around; less makes it slower, never different."""
_KEPT_FRAMES = 4
"""Decoded frames that stay in memory: a frame is asked for as a center, as a neighbor and for its flow."""


def prepare_denoised(
    plate: Plate,
    work: Path,
    mode: str,
    *,
    frames: Sequence[int] | None = None,
    settings: DenoiseSettings | None = None,
    threads: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> MadeFiles:
    """Make the denoised frames that are missing or no longer right.

    Memory does not grow with the number of frames: it holds those within the range of the filter.

    Args:
        plate: its frames are each other's neighbors, also where the range leaves some out.
        work: the work folder.
        mode: one of ``DENOISE_MODES``; it overrides the settings' own.
        frames: those to make; None for all of the plate's.
        settings: how strongly; None for the published values.
        threads: frames side by side; None for the machine's cores. Never changes a byte.
        overwrite: make every frame again, except those that somebody put there.
        progress, stop: as for :func:`engine.preparation.sidecars.prepare_sidecars`.

    Raises:
        InputError: an unknown mode, or frames that are not the plate's.
        ImageError: a frame of the plate is missing, damaged, or of another size.
        OutputError: a frame cannot be written.
        Interrupted: ``stop`` said so; what is done stays.
    """
    wanted = plate.frames.frames if frames is None else tuple(frames)
    if strange := [frame for frame in wanted if frame not in plate.frames]:
        raise InputError(f"frame {strange[0]} is outside the frame range {plate.frames}", remedy="widen --frames")
    target = denoised_frames(work, plate.path, mode)
    settings = replace(settings or DenoiseSettings(), occlusion_aware=mode == "aware")
    stop = stop or (lambda: False)
    reader = PlateReader.of(plate, ColorConfig.active(), keep=_KEPT_FRAMES)
    clean_temporaries(target.files.folder)
    digests = {}
    for frame in wanted:
        if stop():
            raise stopped()
        digests[frame] = _digest(reader, plate, frame, settings)
    missing, foreign = target.missing_and_foreign(digests, overwrite=overwrite)
    kept = len(wanted) - len(missing) - len(foreign)
    finished = len(wanted) - len(missing)
    nearby = _Nearby(reader, plate.frames.frames, int(_MEMORY_SHARE * free_bytes()), stop)

    def make(frame: int) -> None:
        linear = nearby.denoised(frame, settings)
        target.write(frame, linear, plate_sha256=reader.sha256(frame), digest=digests[frame])

    def done(frame: int) -> None:
        nonlocal finished
        finished += 1
        if progress is not None:
            progress(finished, len(wanted), f"frame {frame}")

    if progress is not None and finished:
        progress(finished, len(wanted), "already there")
    with one_thread():
        for_each(missing, make, threads or cpu_count(), done=done, stop=stop)
    return MadeFiles(len(missing), kept, foreign)


def _neighbors(plate: Plate, frame: int, reach: int) -> tuple[int, ...]:
    """The frames within reach, the frame itself included, in order."""
    frames = plate.frames.frames
    place = frames.index(frame)
    return frames[max(0, place - reach) : place + reach + 1]


def _digest(reader: PlateReader, plate: Plate, frame: int, settings: DenoiseSettings) -> str:
    running = reader.begin_digest(METHOD, settings, frame)
    for near in _neighbors(plate, frame, settings.range):
        running.update(f"{near} {reader.sha256(near)}".encode())
    return running.hexdigest()


class _Nearby:
    """Images and flows of the frames around those in work, kept in half floats while they are needed."""

    def __init__(self, reader: PlateReader, frames: Sequence[int], capacity: int, stop: Stop) -> None:
        self._reader = reader
        self._frames = frames
        self._capacity = capacity
        self._stop = stop
        self._held: OrderedDict[Hashable, tuple[int, Future[npt.NDArray[Any]]]] = OrderedDict()
        self._working: set[int] = set()
        self._lock = threading.Lock()

    def denoised(self, frame: int, settings: DenoiseSettings) -> Floats:
        """(H, W, 3) of a frame, scene-linear in the working colorspace."""
        place = self._frames.index(frame)
        with self._lock:
            self._working.add(place)
        center = self._reader.encoded(frame)

        def image(index: int) -> Floats:
            return center if index == place else self._get(index, ("image", index), lambda: self._image(index))

        def flow(near: int, far: int) -> Floats:
            return self._get(max(near, far), ("flow", near, far), lambda: self._flow(near, far))

        def trust(near: int, far: int) -> Floats:
            how = ("trust", near, far)
            return self._get(
                max(near, far), how, lambda: reliability(flow(near, far), flow(far, near)).astype(np.float16)
            )

        try:
            last = len(self._frames) - 1
            filtered = filter_frame(place, first=0, last=last, image=image, flow=flow, trust=trust, settings=settings)
        finally:
            with self._lock:
                self._working.discard(place)
                self._forget(min(self._working, default=place) - settings.range)
        return shaper.decode(filtered)

    def _image(self, index: int) -> npt.NDArray[Any]:
        return self._reader.encoded(self._frames[index]).astype(np.float16)

    def _flow(self, near: int, far: int) -> npt.NDArray[Any]:
        return estimate(self._gray(near), self._gray(far)).astype(np.float16)

    def _gray(self, index: int) -> npt.NDArray[Any]:
        return self._get(index, ("gray", index), lambda: luma8(self._reader.encoded(self._frames[index])), np.uint8)

    def _get(
        self, index: int, key: Hashable, make: Callable[[], npt.NDArray[Any]], kind: type = np.float32
    ) -> npt.NDArray[Any]:
        """What is held, or else made by the first who asks, while others wait for it."""
        if self._stop():
            raise stopped()
        with self._lock:
            found = self._held.get(key)
            if found is None:
                promise: Future[npt.NDArray[Any]] = Future()
                self._held[key] = (index, promise)
            else:
                promise = found[1]
                self._held.move_to_end(key)
        if found is None:
            try:
                promise.set_result(make())
            except BaseException as error:
                with self._lock:
                    self._held.pop(key, None)
                promise.set_exception(error)
                raise
            self._shrink()
        return promise.result().astype(kind, copy=False)

    def _shrink(self) -> None:
        with self._lock:
            ready = [(key, promise.result().nbytes) for key, (_, promise) in self._held.items() if promise.done()]
            excess = sum(size for _, size in ready) - self._capacity
            for key, size in ready:
                if excess <= 0:
                    return
                del self._held[key]
                excess -= size

    def _forget(self, before: int) -> None:
        for key in [key for key, (index, promise) in self._held.items() if index < before and promise.done()]:
            del self._held[key]
