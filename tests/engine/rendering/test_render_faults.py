"""A render that is stopped, killed or fails: no partial frame, none lost, and one error that says why."""

from __future__ import annotations

import logging
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine import images
from engine.base.errors import FrameFailures, Interrupted, LookError, OutputError
from engine.base.frames import FrameRange
from engine.rendering import workers as crew
from engine.rendering.render import RenderEvent, RenderSettings, render, verify
from engine.shot.shot import Plate
from tests.support import lookfactory
from tests.support.rendering import ON_CPU, TILED, digests, make_plate, outputs
from tests.support.signals import posix


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_look_that_changes_stops_the_job(tmp_path: Path, workers: int) -> None:
    plate = make_plate(tmp_path / "plate", "1-30")
    look = lookfactory.gain(tmp_path / "a.onnx", 2.0)
    other = lookfactory.gain(tmp_path / "b.onnx", 3.0)
    out = outputs(tmp_path)

    def swap(event: RenderEvent) -> None:
        if event.count == 3:
            other.replace(look)

    with pytest.raises(LookError, match="changed while rendering"):
        render(look, plate, out, RenderSettings(device="cpu", threads=2), workers=workers, progress=swap)
    found = out.existing()
    assert found is not None and 3 <= len(found) < 30
    assert len({images.read_provenance(out.path(frame))["look"] for frame in found}) == 1
    report = render(look, plate, out, ON_CPU)
    assert len(report.done) == 30


def test_a_full_disk_stops_the_job(tmp_path: Path, plate: Plate, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def full(path: Path, *args: Any, **options: Any) -> None:
        calls.append(path)
        raise OutputError("disk full while writing", path=path)

    monkeypatch.setattr(images, "write", full)
    with pytest.raises(OutputError, match="disk full"):
        render(lookfactory.gain(tmp_path / "g.onnx"), plate, outputs(tmp_path), RenderSettings(device="cpu", threads=1))
    assert 1 <= len(calls) <= 4


@pytest.mark.parametrize("as_event", [True, False])
def test_a_stop_keeps_what_is_done(tmp_path: Path, look: Path, as_event: bool) -> None:
    plate = make_plate(tmp_path / "plate", "1-40")
    stop = threading.Event()

    def watch(event: RenderEvent) -> None:
        if event.count == 5:
            stop.set()

    out = outputs(tmp_path)
    with pytest.raises(Interrupted, match=r"of 40 frames done"):
        render(look, plate, out, TILED, progress=watch, stop=stop if as_event else stop.is_set)
    found = out.existing()
    assert found is not None and 5 <= len(found) < 40
    verify(look, found, out, TILED, plate=plate)
    assert sorted(path.name for path in tmp_path.glob(".*")) == []


DRIVER = """
import sys
from pathlib import Path
from engine.base.frames import FrameRange, SequencePath
from engine.rendering.render import RenderSettings, render
from engine.shot.shot import Plate
folder = Path(sys.argv[1])
plate = Plate(SequencePath.parse(folder / "plate" / "plate.%04d.exr"), FrameRange.parse("1-12"), "scene_linear")
out = SequencePath.parse(folder / "out" / "out.%04d.exr")
render(folder / "look.onnx", plate, out, RenderSettings(device="cpu", tile=64), workers=int(sys.argv[2]),
       progress=lambda event: print(event.count, flush=True))
"""


@pytest.mark.slow
@posix
@pytest.mark.parametrize("workers", [1, 2])
def test_sigkill_leaves_no_partial_frame_and_a_rerun_completes(tmp_path: Path, look: Path, workers: int) -> None:
    plate, chance = make_plate(tmp_path / "plate", "1-12"), random.Random(workers)
    reference = outputs(tmp_path / "reference")
    render(look, plate, reference, TILED)
    out = outputs(tmp_path / "out")
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(tmp_path), str(workers)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(chance.randint(1, 3)):
            process.stdout.readline()
        time.sleep(chance.random() * 0.1)
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
        process.communicate()
        gone, alive = psutil.wait_procs(children, timeout=60)
        assert not alive, "a worker outlived its parent"
        for frame in out.existing() or ():
            images.check(out.path(frame))
    # What a writer leaves that dies between creating and renaming.
    dead = gone[0].pid if gone else process.pid
    template = next(iter(_temporary_names(tmp_path)))
    (tmp_path / "out" / template.replace("PID", str(dead))).write_bytes(b"half a frame")
    render(look, plate, out, TILED)
    assert digests(out, plate.frames) == digests(reference, plate.frames)
    assert [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")] == []


def _temporary_names(folder: Path) -> set[str]:
    """The name of a temporary of this host, with PID for its process."""
    from engine.base.temporaries import replacing

    with replacing(folder / "out.0001.exr") as temporary:
        name = temporary.name.replace(f"-{os.getpid()}-", "-PID-")
    (folder / "out.0001.exr").unlink()
    return {name}


@pytest.mark.slow
@posix
def test_a_killed_worker_costs_no_frame(tmp_path: Path, look: Path, caplog: pytest.LogCaptureFixture) -> None:
    plate, out, killed = make_plate(tmp_path / "plate", "1-16"), outputs(tmp_path), []
    others = psutil.Process().children()

    def kill_one(event: RenderEvent) -> None:
        if event.count == 3:
            victim = next(child for child in psutil.Process().children() if child not in others)
            killed.append(victim.pid)
            os.kill(victim.pid, signal.SIGKILL)

    with caplog.at_level(logging.WARNING, "engine.rendering.workers"):
        report = render(look, plate, out, RenderSettings(device="cpu", threads=2), workers=2, progress=kill_one)
    assert len(killed) == 1
    # A frame that was written before its worker died, but not yet reported, is found whole by the next one.
    assert sorted(report.done + report.skipped) == list(range(1, 17)) and len(report.skipped) <= 4
    assert "died (signal 9)" in caplog.text
    verify(look, plate.frames, out, plate=plate)


@pytest.mark.slow
@posix
def test_a_frame_that_kills_its_worker_fails_alone(tmp_path: Path, look: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deadly = """
        import os, sys
        sys.path[:] = [p for p in sys.path if p] + sys.argv[1:]
        from engine import images
        from engine.rendering import workers as crew
        read = images.read
        def deadly(path, *, frame=None, **options):
            if frame == 3:
                os.kill(os.getpid(), 9)
            return read(path, frame=frame, **options)
        images.read = deadly
        sys.exit(crew.main())
    """
    monkeypatch.setattr(crew, "_START", textwrap.dedent(deadly))
    plate, out = make_plate(tmp_path / "plate", "1-8"), outputs(tmp_path)
    with pytest.raises(FrameFailures) as caught:
        render(look, plate, out, RenderSettings(device="cpu", threads=2), workers=2)
    assert caught.value.exit_code == 1
    assert list(caught.value.failures) == [3]
    assert "worker died (signal 9)" in caught.value.failures[3]
    assert out.existing() == FrameRange((1, 2, 4, 5, 6, 7, 8))


@pytest.mark.slow
def test_a_workers_error_is_this_process_error(tmp_path: Path, look: Path, plate: Plate) -> None:
    settings = RenderSettings(device="cpu", bit_depth="half", threads=2)
    with pytest.raises(FrameFailures, match="png cannot hold half") as caught:
        render(look, plate, outputs(tmp_path, ".png"), settings, workers=2)
    assert caught.value.exit_code == 2
    assert len(caught.value.failures) == 6


def test_two_jobs_on_the_same_frames_leave_whole_ones(tmp_path: Path, look: Path, plate: Plate) -> None:
    out, reports = outputs(tmp_path), []
    jobs = [
        threading.Thread(target=lambda: reports.append(render(look, plate, out, TILED, overwrite=True)))
        for _ in range(2)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert len(reports) == 2
    verify(look, plate.frames, out, TILED, plate=plate)
