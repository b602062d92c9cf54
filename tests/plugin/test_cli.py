"""The command line as people, schedulers and scripts meet it: documented examples, exit codes, stops."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine import images
from plugin.cli import VERBS
from tests.support import ROOT, lookfactory
from tests.support.command_line import KEY, PLATE, RENDER, RUN, Cli
from tests.support.pictures import HEIGHT, WIDTH, picture
from tests.support.signals import posix

# Getting along


def test_plain_command_is_friendly(cli: Cli) -> None:
    said = cli()
    assert said.code == 0
    assert "paintover run --plate plate.%04d.jpg --frames 0-10 --keyframe 0=painted.0000.jpg" in said.out
    assert len(said.out.splitlines()) < 30
    for verb in VERBS:
        assert re.search(rf"^  {verb} ", said.out, re.MULTILINE)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_help_with_examples_and_defaults(cli: Cli, verb: str) -> None:
    said = cli(verb, "--help")
    assert said.code == 0 and said.err == ""
    assert said.out.startswith(f"usage: paintover {verb} ")
    assert f"\nexamples:\n  paintover {verb}" in said.out
    assert cli("help", verb).out == said.out


def test_version(cli: Cli) -> None:
    assert re.fullmatch(r"paintover \d+\.\d+\.\d+\n", cli("--version").out)


def test_module_and_console_script_are_one() -> None:
    done = subprocess.run([sys.executable, "-m", "plugin", "--version"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout[:10]) == (0, "paintover ")


def test_rendering_never_loads_torch(tmp_path: Path) -> None:
    lookfactory.gain(tmp_path / "hero.onnx")
    picture(tmp_path / "plate.0001.png")
    words = ["render", "--look", str(tmp_path / "hero.onnx"), "--plate", str(tmp_path / "plate.%04d.png"),
             "--work", str(tmp_path), "--out", str(tmp_path / "out.%04d.png"), "--progress", "none"]  # fmt: skip
    code = f"""
import sys
import plugin.cli
assert "torch" not in sys.modules, "import"
import plugin.verbs.run, plugin.verbs.train, plugin.verbs.verify, plugin.verbs.doctor
import plugin.verbs.key, plugin.verbs.paint
assert "torch" not in sys.modules, "verbs"
assert plugin.cli.main({words!r}) == 0
assert "torch" not in sys.modules, "render"
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_parser_alone_loads_no_image_library() -> None:
    code = "import sys, plugin.cli; sys.exit(bool({'numpy', 'OpenImageIO', 'onnxruntime', 'cv2'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


# The documented examples


def test_run_trains_renders_verifies_and_shows(cli: Cli) -> None:
    said = cli(*RUN, "--budget", "60s")
    assert said.code == 0, said
    lines = said.out.splitlines()
    # What is known from the start is said first: the colors of the plate and of the painting.
    assert [line.split(" taken as ")[0] for line in lines[:2]] == ["plate", "painting of keyframe 0"]
    assert lines[2:4] == ["Following 1 keyframe through 11 frames", "Progress: 0%"]
    assert "work/stmap: STMaps, 11 made" in lines and "Training look.onnx, 1 min 00 s" in lines
    assert lines[-1] == "Progress: 100%"
    assert "out.%04d.png: 11 frames verified" in lines
    assert images.read("work/sheet.png").rgb.shape[1] > 1000
    plate, result = images.read("plate.0010.png"), images.read("out.0010.png")
    assert result.rgb.mean() < plate.rgb.mean()
    assert re.search(r"[Ee]rror: ", said.out + said.err) is None


@pytest.mark.slow
def test_a_second_run_trains_only_when_something_changed(cli: Cli) -> None:
    assert cli(*RUN).code == 0
    second = cli(*RUN)
    assert "already trained from these inputs; --fresh trains again" in second.out
    assert "Training" not in second.out and "0 rendered" in second.out and "11 were already right" in second.out
    pages = [cli.folder / "work" / name for name in ("sheet.png", "report.html", "shown.json")]
    made = [(path.stat().st_mtime_ns, path.read_bytes()) for path in pages]
    third = cli(*RUN)
    assert "work/sheet.png, work/report.html: nothing has changed since they were made" in third.out
    assert [(path.stat().st_mtime_ns, path.read_bytes()) for path in pages] == made
    # What somebody took away, or changed, is made anew.
    pages[1].write_text("mine", encoding="utf-8")
    assert "nothing has changed" not in cli(*RUN).out and len(pages[1].read_bytes()) > 1000
    assert "Training look.onnx" in cli(*RUN, "--fresh").out
    assert "Training look.onnx" in cli(*RUN, "--seed", "4").out
    picture(cli.folder / "painted.0000.png", seed=101)
    assert "Training look.onnx" in cli(*RUN, "--seed", "4").out
    # A look that is not the one that was trained is not trusted.
    lookfactory.gain(cli.folder / "work" / "look.onnx", 0.7)
    assert "Training look.onnx" in cli(*RUN, "--seed", "4").out


def test_train_render_verify_as_documented(cli: Cli) -> None:
    picture(cli.folder / "p5.png", seed=7)
    two = (*KEY, "--keyframe", "5=p5.png")
    said = cli("train", *PLATE, "--frames", "0-10", *two, "--work", "work", "--look", "a.onnx")
    assert said.code == 0 and (cli.folder / "a.onnx").is_file()
    job = json.loads((cli.folder / "work" / "job.json").read_text(encoding="utf-8"))
    assert [keyframe["frame"] for keyframe in job["keyframes"]] == [0, 5]
    assert (job["budget_s"], job["steps"], job["frames"]) == (60.0, None, "0-10")
    assert job["look"] == str(Path("a.onnx").absolute())
    said = cli("render", "--look", "a.onnx", *PLATE, "--frames", "0-10x2", "--work", "work", "--out", "out.%04d.exr")
    assert said.code == 0
    expected = [f"out.{frame:04d}.exr" for frame in range(0, 11, 2)]
    assert sorted(path.name for path in cli.folder.glob("out.*")) == expected
    assert cli("verify", "--look", "a.onnx", "--frames", "0-10x2", "--out", "out.%04d.exr").code == 0
    line = cli.refused("verify", "--look", "a.onnx", "--frames", "0-10", "--out", "out.%04d.exr", code=3)
    assert "5 of 11 frames are not right: missing 1-9x2" in line


def test_every_pattern_and_the_frames_on_disk(cli: Cli) -> None:
    pairs = {"plate.####.png": "a.####.png", "plate.$F4.png": "b.$F4.png", "plate.%04d.png": "c.%d.png"}
    for pattern, out in pairs.items():
        assert cli("render", "--look", "hero.onnx", "--plate", pattern, "--out", out, "--device", "cpu").code == 0
    assert len(list(cli.folder.glob("[abc].*.png"))) == 33
    assert (cli.folder / "c.10.png").is_file()


@pytest.mark.parametrize("words", [("--frames", "-2--1"), ("--frames=-2--1",)])
def test_negative_frames(cli: Cli, words: tuple[str, ...]) -> None:
    for name in ("-0002", "-0001"):
        picture(cli.folder / f"n.{name}.png")
    base = ("render", "--look", "hero.onnx", "--plate", "n.%05d.png", "--out", "o.%05d.png", "--device", "cpu")
    assert cli(*base, *words).code == 0
    assert sorted(path.name for path in cli.folder.glob("o.*")) == ["o.-0001.png", "o.-0002.png"]


def test_a_shot_file_replaces_options_and_they_override_it(cli: Cli) -> None:
    shot = cli.folder / "shots" / "shot.toml"
    shot.parent.mkdir()
    shot.write_text(
        """
look = "../hero.onnx"
out = "../frames/out.%04d.png"
work = "../work"
steps = 9
seed = 5
[plate]
path = "../plate.%04d.png"
frames = "0-10"
[[keyframes]]
frame = 0
painting = "../painted.0000.png"
""",
        encoding="utf-8",
    )
    assert cli("render", "--frames", "3-4", str(shot)).code == 0
    assert sorted(path.name for path in (cli.folder / "frames").iterdir()) == ["out.0003.png", "out.0004.png"]
    assert cli("verify", str(shot), "--frames", "3,4").code == 0
    assert cli("train", str(shot), "--look", "b.onnx", "--seed", "6").code == 0
    job = json.loads((cli.folder / "work" / "job.json").read_text(encoding="utf-8"))
    assert (job["steps"], job["budget_s"], job["seed"]) == (9, None, 6)
    assert cli("train", str(shot), "--look", "b.onnx", "--budget", "2m").code == 0
    job = json.loads((cli.folder / "work" / "job.json").read_text(encoding="utf-8"))
    assert (job["steps"], job["budget_s"]) == (None, 120.0)


def test_inspect_a_look_and_a_frame(cli: Cli) -> None:
    assert cli(*RENDER).code == 0
    said = cli("inspect", "hero.onnx")
    assert "  trained      0 steps (seconds not recorded: trained by steps), recipe test, seed 0" in said.out
    assert said.code == 0 and said.out.startswith("hero.onnx: a look named ")
    card = json.loads(cli("inspect", "hero.onnx", "--json").out)
    assert card["format"] == 1 and card["keyframes"][0]["width"] > 0
    facts = json.loads(cli("inspect", "out.0003.png", "--json").out)
    assert (facts["width"], facts["height"]) == (WIDTH, HEIGHT)
    assert re.fullmatch(r"[0-9a-f]{64}", facts["provenance"]["look"])
    assert "was not rendered by Paintover" in cli("inspect", "plate.0000.png").out
    assert "  color        taken as sRGB Encoded Rec.709 (sRGB): " in cli("inspect", "plate.0000.png").out
    assert cli("key", "--plate", "plate.%04d.png", "--frame", "0", "--out", "shown.%04d.png", "--view", "Raw").code == 0
    said = cli("inspect", "shown.0000.png").out
    assert "out through sRGB - Display / Raw" in said and '"view"' not in said


def test_key_exports_for_painting(cli: Cli) -> None:
    picture(cli.folder / "scene.0007.exr", seed=3)
    said = cli("key", "--plate", "scene.%04d.exr", "--frame", "7", "--out", "key.%04d.png", "--exposure", "-1")
    assert said.code == 0, said
    sidecar = json.loads((cli.folder / "key.0007.png.paintover.json").read_text(encoding="utf-8"))
    assert (sidecar["frame"], sidecar["exposure"], sidecar["width"]) == (7, -1.0, WIDTH)


def test_paint_writes_a_painting(cli: Cli) -> None:
    said = cli("paint", *PLATE, "--frame", "2", "--out", "brushed.%04d.png", "--seed", "3")
    assert said.code == 0, said
    assert images.read("brushed.0002.png").rgb.shape == (HEIGHT, WIDTH, 3)
    assert "--keyframe 2=brushed.0002.png" in said.out


def test_progress_for_machines(cli: Cli) -> None:
    said = cli(*RENDER, "--progress", "json")
    events = [json.loads(line) for line in said.out.splitlines()]
    frames = [event["frame"] for event in events if event["event"] == "progress"]
    assert sorted(frames) == list(range(11))
    assert events[-1] == {"event": "finished", "overall": 1.0}
    said = cli(*RENDER, "--overwrite", "--progress", "openjd")
    assert said.out.splitlines()[-1] == "openjd_progress: 100.0"
    assert cli(*RENDER, "--overwrite", "--progress", "none").out == ""


# Stopping


@pytest.mark.alone
@posix
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_render_leaves_whole_frames_and_goes_on(tmp_path: Path, signum: int, code: int) -> None:
    lookfactory.network(tmp_path / "hero.onnx")
    for frame in range(40):
        picture(tmp_path / f"plate.{frame:04d}.png", seed=frame, height=270, width=480)
    words = ["--look", "hero.onnx", "--out", "out.%04d.png", "--progress", "json"]
    command = [sys.executable, "-m", "plugin", "render", "--plate", "plate.%04d.png", "--device", "cpu", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("state") == "done":
            break
    process.send_signal(signum)
    started_s = time.monotonic()
    _, stderr = process.communicate(timeout=60)
    assert time.monotonic() - started_s < 5
    assert process.returncode == code
    assert re.search(r"^paintover: stopped with \d+ of 40 frames done; run again to render the rest$", stderr, re.M)
    left = sorted(tmp_path.glob("out.*.png"))
    assert 0 < len(left) < 40
    for path in left:
        images.check(path)
    assert not list(tmp_path.glob(".*tmp*"))


@posix
def test_a_listing_cut_short_by_its_reader_is_quiet(tmp_path: Path) -> None:
    command = f"{sys.executable} -m plugin doctor --json | head -c 1"
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "{", "")
