"""Denoiser of a session: denoised frames of those that are looked at and painted, made beside the training."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from engine.base.errors import ImageError, Interrupted, PaintoverError
from engine.base.frames import FrameRange
from engine.preparation.denoise_files import prepare_denoised
from engine.preparation.prepared_files import PreparedFiles, denoised_frames
from engine.shot.plate import plate_sha256
from engine.shot.shot import Plate
from engine.training.job.job import TrainingJob

__all__ = ["Denoiser"]


class Denoiser:
    """Makes the files of :func:`engine.preparation.prepare.prepare`, one frame at a time, in a thread of its own."""

    def __init__(self, job: TrainingJob) -> None:
        """
        Args:
            job: with ``denoise``, or nothing is ever made.
        """
        self._job = job
        self._mode = job.denoise
        self._files: PreparedFiles | None = None
        if job.denoise is not None:
            self._files = denoised_frames(job.work, job.plate_path, job.denoise)
        self._changed = threading.Condition()
        self._wanted: tuple[int, ...] = ()
        self._settled: set[int] = set()
        """Made or found, or given up."""
        self._found: set[int] = set()
        self._news: list[tuple[int, str]] = []
        self._closed = False
        self._thread: threading.Thread | None = None

    def has(self, frame: int) -> bool:
        """Whether the denoised frame is there, of the plate as it was when this was first asked."""
        if self._files is None:
            return False
        with self._changed:
            if frame in self._found:
                return True
        try:
            self._files.sha256(frame, plate_sha256(self._job.plate_path, frame))
        except (ImageError, OSError):
            return False
        with self._changed:
            self._found.add(frame)
            self._settled.add(frame)
        return True

    def want(self, frames: Sequence[int]) -> None:
        """Make these next, the first one first; nothing else is begun, and another one at work is given up."""
        if self._files is None:
            return
        with self._changed:
            self._wanted = tuple(frames)
            self._changed.notify_all()
            if self._thread is None and not self._closed and any(each not in self._settled for each in frames):
                self._thread = threading.Thread(target=self._loop, name="denoise", daemon=True)
                self._thread.start()

    def news(self) -> list[tuple[int, str]]:
        """The frames that were made since this was last asked; or why one could not be, which is not tried again."""
        with self._changed:
            found, self._news = self._news, []
        return found

    def wait_for(self, frames: Sequence[int]) -> None:
        """Until these are made, or cannot be."""
        if self._files is None:
            return
        self.want(frames)
        with self._changed:
            self._changed.wait_for(lambda: self._closed or all(frame in self._settled for frame in frames))

    def close(self) -> None:
        """Give up what is at work."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _next(self) -> int | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or any(each not in self._settled for each in self._wanted))
            return None if self._closed else next(each for each in self._wanted if each not in self._settled)

    def _loop(self) -> None:
        job = self._job
        plate = Plate(job.plate_path, FrameRange.parse(job.frames), job.plate_colorspace)
        while (frame := self._next()) is not None:
            why = ""
            try:
                if not self.has(frame):
                    self._make(plate, frame)
            except Interrupted:
                continue
            except (PaintoverError, OSError) as error:
                why = str(error)
            with self._changed:
                self._settled.add(frame)
                self._news.append((frame, why))
                self._changed.notify_all()

    def _make(self, plate: Plate, frame: int) -> None:
        def is_unwanted() -> bool:
            return self._closed or frame not in self._wanted

        # On one thread: somebody waits for the training and for the frame in view.
        prepare_denoised(plate, self._job.work, str(self._mode), frames=[frame], threads=1, stop=is_unwanted)
