"""Stream of live pictures: taken as they come, stylized side by side, shown in their order; what is late is dropped.

One picture waits at most. A newer one takes its place, so that what is shown is never older than a picture's own way
through: the wait for whoever takes it, the track, the network.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from engine.base.errors import Interrupted, PaintoverError
from engine.live.sources import LiveSource, SourcePicture
from engine.live.stylizer import LiveStylizer, StyledPicture

__all__ = ["LiveFigures", "LiveMeter", "LiveStream", "ShownPicture"]

WORKERS = 2
"""Pictures on their way at once: one is followed while the other one is stylized."""
LATE_S = 0.4
"""Latency from which there is only one: on a machine that has other work, two take longer each and no less together."""
STALL_S = 10.0
"""Without a picture for so long, a source is given up."""
REPORT_EVERY_S = 1.0
_WINDOW_S = 3.0
"""Over which frames per second and latency are measured."""
_MOST_FAILURES = 24
"""Pictures in a row that cannot be read, until the source is given up."""


@dataclass(frozen=True, eq=False)
class ShownPicture:
    """A picture, stylized."""

    number: int
    """As :attr:`SourcePicture.number`."""
    styled: StyledPicture
    due_s: float
    """When the source gave it, by ``time.monotonic``."""
    shown_s: float
    """When it was ready."""


@dataclass(frozen=True)
class LiveFigures:
    """How a stream does."""

    shown: int
    """Pictures, from the beginning."""
    dropped: int
    """Likewise: that gave way to a newer one."""
    fps: float
    """Pictures shown in a second, over the last seconds."""
    latency_s: float
    """Median over these, from a picture's time to when it was ready."""
    worst_s: float
    """The longest of all."""
    carried: float
    """Share of the last picture that rides on the keyframe."""
    elapsed_s: float


class LiveMeter:
    """Counts what is shown and dropped; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._recent: deque[tuple[float, float]] = deque()
        self._shown = self._dropped = 0
        self._worst_s = self._carried = 0.0

    def count(self, latency_s: float, carried: float) -> None:
        """A picture is shown now."""
        now = time.monotonic()
        with self._lock:
            self._shown += 1
            self._carried = carried
            self._worst_s = max(self._worst_s, latency_s)
            self._recent.append((now, latency_s))
            self._forget(now)

    def drop(self, count: int = 1) -> None:
        """Pictures that nobody will see."""
        with self._lock:
            self._dropped += count

    @property
    def latency_s(self) -> float:
        """Median of the last seconds; 0 before the first picture."""
        with self._lock:
            return median(latency for _, latency in self._recent) if self._recent else 0.0

    @property
    def figures(self) -> LiveFigures:
        """As they are now."""
        now = time.monotonic()
        with self._lock:
            self._forget(now)
            elapsed_s = now - self._began
            recent = [latency for _, latency in self._recent]
            fps = len(recent) / max(1e-6, min(elapsed_s, _WINDOW_S))
            latency_s = median(recent) if recent else 0.0
            return LiveFigures(
                self._shown, self._dropped, fps, latency_s, self._worst_s, self._carried, elapsed_s
            )  # fmt: skip

    def _forget(self, now: float) -> None:
        while self._recent and now - self._recent[0][0] > _WINDOW_S:
            self._recent.popleft()


class LiveStream:
    """One source through one stylizer."""

    def __init__(
        self,
        source: LiveSource,
        stylizer: LiveStylizer,
        show: Callable[[ShownPicture], None],
        *,
        warn: Callable[[str], None],
        key_at: int | None = None,
        on_key: Callable[[], None] | None = None,
    ) -> None:
        """
        Args:
            show: takes each picture, in their order; it may be called from several threads, one at a time.
            warn: told of pictures that cannot be read.
            key_at: place among the source's pictures, from 0, from which on :attr:`on_key` is called once.
            on_key: asks the stylizer for a keyframe.
        """
        self.meter = LiveMeter()
        self._source, self._stylizer, self._show, self._warn = source, stylizer, show, warn
        self._key_at, self._on_key = key_at, on_key
        self._ended = threading.Event()
        self._changed = threading.Condition()
        self._waiting: SourcePicture | None = None
        self._over = False
        self._came = 0
        self._failures = 0
        self._last_came_s = time.monotonic()
        self._taking = threading.Lock()
        self._showing = threading.Lock()
        self._order = self._last_order = 0
        self._failed: Exception | None = None
        self._limit: int | None = None

    def run(
        self,
        stop: Callable[[], bool],
        *,
        seconds: float | None = None,
        pictures: int | None = None,
        report: Callable[[LiveFigures], None] | None = None,
    ) -> LiveFigures:
        """Until the source ends, ``stop`` says so, or so many seconds or pictures are over.

        Args:
            report: told how it does, about once a second.

        Raises:
            ImageError: the source broke off, or none of its first pictures can be read.
            PaintoverError: it sends nothing any more; the device failed; ``show`` failed.
        """
        self._limit = pictures
        began = self._last_came_s = time.monotonic()
        next_report = began + REPORT_EVERY_S
        feeder = threading.Thread(target=self._feed, name="source", daemon=True)
        workers = [threading.Thread(target=self._work, name="live", daemon=True) for _ in range(WORKERS)]
        for thread in (feeder, *workers):
            thread.start()
        try:
            while any(worker.is_alive() for worker in workers):
                now = time.monotonic()
                if stop() or self._failed is not None or (seconds is not None and now - began >= seconds):
                    break
                stall_s = max(STALL_S, 5 / self._source.rate)
                if not self._over and now - self._last_came_s > stall_s:
                    raise PaintoverError(
                        f"the source stalls: no picture for {stall_s:.0f} s", path=self._source.name,
                        remedy="check it, and run again",
                    )  # fmt: skip
                if report is not None and now >= next_report:
                    report(self.meter.figures)
                    next_report = now + REPORT_EVERY_S
                workers[0].join(0.05)
        finally:
            self._ended.set()
            with self._changed:
                self._over = True
                self._changed.notify_all()
            for worker in workers:
                worker.join()
        if self._failed is not None:
            raise self._failed
        return self.meter.figures

    def _feed(self) -> None:
        try:
            for picture in self._source.pictures(self._ended):
                with self._changed:
                    if self._waiting is not None:
                        self.meter.drop()
                    self._waiting = picture
                    self._last_came_s = time.monotonic()
                    self._changed.notify()
                if self._on_key is not None and self._key_at is not None and self._came >= self._key_at:
                    self._on_key()
                    self._on_key = None
                self._came += 1
        except Exception as error:  # a fault of ours as well: whoever runs it must hear of it
            self._fail(error)
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _work(self) -> None:
        try:
            while not self._ended.is_set():
                # Whoever waits here holds no picture: the one that is taken is the newest.
                with self._taking:
                    picture = self._take()
                    if picture is None:
                        return
                    self._order += 1
                    order = self._order
                    try:
                        prepared = self._stylizer.prepare(picture.read())
                        self._failures = 0
                    except PaintoverError as error:
                        self._unread(error)
                        continue
                    styled = self._stylizer.finish(prepared) if self.meter.latency_s > LATE_S else None
                self._hand_over(picture, order, styled or self._stylizer.finish(prepared))
        except Interrupted:
            return
        except Exception as error:  # likewise
            self._fail(error)

    def _take(self) -> SourcePicture | None:
        with self._changed:
            while self._waiting is None and not self._over:
                self._changed.wait()
            picture, self._waiting = self._waiting, None
            return None if self._ended.is_set() else picture

    def _hand_over(self, picture: SourcePicture, order: int, styled: StyledPicture) -> None:
        with self._showing:
            if order < self._last_order or self._ended.is_set():
                # A newer one was faster.
                self.meter.drop()
                return
            self._last_order = order
            now = time.monotonic()
            self.meter.count(now - picture.due_s, styled.carried)
            self._show(ShownPicture(picture.number, styled, picture.due_s, now))
            if self._limit is not None and self.meter.figures.shown >= self._limit:
                self._ended.set()
                with self._changed:
                    self._over = True
                    self._changed.notify_all()

    def _unread(self, error: PaintoverError) -> None:
        self._failures += 1
        self.meter.drop()
        if self.meter.figures.shown == 0 or self._failures > _MOST_FAILURES:
            raise error
        self._warn(str(error))

    def _fail(self, error: Exception) -> None:
        if self._failed is None:
            self._failed = error
        self._ended.set()
        with self._changed:
            self._over = True
            self._changed.notify_all()
