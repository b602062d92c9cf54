"""A movie being decoded: the picture of a frame, and proof that it is that one and whole.

A decoder hides much: it leaves out pictures that it cannot make, and makes others from what it has. So the pictures
that come out of it are held against the movie's index, one after another from a keyframe on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from av.error import FFmpegError
from av.video.frame import PictureType

from engine.images.movie_file import open_movie, picture_stream
from engine.images.movie_index import MovieIndex
from engine.images.movie_picture import color_tags

__all__ = ["DamagedPicture", "MovieDecoder", "WrongOrder"]

_STARTS = (PictureType.NONE, PictureType.I, PictureType.SI)
"""Of pictures that are made from themselves; some decoders do not say."""


_MOST_LATE = 16
"""Pictures that come before one which is decoded earlier: no codec keeps more (H.264, A.4.2)."""


class WrongOrder(Exception):
    """Pictures come in another order than their times say."""


class DamagedPicture(Exception):
    """A frame that does not come, or is built on one that is damaged; ``frame`` is that one."""

    def __init__(self, frame: int) -> None:
        super().__init__(frame)
        self.frame = frame


class MovieDecoder:
    """One open movie and how far it is decoded. Used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bad: dict[int, int] = {}  # packets of damaged pictures, and their frames
        self._unseekable = self._damage_is_real = False
        self._open()

    def _open(self) -> None:
        self._container = open_movie(self._path)
        self.stream = picture_stream(self._container, self._path)
        # Before anything is decoded these are the container's; from then on they are those of the stream.
        self.said = color_tags(self.stream.codec_context)
        self._begin(0, None)

    def _begin(self, frame: int, key: int | None) -> None:
        """Pictures are taken from ``frame`` on, which is the keyframe of packet ``key``; None at the movie's start."""
        self._packets = self._container.demux(self.stream)
        self._number = 0
        self._start, self._key = frame, key
        self._reached: int | None = None
        self._pictures: dict[int, Any] = {}
        self._lost = self._over = self._hurt = False
        self._late = 0  # pictures in which one that was left out may still come

    @property
    def reached(self) -> int:
        """The last frame that came, -1 before the first."""
        return self._start - 1 if self._reached is None else self._reached

    @property
    def first(self) -> int:
        """The first frame that it can give without going back."""
        return min(self._pictures, default=self.reached + 1)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def at(self, frame: int, where: MovieIndex) -> Any:
        """The decoded picture of a frame, which is the caller's from then on.

        Raises:
            DamagedPicture: it is not there, or not to be trusted.
            WrongOrder: the index does not fit the movie.
            FFmpegError: the file cannot be read.
        """
        self._go_to(frame, where)
        self._decode(frame, where)
        blamed = self._blamed(frame, where)
        if self._lost or (blamed is not None and not self._unseekable and not self._damage_is_real):
            # It may be a wrong table of keyframes: the start is the one place that needs none.
            self._unseekable = self._unseekable or self._lost
            self._restart()
            self._decode(frame, where)
            self._damage_is_real = blamed is not None
            blamed = self._blamed(frame, where)
            if blamed is None:
                self._unseekable = True
        if blamed is not None:
            raise DamagedPicture(blamed)
        # Whoever gets it may change it.
        return self._pictures.pop(frame)

    def _blamed(self, frame: int, where: MovieIndex) -> int | None:
        """The damaged frame that a frame is built on, or itself; None where all is well."""
        for packet in (*where.damaged, *self._bad):
            if where.origins[frame] <= packet <= where.packets[frame]:
                return self._bad.get(packet, frame)
        return None if frame in self._pictures else frame

    def _go_to(self, frame: int, where: MovieIndex) -> None:
        key = None if self._unseekable else where.key_before(frame)
        first = 0 if key is None else self._frame_after(key, where)
        kept = frame in self._pictures
        ahead = not self._over and not self._lost and frame > self.reached and self.reached >= first - 1
        if kept or ahead or (frame >= self._start and self._reached is None and self._start == first):
            return
        if key is None or first == 0:
            self._restart()
            return
        try:
            self._container.seek(key[0], stream=self.stream, backward=True)
        except FFmpegError:
            self._unseekable = True
            self._restart()
            return
        self._begin(first, key[1])

    @staticmethod
    def _frame_after(key: tuple[int, int], where: MovieIndex) -> int:
        """The keyframe's own frame, or, where it is hidden, the first one shown after it."""
        own = where.frames.get(key[0])
        return own if own is not None else next((n for n, tag in enumerate(where.tags) if tag > key[0]), where.count)

    def _restart(self) -> None:
        self._container.close()
        self._bad.clear()
        self._open()

    def _decode(self, frame: int, where: MovieIndex) -> None:
        """On until all that the frame may be built on has come."""
        for old in [each for each in self._pictures if each < frame]:
            del self._pictures[old]
        # And one more, which shows that the frame itself came in its turn.
        enough = max(where.settled[frame], min(frame + 1, where.count - 1))
        while (self.reached < enough or self._late) and not self._over and not self._lost:
            self._step(frame, where)

    def _step(self, wanted: int, where: MovieIndex) -> None:
        try:
            packet = next(self._packets)
        except (StopIteration, FFmpegError):
            self._over = True
            self._drain(wanted, where)
            return
        if packet.size:
            if where.counted:
                packet.pts = self._number
            self._number += 1
        elif packet.dts is not None:
            return  # A picture that repeats the one before; to a decoder it would mean the end.
        else:
            self._over = True
        try:
            pictures = packet.decode()
        except FFmpegError:
            self._hurt = True
            return  # The picture that does not come is noticed by the next one.
        self._take(pictures, wanted, where)

    def _drain(self, wanted: int, where: MovieIndex) -> None:
        try:
            self._take(self.stream.codec_context.decode(None), wanted, where)
        except FFmpegError:
            return

    def _take(self, pictures: list[Any], wanted: int, where: MovieIndex) -> None:
        for picture in pictures:
            frame = where.frames.get(picture.pts)
            if self._reached is None:
                # Before a keyframe come pictures that are built on what was not decoded.
                if frame is None or frame < self._start:
                    continue
                shown = self._key is not None and where.packets[frame] == self._key
                if self._key is not None and (frame > self._start or (shown and not _starts(picture))):
                    self._lost = True
                    return
            elif frame is None or frame <= self._reached:
                if not self._hurt:
                    raise WrongOrder
                if frame is not None:
                    self._bad[where.packets[frame]] = frame
                continue
            self._late = max(0, self._late - 1)
            for missing in range(self.reached + 1, frame):
                self._bad[where.packets[missing]] = missing
                self._late = _MOST_LATE
            if picture.is_corrupt:
                self._hurt = True
                self._bad[where.packets[frame]] = frame
            self._reached = frame
            if wanted <= frame <= where.settled[wanted] + 1:
                self._pictures[frame] = picture


def _starts(picture: Any) -> bool:
    """Whether a picture is made from nothing before it."""
    return bool(picture.key_frame) and PictureType(picture.pict_type) in _STARTS
