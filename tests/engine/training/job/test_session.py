"""Commands of a training session: written, read back, and refused where they are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.base.errors import InputError
from engine.training.job.job import PaintedFrame
from engine.training.job.session import (
    Export,
    GoOn,
    Leave,
    LookAt,
    Paint,
    Pause,
    SessionCommand,
    TrainAgain,
    command_line_of,
    parse_command,
    result_path,
)


@pytest.mark.parametrize(
    "command",
    [
        Paint((PaintedFrame(7, Path("p.png"), Path("m.png"), "sRGB"), PaintedFrame(-2, Path("q.png"))), "translate", 4),
        LookAt(12),
        Pause(),
        GoOn(),
        TrainAgain(),
        Export(Path("hero.onnx")),
        Leave(),
    ],
    ids=lambda command: type(command).__name__,
)
def test_a_command_is_read_as_it_was_written(command: SessionCommand) -> None:
    line = command_line_of(command)
    assert "\n" not in line and parse_command(line) == command


@pytest.mark.parametrize(
    "line",
    [
        "",
        "paint",
        "[]",
        '{"do": "dance"}',
        '{"do": "look_at"}',
        '{"do": "look_at", "frame": 1.5}',
        "[" * 20000,
        '{"do": "export", "look": "a\\u0000b"}',
        '{"do": "pause", "now": true}',
    ],
    ids=["empty", "word", "list", "unknown", "lacking", "number", "deep", "zero", "more"],
)
def test_what_is_no_command_is_refused(line: str) -> None:
    with pytest.raises(InputError, match="not a command of a training session"):
        parse_command(line)


def test_results_lie_in_the_work_folder() -> None:
    assert result_path(Path("work"), 12) == Path("work/desk/results/0012.npy")
