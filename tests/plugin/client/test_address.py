"""The address file of a shared worker: it may say anything, and the client stays on this machine."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from plugin.cli import main
from plugin.client import address as addresses
from plugin.client.address import read_address
from plugin.client.errors import JobError
from plugin.client.job import PROTOCOL
from plugin.client.worker_request import ask

GOOD = {"host": "127.0.0.1", "port": 4000, "token": "t", "pid": 1, "protocol": PROTOCOL}


@pytest.fixture(autouse=True)
def nothing_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("this would leave the machine")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(addresses.socket, "create_connection", refuse)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_is_taken_without_looking_it_up(tmp_path: Path, host: str) -> None:
    path = tmp_path / "worker.json"
    path.write_text(json.dumps({**GOOD, "host": host}))
    found = read_address(path)
    assert found is not None and (found.port, found.token) == (4000, "t")
    assert found.host == ("127.0.0.1" if host == "localhost" else host)


@pytest.mark.parametrize(
    "host",
    [
        "192.0.2.2", "0.0.0.0", "example.com", "localhost.example.com", "127.0.0.1.example.com", "::", "2001:db8::1",
        "::ffff:192.0.2.2", "169.254.169.254", "127.1", "2130706433", "0x7f000001", "127.0.0.1\n", "::1%eth0",
        "127.0.0.1 ", "", "a\x1b[2Jb" * 1000, "\ud800", "LOCALHOST\0",
    ],
)  # fmt: skip
def test_any_other_machine_is_refused_in_one_line(
    tmp_path: Path, host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, request = tmp_path / "worker.json", tmp_path / "request.json"
    path.write_text(json.dumps({**GOOD, "host": host}))
    request.write_text('{"op": "ping"}')
    with pytest.raises(JobError, match="a worker is on this machine only"):
        ask(path, {"op": "ping"}, command=["no such program"])
    assert main(["worker", "--socket", str(path), "--ask", str(request)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and len(said.err) < 300
    assert said.err.rstrip("\n").isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "null", "[" * 60_000, '{"host": "127.0.0.1"}', json.dumps({**GOOD, "port": 10**400}),
        json.dumps({**GOOD, "port": True}), json.dumps({**GOOD, "port": -1}), json.dumps({**GOOD, "port": "80"}),
        json.dumps({**GOOD, "host": 2130706433}), json.dumps({**GOOD, "host": None}),
        json.dumps({**GOOD, "token": ["t"]}), json.dumps({**GOOD, "more": "x" * (1 << 16)}),
    ],
)  # fmt: skip
def test_what_is_no_address_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "worker.json"
    path.write_text(text)
    assert read_address(path) is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "worker.json")
    assert read_address(tmp_path / "worker.json") is None
    assert read_address(tmp_path / "nothing.json") is None
    assert read_address(tmp_path) is None
