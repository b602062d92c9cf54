"""``paintover desk`` as a command: its address on stdout, its end, and what it refuses before anything is served."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

pytest.importorskip("torch")
pytest.importorskip("starlette")

from plugin.progress.child import child_environment
from tests.support.desks import WAIT_S, plate

WORDS = ("--plate", "plate.%04d.png", "--work", "work", "--no-browser", "--device", "cpu")


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "plugin", "desk", *WORDS, *words]


@contextmanager
def opened(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    flags = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
    process = subprocess.Popen(
        command(*words), cwd=folder, env=child_environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        creationflags=flags,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def refused(folder: Path, *words: str) -> str:
    done = subprocess.run(command(*words), cwd=folder, env=child_environment(), text=True, capture_output=True)
    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout, len(lines)) == (2, "", 1), done
    return lines[0]


def status_of(address: str) -> tuple[int, str | None]:
    parts = urlsplit(address)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port or 0, timeout=WAIT_S)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}")
        answer = connection.getresponse()
        return answer.status, answer.getheader("Location")
    finally:
        connection.close()


@pytest.mark.slow
def test_the_address_is_the_one_line_on_stdout_and_ctrl_c_closes(tmp_path: Path) -> None:
    plate(tmp_path)
    with opened(tmp_path) as process:
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:") and "/?token=" in address
        assert status_of(address) == (303, "/")
        assert status_of(address.partition("?")[0])[0] == 403
        process.send_signal(getattr(signal, "CTRL_BREAK_EVENT", signal.SIGINT))
        rest, said = process.communicate(timeout=WAIT_S)
    assert (process.returncode, rest) == (0, "")
    assert said.splitlines()[-1] == "paintover: the desk is closed; the same command opens it again"
    assert (tmp_path / "work" / "desk" / "desk.json").is_file()


@pytest.mark.slow
def test_a_desk_that_nobody_looks_at_ends_when_it_is_told_to(tmp_path: Path) -> None:
    plate(tmp_path)
    with opened(tmp_path, "--idle", "0.5", "--progress", "json") as process:
        said, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0
    assert '"event": "note"' in said and '"address": "http://127.0.0.1:' in said


@pytest.mark.slow
def test_what_is_refused_is_one_line(tmp_path: Path) -> None:
    plate(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(tmp_path, "--port", str(port))
    assert said.startswith(f"paintover: port {port} cannot be used: ") and said.endswith("or 0 for any free one")
    assert refused(tmp_path, "--port", "70000").startswith("paintover: --port 70000 is too large")
    assert "outside the frame range" in refused(tmp_path, "--keyframe", "9=plate.0001.png")
