"""``paintover prepare`` and what ``run``, ``render`` and ``verify`` do with its STMaps."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest

from engine import images
from engine.motion.flow_files import write_flow
from engine.motion.stmap import sidecar_path
from tests.support import ROOT
from tests.support.command_line import KEY, PLATE, RENDER, RUN, Cli
from tests.support.pictures import picture, write_exr
from tests.support.sidecar_shots import STEP, shot
from tests.support.signals import posix

PREPARE = ("prepare", *PLATE, "--frames", "0-10", "--work", "work")


def made(folder: Path, key: int = 0) -> list[str]:
    return sorted(path.name for path in (folder / "work" / "stmap" / f"key_{key:04d}").glob("*.exr"))


def test_prepare_makes_keeps_and_leaves_alone(cli: Cli) -> None:
    said = cli(*PREPARE, "--keyframe", "0", "--keyframe", "5=not_painted_yet.png")
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0].startswith("plate taken as sRGB Encoded Rec.709 (sRGB): ")
    assert lines[1:3] == ["Following 2 keyframes through 11 frames", "Progress: 0%"]
    assert lines[-2:] == ["work/stmap: STMaps, 22 made", "Progress: 100%"]
    assert made(cli.folder, 0) == made(cli.folder, 5) == [f"{frame:04d}.exr" for frame in range(11)]
    half = np.full((24, 32), 0.5, np.float32)
    write_exr(sidecar_path(cli.folder / "work", 5, 2), {"R": half, "G": half})
    said = cli(*PREPARE, "--keyframe", "0", "--keyframe", "5", "--threads", "1", "--progress", "json")
    color, note = [event for event in map(json.loads, said.out.splitlines()) if event["event"] == "note"][:2]
    assert (color["colorspace"], color["why"]) == ("sRGB Encoded Rec.709 (sRGB)", "sRGB chunk")
    assert note["text"] == "work/stmap: STMaps, 0 made, 21 were already right, 1 of your own left alone"
    assert (note["made"], note["kept"], note["foreign"]) == (0, 21, [str(sidecar_path(Path("work"), 5, 2))])
    said = cli(*PREPARE, "--keyframe", "5", "--overwrite")
    assert "work/stmap: STMaps, 10 made, 1 of your own left alone" in said.out


def test_prepare_from_a_shot_file(cli: Cli) -> None:
    text = """
work = "work"
[plate]
path = "plate.%04d.png"
frames = "0-3"
[[keyframes]]
frame = 1
painting = "not_painted_yet.png"
"""
    (cli.folder / "shot.toml").write_text(text, encoding="utf-8")
    assert cli("prepare", "shot.toml").code == 0
    assert made(cli.folder, 1) == ["0000.exr", "0001.exr", "0002.exr", "0003.exr"]


def test_a_negative_keyframe(cli: Cli) -> None:
    picture(cli.folder / "n.-0002.png")
    assert cli("prepare", "--plate", "n.%05d.png", "--frames", "-2", "--keyframe", "-2", "--work", "work").code == 0
    assert made(cli.folder, -2) == ["-002.exr"]


def test_motion_vectors_from_files(cli: Cli) -> None:
    folder = cli.folder / "drawn"
    shot(folder, 3)
    flow = np.full((96, 160, 2), STEP, np.float32)
    for frame in range(3):
        write_flow(folder / f"motion.{frame:04d}.exr", forward=-flow, backward=flow)
        write_flow(folder / f"next.{frame:04d}.flo", forward=-flow)
        write_flow(folder / f"last.{frame:04d}.flo", backward=flow)
    words = ("prepare", "--plate", "drawn/plate.%04d.png", "--keyframe", "0", "--work", "work")
    assert "3 made" in cli(*words, "--vectors", "drawn/motion.%04d.exr").out
    assert "3 were already right" in cli(*words, "--vectors", str(folder / "motion.####.exr")).out
    both = ("--vectors", "drawn/next.%04d.flo", "--backward-vectors", "drawn/last.%04d.flo")
    assert "3 made" in cli(*words, *both).out
    write_flow(folder / "last.0001.flo", backward=flow * 0.5)
    assert "3 made" in cli(*words, *both).out
    write_flow(folder / "last.0001.flo", backward=flow[:48])
    line = cli.refused(*words, *both)
    assert "frame 1: the motion vectors are 160x48 and the plate 160x96; write them in the plate's size" in line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "no keyframe given; say which frames are painted, such as --keyframe 1001"),
        (("--keyframe", "99"), "keyframe 99 is outside the frame range 0-10; widen --frames"),
        (("--keyframe", "one"), '"one" is not a keyframe; '),
        (("--keyframe", "0", "--backward-vectors", "v.%04d.exr"), "--backward-vectors needs --vectors; "),
        (("--keyframe", "0", "--vectors", "v.%04d.exr"), "there are no motion vectors (v.%04d.exr); check --vectors"),
        (("--keyframe", "0", "--vectors", "v.%04d.png"), '"v.%04d.png" holds no motion vectors; '),
        (("--keyframe", "0", "--vectors", "v.%04d.flo"), '"v.%04d.flo" has one direction only; '),
        (("--keyframe", "0", "--frames", "0-20"), "frame 11: the plate lacks frame 11 and 9 more"),
        (("--keyframe", "0", "--colorspace", "sRBG"), "unknown colorspace 'sRBG'"),
        (("--keyframe", "0", "--threads", "0"), "--threads 0 is too small"),
    ],
)
def test_wrong_input_to_prepare(cli: Cli, words: tuple[str, ...], message: str) -> None:
    assert message.removeprefix("frame 11: ") in cli.refused(*PREPARE, *words)
    assert not (cli.folder / "work" / "stmap").exists()


@pytest.mark.slow
@posix
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_prepare_goes_on(tmp_path: Path, signum: int, code: int) -> None:
    shot(tmp_path, 40)
    words = ["prepare", "--plate", "plate.%04d.png", "--keyframe", "0", "--work", "work", "--progress", "json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "plugin", *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("count", 0) >= 2:
            break
    process.send_signal(signum)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (code, "paintover: stopped on request; run again to prepare the rest\n")
    left = len(made(tmp_path))
    assert 2 <= left < 40 and not list((tmp_path / "work").rglob(".*tmp*"))


# The whole job


@pytest.mark.slow
def test_run_prepares_unless_told_not_to(cli: Cli) -> None:
    assert cli(*RUN).code == 0
    assert len(made(cli.folder)) == 11
    assert (cli.folder / "work" / "report.html").stat().st_size > 1000
    second = cli(*RUN)
    assert "work/stmap: STMaps, 0 made, 11 were already right" in second.out
    picture(cli.folder / "plate.0007.png", seed=77)
    assert "work/stmap: STMaps, 4 made, 7 were already right" in cli(*RUN).out


def test_run_without_guides(cli: Cli) -> None:
    said = cli(*RUN, "--no-stmaps")
    assert said.code == 0 and "Following" not in said.out
    assert not (cli.folder / "work" / "stmap").exists()


def test_run_on_a_single_frame(cli: Cli) -> None:
    said = cli("run", *PLATE, "--frames", "0", *KEY, "--work", "work", "--out", "out.%04d.png")
    assert said.code == 0, said
    assert "Following 1 keyframe through 1 frame" in said.out and made(cli.folder) == ["0000.exr"]


# The layer of carried shares


def test_carried_shares_in_a_layer(cli: Cli) -> None:
    exr = (*RENDER, "--out", "out.%04d.exr", "--frames", "0-1")
    verify = ("verify", "--look", "hero.onnx", "--out", "out.%04d.exr", "--frames", "0-1")
    assert cli(*exr, "--carried").code == 0
    source = oiio.ImageInput.open(str(cli.folder / "out.0000.exr"))
    assert "paintover.carried" in source.spec().channelnames
    source.close()
    assert images.read("out.0000.exr").rgb.shape == (24, 32, 3)
    assert cli(*verify, "--carried").code == 0
    assert "foreign 0-1" in cli.refused(*verify, code=3)
    assert "2 rendered" in cli(*exr).out
    assert "foreign 0-1" in cli.refused(*verify, "--carried", code=3)


def test_carried_shares_need_a_format_with_layers(cli: Cli) -> None:
    message = '"out.%04d.png" cannot hold the layer of --carried; write --out out.%04d.exr'
    verify = ("verify", "--look", "hero.onnx", "--out", "out.%04d.png", "--frames", "0-1")
    for words in (RENDER, RUN, verify):
        assert cli.refused(*words, "--carried") == message
    assert not re.findall(r"out\.\d", " ".join(os.listdir(cli.folder)))  # noqa: PTH208
