"""A live stream: what is late is dropped, what is shown is new and in order, and every end is a clean one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.base.errors import ImageError, PaintoverError
from engine.base.frames import SequencePath
from engine.images.files import Image
from engine.live import stream as stream_module
from engine.live.sources import SourcePicture, screen_picture
from engine.live.stream import LiveFigures, LiveStream, ShownPicture
from engine.live.stylizer import PreparedPicture, StyledPicture

WAIT_S = 60.0
PIXELS = np.zeros((8, 8, 3), np.uint8)


class Source:
    """Pictures that come when they are told to, or in steps."""

    name, file, rate = "test", Path("test.png"), 1000.0
    images: SequencePath | None = None

    def __init__(self, count: int, step_s: float = 0.0, ending: PaintoverError | None = None) -> None:
        self.count, self.step_s, self.ending = count, step_s, ending
        self.gates: dict[int, threading.Event] = {}
        self.unreadable: set[int] = set()
        self.came = -1

    def pictures(self, ended: threading.Event) -> Iterator[SourcePicture]:
        for number in range(self.count):
            if number in self.gates:
                assert self.gates[number].wait(WAIT_S)
            if ended.wait(self.step_s):
                return
            yield SourcePicture(number, time.monotonic(), lambda number=number: self.read(number))
            self.came = number
        if self.ending is not None:
            raise self.ending

    def read(self, number: int) -> Image:
        if number in self.unreadable:
            raise ImageError("damaged", frame=number)
        return screen_picture(PIXELS, "test")


class Stylizer:
    """Takes as long as it is told to."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.took_s = self.slowest_s = 0.0
        self.busy = threading.Semaphore(0)

    def prepare(self, image: Image) -> PreparedPicture:
        return PreparedPicture(image.rgb, None, None)  # type: ignore[arg-type]

    def finish(self, picture: PreparedPicture) -> StyledPicture:
        self.busy.release()
        assert self.go.wait(WAIT_S)
        began = time.monotonic()
        time.sleep(self.took_s)
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        return StyledPicture(PIXELS, 0.25)


def made(source: Source, stylizer: Stylizer, shown: list[int], said: list[str] | None = None) -> LiveStream:
    def show(picture: ShownPicture) -> None:
        shown.append(picture.number)

    warn = [].append if said is None else said.append
    return LiveStream(source, stylizer, show, warn=warn)  # type: ignore[arg-type]


def test_the_newest_picture_is_taken_and_those_before_it_are_dropped() -> None:
    source, stylizer, shown = Source(10), Stylizer(), list[int]()
    source.gates = {1: threading.Event(), 2: threading.Event()}
    stylizer.go.clear()
    found = list[LiveFigures]()
    stream = made(source, stylizer, shown)
    runner = threading.Thread(target=lambda: found.append(stream.run(lambda: False)))
    runner.start()
    for gate in source.gates.values():
        # One picture for each worker, and then eight more while both are busy.
        assert stylizer.busy.acquire(timeout=WAIT_S)
        gate.set()
    deadline = time.monotonic() + WAIT_S
    while source.came < 9 and time.monotonic() < deadline:
        time.sleep(0.005)
    stylizer.go.set()
    runner.join(WAIT_S)
    assert (shown[-1], sorted(shown)) == (9, shown)
    # Of 0 and 1, which are let go at once, either may come after a newer one, and is dropped then.
    assert set(shown) <= {0, 1, 9}
    assert found[0].shown + found[0].dropped == 10 and found[0].dropped >= 7 and found[0].carried == 0.25


def test_a_slow_stage_drops_and_does_not_lag() -> None:
    source, stylizer, shown = Source(500, step_s=0.002), Stylizer(), list[int]()
    stylizer.took_s = 0.03
    figures = made(source, stylizer, shown).run(lambda: False)
    assert figures.shown + figures.dropped == 500
    # Two at once, 0.03 s each: kept waiting in a queue, the last one would be 500 / 2 * 0.03 - 1 = 6.5 s old.
    assert figures.dropped > 100 and figures.worst_s < 3.0 + 3 * stylizer.slowest_s
    assert shown == sorted(shown) and shown[-1] == 499


def test_it_ends_after_so_many_pictures_or_seconds_or_when_told_to() -> None:
    shown = list[int]()
    assert made(Source(10_000, 0.001), Stylizer(), shown).run(lambda: False, pictures=3).shown == 3 == len(shown)
    began = time.monotonic()
    made(Source(10_000_000, 0.001), Stylizer(), []).run(lambda: False, seconds=0.3)
    assert 0.3 <= time.monotonic() - began < WAIT_S
    many = list[int]()
    made(Source(10_000_000, 0.001), Stylizer(), many).run(lambda: len(many) >= 5)
    assert len(many) >= 5


def test_a_picture_that_cannot_be_read_is_told_and_left_out() -> None:
    source, shown, said = Source(4, step_s=0.2), list[int](), list[str]()
    source.unreadable = {2}
    made(source, Stylizer(), shown, said).run(lambda: False)
    assert shown == [0, 1, 3] and said == ["frame 2: damaged"]


def test_a_first_picture_that_cannot_be_read_ends_it() -> None:
    source = Source(4, step_s=0.05)
    source.unreadable = {0, 1, 2, 3}
    with pytest.raises(ImageError, match="frame 0: damaged"):
        made(source, Stylizer(), []).run(lambda: False)


def test_a_source_that_breaks_off_or_stalls_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError, match="the cable"):
        made(Source(3, ending=ImageError("the cable was pulled")), Stylizer(), []).run(lambda: False)
    monkeypatch.setattr(stream_module, "STALL_S", 0.2)
    source = Source(3)
    source.gates = {2: threading.Event()}
    try:
        with pytest.raises(PaintoverError, match="the source stalls: no picture for 0 s") as caught:
            made(source, Stylizer(), []).run(lambda: False)
        assert caught.value.exit_code == 1
    finally:
        source.gates[2].set()


def test_what_an_output_says_ends_it() -> None:
    def show(picture: ShownPicture) -> None:
        raise PaintoverError("the disk is full")

    def fault(picture: ShownPicture) -> None:
        raise ZeroDivisionError("a fault of ours")

    for output, error in ((show, PaintoverError), (fault, ZeroDivisionError)):
        with pytest.raises(error, match=r"the disk is full|a fault of ours"):
            LiveStream(Source(5), Stylizer(), output, warn=[].append).run(lambda: False)  # type: ignore[arg-type]


def test_on_a_busy_machine_one_picture_at_a_time_is_on_its_way() -> None:
    source, stylizer, shown = Source(60, step_s=0.002), Stylizer(), list[int]()
    stream = made(source, stylizer, shown)
    stream.meter.count(10.0, 0.0)
    assert stream.meter.latency_s == 10.0
    at_work, most = [0], [0]
    finish = stylizer.finish

    def counted(picture: PreparedPicture) -> StyledPicture:
        at_work[0] += 1
        most[0] = max(most[0], at_work[0])
        time.sleep(0.01)
        at_work[0] -= 1
        stream.meter.count(10.0, 0.0)
        return finish(picture)

    stylizer.finish = counted  # type: ignore[method-assign]
    stream.run(lambda: False)
    assert most[0] == 1 and shown[-1] == 59
