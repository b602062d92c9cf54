"""Training as people meet it: budgets, signals, kills, mattes end to end, and light beyond white."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
from msgspec.structs import replace

from tests.support import ROOT
from tests.support.signals import posix

torch = pytest.importorskip("torch", reason="training is not installed")
torch.set_num_threads(1)  # tiny networks on a busy machine: a second thread mostly waits

from safetensors import safe_open

from engine import images
from engine.color import shaper
from engine.look.card import open_look
from engine.look.session import Look
from engine.motion.stmap import sidecar_path, write_sidecar
from engine.training.job.job import Settings, TrainingJob
from engine.training.preview import LABEL_HEIGHT
from engine.training.train import Trained, train
from tests.support.interrupts import StopAfter
from tests.support.procedural import TINY, ProceduralShot, hdr_plate, job_text, painting_of, plate

DRIVER = textwrap.dedent(
    """
    import sys
    sys.path[:0] = [{root!r}]
    from tests.support.procedural import TINY
    import engine.training.train as training
    training.Settings = lambda: TINY
    sys.exit(training.main(["--job", sys.argv[1]]))
    """
).format(root=str(ROOT))
"""The training process with a tiny network."""


def run(job: TrainingJob, settings: Settings = TINY) -> Trained:
    return train(job, lambda event: None, settings=settings)


def weights(look: Path) -> list[bytes]:
    return [tensor.raw_data for tensor in onnx.load(look).graph.initializer]


@pytest.fixture
def shot(tmp_path: Path) -> ProceduralShot:
    return ProceduralShot.write(tmp_path)


# What training makes


@pytest.mark.slow
def test_training_comes_nearer_to_the_painting(shot: ProceduralShot) -> None:
    losses: list[float] = []
    events: list[dict[str, object]] = []

    def emit(event: dict[str, object]) -> None:
        events.append(event)
        if "step" in event:
            losses.append(float(str(event["loss"])))

    done = train(shot.job(steps=120), emit, settings=TINY)
    look = Look.load(done.look, device="cpu", threads=1)
    pixels, wanted = plate(72, 96), painting_of(plate(72, 96))
    error = float(np.abs(look.stylize(pixels).rgb - wanted).mean())
    # The bare plate is the least that a translator must beat; the closed-form start alone gets near half of it.
    assert error < 0.5 * float(np.abs(pixels - wanted).mean())
    assert {str(event["event"]) for event in events} >= {"phase", "progress"}
    (written,) = {str(event["checkpoint"]) for event in events if "checkpoint" in event}
    assert written == str(shot.job().checkpoint) == str(shot.folder / "work" / "train" / "checkpoint.safetensors")


@pytest.mark.parametrize("unpainted", ["translate", "plate"])
@pytest.mark.parametrize("how", ["matte", "alpha"])
def test_unpainted_pixels_have_no_say(tmp_path: Path, how: str, unpainted: str) -> None:
    """End to end: garbage where nothing is painted gives the same look, bit for bit, whatever becomes of the rest."""
    rng = np.random.default_rng(0)
    coverage = np.zeros((72, 96), np.float32)
    coverage[5:40, 11:60], coverage[40:45, 11:60] = 1.0, 0.4
    found = []
    for name, spoiled in (("clean", False), ("spoiled", True)):
        shot = ProceduralShot.write(tmp_path / name)
        rgb = painting_of(plate(72, 96))
        if spoiled:
            garbage = (rng.standard_normal(rgb.shape) * 1e3).astype(np.float32)
            rgb = np.where(coverage[..., None] > 0, rgb, garbage)
        alpha = coverage if how == "alpha" else None
        images.write(shot.painting(), rgb, alpha=alpha, bit_depth="float")
        matte = None
        if how == "matte":
            matte = tmp_path / name / "matte.exr"
            images.write(matte, np.repeat(coverage[..., None], 3, 2), bit_depth="float")
        job = shot.job(steps=6, keyframes=(shot.keyframe(matte=matte),), unpainted=unpainted)
        run(job)
        found.append((weights(job.look), images.read(shot.painting()).rgb))
    assert found[0][0] == found[1][0]
    difference = np.abs(found[0][1] - found[1][1])
    if how == "matte":
        assert difference[coverage == 0].min() > 0
    # The test can fail: the same garbage inside the matte changes the look.
    shot = ProceduralShot.write(tmp_path / "inside")
    images.write(shot.painting(), np.where(coverage[..., None] > 0, found[0][1] * 2, 0), bit_depth="float")
    job = shot.job(steps=6)
    run(job)
    assert weights(job.look) != found[0][0]


@pytest.mark.parametrize(("unpainted", "near"), [(None, True), ("translate", False)])
def test_what_is_not_painted_stays_as_it_is(tmp_path: Path, unpainted: str | None, near: bool) -> None:
    """An object painted with alpha: away from it the result is the plate within a few codes, also on another frame."""
    shot = ProceduralShot.write(tmp_path)
    y, x = np.mgrid[0:72, 0:96]
    alpha = np.clip(18 - np.hypot(y - 36, x - 48), 0, 1).astype(np.float32)
    for frame in range(3):
        pixels = plate(72, 96, shift=3 * frame)
        # The object differs from the rest, as an object does.
        images.write(shot.plate(frame), np.where(alpha[..., None] > 0, 0.1 * pixels, pixels), bit_depth="float")
    painted = np.broadcast_to(np.float32([0.7, 0.1, 0.05]), (72, 96, 3)).copy()
    images.write(shot.painting(), painted, alpha=alpha, bit_depth="float")
    done = run(shot.job(steps=250, unpainted=unpainted))
    look = Look.load(done.look, device="cpu", threads=1)
    away = np.hypot(y - 36, x - 48) > 26
    for frame in (0, 2):
        pixels = images.read(shot.plate(frame)).rgb
        codes = 255 * np.abs(shaper.encode(look.stylize(pixels).rgb) - shaper.encode(pixels))[away]
        assert (float(codes.mean()) < 4) == near, (frame, codes.mean())
        assert (float(np.percentile(codes, 95)) < 10) == near, (frame, np.percentile(codes, 95))


@pytest.mark.slow
def test_light_beyond_white_comes_back(tmp_path: Path) -> None:
    """A small network here; the default one in a slow test."""
    settings = dataclasses.replace(TINY, width=32, blocks=2, crop=128, batch=3, warmup_steps=30)
    assert max(hdr_errors(tmp_path, settings, 300, (120, 160)).values()) <= 0.02


@pytest.mark.slow
def test_light_beyond_white_comes_back_from_the_default_network(tmp_path: Path) -> None:
    assert max(hdr_errors(tmp_path, Settings(), 120, (216, 288)).values()) <= 0.02


HDR_LEVELS = (-0.3, 0.18, 1.0, 8.0, 40.0)


def hdr_errors(folder: Path, settings: Settings, steps: int, size: tuple[int, int]) -> dict[float, float]:
    """Relative error that 95% of the values near each level keep, on an unseen frame after training to the identity."""
    for frame in range(2):
        images.write(folder / f"plate.{frame:04d}.exr", hdr_plate(*size, seed=3, shift=40 * frame), bit_depth="half")
    (folder / "painted.0000.exr").write_bytes((folder / "plate.0000.exr").read_bytes())
    done = run(ProceduralShot(folder, 2, (0,)).job(steps=steps), settings)
    look = Look.load(done.look, device="cpu", threads=1)
    pixels = images.read(folder / "plate.0001.exr").rgb
    assert pixels.min() < -0.45 and pixels.max() > 55
    styled = look.stylize(pixels).rgb
    firm = np.abs(pixels) > 0.01
    assert (np.sign(styled[firm]) == np.sign(pixels[firm])).all()
    errors = {}
    for level in HDR_LEVELS:
        near = np.abs(pixels / level - 1) < 0.05
        assert near.sum() > 50
        errors[level] = float(np.quantile(np.abs(styled[near] / pixels[near] - 1), 0.95))
        # A flat card of this light, nothing of which was in the plate.
        card = look.stylize(np.full((48, 48, 3), level, np.float32)).rgb
        assert abs(float(card.mean()) / level - 1) <= 0.02
    print({level: f"{error:.3%}" for level, error in errors.items()})
    return errors


@pytest.mark.slow
def test_the_published_recipe_says_what_it_lacks(shot: ProceduralShot) -> None:
    events: list[dict[str, object]] = []
    train(shot.job(steps=1, recipe="texler2020"), events.append)
    (warning,) = [str(e["text"]) for e in events if e["event"] == "warning"]
    assert "without --features" in warning and "not the published configuration" in warning


def test_a_preview_strip_shows_four_pictures(shot: ProceduralShot, monkeypatch: pytest.MonkeyPatch) -> None:
    job = shot.job(steps=2, preview=True)
    run(job)
    strip = images.read(job.work / "preview.png").rgb
    assert strip.shape == (LABEL_HEIGHT + 72, 4 * 96 + 3 * 8, 3)
    assert 0.05 < float(strip[LABEL_HEIGHT:, :96].mean()) < 0.95
    # Each has its name above it, in light letters.
    for left in range(0, 4 * 104, 104):
        assert (strip[:LABEL_HEIGHT, left : left + 96] > 0.5).mean() > 0.02


def test_the_preview_of_the_keyframe_has_its_carried_strokes(shot: ProceduralShot) -> None:
    """With STMaps in the work folder, what a render would show: nearer to the painting than the translator alone."""
    away = []
    for carried in (False, True):
        job = shot.job(steps=12, preview=True, work=shot.folder / f"work_{carried}")
        if carried:
            still = np.zeros((72, 96, 2), np.float32)
            for frame in (0, 1):
                write_sidecar(sidecar_path(job.work, 0, frame), still, np.ones((72, 96), np.float32), (72, 96), "x")
        run(job)
        strip = images.read(job.work / "preview.png").rgb[LABEL_HEIGHT:]
        painted, result = strip[:, 104:200], strip[:, 208:304]
        away.append(float(np.abs(result - painted).mean()))
    assert away[1] < 0.8 * away[0]


@pytest.mark.slow
def test_a_stopped_look_is_a_look(shot: ProceduralShot) -> None:
    job = shot.job(steps=50)
    done = train(job, lambda event: None, StopAfter(2), settings=TINY)
    assert (done.stopped, done.steps) == ("interrupted", 2)
    assert open_look(job.look).card.trained.steps == 2


# Budgets


@pytest.mark.alone
def test_a_budget_is_kept_within_a_tenth(shot: ProceduralShot) -> None:
    began = time.perf_counter()
    done = run(shot.job(budget_s=5.0))
    wall_s = time.perf_counter() - began
    assert done.stopped in ("done", "washout") and done.steps > 20
    if done.stopped == "done":
        assert 5.0 <= done.seconds <= 5.5 + (wall_s - done.seconds)
    assert wall_s <= 5.5 + 20.0  # export of a tiny look, on a busy machine
    assert open_look(done.look).card.trained.seconds == pytest.approx(done.seconds, abs=0.5)


@pytest.mark.alone
def test_a_resumed_budget_counts_what_was_spent(shot: ProceduralShot) -> None:
    job = shot.job(budget_s=5.0)
    first = train(job, lambda event: None, StopAfter(5), settings=TINY)
    assert first.seconds < 4.0
    began = time.perf_counter()
    second = run(replace(job, resume=True))
    wall_s = time.perf_counter() - began
    own_s = second.seconds - first.seconds
    assert second.steps > first.steps
    if second.stopped == "done":
        assert 5.0 - first.seconds <= own_s <= 5.5 - first.seconds + (wall_s - own_s)
    assert wall_s <= 5.5 + 20.0 - first.seconds


# Signals and kills, in a process of its own


def start(job: TrainingJob, *, tiny: bool = True) -> subprocess.Popen[str]:
    job.work.mkdir(parents=True, exist_ok=True)
    path = job.work / "job.json"
    path.write_text(job_text(job), encoding="utf-8")
    command = ["-c", DRIVER, str(path)] if tiny else ["-m", "engine.training.train", "--job", str(path)]
    return subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def children_s() -> float:
    """What children of this process that have ended computed for."""
    times = os.times()
    return times.children_user + times.children_system


def events_until(process: subprocess.Popen[str], fact: str, timeout_s: float = 180) -> dict[str, object]:
    assert process.stdout is not None
    began = time.monotonic()
    for line in process.stdout:
        event: dict[str, object] = json.loads(line)
        if fact in event:
            return event
        assert time.monotonic() - began < timeout_s
    raise AssertionError(f"no event with {fact}; {process.stderr.read() if process.stderr else ''}")


def check_whole(job: TrainingJob) -> None:
    """What stands under a final name is whole."""
    if job.look.exists():
        open_look(job.look)
    path = job.work / "train" / "checkpoint.safetensors"
    if path.exists():
        with safe_open(path, "pt") as file:
            assert json.loads(file.metadata()["paintover"])["format"] == 1
            assert all(file.get_tensor(key) is not None for key in file.keys())
    readable = path.with_suffix(".json")
    if readable.exists():
        json.loads(readable.read_text(encoding="utf-8"))
    preview = job.work / "preview.png"
    if preview.exists():
        images.check(preview)


@pytest.mark.slow
@posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"])
def test_a_signal_leaves_a_look_and_a_checkpoint(shot: ProceduralShot, number: int, code: int) -> None:
    job = shot.job(steps=10**6)
    process = start(job)
    events_until(process, "step")
    # By the processor's clock: how long it waits for its turn is the machine's affair.
    before_s = children_s() + sum(psutil.Process(process.pid).cpu_times()[:2])
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert children_s() - before_s <= 5.0
    assert process.returncode == code, err
    assert err == ""
    last = json.loads(out.splitlines()[-1])
    assert last["event"] == "finished" and last["interrupted"] is True
    card = open_look(job.look).card
    assert card.trained.steps == last["steps"] > 0
    check_whole(job)
    assert not [p for p in job.work.rglob("*") if ".tmp" in p.name]
    resumed = run(replace(job, resume=True, steps=last["steps"] + 2))
    assert resumed.steps == last["steps"] + 2


@pytest.mark.slow
@posix
def test_errors_are_one_event_and_no_traceback(shot: ProceduralShot) -> None:
    job = shot.job(keyframes=(shot.keyframe(painting=shot.folder / "no.exr"),))
    process = start(job, tiny=False)
    out, err = process.communicate(timeout=180)
    assert process.returncode == 2 and err == ""
    (event,) = [json.loads(line) for line in out.splitlines()]
    assert event["event"] == "failed" and event["exit_code"] == 2
    assert event["message"].startswith("frame 0: the painting is missing")


KILLED = textwrap.dedent(
    """
    import os, sys
    sys.path[:0] = [{root!r}]
    from msgspec.structs import replace
    from pathlib import Path
    import torch
    from tests.support.procedural import TINY
    import engine.training.train as training
    from engine.color.config import ColorConfig
    from engine.training.job.job import TrainingJob

    # One import of torch for all the children; each is killed by the test and takes up where the last one ended.
    ColorConfig.active()
    job = TrainingJob.load(Path(sys.argv[1]))
    training.CHECKPOINT_EVERY_S = 0.0
    training.PREVIEW_EVERY_S = 0.0
    torch.optim.Adam([torch.zeros(1)])  # brings in what torch loads late
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            torch.set_num_threads(1)
            print(os.getpid(), flush=True)
            steps = 2
            while True:
                done = training.train(replace(job, steps=steps, resume=True), lambda event: None, settings=TINY)
                steps = done.steps + 2
        _, status = os.waitpid(child, 0)
        print(status, flush=True)
    """
).format(root=str(ROOT))
"""Trains, writes a checkpoint and a preview every step and a look every other, for ever."""


def kill_at_random_moments(job: TrainingJob, kills: int, longest_s: float) -> int:
    """So many kills, and more until one finds a look already written; returns how many did."""
    job.work.mkdir(parents=True, exist_ok=True)
    path = job.work / "job.json"
    path.write_text(job_text(job), encoding="utf-8")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    moments = random.Random(1)
    done = found = 0
    deadline = time.monotonic() + 180
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], cwd=ROOT, **pipes) as driver:  # type: ignore[call-overload]
        # A busy machine may need more of them until the first look is there.
        while done < kills or (not found and time.monotonic() < deadline):
            done += 1
            driver.stdin.write("go\n")
            driver.stdin.flush()
            child = int(driver.stdout.readline())
            time.sleep(moments.uniform(0.05, longest_s))
            os.kill(child, signal.SIGKILL)
            assert int(driver.stdout.readline()) == signal.SIGKILL, "the child ended by itself"
            check_whole(job)
            found += job.look.exists()
        driver.stdin.close()
        driver.wait(timeout=60)
    return found


@pytest.mark.slow
@posix
def test_kill_9_leaves_nothing_in_part(shot: ProceduralShot) -> None:
    job = shot.job(preview=True)
    assert kill_at_random_moments(job, 20, 2.0) > 0
    check_whole(job)
    events: list[dict[str, object]] = []
    done = train(replace(job, resume=True, steps=10**4), events.append, stopper(events), settings=TINY)
    assert done.stopped == "interrupted"
    assert any("resumed at step" in str(event.get("text")) for event in events)
    assert not [p for p in job.work.rglob("*") if ".tmp" in p.name]


def stopper(events: list[dict[str, object]]) -> object:
    return StopAfter(2)


@posix
@pytest.mark.slow
def test_kill_9_of_the_real_process_at_20_random_moments(shot: ProceduralShot) -> None:
    job = shot.job(preview=True, steps=10**6, resume=True)
    moments = random.Random(2)
    for moment_s in [*(moments.uniform(0.5, 4.0) for _ in range(19)), None]:
        process = start(job, tiny=False)
        if moment_s is None:
            # The last moment lies beyond the first regular checkpoint, whenever a busy machine comes to it.
            events_until(process, "checkpoint")
        else:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(timeout=moment_s)
        process.kill()
        process.communicate()
        check_whole(job)
    process = start(replace(job, steps=3), tiny=False)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "resumed at step" in out
    assert open_look(job.look).card.trained.steps > 3
    check_whole(job)
