"""The clock of frames in flight: each has its share of the time, whoever began or ended meanwhile."""

from __future__ import annotations

from engine.rendering.frame_clock import FrameClock


class Time:
    """A clock that stands until it is told to go on."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_frames_share_the_time() -> None:
    time = Time()
    clock = FrameClock(time)
    time.seconds += 50  # nothing is in flight
    for frame in (1, 2, 3, 4):
        clock.begin(frame)
    time.seconds += 8
    assert clock.late(2.0) == {}
    assert clock.late(1.99) == dict.fromkeys((1, 2, 3, 4), 8.0)


def test_the_last_frame_of_a_chunk_is_judged_by_what_it_had() -> None:
    """Four healthy frames of two seconds each, one thread: the last ends after eight, when it is alone."""
    time = Time()
    clock = FrameClock(time)
    for frame in (1, 2, 3, 4):
        clock.begin(frame)
    time.seconds += 7.6
    for frame in (1, 2, 3):
        clock.end(frame)
    # Alone from here on: 1.9 s it had, and the 7.6 s since it began say nothing.
    assert clock.late(2.5) == {}
    time.seconds += 0.5
    assert clock.late(2.5) == {}
    time.seconds += 0.2
    late = clock.late(2.5)
    assert list(late) == [4] and abs(late[4] - 8.3) < 1e-9


def test_a_frame_that_hangs_is_late_while_others_come_and_go() -> None:
    time = Time()
    clock = FrameClock(time)
    clock.begin(0)
    for frame in range(1, 11):
        clock.begin(frame)
        time.seconds += 1.0
        clock.end(frame)
    assert clock.late(5.1) == {}
    assert list(clock.late(4.9)) == [0]
    clock.end(0)
    clock.end(99)
    assert clock.late(0.0) == {}
