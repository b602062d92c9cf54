"""What the fuzzer takes for a fault, and what it does where its child dies or falls silent."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .outcomes import judged
from .session import Fault, Session

CHILD = """
import json, os, sys, time
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    number = json.loads(line)["number"]
    if number == 1:
        os._exit(7)
    if number == 2:
        time.sleep(600)
    word = "fault" if number == 3 else "refused"
    print(json.dumps({"word": word, "what": "x", "input": "y", "cpu_s": number}), flush=True)
"""


@pytest.mark.parametrize(
    ("code", "text", "word", "what"),
    [
        (0, "done\n", "done", ""),
        (2, "paintover: no\n", "refused", ""),
        (3, "paintover: 1 frame\n", "found", ""),
        (1, "paintover: no\n", "fault", "exit 1"),
        (143, "", "fault", "exit 143"),
        (0, "Traceback (most recent call last):\n", "fault", "a traceback"),
        (2, "paintover: \x1b[2J\n", "fault", "control characters"),
        (2, "x" * 30_000, "fault", "30,000 characters"),
    ],
)
def test_only_three_codes_and_a_line_are_no_fault(code: int, text: str, word: str, what: str) -> None:
    outcome = judged(code, "", text)
    assert (outcome.word, what in outcome.what) == (word, True)


def test_a_child_that_dies_or_is_silent_is_a_fault_and_another_goes_on(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "try").mkdir()
    (tmp_path / "work" / "try" / "a.png").write_bytes(b"x")
    told: list[Fault] = []
    child = (sys.executable, "-c", CHILD)
    with Session(tmp_path / "work", tmp_path / "faults", child=child, silence_s=20.0) as session:
        words = [session.attempt("images", 1, number, told.append) for number in (0, 1, 2, 3, 4)]
    assert words == ["refused", "fault", "fault", "fault", "refused"]
    assert [fault.what for fault in told] == ["the process died with 7", "no answer for 20 s", "x"]
    assert (session.tallies["images"].tried, session.tallies["images"].slowest) == (5, 4)
    assert (Path(told[0].kept) / "a.png").read_bytes() == b"x"
    assert told[0].again == "python -m tests.fuzz --target images --seed 1 --only 1"
