"""The progress protocol: what schedulers, hosts and people read while a command works."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from engine.base.errors import ImageError, InputError
from plugin.cli import main
from plugin.progress import json_lines
from plugin.progress.bar import BarProgress
from plugin.progress.json_lines import JsonProgress
from plugin.progress.lines import LineProgress
from plugin.progress.openjd import OpenJobProgress
from plugin.progress.protocol import (
    MODES,
    NoProgress,
    Phase,
    Progress,
    duration,
    open_progress,
    quiet_errors,
    visible,
)
from tests.support.hostile_names import CONTROL, NAMES

PHASES = (Phase("train", "Training hero.onnx", 3.0), Phase("render", "Rendering 4 frames", 1.0))


def drive(progress: Progress) -> None:
    """A whole command: training to its end, then four frames."""
    progress.plan(PHASES)
    progress.begin("train")
    for step in range(1, 5):
        facts = {"step": step, "loss": 1.0 / step, "steps_per_s": float("inf")}
        progress.update(step / 4, f"loss {1 / step:.2f}", facts)
    progress.begin("render")
    for frame in range(4):
        progress.update((frame + 1) / 4, f"frame {frame}", {"frame": frame})
    progress.note("4 frames in out.%04d.png")
    progress.finish()
    progress.close()


def test_lines_are_integers_that_only_rise_and_end_at_100() -> None:
    stream = io.StringIO()
    drive(LineProgress(stream))
    lines = stream.getvalue().splitlines()
    percents = [int(match.group(1)) for line in lines if (match := re.fullmatch(r"Progress: (\d+)%", line))]
    assert percents == [0, 18, 37, 56, 75, 81, 87, 93, 99, 100]
    others = [line for line in lines if not line.startswith("Progress: ")]
    assert others == ["Training hero.onnx", "Rendering 4 frames", "4 frames in out.%04d.png"]


@pytest.mark.parametrize("make", [NoProgress, lambda: LineProgress(io.StringIO()), lambda: JsonProgress(io.StringIO())])
def test_a_warning_comes_once_in_a_command(make: Callable[[], Progress], capsys: pytest.CaptureFixture[str]) -> None:
    progress = make()
    for text in ("no metadata", "no metadata", "frame 3: no metadata", "no metadata"):
        progress.warn(text)
    told = ["no metadata", "frame 3: no metadata"]
    assert capsys.readouterr().err.splitlines() == [f"paintover: warning: {text}" for text in told]
    other = make()
    other.warn("no metadata")
    assert capsys.readouterr().err.splitlines() == ["paintover: warning: no metadata"]


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=30))
def test_no_fraction_makes_the_percentage_fall_or_leave_its_range(fractions: list[float]) -> None:
    stream = io.StringIO()
    progress = LineProgress(stream)
    progress.plan(PHASES)
    progress.begin("train")
    for fraction in fractions:
        progress.update(fraction)
    percents = [int(line[10:-1]) for line in stream.getvalue().splitlines() if line.startswith("Progress: ")]
    assert percents == sorted(set(percents))
    assert 0 <= percents[0] and percents[-1] <= 75


def test_only_a_finished_command_says_100_percent() -> None:
    for made, last in ((LineProgress, "Progress: 99%"), (OpenJobProgress, "openjd_progress: 99.9")):
        stream = io.StringIO()
        progress = made(stream)
        progress.plan(PHASES)
        progress.begin("render")
        progress.update(1.0)
        assert stream.getvalue().splitlines()[-1] == last


def test_openjd_messages() -> None:
    stream = io.StringIO()
    progress = OpenJobProgress(stream)
    drive(progress)
    lines = stream.getvalue().splitlines()
    assert lines[:3] == ["openjd_status: Training hero.onnx", "openjd_progress: 0.0", "openjd_progress: 18.7"]
    assert lines[-1] == "openjd_progress: 100.0"
    assert all(re.fullmatch(r"openjd_(progress: \d+\.\d|status: .+)", line) for line in lines)


def test_openjd_text_cannot_smuggle_in_a_second_message() -> None:
    stream = io.StringIO()
    progress = OpenJobProgress(stream)
    progress.note("a name with\nopenjd_fail: a line\r\tand \x1b[31mcolor")
    progress.fail(ImageError("no such image", frame=7, path="plate.0007.exr"))
    assert stream.getvalue().splitlines() == [
        "openjd_status: a name with openjd_fail: a line and [31mcolor",
        "openjd_fail: frame 7: no such image (plate.0007.exr)",
    ]


@pytest.mark.parametrize("name", CONTROL | NAMES)
def test_names_cannot_steer_a_terminal(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In bars, lines, warnings and the last line of a failure: what stands in a file's name is written out."""
    hostile = (CONTROL | NAMES)[name]
    phases = (Phase("render", f"Rendering {hostile}", 1.0),)
    lines, bar, session = io.StringIO(), io.StringIO(), io.StringIO()
    for progress in (
        LineProgress(lines),
        BarProgress(Console(file=bar, width=200, highlight=False)),
        OpenJobProgress(session),
    ):
        progress.plan(phases)
        progress.begin("render")
        progress.update(0.5, hostile)
        progress.note(f"wrote {hostile}")
        progress.warn(f"{hostile} is black")
        progress.finish()
        progress.close()
    assert main(["verify", "--look", f"/nowhere/{hostile}.onnx"]) == 2
    assert main([hostile]) == 2
    said = capsys.readouterr()
    for text in (lines.getvalue(), bar.getvalue(), session.getvalue(), said.err, said.out):
        assert all(line.isprintable() for line in text.split("\n")), ascii(text)
    assert f"wrote {visible(' '.join(hostile.split()))}\n" in lines.getvalue()
    assert said.err.count("\n") == 5


def test_what_is_written_out() -> None:
    assert visible("a\x1b[2J\x9b\x85\u202e\udcff\x00b") == "a\\x1b[2J\\x9b\\x85\\u202e\\udcff\\x00b"
    assert visible("\u00e9t\u00e9 \u753b") == "\u00e9t\u00e9 \u753b"


def test_json_events(monkeypatch: pytest.MonkeyPatch) -> None:
    # All of it within one moment, however busy the machine is.
    monkeypatch.setattr(json_lines, "time", SimpleNamespace(monotonic=lambda: 7.0))
    stream = io.StringIO()
    drive(JsonProgress(stream))
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds[0] == "phase" and kinds[-2:] == ["note", "finished"]
    first = events[1]
    assert first == {
        "event": "progress",
        "step": 1,
        "loss": 1.0,
        "steps_per_s": None,
        "phase": "train",
        "fraction": 0.25,
        "overall": 0.1875,
        "text": "loss 1.00",
    }
    overall = [event["overall"] for event in events if "overall" in event]
    assert overall == sorted(overall) and overall[-1] == 1.0
    # Steps within a quarter of a second are dropped; a frame and the end of a phase never are.
    sent = [event.get("step", event.get("frame")) for event in events if event["event"] == "progress"]
    assert sent == [1, 4, 0, 1, 2, 3]


def test_json_failure_carries_its_facts(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    progress = JsonProgress(stream)
    progress.warn("half the\nplate is NaN")
    progress.fail(ImageError("truncated", remedy="export it again", frame=3, path="p.exr"))
    warning, failed = (json.loads(line) for line in stream.getvalue().splitlines())
    assert warning == {"event": "warning", "text": "half the plate is NaN"}
    assert failed == {
        "event": "failed",
        "message": "frame 3: truncated (p.exr); export it again",
        "exit_code": 2,
        "frame": 3,
        "path": "p.exr",
        "kind": "ImageError",
    }
    assert capsys.readouterr().err == "paintover: warning: half the plate is NaN\n"


def test_none_prints_nothing_but_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    drive(NoProgress())
    NoProgress().warn("one frame is black")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "paintover: warning: one frame is black\n")


def test_nothing_on_success_looks_like_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    streams = [io.StringIO(), io.StringIO()]
    for progress in (LineProgress(streams[0]), OpenJobProgress(streams[1]), NoProgress()):
        progress.note("RuntimeError: retried\nand fine")
        progress.warn("Error: a library's words")
    captured = capsys.readouterr()
    said = captured.out + captured.err + "".join(stream.getvalue() for stream in streams)
    assert "RuntimeError, retried and fine" in said
    assert re.search(r"[Ee]rror: ", said) is None


def test_bar_shows_loss_and_leaves_only_the_notes() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100, _environ={"TERM": "xterm"})
    progress = BarProgress(console)
    progress.plan((Phase("train", "Training [hero].onnx", 1.0),))
    progress.begin("train")
    progress.update(0.5, "loss 0.1234, 14.2 steps/s, 30 s left")
    progress._bar.refresh()
    during = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())
    assert "Training [hero].onnx" in during
    assert "50%" in during and "loss 0.1234, 14.2 steps/s, 30 s left" in during
    progress.note("look [hero].onnx")
    progress.close()
    progress.close()
    assert "look [hero].onnx" in stream.getvalue()
    # The last thing on the screen is the erased bar and a visible cursor.
    assert stream.getvalue().rstrip().endswith("\x1b[2K") and "\x1b[?25h" in stream.getvalue()


def test_a_reader_that_went_away_does_not_stop_the_work() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    for made in (LineProgress, OpenJobProgress, JsonProgress):
        drive(made(Closed()))


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("auto", LineProgress),
        ("lines", LineProgress),
        ("bar", BarProgress),
        ("openjd", OpenJobProgress),
        ("json", JsonProgress),
        ("none", NoProgress),
    ],
)
def test_modes(mode: str, kind: type, capsys: pytest.CaptureFixture[str]) -> None:
    assert mode in MODES
    assert type(open_progress(mode)) is kind


def test_unknown_mode() -> None:
    with pytest.raises(InputError, match="unknown progress mode 'loud'"):
        open_progress("loud")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (8.4, "8 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"), (3725, "1 h 02 min"), (1e400, "some time")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_quiet_errors_makes_one_line() -> None:
    assert quiet_errors("a\n  ValueError: b") == "a ValueError, b"
