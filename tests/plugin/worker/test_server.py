"""The resident worker, as a host meets it: real processes, real looks, and everything that can go wrong between."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import images
from engine.images.provenance import read_provenance
from plugin.cli import main
from plugin.client.command import child_environment, config_file, find_command, write_config
from plugin.client.errors import CommandMissing, HostError, JobError, RequestCancelled, RequestFailed, WorkerCrashed
from plugin.client.job import PROTOCOL, Job
from plugin.client.worker_client import WorkerClient
from plugin.worker.looks import LoadedLooks
from tests.support import ROOT, lookfactory
from tests.support.pictures import picture
from tests.support.signals import posix

pytestmark = pytest.mark.host

COMMAND = (sys.executable, "-m", "plugin")


def environment() -> dict[str, str]:
    return {**child_environment(), "PYTHONPATH": str(ROOT)}


@pytest.fixture
def job(tmp_path: Path) -> Job:
    for frame in range(4):
        picture(tmp_path / f"plate.{frame:04d}.png", seed=frame)
    lookfactory.gain(tmp_path / "hero.onnx", 0.5)
    return Job(
        plate=str(tmp_path / "plate.%04d.png"),
        frames="0-3",
        work=str(tmp_path / "work"),
        look=str(tmp_path / "hero.onnx"),
        out=str(tmp_path / "out" / "out.%04d.exr"),
        device="cpu",
    )


@pytest.fixture
def worker() -> Iterator[WorkerClient]:
    with WorkerClient(COMMAND, environment=environment(), idle_s=30) as client:
        yield client


def slow(job: Job, size: int = 700) -> Job:
    """The job with frames that take a second each."""
    folder = Path(job.work).parent
    lookfactory.network(folder / "slow.onnx")
    for frame in range(4):
        picture(folder / f"large.{frame:04d}.png", seed=frame, height=size, width=size)
    return replace(job, plate=str(folder / "large.%04d.png"), look=str(folder / "slow.onnx"))


def frame_done() -> tuple[threading.Event, Callable[[Mapping[str, Any]], None]]:
    """Set once a frame is done, and what hears of it: warnings come before the first frame."""
    done = threading.Event()

    def hear(event: Mapping[str, Any]) -> None:
        if event.get("state") == "done":
            done.set()

    return done, hear


# What it answers


def test_frames_are_those_of_the_command_line(worker: WorkerClient, job: Job, tmp_path: Path) -> None:
    """Bytes and hashes, with STMaps, the carried layer, a tile, a colorspace and an encoding; then all is done."""
    stmap = np.dstack([np.full((24, 32), 0.5, np.float32)] * 2 + [np.zeros((24, 32), np.float32)])
    sidecar = tmp_path / "work" / "stmap" / "key_1001" / "0002.exr"
    sidecar.parent.mkdir(parents=True)
    images.write(sidecar, stmap, alpha=np.full((24, 32), 0.7, np.float32), bit_depth="float")
    job = replace(job, carried=True, tile=64, out_colorspace="ACES2065-1", depth="float", compression="piz")
    events: list[Mapping[str, Any]] = []
    answer = worker.render(job, on_event=events.append)
    assert (answer["done"], answer["skipped"]) == ([0, 1, 2, 3], [])
    assert [event["count"] for event in events] == [1, 2, 3, 4]
    assert sorted(event["frame"] for event in events) == [0, 1, 2, 3]
    by_hand = replace(job, out=str(tmp_path / "cli" / "out.%04d.exr"))
    assert main([*by_hand.arguments("render"), "--progress", "none"]) == 0
    for frame in range(4):
        ours, theirs = (Path(str(one.out) % frame) for one in (job, by_hand))
        assert ours.read_bytes() == theirs.read_bytes()
        assert read_provenance(ours) == read_provenance(theirs)
    hashes = [read_provenance(Path(str(job.out) % frame))["stmap"] for frame in (1, 2)]
    assert hashes[0] == "none" != hashes[1]
    assert worker.render(job)["skipped"] == [0, 1, 2, 3]
    assert worker.render(job, "1,3", overwrite=True)["done"] == [1, 3]
    assert worker.starts == 1
    assert main([*by_hand.arguments("verify"), "--progress", "none"]) == 0


def test_a_look_that_changes_on_disk_is_loaded_again(worker: WorkerClient, job: Job, tmp_path: Path) -> None:
    before = worker.load(job)
    worker.render(job)
    os.utime(tmp_path / "hero.onnx", ns=(1, 1))
    assert worker.load(job)["look_sha256"] == before["look_sha256"]
    lookfactory.gain(tmp_path / "hero.onnx", 0.25)
    answer = worker.render(job)
    assert answer["done"] == [0, 1, 2, 3] and answer["look_sha256"] != before["look_sha256"]
    half = images.read(tmp_path / "out" / "out.0000.exr").rgb
    lookfactory.gain(tmp_path / "hero.onnx", 0.5)
    worker.render(job)
    np.testing.assert_allclose(images.read(tmp_path / "out" / "out.0000.exr").rgb, half * 2, rtol=2e-3, atol=1e-4)
    (tmp_path / "hero.onnx").unlink()
    with pytest.raises(RequestFailed, match="cannot read the look"):
        worker.load(job)


def test_states_say_why_a_frame_is_not_shown(worker: WorkerClient, job: Job, tmp_path: Path) -> None:
    def states(one: Job = job) -> dict[int, tuple[str, str]]:
        return {int(s["frame"]): (s["state"], s["reason"]) for s in worker.states(one)}

    assert set(states().values()) == {("missing", f"frame {n} is not rendered yet") for n in range(4)}
    worker.render(job, "0-2")
    found = states()
    assert [found[n][0] for n in range(4)] == ["shown", "shown", "shown", "missing"]
    assert found[0][1] == ""
    out = tmp_path / "out"
    images.write(out / "out.0003.exr", np.zeros((24, 32, 3), np.float32))
    picture(tmp_path / "plate.0001.png", seed=77)
    data = (out / "out.0002.exr").read_bytes()
    (out / "out.0002.exr").write_bytes(data[: len(data) // 2])
    found = states()
    assert found[3] == ("foreign", "frame 3 was not rendered by Paintover: it carries no hashes")
    assert found[1] == ("stale", "the plate's frame 1 changed after it was rendered")
    assert found[2][0] == "missing" and "damaged" in found[2][1]
    assert states(replace(job, tile=64))[0] == (
        "stale", "frame 0 was rendered with other settings (size of tiles, colorspaces, layers or format)",
    )  # fmt: skip
    sidecar = tmp_path / "work" / "stmap" / "key_1001" / "0000.exr"
    sidecar.parent.mkdir(parents=True)
    images.write(sidecar, np.zeros((24, 32, 3), np.float32))
    assert states()[0] == ("stale", "the STMaps of frame 0 changed after it was rendered")
    assert states(replace(job, guides=False))[0][0] == "shown"
    lookfactory.gain(tmp_path / "hero.onnx", 0.3)
    assert "rendered with another look" in states(replace(job, guides=False))[0][1]
    (tmp_path / "hero.onnx").unlink()
    assert states()[0][0] == "stale" and "cannot read the look" in states()[0][1]


@posix
def test_a_name_that_no_file_can_have_is_not_worth_a_retry(worker: WorkerClient, job: Job, tmp_path: Path) -> None:
    with pytest.raises(RequestFailed, match="too long") as caught:
        worker.render(replace(job, out=str(tmp_path / ("a" * 300 + ".%04d.exr"))))
    assert caught.value.exit_code == 2


def test_too_many_states_for_one_answer_are_refused(worker: WorkerClient, job: Job) -> None:
    with pytest.raises(RequestFailed, match="states of 100,001 frames are too many"):
        worker.states(job, "1-100001")


def test_failures_keep_their_line_and_exit_code(worker: WorkerClient, job: Job, tmp_path: Path) -> None:
    (tmp_path / "plate.0002.png").unlink()
    with pytest.raises(RequestFailed) as caught:
        worker.render(job)
    assert caught.value.exit_code == 2 and list(caught.value.frames) == [2]
    assert "plate.0002.png" in caught.value.frames[2] and "missing" in str(caught.value)
    assert {s["state"] for s in worker.states(job, "0-1,3")} == {"shown"}
    for wrong, said in (
        (replace(job, out=None), "names no output"),
        (replace(job, out=job.plate), "overwrite|onto the plate|same file"),
        (replace(job, carried=True, out=str(tmp_path / "o.%04d.png")), "cannot hold the layer"),
        (replace(job, colorspace="no such space"), "no such space"),
        (replace(job, frames="1-"), "not a frame range"),
        (replace(job, device="tpu"), "tpu"),
    ):
        with pytest.raises(RequestFailed, match=said) as caught:
            worker.render(wrong)
        assert caught.value.exit_code == 2
    with pytest.raises(JobError, match="not one of"):
        worker.request("dance")
    with pytest.raises(RequestFailed, match="render needs a job"):
        worker.request("render")
    assert worker.starts == 1


# Stopping


def test_cancelling_ends_the_request_and_not_the_worker(worker: WorkerClient, job: Job) -> None:
    heavy = slow(job)
    begun, hear = frame_done()
    first = worker.submit("render", hear, job=heavy)
    waiting = worker.submit("render", job=replace(heavy, out=str(heavy.out).replace("out.", "other.")))
    assert begun.wait(60)
    waiting.cancel()
    started = time.monotonic()
    first.cancel()
    with pytest.raises(RequestCancelled):
        first.result(60)
    assert time.monotonic() - started < 30
    with pytest.raises(RequestCancelled, match="before it began"):
        waiting.result(60)
    # The same look goes on, and only the rest is rendered.
    answer = worker.render(heavy, "0-1")
    assert sorted(answer["done"] + answer["skipped"]) == [0, 1] and answer["skipped"]
    assert worker.starts == 1
    first.cancel()


def test_an_idle_worker_ends_and_the_next_request_starts_another(job: Job) -> None:
    told: list[str] = []
    # Long enough for the first request to arrive in time on a busy machine.
    with WorkerClient(COMMAND, environment=environment(), idle_s=2.0, report=told.append) as client:
        client.render(job, "0")
        first = client.pid
        deadline = time.monotonic() + 60
        while client.pid is not None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert client.pid is None
        assert client.render(job, "0-1")["skipped"] == [0]
        assert client.starts == 2 and client.pid != first
    assert told == [] and client.pid is None


def test_closing_ends_the_process(worker: WorkerClient, job: Job) -> None:
    pending = worker.submit("render", job=slow(job))
    pid = worker.pid
    assert pid is not None
    worker.close()
    with pytest.raises(RequestCancelled, match="closed"):
        pending.result(1)
    if os.name == "posix":
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@posix
def test_a_worker_whose_host_died_ends(job: Job) -> None:
    """The host is killed outright: nobody is left to close anything in good order."""
    script = (
        "import sys, time, json\n"
        "from plugin.client.worker_client import WorkerClient\n"
        f"client = WorkerClient({list(COMMAND)!r}); client.request('ping'); print(client.pid, flush=True)\n"
        "time.sleep(60)"
    )
    host = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment(), text=True)
    assert host.stdout is not None
    pid = int(host.stdout.readline())
    host.kill()
    host.wait()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and alive(pid):
        time.sleep(0.1)
    assert not alive(pid)
    host.stdout.close()


@posix
def test_sigterm_ends_it_with_143(job: Job) -> None:
    process = subprocess.Popen(
        [*COMMAND, "worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    assert process.stdout is not None and b"ready" in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 143 and json.loads(out)["event"] == "bye"
    assert err.decode().count("\n") == 1


# Crashes


@posix
def test_a_crash_is_reported_and_the_request_goes_on_with_a_new_worker(job: Job) -> None:
    told: list[str] = []
    heavy = slow(job)
    with WorkerClient(COMMAND, environment=environment(), report=told.append) as client:
        begun, hear = frame_done()
        pending = client.submit("render", hear, job=heavy)
        assert begun.wait(60) and client.pid is not None
        os.kill(client.pid, signal.SIGKILL)
        answer = pending.result(120)
        assert sorted(answer["done"] + answer["skipped"]) == [0, 1, 2, 3] and answer["skipped"]
        assert told == ["the worker ended by itself (signal 9); it is started anew"] and client.starts == 2
        # A success in between: the next crash is a first one again.
        pid = client.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert client.render(heavy)["skipped"] == [0, 1, 2, 3]
        assert len(told) == 2 and client.starts == 3
    assert not list(Path(str(heavy.out)).parent.glob("*.tmp*"))


def test_a_worker_that_keeps_crashing_is_not_started_a_third_time(tmp_path: Path, job: Job) -> None:
    told: list[str] = []
    bad = tmp_path / "bad.py"
    bad.write_text(
        "import sys\n"
        f'print(\'{{"protocol": {PROTOCOL}, "id": null, "event": "ready"}}\', flush=True)\n'
        "sys.stdin.readline(); sys.stderr.write('out of luck\\n'); sys.exit(7)\n"
    )
    with WorkerClient([sys.executable, str(bad)], report=told.append) as client:
        for _ in range(2):
            with pytest.raises(WorkerCrashed) as caught:
                client.render(job)
            assert client.starts == 2
        assert str(caught.value) == (
            "the worker ended by itself twice in a row (exit code 7: out of luck);"
            " see paintover doctor, then restart the worker"
        )
        assert told == ["the worker ended by itself (exit code 7: out of luck); it is started anew"]
        client.restart()
        with pytest.raises(WorkerCrashed):
            client.render(job)
        assert client.starts == 4


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("import sys; sys.stderr.write('no module\\n'); sys.exit(1)", "twice in a row .exit code 1: no module."),
        ("import time; time.sleep(60)", "did not start within 0.5 s"),
        ('print(\'{"protocol": 2, "id": null, "event": "ready"}\', flush=True); input()', "is of protocol 2"),
        ("print('Welcome!', flush=True); input()", "this event is not JSON"),
    ],
)
def test_what_is_no_worker_is_refused(tmp_path: Path, job: Job, body: str, said: str) -> None:
    script = tmp_path / "other.py"
    script.write_text(body)
    timeout_s = 0.5 if "sleep" in body else 30.0
    with (
        WorkerClient([sys.executable, str(script)], start_timeout_s=timeout_s) as client,
        pytest.raises(HostError, match=said),
    ):
        client.render(job)


# The socket


NOT_ASCII = {"op": "ping", "token": "p\u00e4\u00df" * 20}
SURROGATE = {"op": "ping", "token": "\udcff"}


def test_the_socket_wants_its_token(tmp_path: Path, job: Job) -> None:
    address_file = tmp_path / "private" / "worker.json"
    process = subprocess.Popen(
        [*COMMAND, "worker", "--socket", str(address_file)], env=environment(), stderr=subprocess.PIPE
    )
    try:
        deadline = time.monotonic() + 60
        while not (address_file.is_file() and address_file.read_text().endswith("\n")):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        address = json.loads(address_file.read_text())
        if os.name == "posix":
            assert address_file.stat().st_mode & 0o777 == 0o600
        assert address["host"] == "127.0.0.1" and len(address["token"]) == 64

        def talk(*requests: dict[str, Any]) -> list[dict[str, Any]]:
            """What it says until it has answered the last request, or hung up."""
            with socket.create_connection((address["host"], address["port"]), timeout=30) as connection:
                stream = connection.makefile("rwb")
                heard = []
                for number, request in enumerate(requests, 1):
                    stream.write(json.dumps({"protocol": PROTOCOL, "id": number, **request}).encode() + b"\n")
                stream.flush()
                for line in stream:
                    heard.append(json.loads(line))
                    if heard[-1]["id"] == len(requests) and heard[-1]["event"] in ("done", "failed"):
                        break
                return heard

        for wrong in ({"op": "ping"}, {"op": "shutdown"}, {"op": "ping", "token": "0" * 64}, NOT_ASCII, SURROGATE):
            heard = talk(wrong, {"op": "shutdown"})
            assert [event["event"] for event in heard] == ["ready", "failed"]
            assert heard[1]["message"].startswith("the token is wrong")
        good = {"token": address["token"]}
        heard = talk({"op": "hello", **good}, {"op": "render", "job": job.to_dict(), "frames": "0-1"})
        assert heard[-1]["done"] == [0, 1]
        other = subprocess.run(
            [*COMMAND, "worker", "--socket", str(address_file)], env=environment(), capture_output=True, text=True
        )
        assert other.returncode == 2 and "another worker may be using this file" in other.stderr
        assert talk({"op": "shutdown", **good})[-1]["event"] == "done"
        assert process.wait(60) == 0
        assert not address_file.exists()
    finally:
        process.kill()
        process.communicate()


@posix
def test_one_request_to_a_shared_worker(tmp_path: Path, job: Job, capfd: pytest.CaptureFixture[str]) -> None:
    """For hosts that can only start a command: it is started, asked again, killed, and started anew."""
    address_file, request = tmp_path / "worker.json", tmp_path / "request.json"

    def command(**words: Any) -> tuple[int, list[dict[str, Any]], str]:
        request.write_text(json.dumps(words))
        code = main(["worker", "--socket", str(address_file), "--ask", str(request)])
        said = capfd.readouterr()
        return code, [json.loads(line) for line in said.out.splitlines()], said.err

    code, events, _ = command(op="render", job=job.to_dict(), frames="0-1")
    assert (code, [event["event"] for event in events]) == (0, ["progress", "progress", "done"])
    first = json.loads(address_file.read_text())["pid"]
    code, events, _ = command(op="state", job=job.to_dict(), frames="1-2")
    assert [state["state"] for state in events[-1]["states"]] == ["shown", "missing"]
    assert json.loads(address_file.read_text())["pid"] == first
    os.kill(first, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while alive(first) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert command(op="render", job=job.to_dict())[1][-1]["skipped"] == [0, 1]
    assert json.loads(address_file.read_text())["pid"] != first
    code, events, err = command(op="render", job={**job.to_dict(), "out": None})
    assert (code, events) == (2, []) and "names no output" in err and err.count("\n") == 1
    code, events, err = command(op="dance")
    assert code == 2 and "not one of" in err
    assert command(op="shutdown")[0] == 0
    # Why a worker cannot begin is its own line, though nobody reads what it prints.
    # The one that was just ended leaves alone what is not its own.
    address_file.write_text("not an address")
    code, events, err = command(op="ping")
    assert (code, events, err.count("\n")) == (2, [], 1)
    assert err.startswith("paintover: another worker may be using this file")
    address_file.unlink()
    request.write_text("[]")
    assert main(["worker", "--socket", str(address_file), "--ask", str(request)]) == 2
    assert "cannot read the request" in capfd.readouterr().err


# Where the command is


def test_the_command_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "my tools" / ("paintover.exe" if os.name == "nt" else "paintover")
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    home = {"HOME": str(tmp_path / "home"), "USERPROFILE": str(tmp_path / "home"), "PATH": ""}
    with pytest.raises(CommandMissing, match="PAINTOVER_COMMAND"):
        find_command(home)
    assert find_command({**home, "PAINTOVER_COMMAND": str(program)}) == [str(program)]
    quoted = f'"{sys.executable}" -m plugin'
    assert find_command({**home, "PAINTOVER_COMMAND": quoted}) == [sys.executable, "-m", "plugin"]
    with pytest.raises(CommandMissing, match="no program"):
        find_command({**home, "PAINTOVER_COMMAND": str(tmp_path / "nothing")})
    assert find_command({**home, "PATH": str(program.parent)}) == [str(program)]
    assert write_config([sys.executable, "-m", "plugin"], home) == config_file(home)
    assert find_command(home) == [sys.executable, "-m", "plugin"]
    assert find_command({**home, "PATH": str(program.parent)}) == [str(program)]
    config_file(home).write_text("{}")
    with pytest.raises(CommandMissing, match="does not say"):
        find_command(home)
    clean = child_environment({"PYTHONHOME": "/nuke", "PYTHONPATH": "/nuke/lib", "PATH": "/bin"})
    assert set(clean) == {"PATH", "PYTHONUNBUFFERED", "PYTHONIOENCODING"}


# What it keeps


def test_the_oldest_look_goes_when_memory_is_short(tmp_path: Path) -> None:
    paths = [lookfactory.gain(tmp_path / f"{name}.onnx", 0.5) for name in "abc"]
    size = 4 * paths[0].stat().st_size + (64 << 20)
    looks = LoadedLooks(2 * size, threads=1)
    first = looks.get(paths[0], "cpu")
    looks.get(paths[1], "cpu")
    assert looks.get(paths[0], "cpu") is first and len(looks) == 2
    looks.get(paths[2], "cpu")
    assert len(looks) == 2 and looks.get(paths[0], "cpu") is first
    tiny = LoadedLooks(1, threads=1)
    for path in paths:
        tiny.get(path, "cpu")
        assert len(tiny) == 1
    tiny.close()
    looks.close()


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and waits for its parent does not."""
    try:
        os.kill(pid, 0)
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return sys.platform == "darwin"
