"""Frame ranges as each farm engine writes and reads them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.base.errors import InputError
from engine.base.frames import MAX_FRAMES, FrameRange
from plugin.arguments import dialects
from plugin.cli import main
from tests.support.farm_shot import make_shot


@pytest.mark.parametrize(
    ("dialect", "text", "frames"),
    [
        ("fileseq", "1-7:2", (1, 2, 3, 4, 5, 6, 7)),
        ("openjd", "1-7:2", (1, 3, 5, 7)),
        ("opencue", "1-7:2", (1, 2, 3, 4, 5, 6, 7)),
        ("slurm", "1-7:2", (1, 3, 5, 7)),
        ("fileseq", "1-7x2", (1, 3, 5, 7)),
        ("opencue", "1-7x2", (1, 3, 5, 7)),
        ("deadline", "1-7x2", (1, 3, 5, 7)),
        ("fileseq", "1-7y2", (2, 4, 6)),
        ("opencue", "1-7y2", (2, 4, 6)),
        ("deadline", "1-7step3 9", (1, 4, 7, 9)),
        ("deadline", "1-9BY4,11", (1, 5, 9, 11)),
        ("deadline", "1-9every4", (1, 5, 9)),
        ("openjd", " 1 - 7 : 2 , 20 ", (1, 3, 5, 7, 20)),
        ("openjd", "7-1:-2", (1, 3, 5, 7)),
        ("opencue", "7-1", (1, 2, 3, 4, 5, 6, 7)),
        ("opencue", "7-1x-2", (1, 3, 5, 7)),
        ("opencue", "1-5,3-7", (1, 2, 3, 4, 5, 6, 7)),
        ("deadline", "7-1x2", (1, 3, 5, 7)),
        ("fileseq", "7-1", (1, 2, 3, 4, 5, 6, 7)),
        ("openjd", "-5--2", (-5, -4, -3, -2)),
        ("openjd", "-5-1:3", (-5, -2, 1)),
        ("opencue", "-5--2", (-5, -4, -3, -2)),
        ("deadline", "-5--2", (-5, -4, -3, -2)),
        ("fileseq", "-5--2", (-5, -4, -3, -2)),
        ("slurm", "0-3%2", (0, 1, 2, 3)),
        ("openjd", "3", (3,)),
        ("slurm", "5,1,3", (1, 3, 5)),
    ],
)
def test_each_dialect_by_its_own_parser(dialect: str, text: str, frames: tuple[int, ...]) -> None:
    assert dialects.DIALECTS[dialect](text).frames == frames


@pytest.mark.parametrize("dialect", dialects.DIALECTS)
@pytest.mark.parametrize("text", ["", "  ", ",", "1-", "a", "1-2-3", "1..5", "1-7z2", "1-1000000000", "²"])
def test_what_no_dialect_has(dialect: str, text: str) -> None:
    started = time.thread_time()
    with pytest.raises(InputError) as caught:
        dialects.DIALECTS[dialect](text)
    assert caught.value.exit_code == 2
    # A billion frames are counted, not listed; by the processor's clock, whatever else the machine does.
    assert time.thread_time() - started < 1.0


@pytest.mark.parametrize(
    ("dialect", "text", "why"),
    [
        ("openjd", "7-1", "backward without a step"),
        ("openjd", "1-7x2", "no part of one"),
        ("openjd", "1-5,3-7", "named twice"),
        ("openjd", "1-7:0", "a step of 0"),
        ("openjd", "1-7:-1", "there is no step of -1"),
        ("openjd", "1-1000000000:2", "over 1,000,000"),
        ("openjd", "1-10,,12", "nothing between two commas"),
        ("opencue", "1-7x0", "a step of 0"),
        ("opencue", "1-7y0", "needs a positive number"),
        ("opencue", "1-7:-2", "needs a positive number"),
        ("opencue", "1-7x-2", "there is no step of -2"),
        ("opencue", "1-5y1", "it is empty"),
        ("slurm", "-5--2", "no part of one"),
        ("slurm", "7-1", "backward"),
        ("slurm", "1-7%0", "whole number is needed after %"),
        ("slurm", "1-7:0", "a step of 0"),
        ("deadline", "1-7x0", "a step of 0"),
        ("deadline", "1-7:2", "no part of one"),
        ("opencue", "1-600000,1-600000", "over 1,000,000"),
    ],
)
def test_what_a_dialect_refuses(dialect: str, text: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        dialects.DIALECTS[dialect](text)


def test_the_largest_range_is_read() -> None:
    assert len(dialects.parse_openjd(f"1-{MAX_FRAMES}")) == MAX_FRAMES


NUMBERS = st.lists(st.integers(-300, 300), min_size=1, max_size=40, unique=True)


@given(NUMBERS)
def test_what_is_written_is_read_back(numbers: list[int]) -> None:
    frames = FrameRange(tuple(numbers))
    assert dialects.parse_openjd(dialects.format_openjd(frames)) == frames
    assert dialects.parse_opencue(dialects.format_opencue(frames)) == frames
    assert dialects.parse_deadline(dialects.format_deadline(frames)) == frames
    indices = FrameRange(tuple(abs(number) for number in numbers))
    assert dialects.parse_slurm(dialects.format_slurm(indices, at_once=4)) == indices


@given(NUMBERS)
def test_runs_cover_every_frame_once_and_in_order(numbers: list[int]) -> None:
    frames = FrameRange(tuple(numbers))
    listed = [frame for first, last, step in dialects.runs(frames) for frame in range(first, last + 1, step)]
    assert listed == list(frames)


def test_runs_are_short() -> None:
    assert dialects.format_openjd(FrameRange((1, 3, 5, 7, 20, 21, 30))) == "1-7:2,20-21,30"
    assert dialects.format_opencue(FrameRange((1, 4))) == "1,4"
    assert dialects.format_opencue(FrameRange((-5, -3, -1, 1))) == "-5-1x2"
    with pytest.raises(InputError, match="no array index -1"):
        dialects.format_slurm(FrameRange((-1, 2)))


def test_a_command_reads_its_engines_dialect(tmp_path: Path) -> None:
    shot = make_shot(tmp_path, frames=7)
    words = shot.words("render", "--frames=1-7:2", "--frames-dialect", "openjd", "--progress", "none")
    assert main(words) == 0
    assert tuple(shot.out.existing() or ()) == (1, 3, 5, 7)
