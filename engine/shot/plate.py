"""A plate's frames as what prepares them wants them: encoded, hashed, and worked on side by side."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from engine.base.arrays import Floats
from engine.base.errors import ImageError, Interrupted
from engine.base.frames import SequencePath
from engine.color import shaper
from engine.color.config import ColorConfig
from engine.images.provenance import file_sha256
from engine.shot.shot import Plate
from engine.shot.windows import read_frame

__all__ = ["PlateReader", "Prepared", "Progress", "Stop", "for_each", "stopped"]

Progress = Callable[[int, int, str], None]
"""Receives files done, all of them, and a text."""

Stop = Callable[[], bool]


@dataclass(frozen=True)
class Prepared:
    """What became of the files."""

    made: int
    kept: int
    """Were right already."""
    foreign: tuple[Path, ...]
    """Put there by somebody else, and left alone."""


class PlateReader:
    """A plate's frames as motion and filters want them, of one size."""

    def __init__(self, plate: Plate, config: ColorConfig) -> None:
        self.plate = plate
        self._config = config
        self._hashes: dict[int, str] = {}
        self._size: tuple[int, int] | None = None

    def sha256(self, frame: int) -> str:
        """Of the frame's file, read once; raises ImageError where it is missing."""
        if frame not in self._hashes:
            self._hashes[frame] = plate_sha256(self.plate.path, frame)
        return self._hashes[frame]

    def encoded(self, frame: int) -> Floats:
        """(H, W, 3) in the working encoding, not clipped.

        Raises:
            ImageError: the frame is missing, damaged, or of another size than the first one asked for.
        """
        path = self.plate.path.path(frame)
        read = read_frame(self.plate.path, frame)
        space = self.plate.colorspace or self._config.guess(read.image.header, path)
        linear = self._config.to_working(read.rgb, self._config.resolve(space))
        height, width = linear.shape[:2]
        self._size = self._size or (height, width)
        if self._size != (height, width):
            raise ImageError(
                f"this frame is {width}x{height}, the others are {self._size[1]}x{self._size[0]}",
                frame=frame,
                path=path,
                remedy="one shot has one size; leave the frame out of --frames",
            )
        return shaper.encode(linear)

    def size(self, frame: int) -> tuple[int, int]:
        """Height and width of the plate, which ``frame`` is read for where nothing was read yet."""
        if self._size is None:
            self.encoded(frame)
        return self._size or (0, 0)

    def begin_digest(self, *facts: object) -> hashlib._Hash:
        """A hash of how the plate is read, and of ``facts``, to add frames to."""
        text = " ".join(map(str, (*facts, self.plate.colorspace, self._config.name, self._config.working)))
        return hashlib.sha256(text.encode())


def for_each(
    frames: Sequence[int],
    work: Callable[[int], None],
    threads: int,
    *,
    done: Callable[[int], None],
    stop: Stop,
    poll: Callable[[], None] = lambda: None,
) -> None:
    """Run ``work`` for frames on some threads, about in their order.

    ``done`` is called with each frame, and ``poll`` several times a second while waiting, both from this thread.

    Raises:
        Interrupted: ``stop`` said so.
        Whatever ``work`` raises; the rest is not begun.
    """
    ahead = iter(frames)
    with ThreadPoolExecutor(max(1, threads), thread_name_prefix="derived") as pool:
        pending: dict[Future[None], int] = {}
        try:
            while True:
                while len(pending) < threads and (frame := next(ahead, None)) is not None:
                    pending[pool.submit(work, frame)] = frame
                if not pending:
                    return
                if stop():
                    raise stopped()
                poll()
                finished, _ = wait(pending, timeout=0.1, return_when=FIRST_COMPLETED)
                for future in finished:
                    frame = pending.pop(future)
                    future.result()
                    done(frame)
        finally:
            for future in pending:
                future.cancel()


def stopped() -> Interrupted:
    """What ends preparing on request."""
    return Interrupted("stopped on request", remedy="run again to prepare the rest")


def plate_sha256(plate: SequencePath, frame: int) -> str:
    """SHA-256 of a frame's file; for a movie, of the movie and the frame's number in it.

    Raises:
        ImageError: the file is missing or cannot be read.
    """
    path = plate.path(frame)
    try:
        return f"{_movies.sha256(path)}#{frame}" if plate.is_movie else file_sha256(path)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        what = "the plate's frame is missing" if missing else f"cannot read the plate: {error.strerror or error}"
        raise ImageError(what, frame=frame, path=path, remedy="check --plate and --frames") from error


@dataclass
class _Movies:
    """Remembers the hashes of movies: each is asked for with every frame."""

    known: dict[tuple[Path, tuple[int, int]], str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def sha256(self, path: Path) -> str:
        with self.lock:
            status = path.stat()
            key = (path, (status.st_size, status.st_mtime_ns))
            if key not in self.known:
                self.known[key] = file_sha256(path)
            return self.known[key]


_movies = _Movies()
