"""Outputs of a live stream: a movie as a viewer saw it, or numbered images."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from engine import images
from engine.base.arrays import Bytes
from engine.base.errors import InputError, OutputError, PaintoverError
from engine.base.frames import SequencePath
from engine.images.color_claims import ColorClaim
from engine.images.movies import write_movie
from engine.live.stream import ShownPicture

__all__ = ["ImageOutput", "MovieOutput"]

_WAITING = 240
"""Pictures that wait for the encoder; a live stream is slower than it by far."""
_MOST_REPEATS = 600
"""Of one picture, where a source paused: a longer pause is cut."""


class MovieOutput:
    """An MP4 of what was shown, each picture as long as it was on the screen; whole when it is closed."""

    def __init__(self, path: Path, rate: float) -> None:
        """
        Args:
            rate: frames per second of the movie.

        Raises:
            InputError: the name is no .mp4.
            OutputError: its folder cannot be made.
        """
        if path.suffix.lower() != ".mp4":
            raise InputError(f'"{path.name}" is no .mp4', path=path, remedy="write a movie as .mp4")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make the folder: {error.strerror}", path=path.parent) from error
        self._path, self._rate = path, rate
        self._queue: queue.Queue[ShownPicture | None] = queue.Queue(_WAITING)
        self._failed: PaintoverError | None = None
        self._begun = False
        self._thread = threading.Thread(target=self._encode, name="movie", daemon=True)

    def show(self, picture: ShownPicture) -> None:
        """Take a picture; raises what the encoder said."""
        if self._failed is not None:
            raise self._failed
        if not self._begun:
            self._begun = True
            self._thread.start()
        self._queue.put(picture)

    def close(self) -> None:
        """Finish the movie; raises OutputError. Without a picture there is none."""
        if not self._begun:
            return
        self._queue.put(None)
        self._thread.join()
        if self._failed is not None:
            raise self._failed

    def _encode(self) -> None:
        try:
            write_movie(self._pictures(), self._path, self._rate)
        except (PaintoverError, OSError, ValueError) as error:
            what = OutputError(f"cannot write the movie: {error}", path=self._path)
            self._failed = error if isinstance(error, PaintoverError) else what
            while self._queue.get() is not None:
                # Whoever waits to put something must not wait for ever.
                continue

    def _pictures(self) -> Iterator[Bytes]:
        written, start_s, last = 0, None, None
        while (picture := self._queue.get()) is not None:
            start_s = picture.due_s if start_s is None else start_s
            wanted = round((picture.due_s - start_s) * self._rate)
            if last is not None:
                for _ in range(min(wanted - written, _MOST_REPEATS)):
                    yield last
                written = max(written, wanted)
            last = picture.styled.codes
        if last is not None:
            yield last


class ImageOutput:
    """Images by their number; numbers of pictures that were dropped are missing."""

    def __init__(self, path: SequencePath, color: ColorClaim | None) -> None:
        """
        Args:
            color: what the images say of their color; None for nothing.
        """
        self._path, self._color = path, color
        self._compression = "zip:1" if path.suffix.lower() == ".png" else None

    def show(self, picture: ShownPicture) -> None:
        """Write a picture; raises OutputError."""
        rgb = picture.styled.codes.astype(np.float32) / np.float32(255)
        images.write(
            self._path.path(picture.number), rgb, bit_depth="uint8", color=self._color, compression=self._compression
        )

    def close(self) -> None:
        """Nothing is left to do."""
