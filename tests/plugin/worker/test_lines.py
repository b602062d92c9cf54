"""What a line may hold: whatever it is, the worker answers and hears the next one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plugin.client.command import child_environment
from plugin.client.job import DEPTH, PROTOCOL
from plugin.worker.server import LINE_LIMIT
from tests.support import ROOT
from tests.support.hostile_names import UNNAMEABLE

Process = subprocess.Popen[bytes]

DIGITS = b"9" * 400
LINES: dict[str, tuple[bytes, str]] = {
    "deep lists": (b"[" * 200_000, "objects within one another"),
    "deep objects": (b'{"a":' * 150_000, "objects within one another"),
    "closed and deep": (b'{"protocol":1,"id":1,"op":"ping","x":' + b"[" * 40 + b"]" * 40 + b"}", str(DEPTH)),
    "a large id": (b'{"protocol":1,"op":"ping","id":' + DIGITS + b"}", "400 digits"),
    "a small id": (b'{"protocol":1,"op":"ping","id":-' + DIGITS + b"}", "401 digits"),
    "an infinite id": (b'{"protocol":1,"op":"ping","id":1e999}', "request.id is inf, not integer"),
    "a target": (b'{"protocol":1,"op":"cancel","id":3,"target":-' + DIGITS + b"}", "401 digits"),
    "a million digits": (b'{"protocol":1,"op":"ping","id":' + b"7" * 1_000_000 + b"}", "1000000 digits"),
    "no number": (b'{"protocol":1,"op":"ping","id":NaN}', "NaN is not a number"),
    "infinity": (b'{"protocol":-Infinity,"op":"ping","id":1}', "-Infinity is not a number"),
    "a fraction": (b'{"protocol":1,"op":"ping","id":1.5}', "not integer"),
    "a wide protocol": (json.dumps({"protocol": "1" * 100_000, "id": 1, "op": "ping"}).encode(), "is of protocol '1"),
    "no UTF-8": (b'{"protocol":1,"op":"ping","id":1,"token":"\xff\xfe"}', "not UTF-8"),
    "UTF-16": ('{"protocol":1,"op":"ping","id":1}'.encode("utf-16-le"), "not JSON"),
    "a byte order mark": (b'\xef\xbb\xbf{"protocol":1,"op":"ping","id":1}', "not JSON"),
    "NUL bytes": (b"\0" * 1000, "not JSON"),
    "a text": (b'"hello"', "a request is a JSON object"),
    "no end of text": (b'{"protocol":1,"op":"ping","id":1,"token":"', "not JSON"),
    "a list as id": (b'{"protocol":1,"op":"ping","id":[1]}', "not integer"),
    "a surrogate": (b'{"protocol":1,"op":"\\ud800","id":1}', "not one of"),
    "long": (b'{"protocol":1,"op":"ping","id":1,"token":"' + b"x" * (3 * LINE_LIMIT), f"more than {LINE_LIMIT} bytes"),
    "a job of the wrong kind": (b'{"protocol":1,"op":"render","id":1,"job":[]}', "request.job is [], not object"),
}


@pytest.fixture(scope="module")
def worker() -> Iterator[Process]:
    """One process for all lines: it has to outlive every one of them."""
    process = subprocess.Popen(
        [sys.executable, "-m", "plugin", "worker", "--threads", "1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**child_environment(), "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None and b"ready" in process.stdout.readline()
    yield process
    _, err = process.communicate(timeout=60)  # It closes the worker's input, which ends it.
    assert (process.returncode, err) == (0, b"")


def ask(process: Process, line: bytes) -> dict[str, Any]:
    """The first event after a line."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(line + b"\n")
    process.stdin.flush()
    answer: dict[str, Any] = json.loads(process.stdout.readline())
    return answer


@pytest.mark.parametrize("name", LINES)
def test_a_hostile_line_is_answered_and_the_next_one_is_heard(worker: Process, name: str) -> None:
    line, said = LINES[name]
    answer = ask(worker, line)
    assert (answer["event"], answer["exit_code"]) == ("failed", 2)
    assert said in answer["message"] and len(answer["message"]) < 400
    pong = ask(worker, json.dumps({"protocol": PROTOCOL, "id": 7, "op": "ping"}).encode())
    assert (pong["id"], pong["event"]) == (7, "done")


@pytest.mark.parametrize("name", [*UNNAMEABLE, "a large tile", "an endless budget", "a large keyframe"])
def test_what_a_job_says_is_refused_with_code_2(worker: Process, name: str, tmp_path: Path) -> None:
    job: dict[str, Any] = {
        "version": 1,
        "plate": {"path": str(tmp_path / "p.%04d.exr"), "frames": "1"},
        "work": str(tmp_path / "w"),
        "out": str(tmp_path / "o.%04d.exr"),
        "look": str(tmp_path / "look.onnx"),
    }
    if name == "a large tile":
        wrong = [{**job, "tile": -(10**15)}, {**job, "tile": 2**60}]
    elif name == "an endless budget":
        wrong = [{**job, "budget_s": 1e999}]
    elif name == "a large keyframe":
        wrong = [{**job, "keyframes": [{"frame": 2**60, "painting": "/p.png"}]}]
    else:
        bad = UNNAMEABLE[name]
        wrong = [{**job, key: f"/{bad}.%d.exr"} for key in ("look", "out", "work", "ocio", "device", "colorspace")]
        wrong = [each for each in wrong if "colorspace" not in each]
        wrong += [{**job, "plate": {"path": f"/{bad}.%d.exr", "frames": "1"}}]
        wrong += [{**job, "plate": {"path": "/a.%d.exr", "frames": f"1{bad}"}}]
    for number, each in enumerate(wrong, 100):
        line = json.dumps({"protocol": PROTOCOL, "id": number, "op": "render", "job": each})
        answer = ask(worker, line.encode())
        assert (answer["event"], answer["exit_code"]) == ("failed", 2), each
        assert "internal fault" not in answer["message"]
