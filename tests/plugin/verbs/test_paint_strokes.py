"""``paintover paint --strokes``: what is refused before any work, a whole run, and a stop that goes on."""

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
from tests.support import ROOT
from tests.support.command_line import Cli
from tests.support.pictures import picture
from tests.support.signals import posix

PAINT = ("paint", "--plate", "wide.%d.png", "--frame", "1", "--out", "p.%d.png", "--strokes")
STYLED = ("--style", "canvas.png", "--features", "vgg19")


@pytest.fixture
def shot(cli: Cli) -> Cli:
    """A plate that is large enough, and a style image."""
    picture(cli.folder / "wide.1.png", seed=1, height=40, width=48)
    picture(cli.folder / "canvas.png", seed=2, height=40, width=40)
    return cli


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--style", "oil"], "--strokes does not paint in the style oil; give --style IMAGE, or leave --style out"),
        (["--style", "gone.jpg"], "the style image is missing (gone.jpg); check --style"),
        (["--style", "canvas.png"], "a style image needs deep features to be compared by"),
        (["--features", "vgg19"], "--features is for style images; give --style IMAGE, or leave it out"),
        (["--colors", "luminance"], "--colors is for style images; give --style IMAGE"),
        (["--pixel-iterations", "5"], "--pixel-iterations is for style images; give --style IMAGE"),
        (["--stroke-count", "3"], "--stroke-count 3 is too small, the least is 10; 5000 is a good start"),
        (["--stroke-count", "900000"], "900000 strokes are out of range; give 10 to 200,000"),
        (["--directions", "d.%d.png"], "frame 1: the directions are missing (d.1.png); check --directions"),
        (["--directions", "gone.png"], 'gone.png" names no frame number; use %04d'),
        ([*STYLED, "--out", "p.%d.exr"], "a painting is codes of a display"),
        (
            ["--directions", "canvas.1.png", "--out", "canvas.%d.png", "--overwrite"],
            "output onto the directions (canvas.1.png); choose another --out",
        ),
    ],
)
def test_wrong_words_are_refused_before_any_work(shot: Cli, words: list[str], said: str) -> None:
    pytest.importorskip("torch", reason="training is not installed")
    picture(shot.folder / "canvas.1.png", seed=2, height=40, width=48)
    found = shot.refused(*PAINT, *words)
    assert found.startswith(said) or ("gone.png" in said and said in found), found
    assert not (shot.folder / "work").exists()


@pytest.mark.parametrize(("flag", "value"), [("--stroke-count", "20"), ("--directions", "d.png")])
def test_options_of_strokes_go_with_strokes(shot: Cli, flag: str, value: str) -> None:
    said = shot.refused(*PAINT[:-1], flag, value)
    assert said == f"{flag} is for strokes; give --strokes, or leave it out"


def test_a_drawing_that_is_there_is_kept(shot: Cli) -> None:
    pytest.importorskip("torch", reason="training is not installed")
    (shot.folder / "p.1.svg").write_text("mine", encoding="utf-8")
    said = shot.refused(*PAINT)
    assert "may have been painted on and is not replaced" in said and "p.1.svg)" in said
    (shot.folder / "p.1.svg").unlink()
    (shot.folder / "p.1.svg").mkdir()
    said = shot.refused(*PAINT, "--resume", "--overwrite")
    assert "a folder stands where the painting should go" in said and "p.1.svg)" in said


@pytest.mark.slow
def test_a_frame_painted_with_strokes(shot: Cli) -> None:
    pytest.importorskip("torch", reason="training is not installed")
    words = [*PAINT, "--stroke-count", "60", "--iterations", "12", "--device", "cpu", "--threads", "1"]
    said = shot(*words, "--progress", "json")
    assert said.code == 0, said
    assert images.read(shot.folder / "p.1.png").rgb.shape == (40, 48, 3)
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert lines[0]["title"] == "Painting 1 frame with strokes, the plate's own colors"
    found = [line for line in lines if "iteration" in line]
    assert found[-1]["iteration"] == 12 and found[-1]["scale"] == "strokes at 48x40"
    texts = [str(line.get("text")) for line in lines]
    assert "p.1.svg: the strokes of frame 1" in texts
    assert any("--keyframe 1=p.1.png" in text for text in texts)


@posix
@pytest.mark.slow
def test_ctrl_c_leaves_what_resume_goes_on_from(shot: Cli) -> None:
    pytest.importorskip("torch", reason="training is not installed")
    words = [*PAINT, "--stroke-count", "60", "--iterations", "50000", "--device", "cpu", "--threads", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "plugin", *words, "--progress", "none"]
    checkpoint = shot.folder / "work" / "strokes" / "checkpoint.safetensors"
    with subprocess.Popen(command, cwd=shot.folder, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            while not checkpoint.exists() and process.poll() is None:
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=300)
        finally:
            process.kill()
    assert process.returncode == 130
    assert re.search(r"^paintover: painting stopped on request; --resume goes on$", said, re.MULTILINE), said
    assert checkpoint.exists() and not Path(shot.folder / "p.1.png").exists()
