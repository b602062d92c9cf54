"""A movie's index: which of its pictures is which frame, from its packets, and up to which frame that is sure.

Frame N of a movie is the picture that is shown N steps of its rate after the first. Where every step has its picture,
that is also the N-th picture. From the first step on that lacks one, has two, or lies elsewhere, the two are no longer
one, and nobody can say which is meant: such frames are refused.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from av.error import FFmpegError

from engine.base.errors import ImageError
from engine.images.movie_file import NO_PICTURES, open_movie, picture_stream, transcoding

__all__ = ["MovieIndex", "counted_index", "index_of"]

_RATES = [Fraction(rate * 1000, 1001) for rate in (24, 30, 48, 60, 120)] + [
    Fraction(rate) for rate in (12, 15, 24, 25, 30, 48, 50, 60, 90, 100, 120, 240)
]
_STRAY = 0.6
"""Of a step: how far a single one may differ from the others. Film in NTSC has steps of two and of three fields."""
_OFF = 0.5
"""Of a step: how far a picture may lie from its place."""
_NEVER = 2**62
_FEW = 12
"""Pictures too few to measure the rate by."""
_LOOKED_AT = 48
"""Pictures by which a movie's times are judged: more than any that one is built on."""
_CLOCKS = ("mpegts", "mpeg", "wtv", "dv")
"""Containers whose times are those of a running clock, so that the first one says nothing."""


@dataclass(frozen=True)
class MovieIndex:
    """Where a movie's frames are.

    A frame's tag is the time by which the decoder names its picture; where that is no help (``counted``), the number
    of its packet in the file.
    """

    path: Path
    tags: tuple[int, ...]
    """Of each frame."""
    packets: tuple[int, ...]
    """Of each frame: the number of its packet."""
    origins: tuple[int, ...]
    """Of each frame: the packet of the keyframe that it is decoded from."""
    keys: tuple[tuple[int, int], ...]
    """Time and packet of keyframes, by time: where decoding can start. Empty: at the movie's start alone."""
    damaged: frozenset[int]
    """Packets that came damaged."""
    sure: int
    """Frames before this one are what their number says."""
    doubt: str
    """Why not the others."""
    rate: Fraction
    """Frames per second, as the pictures' times have it."""
    declared: int
    """Frames that the file promises, 0 where it does not say."""
    counted: bool
    remarks: tuple[str, ...]
    """What whoever reads the movie should hear, a line each."""

    @property
    def count(self) -> int:
        """Pictures that are there."""
        return len(self.tags)

    @cached_property
    def frames(self) -> dict[int, int]:
        """The frame of a tag."""
        return {tag: frame for frame, tag in enumerate(self.tags)}

    @cached_property
    def settled(self) -> tuple[int, ...]:
        """Of each frame: the last frame that is decoded before it, and so may be what it is built on."""
        shown = dict(zip(self.packets, range(self.count), strict=True))
        last, so_far = -1, {}
        for packet in sorted(shown):
            last = so_far[packet] = max(last, shown[packet])
        return tuple(so_far[packet] for packet in self.packets)

    def key_before(self, frame: int) -> tuple[int, int] | None:
        """Time and packet of the last keyframe that is not shown after ``frame``; None for the start."""
        at = bisect_right(self.keys, (self.tags[frame], _NEVER))
        return self.keys[at - 1] if at else None

    def refusal(self, frame: int, number: int | None = None) -> ImageError | None:
        """Why a frame is not given, or None.

        Args:
            frame: from 0.
            number: how the message calls it; None for ``frame``.
        """
        number = frame if number is None else number
        if self.sure <= frame < max(self.count, self.declared) and self.doubt:
            return self._refused(f"from frame {self.sure} on frames cannot be told: {self.doubt}", number, self._remedy)
        if 0 <= frame < self.count:
            return None
        if 0 <= frame < self.declared:
            return self._refused(self._truncated, number, "copy the movie again")
        what = f"no frame {frame} in the movie: it has {self.count} frames, 0-{self.count - 1}"
        return self._refused(what, number, "give frames within it")

    def incomplete(self) -> ImageError | None:
        """Why the movie as a whole is not to be taken, or None."""
        if self.sure < self.count or (self.doubt and self.sure < self.declared):
            return self._refused(f"from frame {self.sure} on frames cannot be told: {self.doubt}", None, self._remedy)
        if self.count < self.declared:
            return self._refused(self._truncated, None, "copy it again, or give a frame range within it")
        return None

    def _refused(self, message: str, frame: int | None, remedy: str) -> ImageError:
        return ImageError(message, frame=frame, path=self.path, remedy=remedy)

    @property
    def _truncated(self) -> str:
        return f"the movie is truncated: {self.count} of {self.declared} frames are there"

    @property
    def _remedy(self) -> str:
        return f"make a movie of one rate: {transcoding(self.path, '-r', str(self.rate))}"


@dataclass(frozen=True)
class _Packet:
    pts: int | None
    dts: int | None
    key: bool
    hidden: bool
    damaged: bool


def index_of(path: Path, frame: int | None = None) -> MovieIndex:
    """The index of a movie by its pictures' times; nothing is decoded unless they have none.

    Raises:
        ImageError: not a movie, without frames, or without any times.
    """
    container = open_movie(path, frame)
    try:
        stream = picture_stream(container, path)
        packets = _packets(container, stream)
        shown = [number for number, packet in enumerate(packets) if not packet.hidden]
        if not shown:
            raise ImageError("the movie has no frames, or is truncated", frame=frame, path=path, remedy="copy it again")
        if any(packets[number].pts is None for number in shown):
            return counted_index(path, frame)
        order = sorted(shown, key=lambda number: (packets[number].pts, number))
        keys = sorted(
            (packet.pts, number) for number, packet in enumerate(packets) if packet.key and packet.pts is not None
        )
        times = [packets[number].pts or 0 for number in order]
        if order == shown and stream.codec_context.has_b_frames and not _come_in_order(path, times):
            # The container does not know that pictures are coded in another order than they are shown.
            return counted_index(path, frame)
        return _Facts(path, container, stream, packets).index(order, times, tuple(keys))
    finally:
        container.close()


def _come_in_order(path: Path, times: list[int]) -> bool:
    """Whether the first pictures come out of the decoder in the order of their times."""
    container = open_movie(path)
    try:
        come = [picture.pts for picture in islice(container.decode(picture_stream(container, path)), _LOOKED_AT)]
    except FFmpegError:
        return True  # Damaged, which reading the frames will show.
    finally:
        container.close()
    return come == times[: len(come)]


def counted_index(path: Path, frame: int | None = None) -> MovieIndex:
    """The index of a movie whose pictures' times do not say their order: all of it is decoded once.

    Raises:
        ImageError: not a movie, without frames, or its packets have no times of any kind.
    """
    container = open_movie(path, frame)
    try:
        packets = _packets(container, picture_stream(container, path))
    finally:
        container.close()
    if any(packet.hidden for packet in packets) and all(packet.pts is not None for packet in packets):
        raise ImageError(
            "the movie's index is damaged: its pictures are not shown in the order of their times",
            frame=frame,
            path=path,
            remedy="copy it again, or transcode it",
        )
    if any(packet.dts is None for packet in packets):
        raise ImageError(
            "the movie's pictures have no times, so that a lost one would not be noticed",
            frame=frame,
            path=path,
            remedy=f"transcode it: {transcoding(path)}",
        )
    container = open_movie(path)
    try:
        stream = picture_stream(container, path)
        order, trusted = _decoded_order(container, stream)
        if not order:
            raise ImageError("the movie has no frames, or is truncated", frame=frame, path=path, remedy="copy it again")
        unseen = {number for number, packet in enumerate(packets) if not packet.hidden} - set(order)
        if unseen and any(packets[number].pts is not None for number in unseen):
            # But for the second field of a picture, which has no time of its own.
            trusted = min(trusted, *unseen)
        facts = _Facts(path, container, stream, packets)
        return facts.index(order, None, (), trusted)
    finally:
        container.close()


def _packets(container: Any, stream: Any) -> list[_Packet]:
    found = []
    try:
        for packet in container.demux(stream):
            if packet.size:
                # VP8 marks pictures that are only referred to in the first byte (RFC 6386, 9.1).
                unseen = stream.codec_context.name.endswith("vp8") and not bytes(packet)[0] >> 4 & 1
                facts = packet.is_keyframe, packet.is_discard or unseen, packet.is_corrupt
                found.append(_Packet(packet.pts, packet.dts, *facts))
    except FFmpegError:
        # What came before can still be read; the count tells the rest.
        pass
    return found


def _decoded_order(container: Any, stream: Any) -> tuple[list[int], int]:
    """Packets' numbers in the order in which they are shown, and how many of the packets come before any damage."""
    order: list[int] = []
    trusted, number = _NEVER, 0
    try:
        for packet in container.demux(stream):
            if packet.size:
                packet.pts = number
                number += 1
            elif packet.dts is not None:
                continue
            try:
                for picture in packet.decode():
                    order.append(picture.pts)
                    if picture.is_corrupt:
                        trusted = min(trusted, picture.pts)
            except FFmpegError:
                trusted = min(trusted, number - 1)
    except FFmpegError:
        pass
    # A decoder of several threads says of an error too late.
    return order, trusted if trusted == _NEVER else max(0, trusted - stream.codec_context.thread_count - 1)


@dataclass(frozen=True)
class _Facts:
    path: Path
    container: Any
    stream: Any
    packets: Sequence[_Packet]

    def index(
        self, order: list[int], times: list[int] | None, keys: tuple[tuple[int, int], ...], trusted: int = _NEVER
    ) -> MovieIndex:
        """The index of packets that are shown in ``order``, at ``times``; None where those are not to be trusted."""
        decoding = [packet.dts or 0 for packet in self.packets] if times is None else times
        said = self.stream.average_rate
        few = float(1 / said / self.stream.time_base) if said and len(decoding) < _FEW else 0.0
        steady, step = _steady(np.asarray(decoding, np.float64), few)
        rate = self._rate(step)
        sure, doubt = self._sure(order, decoding, steady, step, times is None)
        declared = self._declared(decoding, rate, times is None)
        if self._counts_only and declared > _steps(decoding):
            sure, doubt = 0, f"{len(order)} of {declared} pictures are there, and which are lost is not recorded"
        if declared > len(order) and any(packet.hidden for packet in self.packets):
            sure, doubt = 0, f"{len(order)} of {declared} pictures are there, and what is hidden of them is in doubt"
        if not self.packets[0].key:
            sure, doubt = 0, "it does not begin with a keyframe, pictures before it are lost"
        if trusted < len(self.packets):
            first = self._origin(order, trusted)
            if first < sure:
                sure, doubt = first, "the movie is damaged there, and its pictures have no times to go on by"
        return MovieIndex(
            self.path,
            tuple(times) if times is not None else tuple(order),
            tuple(order),
            self._origins(order),
            keys,
            self._damaged(step),
            sure,
            doubt,
            rate,
            declared,
            times is None,
            self._remarks(decoding[0], step, rate),
        )

    def _damaged(self, step: float) -> frozenset[int]:
        """Packets that came damaged, and those before which one is missing in the order of decoding."""
        found = {number for number, packet in enumerate(self.packets) if packet.damaged}
        for number, (before, packet) in enumerate(pairwise(self.packets), 1):
            if before.dts is not None and packet.dts is not None and packet.dts - before.dts > (1 + _STRAY) * step > 0:
                found.add(number)
        return frozenset(found)

    def _remarks(self, first: int, step: float, rate: Fraction) -> tuple[str, ...]:
        found = []
        # In some containers only another stream says when the movie starts.
        if self.container.format.name in _CLOCKS:
            first -= int(Fraction(self.container.start_time or 0, 1_000_000) / self.stream.time_base)
        late = first / step if step > 0 else 0.0
        # The first picture of a stream that shows them in another order than it codes them may be late by a few.
        in_order = all(packet.pts == packet.dts for packet in self.packets)
        if late > (0.5 if in_order else 4.5):
            found.append(
                f"the movie's first picture is shown {first * float(self.stream.time_base):.4g} s after its start, "
                f"{round(late)} frames at {float(rate):.6g}: that picture is frame 0, what came before is not there"
            )
        streams = [each for each in self.container.streams.video if not each.disposition & NO_PICTURES]
        if len(streams) > 1:
            sizes = [f"{each.width}x{each.height}" if each.codec_context else "unreadable" for each in streams]
            found.append(f"the movie has {len(streams)} pictures ({', '.join(sizes)}): the first, {sizes[0]}, is taken")
        return tuple(found)

    def _origins(self, order: list[int]) -> tuple[int, ...]:
        """Of each frame, the packet of the last keyframe before it in the file that is not shown after it."""
        keys = [number for number, packet in enumerate(self.packets) if packet.key]
        places = {number: frame for frame, number in enumerate(order)}
        found = []
        for frame, number in enumerate(order):
            at = bisect_right(keys, number) - 1
            while at >= 0 and places.get(keys[at], -1) > frame:
                at -= 1
            found.append(keys[at] if at >= 0 else 0)
        return tuple(found)

    def _origin(self, order: list[int], packet: int) -> int:
        """The first frame that may be decoded from or after ``packet``, or built on what is lost there."""
        key = max((number for number, each in enumerate(self.packets[: packet + 1]) if each.key), default=0)
        return next((frame for frame, number in enumerate(order) if number > key), len(order))

    def _sure(self, order: list[int], times: list[int], steady: int, step: float, counted: bool) -> tuple[int, str]:
        if steady == len(times):
            return len(order), ""
        base = float(self.stream.time_base)
        seconds = [f"{value * base:.4g}" for value in (times[steady] - times[steady - 1], step)]
        doubt = (
            f"{seconds[0]} s pass to the next picture instead of {seconds[1]}, pictures are lost or the rate varies"
            if abs(times[steady] - times[steady - 1] - step) > _STRAY * step
            else "the movie's rate varies"
        )
        if counted:
            return self._origin(order, max(0, steady - 1)), doubt
        # What is lost may be what the pictures before the gap are built on, back to a keyframe.
        keys = {number for number, packet in enumerate(self.packets) if packet.key}
        before = [frame for frame in range(steady) if order[frame] in keys]
        if self.container.format.name == "mpeg":
            # Not every picture has a time there; those between are put in by count.
            del before[-1:]
        return min(steady, before[-1] + 1 if before else 1), doubt

    def _rate(self, step: float) -> Fraction:
        """The rate of the pictures' times: a usual one where it is near."""
        seconds = step * float(self.stream.time_base)
        said = self.stream.guessed_rate or self.stream.average_rate
        if seconds <= 0:
            return Fraction(said or 24)

        def near(rate: Fraction) -> float:
            return abs(float(rate) * seconds - 1)

        if said and near(said) < 0.03:
            return Fraction(said)
        usual = min(_RATES, key=near)
        return usual if near(usual) < 0.01 else Fraction(1 / seconds).limit_denominator(1001)

    def _declared(self, times: list[int], rate: Fraction, counted: bool) -> int:
        """Frames that the file promises."""
        hidden = sum(packet.hidden for packet in self.packets)
        if self.stream.frames:
            return max(0, int(self.stream.frames) - hidden)
        base = self.stream.time_base
        text = self.stream.metadata.get("DURATION", "")
        if self._counts_only and self.stream.duration:
            end = Fraction(self.stream.duration) * base
        elif text and not counted:
            end = _seconds(text) - times[0] * base
        elif "matroska" in self.container.format.name and len(self.container.streams) == 1 and not counted:
            end = Fraction(self.container.duration or 0, 1_000_000) - times[0] * base
        else:
            return 0
        frames = float(end * rate)
        # A file may say where its last picture begins, or where it ends.
        return round(frames) if frames > len(times) + 1.5 else 0

    @property
    def _counts_only(self) -> bool:
        """Whether times in this container are counted from its packets, so that a lost one moves all after it."""
        return self.container.format.name in ("avi", "mxf")


def _steps(times: Sequence[int]) -> int:
    """Pictures for which there is room between the first time and the last."""
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    return round((times[-1] - times[0]) / step) + 1 if step > 0 else len(times)


def _seconds(text: str) -> Fraction:
    try:
        hours, minutes, seconds = text.split(":")
        return (int(hours) * 60 + int(minutes)) * 60 + Fraction(seconds)
    except (ValueError, ZeroDivisionError):
        return Fraction(0)


def _steady(times: np.ndarray[Any, np.dtype[np.float64]], said: float) -> tuple[int, float]:
    """How many of the times, from the first on, lie one step from another, and that step.

    Args:
        times: ascending.
        said: a step that goes before one measured, 0 for none.
    """
    count = len(times)
    if count < 2:
        return count, 0.0
    steps = np.diff(times)
    step = said or float(np.median(steps))
    stray = np.flatnonzero((np.abs(steps - step) > _STRAY * step) | (steps <= 0))
    whole = int(stray[0]) + 1 if len(stray) else count
    if _on_a_line(times[:whole], _OFF):
        return whole, float(times[-1] - times[0]) / (count - 1) if whole == count else step
    low, high = 1, whole
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _on_a_line(times[:middle], _OFF / 2) else (low, middle)
    return low, step


def _on_a_line(times: np.ndarray[Any, np.dtype[np.float64]], within: float) -> bool:
    if len(times) < 3:
        return True
    numbers = np.arange(len(times), dtype=np.float64)
    slope, start = np.polyfit(numbers, times - times[0], 1)
    return slope > 0 and float(np.abs(times - times[0] - start - slope * numbers).max()) <= within * slope
