"""Hosts that do not behave, at the worker's socket and behind its link: nobody else has to wait for them."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.base.errors import InputError
from plugin.cli import main
from plugin.client.job import PROTOCOL
from plugin.progress.stop import StopRequest
from plugin.worker import link as links
from plugin.worker import server, sockets
from plugin.worker.link import Link, Request
from plugin.worker.looks import LoadedLooks
from plugin.worker.server import Worker
from plugin.worker.sockets import CONNECTION_LIMIT, serve_socket


class Host:
    """A host that may say anything, or nothing."""

    def __init__(self, address: dict[str, Any]) -> None:
        self._token = address["token"]
        self.connection = socket.create_connection((address["host"], address["port"]), timeout=20)
        self._stream = self.connection.makefile("rb")
        self._number = 0

    def send(self, op: str, **words: Any) -> int:
        self._number += 1
        message = {"protocol": PROTOCOL, "id": self._number, "op": op, "token": self._token, **words}
        self.connection.sendall(json.dumps(message).encode() + b"\n")
        return self._number

    def hear(self) -> dict[str, Any] | None:
        """The next event, or None where the worker hung up."""
        try:
            line = self._stream.readline()
        except ConnectionError:
            return None
        return json.loads(line) if line else None

    def answer(self) -> dict[str, Any] | None:
        while (event := self.hear()) is not None and event["event"] not in ("done", "failed", "cancelled"):
            pass
        return event

    def ask(self, op: str, **words: Any) -> dict[str, Any] | None:
        self.send(op, **words)
        return self.answer()

    def close(self) -> None:
        self._stream.close()
        self.connection.close()


@pytest.fixture
def address(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Where a worker of this process listens."""
    file = tmp_path / "worker.json"
    worker = Worker(LoadedLooks(1 << 30), StopRequest(), idle_s=120, threads=1)
    thread = threading.Thread(target=serve_socket, args=(worker, file))
    thread.start()
    until(lambda: file.is_file() and file.read_text().endswith("\n"))
    yield json.loads(file.read_text())
    worker.end("the test is over")
    thread.join(30)
    assert not thread.is_alive() and not file.exists()


@pytest.fixture
def connect(address: dict[str, Any]) -> Iterator[Callable[[], Host]]:
    made: list[Host] = []

    def one() -> Host:
        made.append(Host(address))
        return made[-1]

    yield one
    for host in made:
        host.close()


def until(happens: Callable[[], object], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not happens():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


# Connections


def test_idle_connections_make_room(connect: Callable[[], Host]) -> None:
    """The oldest that have not said the token go, and are told; hosts at work stay."""
    known = connect()
    assert known.ask("ping") is not None
    idle = [connect() for _ in range(CONNECTION_LIMIT + 8)]
    said = [[event["event"] for event in iter(host.hear, None)] for host in idle[:6]]
    assert said == [["ready", "bye"]] * 6
    late = connect().ask("ping")
    assert late is not None and late["event"] == "done"
    again = known.ask("ping")
    assert again is not None and again["event"] == "done"


def test_hosts_that_only_stay_make_room(connect: Callable[[], Host]) -> None:
    hosts = [connect() for _ in range(CONNECTION_LIMIT)]
    assert all(host.ask("ping") for host in hosts)
    late = connect().ask("ping")
    assert late is not None and late["event"] == "done"
    gone = hosts[0].hear()
    assert gone is not None and (gone["event"], gone["reason"]) == ("bye", "too many connections")


def test_the_token_has_its_time(connect: Callable[[], Host], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "AUTHENTICATE_S", 0.2)
    silent, dripping, known = connect(), connect(), connect()
    assert known.ask("ping") is not None
    dripping.connection.sendall(b'{"protocol": 1, ')
    for host in (silent, dripping):
        began_s = time.monotonic()
        assert [event["event"] for event in iter(host.hear, None)] == ["ready"]
        assert time.monotonic() - began_s < 5
    answer = known.ask("ping")
    assert answer is not None and answer["event"] == "done"


@pytest.mark.skipif(os.name != "posix", reason="descriptors run out another way")
def test_accepting_outlives_its_errors(connect: Callable[[], Host], monkeypatch: pytest.MonkeyPatch) -> None:
    """No descriptor is left, a connection that is gone again, no thread to be had: then all is well."""
    faults: list[BaseException] = [
        OSError(24, "Too many open files"),
        ConnectionAbortedError(),
        RuntimeError("no thread"),
    ]
    told = len(faults)
    real = sockets._Door._give_up_late
    start = threading.Thread.start

    def failing(door: Any) -> None:
        real(door)
        if len(faults) > 1:
            raise faults.pop(0)

    def no_thread(thread: threading.Thread) -> None:
        if thread.name == "host" and faults:
            raise faults.pop()
        start(thread)

    monkeypatch.setattr(sockets._Door, "_give_up_late", failing)
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    until(lambda: len(faults) < told - 1)
    assert connect().ask("ping") is None
    assert not faults
    answer = connect().ask("ping")
    assert answer is not None and answer["event"] == "done"


# Hosts that do not read, and hosts that leave


def test_who_does_not_read_is_dropped_and_blocks_nobody(
    connect: Callable[[], Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "OUTPUT_LIMIT", 1 << 21)
    monkeypatch.setattr(server, "states", lambda *_: {"states": ["x" * (1 << 20)] * 8})
    job = {"version": 1, "plate": {"path": "/p.%04d.exr", "frames": "1"}, "work": "/w", "out": "/o.%04d.exr"}
    stuck, other = connect(), connect()
    for _ in range(5):
        stuck.send("state", job=job)
    for _ in range(3):
        answer = other.ask("state", job=job)
        assert answer is not None and len(answer["states"]) == 8
    # What was on its way may still arrive; the fifth answer never does.
    assert len([event for event in iter(lambda: heard(stuck), None) if event["event"] == "done"]) < 5


def heard(host: Host) -> dict[str, Any] | None:
    """An event that arrived whole, or None."""
    try:
        return host.hear()
    except ValueError:
        return None


@pytest.mark.slow
def test_who_takes_nothing_for_long_is_dropped(connect: Callable[[], Host], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "STUCK_S", 0.3)
    monkeypatch.setattr(server, "states", lambda *_: {"states": ["x" * (1 << 20)] * 32})
    job = {"version": 1, "plate": {"path": "/p.%04d.exr", "frames": "1"}, "work": "/w", "out": "/o.%04d.exr"}
    stuck = connect()
    stuck.send("state", job=job)
    time.sleep(2.0)
    assert not [event for event in iter(lambda: heard(stuck), None) if event["event"] == "done"]


def test_the_work_of_a_host_that_left_is_cancelled_and_others_take_turns(
    connect: Callable[[], Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, stopped = threading.Event(), threading.Event()

    def slow(job: Any, frames: Any, looks: Any, stop: Callable[[], bool]) -> dict[str, Any]:
        if job.host == "leaves":
            begun.set()
            until(stop)
            stopped.set()
        return {"states": [], "host": job.host}

    monkeypatch.setattr(server, "states", slow)
    job = {"version": 1, "plate": {"path": "/p.%04d.exr", "frames": "1"}, "work": "/w", "out": "/o.%04d.exr"}
    leaving, other = connect(), connect()
    for _ in range(3):
        leaving.send("state", job={**job, "host": "leaves"})
    assert begun.wait(20)
    other.send("state", job={**job, "host": "stays"})
    leaving.close()
    assert stopped.wait(20)
    answer = other.answer()
    assert answer is not None and answer["host"] == "stays"


def test_too_many_requests_at_once_are_refused(connect: Callable[[], Host], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "REQUEST_LIMIT", 3)
    monkeypatch.setattr(server, "states", lambda job, frames, looks, stop: until(stop) or {"states": []})
    job = {"version": 1, "plate": {"path": "/p.%04d.exr", "frames": "1"}, "work": "/w", "out": "/o.%04d.exr"}
    host = connect()
    for _ in range(4):
        host.send("state", job=job)
    answer = host.answer()
    assert answer is not None and (answer["id"], answer["event"]) == (4, "failed")
    assert "requests are waiting already" in answer["message"]
    host.send("cancel", target=1)
    assert {event["id"] for event in (host.answer(), host.answer()) if event} == {1, 5}
    for number in (2, 3):
        host.send("cancel", target=number)


# The link by itself


@pytest.mark.slow
def test_a_link_writes_in_order_and_whole_whatever_is_taken_at_once() -> None:
    taken = bytearray()

    def write(data: memoryview) -> int | None:
        if len(taken) % 3 == 0 and taken and taken[-1] != 0:
            taken.append(0)
            return None
        taken.extend(data[:7])
        return min(7, len(data))

    one = Link(write, lambda reason: None, token=None)
    for number in range(20):
        one.send(number, "done", {"text": "\u00e9"})
    assert one.flush(20)
    lines = bytes(taken).replace(b"\0", b"").splitlines()
    assert [json.loads(line)["id"] for line in lines] == list(range(20))


def test_a_link_that_cannot_write_cancels_what_its_host_waits_for() -> None:
    def write(data: memoryview) -> int | None:
        raise BrokenPipeError

    reasons: list[str] = []
    one = Link(write, reasons.append, token=None)
    request = Request(1, {}, one)
    assert one.take(request)
    one.send(1, "progress", {})
    assert request.cancelled.wait(20) and one.closed.is_set()
    until(lambda: reasons)
    assert reasons == ["the host does not read any more"]
    one.send(1, "done", {})
    assert one.flush(20)


def test_an_address_file_is_whole_or_not_there_and_never_over_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, text = tmp_path / "worker.json", json.dumps({"host": "127.0.0.1", "token": "0" * 64}) + "\n"
    seen: list[str] = []
    put = sockets._put
    monkeypatch.setattr(sockets, "_put", lambda source, target: (seen.append(source.read_text()), put(source, target)))
    sockets._write_private(path, text)
    assert path.read_text() == text and seen == [text] and [each.name for each in tmp_path.iterdir()] == ["worker.json"]
    if os.name == "posix":
        assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(InputError, match="another worker may be using this file"):
        sockets._write_private(path, "other")
    assert path.read_text() == text and [each.name for each in tmp_path.iterdir()] == ["worker.json"]


@pytest.mark.skipif(os.name != "posix", reason="Windows refuses to replace what another one reads")
def test_one_of_many_workers_gets_the_file_of_a_dead_one(tmp_path: Path) -> None:
    path = tmp_path / "worker.json"
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    address = {"host": "127.0.0.1", "port": port, "token": "0" * 64, "pid": 1, "protocol": PROTOCOL}
    path.write_text(json.dumps(address))
    with socket.create_server(("127.0.0.1", 0)) as alive:
        texts = [json.dumps({**address, "port": alive.getsockname()[1], "pid": number}) for number in range(6)]
        won: list[int] = []

        def write(number: int) -> None:
            try:
                sockets._write_private(path, texts[number])
            except InputError:
                return
            won.append(number)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(len(texts))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1 and path.read_text() == texts[won[0]]
    assert [each.name for each in tmp_path.iterdir()] == ["worker.json"]


def test_a_disk_without_links_takes_the_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Path, target: Path) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(Path, "hardlink_to", refused)
    path = tmp_path / "worker.json"
    sockets._write_private(path, "one")
    with pytest.raises(InputError):
        sockets._write_private(path, "two")
    assert path.read_text() == "one" and [each.name for each in tmp_path.iterdir()] == ["worker.json"]


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such files")
@pytest.mark.parametrize("kind", ["endless", "pipe", "large", "deep", "circle"])
def test_a_request_that_does_not_end_is_refused(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "request.json"
    if kind == "endless":
        path.symlink_to("/dev/zero")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "circle":
        path.symlink_to(path)
    else:
        path.write_text("[" * (2**21 if kind == "large" else 100_000))
    assert main(["worker", "--socket", str(tmp_path / "worker.json"), "--ask", str(path)]) == 2
    said = capsys.readouterr().err
    assert "cannot read the request" in said and said.count("\n") == 1
