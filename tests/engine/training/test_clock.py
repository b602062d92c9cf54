"""The clock of a training run: start and export are in the budget, by a clock that the test turns."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

pytest.importorskip("torch", reason="training is not installed")

from engine.training import clock as clocks
from engine.training.clock import Clock
from tests.support.training_jobs import job


class Wall:
    """What ``time.perf_counter`` says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        monkeypatch.setattr(clocks.time, "perf_counter", lambda: self.now_s)


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    return Wall(monkeypatch)


def test_start_and_export_count(wall: Wall) -> None:
    """Of 60 s, 8 s went by before the first step and 7 s will be needed behind the last: 45 s are trained."""
    clock = Clock(job(Path("work")), began_s=95.0)
    wall.now_s = 103.0
    clock.begin()
    assert (clock.elapsed_s, clock.progress, clock.left_s) == (8.0, 0.0, 52.0)
    clock.reserve_s = 7.0
    wall.now_s += 22.5
    clock.step = 900
    assert (clock.progress, clock.left_s, clock.steps_per_s) == (0.5, 22.5, 40.0)
    assert not clock.is_over
    wall.now_s += 22.5
    assert clock.progress == 1.0 and clock.is_over and clock.elapsed_s == 53.0


def test_a_slow_start_leaves_a_quarter(wall: Wall) -> None:
    clock = Clock(job(Path("work")), began_s=0.0)
    clock.begin()
    clock.reserve_s = 50.0
    wall.now_s += 14.0
    clock.step = 70
    assert clock.progress == pytest.approx(14 / 15) and not clock.is_over


def test_a_slow_step_that_would_end_later_than_now_is_not_begun(wall: Wall) -> None:
    clock = Clock(job(Path("work")))
    clock.begin()
    for step, over in ((1, False), (2, False), (3, True)):
        wall.now_s += 18.0
        clock.step = step
        # A fourth step would end at 72 s, further from 60 s than the third at 54 s.
        assert clock.is_over == over


def test_a_resumed_run_goes_on_where_it_was(wall: Wall) -> None:
    clock = Clock(job(Path("work")), began_s=90.0)
    clock.resume(300, 30.0)
    clock.begin()
    assert (clock.elapsed_s, clock.progress) == (40.0, 0.6)
    wall.now_s += 10.0
    clock.step = 400
    assert clock.steps_per_s == 10.0 and clock.progress == 0.8


def test_counted_in_steps_no_time_matters(wall: Wall) -> None:
    clock = Clock(replace(job(Path("work")), budget_s=None, steps=40))
    clock.begin()
    clock.reserve_s, clock.step = 1000.0, 10
    wall.now_s += 5.0
    assert (clock.progress, clock.left_s, clock.is_over) == (0.25, 15.0, False)


def test_few_steps_say_how_to_go_on(wall: Wall) -> None:
    clock = Clock(job(Path("work")))
    clock.begin()
    wall.now_s += 50.0
    clock.step = 25
    assert clock.few_steps() == (
        "only 25 steps fitted into the budget of 60 s, on a machine that is slow or busy: the look is unfinished, "
        "300 steps and more make one; --resume --budget 10m goes on"
    )
