"""Sources of live pictures: movies and numbered images at their own rate, cameras and addresses as they come.

A source never waits for whoever takes its pictures: each is handed over when it is due, and decoded to pixels only by
whoever wants them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import numpy as np
import OpenImageIO as oiio
from av.error import FFmpegError

from engine.base.arrays import Bytes
from engine.base.errors import ImageError, InputError, PaintoverError
from engine.base.frames import SequencePath
from engine.images import movies
from engine.images.addresses import camera_name, is_address, open_address, open_camera, shown_address
from engine.images.color_claims import claims_of_cicp
from engine.images.files import Image
from engine.images.header import Header, Part
from engine.images.layers import ColorChannels
from engine.images.movie_file import open_movie, picture_stream
from engine.images.movie_picture import StreamFacts, color_tags, picture_image
from engine.shot.plate import plate_image

__all__ = ["DEFAULT_RATE", "LiveSource", "SourcePicture", "open_source", "screen_picture", "work_size"]

DEFAULT_RATE = 24.0
"""Frames per second of images, and of what does not say."""
_LATE_S = 0.5
"""What is later than this moves the clock: a machine that slept, or cannot decode so fast, does not race after it."""
_SRGB = (1, 13)
"""Primaries and transfer, of ITU-T H.273."""
_PLAYED = ("http", "https")
"""Addresses that may send faster than it is to be shown."""


@dataclass(frozen=True, eq=False)
class SourcePicture:
    """One picture, when it is due."""

    number: int
    """Frame number of images; of all else its place among the pictures, counted on when it is played again."""
    due_s: float
    """By ``time.monotonic``: when it was to be shown, or came."""
    read: Callable[[], Image]
    """Its pixels, no larger than is needed where that is cheaper; for one call, from any thread. Raises ImageError."""


class LiveSource(Protocol):
    """Where pictures come from."""

    name: str
    """For people."""
    file: Path
    """By which colorspaces are told that no picture says."""
    rate: float
    """Frames per second."""
    images: SequencePath | None
    """The pattern of numbered images; None for all else."""

    def pictures(self, ended: threading.Event) -> Iterator[SourcePicture]:
        """Each picture when it is due, until the source ends or ``ended`` is set; for one thread.

        Raises:
            ImageError: it broke off.
        """


def open_source(text: str, *, loop: bool, rate: float | None, size: int) -> LiveSource:
    """The source that is meant: a movie, a pattern of images, a camera (``0``, ``camera:NAME``) or an address.

    Args:
        loop: files begin again at their end.
        rate: frames per second; None for the source's own. Not for cameras and addresses.
        size: longest side that is wanted, pixels; 0 for all.

    Raises:
        InputError: nothing of these, or it cannot be looped or slowed.
        ImageError: it is missing, or sends no pictures.
    """
    camera = camera_name(text)
    if camera is not None or is_address(text):
        if loop or rate is not None:
            what = "--loop" if loop else "--rate"
            raise InputError(f"{what} is for files: this source has its own time", remedy=f"drop {what}")
        if camera is not None:
            return _Stream(f"camera {camera}", Path(camera), partial(open_camera, camera), size)
        paced = urlsplit(text).scheme.lower() in _PLAYED
        shown = shown_address(text)
        return _Stream(shown, Path(urlsplit(text).path or "/"), partial(open_address, text), size, paced=paced)
    path = SequencePath.parse(text)
    if path.is_movie:
        file = Path(path.text)
        own = float(movies.frame_rate(file))
        return _Stream(
            file.name, file, partial(_open_file, file), size,
            paced=True, loop=loop, rate=rate or own, speed=(rate or own) / own,
        )  # fmt: skip
    return _Images(path, loop, rate or DEFAULT_RATE)


def work_size(width: int, height: int, size: int) -> tuple[int, int]:
    """Width and height, even, of a picture whose longest side is brought to ``size`` where it is longer; 0 for none."""
    scale = 1.0 if not size else min(1.0, size / max(width, height))
    if scale == 1.0:
        return width, height
    return max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2))


def screen_picture(codes: Bytes, source: str) -> Image:
    """Pixels of a screen or a browser, (H, W, 3) sRGB codes, as a picture.

    Args:
        source: what says that they are sRGB, for people.
    """
    spec = oiio.ImageSpec(codes.shape[1], codes.shape[0], 3, "uint8")
    claims = claims_of_cicp(*_SRGB, source)
    header = Header((Part(spec, {}),), 0, ColorChannels(("R", "G", "B"), None), None, "movie", False, claims, ())
    return Image(codes.astype(np.float32) / np.float32(255), None, header, 0, None)


def _open_file(path: Path) -> tuple[Any, Any]:
    container = open_movie(path)
    return container, picture_stream(container, path)


class _Clock:
    """When a time of the source is due."""

    def __init__(self) -> None:
        self._start: float | None = None

    def wait(self, time_s: float, ended: threading.Event) -> float:
        """Wait until it is; when that was."""
        now = time.monotonic()
        if self._start is None or now - (self._start + time_s) > _LATE_S:
            self._start = now - time_s
        due = self._start + time_s
        if due > now:
            ended.wait(due - now)
        return due


class _Images:
    """Numbered images, at a rate."""

    def __init__(self, path: SequencePath, loop: bool, rate: float) -> None:
        frames = path.existing()
        if frames is None:
            raise ImageError("no image of this name is on disk", path=path.text, remedy=path.meant or "check --source")
        self.name, self.file, self.rate = Path(path.text).name, path.path(frames.first), rate
        self.images: SequencePath | None = path
        self._path, self._frames, self._loop = path, tuple(frames), loop

    def pictures(self, ended: threading.Event) -> Iterator[SourcePicture]:
        clock, count = _Clock(), 0
        span = self._frames[-1] - self._frames[0] + 1
        while True:
            for frame in self._frames:
                due = clock.wait(count / self.rate, ended)
                if ended.is_set():
                    return
                turns = count // len(self._frames)
                yield SourcePicture(frame + turns * span, due, partial(plate_image, self._path, frame))
                count += 1
            if not self._loop:
                return


class _Stream:
    """Pictures that PyAV decodes one after another."""

    def __init__(
        self,
        name: str,
        file: Path,
        opened: Callable[[], tuple[Any, Any]],
        size: int,
        *,
        paced: bool = False,
        loop: bool = False,
        rate: float | None = None,
        speed: float = 1.0,
    ) -> None:
        self.name, self.file = name, file
        self._open, self._size, self._paced, self._loop, self._speed = opened, size, paced, loop, speed
        self._first: tuple[Any, Any] | None = opened()
        self.images: SequencePath | None = None
        said = self._first[1].average_rate
        self.rate = rate or (float(said) if said else DEFAULT_RATE)

    def pictures(self, ended: threading.Event) -> Iterator[SourcePicture]:
        clock, number, before_s = _Clock(), 0, 0.0
        while True:
            container, stream = self._first or self._open()
            self._first = None
            last_s, first_s = before_s, None
            try:
                facts = StreamFacts.of(stream, color_tags(stream.codec_context))
                for frame in self._decoded(container, stream):
                    if self._paced:
                        time_s = frame.time if frame.time is not None else number / self.rate
                        first_s = time_s if first_s is None else first_s
                        last_s = before_s + (time_s - first_s) / self._speed
                        due = clock.wait(last_s, ended)
                    else:
                        due = time.monotonic()
                    if ended.is_set():
                        return
                    yield SourcePicture(number, due, partial(self._image, frame, facts))
                    number += 1
            finally:
                container.close()
            if not self._loop or last_s == before_s:
                return
            before_s = last_s + 1 / self.rate

    def _decoded(self, container: Any, stream: Any) -> Iterator[Any]:
        try:
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except FFmpegError:
                    # A picture that was lost on its way: the next one comes soon.
                    continue
                yield from frames
        except FFmpegError as error:
            reason = (error.strerror or "unknown reason").splitlines()[0]
            failure = ImageError(f"the source broke off: {reason}", path=self.name, remedy="run it again")
            failure.exit_code = PaintoverError.exit_code
            raise failure from error

    def _image(self, frame: Any, facts: StreamFacts) -> Image:
        width, height = work_size(frame.width, frame.height, self._size)
        # What is stored turned is turned first: the smaller picture would no longer say so.
        if (width, height) != (frame.width, frame.height) and frame.side_data.get("DISPLAYMATRIX") is None:
            frame = frame.reformat(width=width, height=height)
        return picture_image(frame, facts)
