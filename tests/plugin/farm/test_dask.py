"""Dask distributed with real processes: schedulers, workers, renderers, and what becomes of a job when they die."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from tests.support import ROOT
from tests.support.farm_shot import SLOW, Shot, lines_of, make_shot

pytest.importorskip("distributed", reason="needs the extra farm")

from engine import images
from engine.base.errors import FrameFailures, InputError, PaintoverError
from engine.rendering.render import verify
from engine.shot.keyframes import Keyframe
from plugin.arguments.options import Options
from plugin.cli import main
from plugin.farm import dask as dask_engine
from plugin.farm import dask_run
from plugin.farm.dask_run import RunReport, run_plan
from plugin.farm.dask_task import Outcome, Task, TaskFailed, perform
from plugin.farm.plan import FarmPlan, FarmStep, plan_from
from plugin.progress.protocol import NoProgress
from plugin.progress.stop import StopRequest

pytestmark = pytest.mark.cluster

posix = pytest.mark.skipif(os.name != "posix", reason="kills process groups")


class Farm:
    """A scheduler and workers, each its own process group, as separate machines are."""

    def __init__(self, folder: Path, *words: str) -> None:
        self._file = folder / "scheduler.json"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", *words)
        self.address = ""
        try:
            until(self._is_up, "the scheduler never came up")
        except BaseException:
            self.close()
            raise

    def worker(self, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        return self._start(
            "dask_worker", "--host", "127.0.0.1", "--nthreads", "1", "--no-dashboard", *words, **environment
        )

    def close(self) -> None:
        for process in self._processes:
            kill_group(process)

    def _is_up(self) -> bool:
        """Whether the scheduler has written its address: the file is there before what it says."""
        try:
            self.address = str(json.loads(self._file.read_text())["address"])
        except (OSError, ValueError):
            return False
        return True

    def _start(self, module: str, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{module}", "--scheduler-file", str(self._file), *words],
            cwd=self._file.parent,
            env={**os.environ, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._processes.append(process)
        return process


def until(is_so: Any, message: str, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, message
        time.sleep(0.05)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(autouse=True)
def no_client_left() -> Iterator[None]:
    """A client that never connected closes itself when it is collected, and deadlocks if another one just starts."""
    yield
    gc.collect()


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    made = Farm(tmp_path)
    yield made
    made.close()


@pytest.fixture
def shot(tmp_path: Path) -> Shot:
    return make_shot(tmp_path / "shot", frames=12)


def run_on(farm: Farm, plan: FarmPlan, options: Options, program: tuple[str, ...] = ()) -> RunReport:
    with dask_engine.connected(farm.address, None) as client:
        client.wait_for_workers(1, timeout=120)
        return run_plan(plan, client, options, NoProgress(), StopRequest(), program=program)


# Losing machines


@posix
@pytest.mark.slow
def test_a_lost_worker_group_costs_the_chunk_in_hand_alone(farm: Farm, shot: Shot, tmp_path: Path) -> None:
    log = tmp_path / "begun.log"
    slow = {"SLOW_FRAME_S": "0.4", "SLOW_FRAME_LOG": str(log)}
    first = farm.worker(**slow)
    options = shot.options(chunk=4)
    reports: list[RunReport] = []
    job = threading.Thread(target=lambda: reports.append(run_on(farm, plan_from(options), options, SLOW)), daemon=True)
    job.start()
    # In the second chunk, a frame done and the next one begun.
    until(lambda: len(lines_of(log)) >= 6, "the second chunk never began")
    kill_group(first)
    killed_at = len(lines_of(log))
    farm.worker(**slow)
    job.join(180)
    assert not job.is_alive() and len(reports) == 1
    verify(shot.look, shot.frames, shot.out, plate=shot.plate)
    begun = [int(line.split()[0]) for line in lines_of(log)]
    # The first chunk was not touched again, and of the second one only what was not whole.
    assert not set(begun[killed_at:]) & {1, 2, 3, 4}
    repeated = {frame for frame in begun if begun.count(frame) > 1}
    assert repeated and repeated <= {5, 6, 7, 8}
    assert sorted(set(begun)) == list(range(1, 13))


@posix
def test_a_renderer_that_crashes_leaves_its_worker_alone(farm: Farm, shot: Shot) -> None:
    worker = farm.worker(SLOW_FRAME_KILL="7")
    options = shot.options(chunk=3, retries=1)
    with pytest.raises(PaintoverError, match=r"render failed: .*signal 9") as caught:
        run_on(farm, plan_from(options), options, SLOW)
    assert caught.value.exit_code == 1
    assert worker.poll() is None
    # What the same process held beside it goes with it; the other chunks do not.
    assert {1, 2, 3, 4, 5, 6, 10, 11, 12} <= set(shot.out.existing() or ())
    assert 7 not in (shot.out.existing() or ())


def test_a_frame_that_always_fails_is_named_and_never_tried_again(farm: Farm, shot: Shot, tmp_path: Path) -> None:
    log = tmp_path / "begun.log"
    farm.worker(SLOW_FRAME_LOG=str(log))
    shot.plate.path.path(5).write_bytes(b"no image")
    options = shot.options(chunk=3)
    with pytest.raises(FrameFailures, match=r"1 of 12 frames failed \(5\); .*plate\.0005\.exr") as caught:
        run_on(farm, plan_from(options), options, SLOW)
    assert caught.value.exit_code == 2
    assert list(caught.value.failures) == [5]
    assert tuple(shot.out.existing() or ()) == (1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12)
    # A retry of the chunk would have begun nothing new, but have asked for its frames once more.
    assert len(lines_of(log)) == 11


def test_failed_training_ends_the_job_and_renders_nothing(farm: Farm, shot: Shot, tmp_path: Path) -> None:
    log = tmp_path / "begun.log"
    farm.worker(SLOW_FRAME_LOG=str(log), FAKE_TRAINING="error")
    painting = Keyframe(2, shot.plate.path.path(2))
    options = shot.options(keyframes=[painting], look=str(tmp_path / "new.onnx"), steps=10, no_stmaps=True)
    with pytest.raises(PaintoverError, match=r"train failed: frame 0: empty matte") as caught:
        run_on(farm, plan_from(options), options, SLOW)
    assert caught.value.exit_code == 2
    assert lines_of(log) == [] and shot.out.existing() is None


@pytest.mark.slow
def test_from_keyframes_to_verified_frames(farm: Farm, shot: Shot, tmp_path: Path) -> None:
    farm.worker(FAKE_TRAINING_LOOK=str(shot.look))
    painting = Keyframe(2, shot.plate.path.path(2))
    options = shot.options(keyframes=[painting], look=str(tmp_path / "new.onnx"), steps=10, frames="1-4")
    for frame in shot.frames:
        images.write(shot.plate.path.path(frame), np.random.default_rng(frame).random((64, 64, 3), np.float32))
    plan = plan_from(options)
    assert [step.name for step in plan.steps] == ["train", "prepare", "render", "verify"]
    # The look that the fake leaves was trained from another keyframe.
    plan = replace(plan, steps=tuple(_without(step, "--expect-stmaps") for step in plan.steps))
    report = run_on(farm, plan, options, SLOW)
    assert {outcome.step for outcome in report.outcomes} == {"train", "prepare", "render", "verify"}
    assert all(outcome.code == 0 for outcome in report.outcomes)
    assert report.settled == dict.fromkeys((1, 2, 3, 4), "done")
    assert len(list((shot.folder / "work" / "stmap" / "key_0002").glob("*.exr"))) == 4


def _without(step: FarmStep, word: str) -> FarmStep:
    return replace(step, command=tuple(other for other in step.command if other != word))


class Warned(NoProgress):
    """Keeps the warnings."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def warn(self, text: str) -> None:
        self.said.append(text)


def test_without_workers_somebody_is_told_and_the_job_waits(
    farm: Farm, shot: Shot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_run, "_NOBODY_S", 0.3)
    progress, options, reports = Warned(), shot.options(chunk=12), []

    def go() -> None:
        with dask_engine.connected(farm.address, None) as client:
            reports.append(run_plan(plan_from(options), client, options, progress, StopRequest()))

    job = threading.Thread(target=go, daemon=True)
    job.start()
    until(lambda: progress.said, "nobody was told")
    farm.worker()
    job.join(180)
    assert len(reports) == 1 and len(reports[0].settled) == 12
    assert progress.said == ["no Dask worker is there; waiting for one: dask worker ADDRESS --nthreads 1"]


def test_a_worker_of_another_version_is_refused(farm: Farm, shot: Shot, monkeypatch: pytest.MonkeyPatch) -> None:
    farm.worker()
    monkeypatch.setattr(dask_run, "__version__", "9.9")
    with pytest.raises(InputError, match=r"has Paintover 0\.\d.*, and this is 9\.9"):
        run_on(farm, plan_from(shot.options()), shot.options())
    assert shot.out.existing() is None


# Tasks


def test_what_a_command_says_becomes_an_outcome(shot: Shot) -> None:
    heard: list[Mapping[str, Any]] = []
    plan = plan_from(shot.options(chunk=6))
    render = plan.step("render")
    assert render is not None
    outcome = perform(Task("job", "render", 1, render.words(1)), heard.append)
    assert (outcome.code, outcome.rendered, outcome.message) == (0, 6, "")
    assert sorted(event["frame"] for event in heard) == [7, 8, 9, 10, 11, 12]
    assert outcome.start_s > 0.2 and outcome.work_s > 0
    missing = perform(Task("job", "render", 0, ("render", "--look", "no.onnx")), heard.append)
    assert (missing.code, missing.message.startswith("--plate is missing")) == (2, True)


def test_a_task_that_takes_too_long_is_ended() -> None:
    sleeper = (sys.executable, "-c", "import time; time.sleep(60)")
    started = time.monotonic()
    outcome = perform(Task("job", "render", 0, (), sleeper, timeout_s=0.5), lambda event: None)
    assert (outcome.code, outcome.message) == (1, "not done within 0.5 s and ended")
    assert time.monotonic() - started < 30


def test_a_failure_survives_the_way_to_the_client() -> None:
    import pickle

    failure = TaskFailed(Outcome("render", 3, 1, "disk full", {7: "frame 7: disk full"}))
    assert pickle.loads(pickle.dumps(failure)).args[0] == failure.args[0]


# The command line


def test_submit_on_this_machine(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    words = shot.words("submit", "--engine", "dask", "--workers", "2", "--progress", "json")
    assert main(words) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    frames = [event["frame"] for event in events if event["event"] == "progress" and event.get("frame") is not None]
    assert sorted(frames) == list(range(1, 13))
    assert events[-1]["event"] == "finished"
    assert next(event for event in events if "rendered" in event)["rendered"] == 12
    verify(shot.look, shot.frames, shot.out, plate=shot.plate)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes certificates with openssl")
def test_tls_lets_in_who_has_a_certificate_alone(shot: Shot, tmp_path: Path) -> None:
    certificate, key = tmp_path / "farm.crt", tmp_path / "farm.key"
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=farm"]
    subprocess.run(["openssl", *words, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    tls = ["--tls-ca-file", str(certificate), "--tls-cert", str(certificate), "--tls-key", str(key)]
    farm = Farm(tmp_path, *tls, "--protocol", "tls")
    try:
        assert farm.address.startswith("tls://127.0.0.1:")
        farm.worker(*tls)
        words = shot.words("submit", "--engine", "dask", "--address", farm.address, "--progress", "none")
        given = ["--tls-ca", str(certificate), "--tls-cert", str(certificate), "--tls-key", str(key)]
        assert main([*words, *given]) == 0
        with pytest.raises(PaintoverError, match="no Dask scheduler answers"):
            with dask_engine.connected(farm.address.replace("tls", "tcp"), None):
                pass
    finally:
        farm.close()
    verify(shot.look, shot.frames, shot.out, plate=shot.plate)


@posix
@pytest.mark.slow
def test_a_killed_client_leaves_no_process_behind(shot: Shot) -> None:
    for frame in shot.frames:
        images.write(shot.plate.path.path(frame), np.random.default_rng(frame).random((700, 1200, 3), np.float32))
    words = shot.words("submit", "--engine", "dask", "--workers", "1", "--chunk", "12", "--progress", "lines")
    process = subprocess.Popen([sys.executable, "-m", "plugin", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert any(line.startswith("frame ") for line in process.stdout)
    family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    # The renderer may finish its chunk; the workers end because their scheduler is gone.
    _, alive = psutil.wait_procs(family, timeout=120)
    assert not alive
    for frame in shot.out.existing() or ():
        images.check(shot.out.path(frame))


@pytest.mark.alone
@posix
@pytest.mark.slow
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_leaves_whole_frames_and_no_process(shot: Shot, tmp_path: Path, signum: int, code: int) -> None:
    for frame in shot.frames:
        # Large enough for the stop to come in the middle.
        images.write(shot.plate.path.path(frame), np.random.default_rng(frame).random((700, 1200, 3), np.float32))
    words = shot.words("submit", "--engine", "dask", "--workers", "1", "--chunk", "12", "--progress", "lines")
    process = subprocess.Popen(
        [sys.executable, "-m", "plugin", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("frame "):
            break
    family = psutil.Process(process.pid).children(recursive=True)
    assert family
    asked = time.monotonic()
    # A terminal's Ctrl-C reaches the whole group.
    (os.killpg if signum == signal.SIGINT else os.kill)(process.pid, signum)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code, said
    assert time.monotonic() - asked < (10.0 if signum == signal.SIGTERM else 30.0)
    _, alive = psutil.wait_procs(family, timeout=120)
    assert not alive
    done = shot.out.existing()
    assert done is not None and 0 < len(done) < 12
    verify(shot.look, done, shot.out, plate=replace(shot.plate, frames=done))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--address", "nonsense"), "is no scheduler's address"),
        (("--address", "tls://127.0.0.1:1"), "needs certificates"),
        (("--address", "tls://127.0.0.1:1", "--tls-ca", "no.pem"), "certificate or key is missing"),
    ],
)
def test_wrong_addresses(shot: Shot, words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shot.words("submit", "--engine", "dask", *words)) == 2
    assert message in capsys.readouterr().err


def test_nobody_at_the_address(shot: Shot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_engine, "_CONNECT_S", 1)
    with pytest.raises(PaintoverError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9") as caught:
        with dask_engine.connected("tcp://127.0.0.1:9", None):
            pass
    assert caught.value.exit_code == 1


def test_a_local_cluster_listens_on_loopback_alone() -> None:
    this = psutil.Process()
    others = set(this.children(recursive=True))
    # What this process listens on already is not the cluster's.
    before = listening(this)
    with dask_engine.local_cluster(1) as cluster:
        with dask_engine.connected(cluster, None) as client:
            client.wait_for_workers(1, timeout=120)
        found = listening(this) - before
        for process in set(this.children(recursive=True)) - others:
            found |= listening(process)
    assert {host for host, _ in found} == {"127.0.0.1"}


def listening(process: psutil.Process) -> set[tuple[str, int]]:
    """Addresses and ports."""
    connections = process.net_connections("tcp")
    return {(each.laddr.ip, each.laddr.port) for each in connections if each.status == psutil.CONN_LISTEN}


def test_without_distributed_one_line_says_what_to_install(shot: Shot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"paintover\[farm\]"):
        dask_engine.submit(plan_from(shot.options()), shot.options(), NoProgress(), StopRequest())


def test_a_gpu_for_each_worker_from_those_that_are_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_engine, "cuda_devices", lambda: ((object(), object()), ""))
    assert dask_engine._visible_gpus({}) == ("0", "1")
    assert dask_engine._visible_gpus({"CUDA_VISIBLE_DEVICES": "3,5"}) == ("3", "5")
    assert dask_engine.local_workers() == 2
