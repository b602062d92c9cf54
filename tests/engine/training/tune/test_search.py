"""The search: its grid, a real setting end to end, resuming, stopping, the picture, and the verb."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.support import ROOT, SHARED
from tests.support.signals import posix

torch = pytest.importorskip("torch", reason="training is not installed")

from engine import images
from engine.base.errors import ImageError, InputError, PaintoverError
from engine.base.frames import SequencePath
from engine.color import shaper
from engine.training.job.job import Settings
from engine.training.tune import search as tune
from engine.training.tune.grid import Setting, settings_of
from engine.training.tune.plot import draw_plot
from engine.training.tune.search import MAX_SCORED, Search, run_setting, scored_frames, search
from plugin.cli import main
from plugin.verbs import tune as tune_verb
from tests.support.pictures import picture
from tests.support.procedural import LINEAR, TINY, ProceduralShot, job_text, painting_of

SMALL = Setting(2, 64, 1, 1e-3)

FAKE = textwrap.dedent(
    """
    import json, os, sys, time
    from dataclasses import asdict
    from pathlib import Path
    from engine.base.frames import SequencePath
    from engine.training.job.job import TrainingJob
    from engine.training.tune.search import Search, fingerprint, scored_frames
    from engine.training.tune.grid import Setting
    word = lambda name: sys.argv[sys.argv.index(name) + 1]
    job, wanted = TrainingJob.load(Path(word("--job"))), Search.load(Path(word("--search")))
    setting = Setting(**json.loads(word("--setting")))
    with (job.work / "ran.txt").open("a") as handle:
        handle.write(setting.name + "\\n")
    print("a library talks")
    print(json.dumps({"event": "progress", "fraction": 0.5, "step": 1}), flush=True)
    how = os.environ.get("FAKE_SETTING", "")
    if how == "slow" and setting.blocks == 9:
        time.sleep(60)
    if how == "input":
        print(json.dumps({"event": "failed", "message": "frame 0: empty matte", "exit_code": 2}))
        sys.exit(2)
    if how == "memory" and setting.batch == 6:
        print(json.dumps({"event": "failed", "message": "memory ran out", "exit_code": 1}))
        sys.exit(1)
    loss = 0.1 + abs(setting.blocks - 9) / 100 + abs(setting.batch - 3) / 50
    inputs = fingerprint(job, wanted, scored_frames(job, SequencePath.parse(wanted.reference)))
    steps = 5 if how == "short" else 700
    facts = dict(inputs=inputs, setting=asdict(setting), loss=loss, mae=loss, deep=None, steps=steps, seconds=5.0)
    (job.work / "tune" / (setting.name + ".onnx")).write_bytes(setting.name.encode())
    (job.work / "tune" / (setting.name + ".json")).write_text(json.dumps(facts))
    """
)
"""Stands in for a setting's process: its loss is lowest at 9 blocks and batch 3."""


@pytest.fixture
def shot(tmp_path: Path) -> ProceduralShot:
    made = ProceduralShot.write(tmp_path, frames=4)
    for frame in range(4):
        painted = painting_of(images.read(made.plate(frame)).rgb)
        images.write(tmp_path / f"ref.{frame:04d}.exr", painted, bit_depth="float")
    return made


def files(shot: ProceduralShot, **changes: Any) -> tuple[Path, Path]:
    """Job and search on disk; the work folder exists."""
    job = shot.job()
    job.work.mkdir(exist_ok=True)
    reference = {"reference": str(shot.folder / "ref.%04d.exr"), "reference_colorspace": LINEAR}
    (shot.folder / "job.json").write_text(job_text(job))
    (shot.folder / "search.json").write_text(json.dumps({**reference, **changes}))
    return shot.folder / "job.json", shot.folder / "search.json"


def grid(shot: ProceduralShot) -> str:
    """A grid of five points."""
    path = shot.folder / "grid.toml"
    path.write_text("batch = [1, 3, 6]\nblocks = [3, 6, 9]\n")
    return str(path)


@pytest.fixture
def fake(tmp_path: Path) -> tuple[str, ...]:
    path = tmp_path / "fake_setting.py"
    path.write_text(FAKE)
    return (sys.executable, str(path))


def ran(shot: ProceduralShot) -> list[str]:
    return (shot.folder / "work" / "ran.txt").read_text().split()


# The grid


def test_the_default_grid_goes_to_half_and_twice_one_at_a_time() -> None:
    own = Settings(blocks=6, crop=192, batch=3, learning_rate=1e-3)
    points = settings_of(defaults=own)
    assert points[0] == Setting(3, 192, 6, 1e-3) and len(points) == len(set(points)) == 9
    assert sorted({p.batch for p in points}) == [1, 3, 6]
    assert sorted({p.patch for p in points}) == [128, 192, 256]
    assert sorted({p.blocks for p in points}) == [3, 6, 9]
    assert sorted({p.learning_rate for p in points}) == [5e-4, 1e-3, 2e-3]
    changed = [sum(a != b for a, b in zip(asdict(p).values(), asdict(points[0]).values(), strict=True)) for p in points]
    assert changed == [0] + [1] * 8
    full = settings_of(full=True, defaults=own)
    assert len(full) == len(set(full)) == 81 and full[0] == points[0] and set(points) < set(full)


def test_a_grid_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "grid.toml"
    path.write_text("patch = [96, 160, 224]\nblocks = 4\n")
    points = settings_of(path, defaults=Settings(blocks=6, crop=192, batch=3, learning_rate=1e-3))
    assert [(p.batch, p.patch, p.blocks) for p in points] == [(3, 160, 4), (3, 96, 4), (3, 224, 4)]

    def refused(text: str, match: str) -> None:
        path.write_text(text)
        with pytest.raises(InputError, match=match):
            settings_of(path)

    refused("crop = [1]", r"unknown parameter crop .*known are batch, patch, blocks, learning_rate")
    refused("batch = ['a']", "batch is no list of numbers")
    refused("batch = [0]", "batch is 0, a whole number of at least 1")
    refused("batch = [1.5]", "batch is 1.5, a whole number")
    refused("learning_rate = [2]", "learning_rate is 2, a number between 0 and 1")
    refused("", "no parameter")
    refused("batch = [", "not TOML")
    with pytest.raises(InputError, match="cannot read the settings"):
        settings_of(tmp_path / "absent.toml")


def test_a_setting_changes_only_its_four_fields() -> None:
    own = Settings()
    changed = Setting(5, 96, 2, 3e-4).over(own)
    assert (changed.batch, changed.crop, changed.blocks, changed.learning_rate) == (5, 96, 2, 3e-4)
    assert replace(changed, batch=own.batch, crop=own.crop, blocks=own.blocks, learning_rate=own.learning_rate) == own
    assert Setting(3, 192, 6, 1e-3).name == "b3_p192_n6_lr0.001"


# What is scored


def test_a_result_of_another_revision_is_another_one(shot: ProceduralShot, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = Search.load(files(shot)[1])
    now = tune.fingerprint(shot.job(), wanted, (1, 2))
    assert now == tune.fingerprint(shot.job(), wanted, (1, 2))
    monkeypatch.setattr(tune, "REVISION", tune.REVISION + 1)
    assert now != tune.fingerprint(shot.job(), wanted, (1, 2))


def test_unseen_frames_of_the_reference_spread_evenly(shot: ProceduralShot, tmp_path: Path) -> None:
    reference = SequencePath.parse(tmp_path / "ref.%04d.exr")
    assert scored_frames(shot.job(), reference) == (1, 2, 3)
    assert scored_frames(shot.job(frames="0-2"), reference) == (1, 2)
    with pytest.raises(ImageError, match="none of 0 beside the keyframes"):
        scored_frames(shot.job(frames="0"), reference)
    with pytest.raises(ImageError, match="the reference is not on disk"):
        scored_frames(shot.job(), SequencePath.parse(tmp_path / "absent.%04d.exr"))
    for frame in range(4, 101):
        (tmp_path / f"ref.{frame:04d}.exr").touch()
    many = scored_frames(shot.job(frames="0-100"), reference)
    assert len(many) == MAX_SCORED and (many[0], many[-1]) == (1, 100)
    assert {b - a for a, b in itertools.pairwise(many)} <= {4, 5}


def test_a_setting_is_trained_scored_and_recorded(shot: ProceduralShot) -> None:
    _, search_path = files(shot)
    job, wanted = shot.job(), Search.load(search_path)
    result = run_setting(job, wanted, SMALL, lambda event: None, base=TINY)
    assert (result.steps, result.deep) == (3, None) and result.loss == result.mae
    folder = shot.folder / "work" / "tune"
    assert sorted(path.name for path in folder.iterdir()) == [f"{SMALL.name}.json", f"{SMALL.name}.onnx"]
    record = json.loads((folder / f"{SMALL.name}.json").read_text())
    assert record["frames"] == [1, 2, 3] and record["mae"] == result.mae and len(record["inputs"]) == 64

    # The score is the mean absolute error in the working encoding: measured again from the look that was left.
    from engine.base.frames import FrameRange
    from engine.rendering.render import RenderSettings, render
    from engine.shot.shot import Plate

    out = SequencePath.parse(shot.folder / "again.%04d.exr")
    plate = Plate(SequencePath.parse(job.plate), FrameRange((1, 2, 3)), LINEAR)
    render(folder / f"{SMALL.name}.onnx", plate, out, RenderSettings(device="cpu", bit_depth="float"))
    reference = SequencePath.parse(wanted.reference)
    errors = []
    for frame in (1, 2, 3):
        shown, wished = (shaper.encode(images.read(path.path(frame)).rgb) for path in (out, reference))
        errors.append(np.abs(shown - wished))
    assert result.mae == pytest.approx(float(np.mean(errors)), abs=1e-5)
    assert 0.001 < result.mae < 0.5


@pytest.mark.skipif(not (SHARED / "models").is_dir(), reason="no shared models beside this checkout")
def test_deep_features_rank_where_they_are_given(shot: ProceduralShot) -> None:
    _, search_path = files(shot)
    job = shot.job(features=str(SHARED / "models" / "vgg16_hed_fp16.safetensors"))
    result = run_setting(job, Search.load(search_path), SMALL, lambda event: None, base=TINY)
    assert result.deep is not None and result.loss == result.deep != result.mae
    assert 0.05 < result.deep < 2.0


def test_a_reference_of_another_size_is_refused(shot: ProceduralShot) -> None:
    _, search_path = files(shot)
    images.write(shot.folder / "ref.0002.exr", np.zeros((10, 20, 3), np.float32))
    with pytest.raises(ImageError, match=r"frame 2: the reference is 20x10, the plate 96x72"):
        run_setting(shot.job(), Search.load(search_path), SMALL, lambda event: None, base=TINY)
    assert [path.suffix for path in (shot.folder / "work" / "tune").iterdir()] == [".onnx"]


# The search


@pytest.mark.slow
def test_the_search_finds_the_best_and_keeps_what_it_knows(shot: ProceduralShot, fake: tuple[str, ...]) -> None:
    job_path, search_path = files(shot, grid=grid(shot))
    events: list[dict[str, Any]] = []
    results = search(job_path, search_path, events.append, command=fake)
    assert len(results) == len(ran(shot)) == 5
    done = events[-1]
    assert done["event"] == "finished" and done["best"]["setting"]["blocks"] == 9 and done["failed"] == []
    folder = shot.folder / "work" / "tune"
    assert (folder / "best.onnx").read_bytes() == b"b3_p192_n9_lr0.001"
    assert settings_of(folder / "best.toml") == (Setting(3, 192, 9, 1e-3),)
    fractions = [event["fraction"] for event in events if event["event"] == "progress"]
    assert fractions == sorted(fractions) and fractions[:3] == [0.0, pytest.approx(0.45 / 5), pytest.approx(1 / 5)]

    (folder / "b1_p192_n6_lr0.001.json").unlink()
    (folder / "b6_p192_n6_lr0.001.json").write_text("{ cut")
    assert len(search(job_path, search_path, events.append, command=fake)) == 5
    assert sorted(ran(shot)[5:]) == ["b1_p192_n6_lr0.001", "b6_p192_n6_lr0.001"]

    images.write(shot.painting(), np.full((72, 96, 3), 0.5, np.float32), bit_depth="float")
    search(job_path, search_path, events.append, command=fake)
    assert len(ran(shot)) == 5 + 2 + 5


@pytest.mark.slow
def test_a_setting_that_fails_is_left_out_and_tried_again(
    shot: ProceduralShot, fake: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    job_path, search_path = files(shot, grid=grid(shot))
    events: list[dict[str, Any]] = []
    monkeypatch.setenv("FAKE_SETTING", "memory")
    assert len(search(job_path, search_path, events.append, command=fake)) == 4
    assert events[-1]["failed"] == ["b6_p192_n6_lr0.001: memory ran out"]
    monkeypatch.delenv("FAKE_SETTING")
    assert len(search(job_path, search_path, events.append, command=fake)) == 5
    assert len(ran(shot)) == 6


def test_wrong_input_ends_the_search_at_once(
    shot: ProceduralShot, fake: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    job_path, search_path = files(shot, grid=grid(shot))
    monkeypatch.setenv("FAKE_SETTING", "input")
    with pytest.raises(InputError, match="empty matte"):
        search(job_path, search_path, lambda event: None, command=fake)
    assert len(ran(shot)) == 1
    with pytest.raises(PaintoverError, match=r"no setting could be trained; .*ended with code 3"):
        search(job_path, search_path, lambda event: None, command=(sys.executable, "-c", "import sys; sys.exit(3)"))


def test_losses_of_hardly_trained_settings_come_with_a_warning(
    shot: ProceduralShot, fake: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    job_path, search_path = files(shot, grid=grid(shot))
    (shot.folder / "grid.toml").write_text("batch = 3\n")
    events: list[dict[str, Any]] = []
    monkeypatch.setenv("FAKE_SETTING", "short")
    search(job_path, search_path, events.append, command=fake)
    assert [event["text"] for event in events if event["event"] == "warning"] == [
        "1 of 1 settings made fewer than 100 steps, such as b3_p192_n6_lr0.001; "
        "their losses say little, give each setting more time"
    ]


@pytest.mark.slow
@posix
def test_a_stop_loses_only_the_setting_in_flight(shot: ProceduralShot, fake: tuple[str, ...]) -> None:
    job_path, search_path = files(shot, grid=grid(shot))
    code = f"""
import sys
from engine.training.tune import search as tune
real = tune.search
tune.search = lambda *words: real(*words, command={fake!r})
sys.exit(tune.main(["--job", {str(job_path)!r}, "--search", {str(search_path)!r}]))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "FAKE_SETTING": "slow"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("fraction") == pytest.approx(4.45 / 5):
            break
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=55)
    # The setting in flight would take a minute.
    assert (process.returncode, errors) == (143, "") and time.monotonic() - began < 20
    assert len(list((shot.folder / "work" / "tune").glob("b*.json"))) == 4
    assert len(search(job_path, search_path, lambda event: None, command=fake)) == 5
    assert ran(shot)[4:] == ["b3_p192_n9_lr0.001"] * 2


@pytest.mark.slow
def test_the_module_runs_a_setting_as_a_process(shot: ProceduralShot) -> None:
    job_path, search_path = files(shot)
    tiny = json.dumps(asdict(Setting(1, 32, 1, 1e-3)))
    words = [sys.executable, "-m", "engine.training.tune.search", "--job", job_path, "--search", search_path]
    done = subprocess.run([*words, "--setting", tiny], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (shot.folder / "work" / "tune" / "b1_p32_n1_lr0.001.json").is_file()
    (shot.folder / "search.json").write_text("{}")
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "cannot read the search" in json.loads(done.stdout)["message"]


def test_the_picture_marks_the_best(tmp_path: Path) -> None:
    points = settings_of(defaults=Settings(blocks=6, crop=192, batch=3, learning_rate=1e-3))
    results = [(asdict(p), 0.05 + 0.01 * abs(p.blocks - 9) + 0.004 * abs(p.batch - 3)) for p in points]
    best = min(results, key=lambda pair: pair[1])[0]
    draw_plot(results, best, tmp_path / "tune.png", title="Loss against each parameter", measure="error")
    picture = cv2.imread(str(tmp_path / "tune.png"))
    assert picture is not None and picture.shape[1] > 1100 and picture.shape[0] > 800
    amber = (picture == (59, 169, 242)).all(axis=2)
    found = cv2.connectedComponentsWithStats(amber.astype(np.uint8))[2][1:, cv2.CC_STAT_AREA]
    assert int((found > 60).sum()) == 4  # one dot in each panel
    draw_plot(results[:1], results[0][0], tmp_path / "one.png", title="One", measure="error")
    assert (tmp_path / "one.png").is_file()


# The verb


class Verb:
    """Runs ``paintover tune`` on the shot, with the fake in the place of each setting's process."""

    def __init__(self, shot: ProceduralShot, fake: tuple[str, ...], capsys: Any, monkeypatch: Any) -> None:
        driver = shot.folder / "fake_search.py"
        driver.write_text(
            "import sys\nfrom engine.training.tune import search as tune\nreal = tune.search\n"
            f"tune.search = lambda *words: real(*words, command={fake!r})\nsys.exit(tune.main(sys.argv[1:]))\n"
        )
        monkeypatch.setattr(tune_verb, "COMMAND", (sys.executable, str(driver)))
        monkeypatch.chdir(shot.folder)
        self._capsys, self._grid = capsys, grid(shot)

    def __call__(self, *words: str) -> tuple[int, str, str]:
        shot_words = ["--plate", "plate.%04d.exr", "--frames", "0-3", "--keyframe", "0=painted.0000.exr"]
        code = main(["tune", *shot_words, "--settings", self._grid, "--device", "cpu", *words])
        said = self._capsys.readouterr()
        return code, said.out, said.err


@pytest.fixture
def verb(
    shot: ProceduralShot, fake: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Verb:
    return Verb(shot, fake, capsys, monkeypatch)


@pytest.mark.slow
def test_the_verb_ends_with_a_table_the_best_first(verb: Verb, shot: ProceduralShot) -> None:
    code, out, err = verb("--reference", "ref.%04d.exr", "--progress", "lines", "--seconds", "7")
    assert (code, err) == (0, "")
    table = out[out.index("\n batch") + 1 :].splitlines()
    assert table[0].split() == ["batch", "patch", "blocks", "rate", "steps", "mae"]
    assert table[1].split() == ["3", "192", "9", "0.001", "700", "0.1000", "best"]
    assert [float(line.split()[5]) for line in table[1:6]] == [0.1, 0.13, 0.16, 0.17, 0.19]
    assert "next: paintover render --look work/tune/best.onnx" in out and "Progress: 100%" in out
    train = "paintover train --plate plate.%04d.exr --frames 0-3 --keyframe 0=painted.0000.exr"
    assert out.splitlines()[-1].strip() == f"{train} --budget 300s --settings work/tune/best.toml"
    assert (shot.folder / "work" / "tune" / "tune.png").is_file()
    assert json.loads((shot.folder / "work" / "tune" / "job.json").read_text())["budget_s"] == 7.0
    code, out, _ = verb("--reference", "ref.%04d.exr", "--progress", "json", "--seconds", "7")
    events = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and len(ran(shot)) == 5 and events[-1]["event"] == "finished"
    assert [event["best"]["setting"]["blocks"] for event in events if "best" in event] == [9]


@pytest.mark.slow
def test_what_the_verb_refuses(verb: Verb, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*words: str) -> str:
        code, _, err = verb(*words, "--progress", "none")
        assert code == 2 and err.count("\n") == 1, err
        return err

    assert "--reference is missing" in refused()
    assert "names no frame number" in refused("--reference", "ref.exr")
    assert "is a movie" in refused("--reference", "ref.mov")
    assert "the reference is not on disk" in refused("--reference", "absent.%04d.exr")
    picture(Path("small.0001.png"), height=10, width=20)
    assert "the reference is 20x10, the plate 96x72 (small.0001.png); render" in refused(
        "--reference", "small.%04d.png"
    )
    assert "the settings file is missing" in refused("--reference", "ref.%04d.exr", "--settings", "absent.toml")
    assert "--seconds 4 is too small" in refused("--reference", "ref.%04d.exr", "--seconds", "4")
    monkeypatch.setenv("FAKE_SETTING", "input")
    assert "frame 0: empty matte" in refused("--reference", "ref.%04d.exr")
