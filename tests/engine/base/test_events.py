"""Events: what a process says, and what is made of anything else on its stdout."""

from __future__ import annotations

import json
import logging

import pytest

from engine.base.errors import FrameFailures, ImageError
from engine.base.events import EVENTS, event_line, failed_event, open_events, parse_event


def test_numbers_that_json_lacks_are_null_at_any_depth() -> None:
    line = event_line("progress", {"loss": float("nan"), "best": {"mae": float("inf"), "all": [1.0, float("-inf")]}})
    assert json.loads(line) == {"event": "progress", "loss": None, "best": {"mae": None, "all": [1.0, None]}}
    assert "NaN" not in line and "Infinity" not in line


def test_a_fact_cannot_change_what_event_it_is() -> None:
    assert event_line("note", {"event": "finished", "text": "a\nb"}) == '{"event": "note", "text": "a\\nb"}'


@pytest.mark.parametrize("line", ["", "a library talks", "3", "[]", "null", "{", "[" * 100_000, '{"a": ' * 100_000])
def test_what_is_no_event(line: str) -> None:
    assert parse_event(line) is None


def test_an_error_keeps_its_facts() -> None:
    error = ImageError("truncated", remedy="export it again", frame=3, path="p.exr")
    assert failed_event(error) == {
        "event": "failed",
        "message": "frame 3: truncated (p.exr); export it again",
        "exit_code": 2,
        "frame": 3,
        "path": "p.exr",
        "kind": "ImageError",
    }
    several = failed_event(FrameFailures("2 of 9 failed", {7: "frame 7:\n no", 2: "frame 2: no"}, exit_code=2))
    assert (several["exit_code"], several["frames"]) == (2, {"2": "frame 2: no", "7": "frame 7: no"})
    assert several["event"] in EVENTS


def test_warnings_of_the_engine_are_events(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("engine")
    before = list(logger.handlers)
    try:
        emit = open_events()
        logging.getLogger("engine.images").warning("frame %d has bad pixels", 4)
        emit({"event": "finished", "loss": float("nan")})
    finally:
        logger.handlers = before
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"event": "warning", "text": "frame 4 has bad pixels"},
        {"event": "finished", "loss": None},
    ]
