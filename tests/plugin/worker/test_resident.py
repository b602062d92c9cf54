"""``render --resident``: frames asked of a resident worker, with all that a farm checks of them."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from engine import images
from engine.motion.stmap import sidecar_path, write_sidecar
from engine.preparation.hash_records import record
from engine.rendering.render import read_card, verify
from plugin.cli import main
from plugin.client.job import Job
from plugin.client.worker_request import ask
from plugin.phases import rendering
from tests.support import ROOT
from tests.support.farm_shot import Shot, make_shot
from tests.support.matte_files import box, write_mattes
from tests.support.signals import posix

pytestmark = pytest.mark.host


@pytest.fixture
def shot(tmp_path: Path) -> Shot:
    return make_shot(tmp_path / "shot", frames=6)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[Path]:
    """Where the worker will be; it is ended afterwards."""
    path = tmp_path / "session" / "worker.json"
    yield path
    # It may have ended, or be about to, and takes its file with it.
    with contextlib.suppress(OSError, ValueError, psutil.Error):
        worker = psutil.Process(worker_of(path))
        worker.kill()
        worker.wait(30)


def worker_of(address: Path) -> int:
    return int(json.loads(address.read_text())["pid"])


def words(shot: Shot, address: Path, *more: str) -> list[str]:
    return shot.words("render", "--progress", "none", "--resident", str(address), *more)


def refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("rendered here")


def test_one_worker_renders_every_chunk_to_the_same_bytes(
    shot: Shot, address: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mattes = write_mattes(shot.folder, {frame: box(24, 32, 8, 20) for frame in shot.frames})
    encoding = ("--depth", "float", "--compression", "zip:6", "--matte", mattes.text)
    assert main(shot.words("render", "--progress", "none", *encoding)) == 0
    expected = {frame: shot.out.path(frame).read_bytes() for frame in shot.frames}
    for path in shot.out.folder.iterdir():
        path.unlink()
    monkeypatch.setattr(rendering, "render", refuse)
    assert main(words(shot, address, "--frames", "1-3", *encoding)) == 0
    first = worker_of(address)
    assert main(words(shot, address, "--frames", "4-6", *encoding)) == 0
    assert worker_of(address) == first
    assert {frame: shot.out.path(frame).read_bytes() for frame in shot.frames} == expected


def test_a_worker_that_was_killed_is_started_anew(shot: Shot, address: Path) -> None:
    assert main(words(shot, address, "--frames", "1-3")) == 0
    first = psutil.Process(worker_of(address))
    first.kill()
    first.wait(60)
    assert main(words(shot, address, "--frames", "4-6")) == 0
    assert worker_of(address) != first.pid
    verify(shot.look, shot.frames, shot.out, plate=shot.plate)


def test_what_fails_is_named_and_the_rest_is_done(
    shot: Shot, address: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (key,) = [keyframe.frame for keyframe in read_card(shot.look).keyframes]
    sidecars = [sidecar_path(shot.folder / "work", key, frame) for frame in shot.frames]
    for path in sidecars:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_sidecar(path, np.zeros((24, 32, 2), np.float32), np.ones((24, 32), np.float32), (24, 32), "0" * 64)
    record(sidecars)
    write_sidecar(sidecars[2], np.ones((24, 32, 2), np.float32), np.ones((24, 32), np.float32), (24, 32), "0" * 64)
    shot.plate.path.path(5).write_bytes(b"no image")
    # One that may come right with time, and one that never will: a retry may help.
    assert main(words(shot, address, "--expect-prepared")) == 1
    said = capsys.readouterr().err
    assert "2 of 6 frames failed (3,5); frame 3: " in said and str(sidecars[2]) in said and "plate.0005" in said
    assert tuple(shot.out.existing() or ()) == (1, 2, 4, 6)
    record(sidecars)
    assert main(words(shot, address, "--expect-prepared")) == 2
    assert tuple(shot.out.existing() or ()) == (1, 2, 3, 4, 6)


@pytest.mark.alone
@posix
def test_a_stop_ends_the_worker_s_render_too(shot: Shot, address: Path) -> None:
    for frame in shot.frames:
        # Large enough for the stop to come in the middle.
        images.write(shot.plate.path.path(frame), np.random.default_rng(frame).random((1400, 2400, 3), np.float32))
    given = [sys.executable, "-m", "plugin", *words(shot, address), "--progress", "lines"]
    process = subprocess.Popen(given, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert any(line.startswith("frame ") for line in process.stdout)
    asked = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    assert time.monotonic() - asked < 5.0
    # What it was at is dropped; the worker is there for the next chunk. It serves one request after the other, so once
    # it answers this one nothing of the render is left.
    job = Job(shot.plate.path.text, "1", str(shot.folder / "work"), look=str(shot.look), device="cpu")
    ask(address, {"op": "load", "job": job}, command=["no other worker"])
    done = shot.out.existing()
    assert done is not None and 0 < len(done) < 6
    verify(shot.look, done, shot.out, plate=replace(shot.plate, frames=done))
    assert psutil.pid_exists(worker_of(address))
    time.sleep(0.5)
    assert tuple(shot.out.existing() or ()) == done.frames


def test_what_a_resident_worker_has_no_way_for(shot: Shot, address: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more in (("--timeout", "9"), ("--workers", "2"), ("--threads", "1"), ("--tensorrt",), ("--denoise",)):
        assert main(words(shot, address, *more)) == 2, more
        assert "a resident worker takes no" in capsys.readouterr().err
    assert not address.exists()
