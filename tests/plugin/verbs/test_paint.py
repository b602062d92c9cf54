"""``paintover paint`` with style images: what is refused before any work, a whole run, and a stop that goes on."""

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

PAINT = ("paint", "--plate", "wide.%d.png", "--frame", "1", "--out", "p.%d.png")


@pytest.fixture
def shot(cli: Cli) -> Cli:
    """A plate that is large enough, and a style image."""
    picture(cli.folder / "wide.1.png", seed=1, height=40, width=48)
    for name in ("canvas.png", "canvas.1.png"):
        picture(cli.folder / name, seed=2, height=40, width=40)
    return cli


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--style", "etching"], "no style 'etching'; use one of oil, "),
        (["--style", "gone.jpg"], "the style image is missing (gone.jpg); check --style"),
        (["--style", "a,weight=0"], '"a,weight=0" is not a style image; write PATH or PATH,weight=2'),
        (["--style", "oil", "--style", "canvas.png"], "--style oil goes with no other style"),
        (["--style", "oil", "--colors", "luminance"], "--colors is for style images; give --style IMAGE"),
        (["--style-layers", "1,1,1,1,0"], "--style-layers is for style images; give --style IMAGE"),
        (
            ["--style", "canvas.png", "--features", "vgg19", "--style-layers", "1,1"],
            '"1,1" are no weights of the style\'s layers; give 5 numbers from 0 up, fine texture first: 1,1,1,1,0.2',
        ),
        (["--style-scale", "2"], "--style-scale is for style images; give --style IMAGE, or leave it out"),
        (
            ["--style", "canvas.png"],
            "a style image needs deep features to be compared by; give --features FILE with the weights of VGG-19 or "
            "VGG-16, or --features vgg19 to fetch them",
        ),
        (["--style", "canvas.png", "--features", "gone.pth"], "the features file is missing (gone.pth)"),
        (["--style", "canvas.png", "--features", "vgg19", "--style-scale", "7"], "a style scale of 7 is out of range"),
        (["--style", "canvas.png", "--features", "vgg19", "--out", "p.%d.exr"], "a painting is codes of a display"),
        (
            ["--style", "canvas.1.png", "--features", "vgg19", "--out", "canvas.%d.png", "--overwrite"],
            "output onto the style image (canvas.1.png); choose another --out",
        ),
        (["--style", "canvas.png", "--iterations", "0"], "--iterations 0 is too small, the least is 1"),
    ],
)
def test_wrong_words_are_refused_before_any_work(shot: Cli, words: list[str], said: str) -> None:
    pytest.importorskip("torch", reason="training is not installed")
    assert shot.refused(*PAINT, *words).startswith(said)
    assert not (shot.folder / "work").exists()


@pytest.mark.slow
def test_a_keyframe_from_style_images(shot: Cli) -> None:
    pytest.importorskip("torch", reason="training is not installed")
    from tests.support.vgg_weights import tiny_vgg

    tiny_vgg(shot.folder / "vgg.safetensors")
    picture(shot.folder / "other.png", seed=3, height=40, width=40)
    words = [*PAINT, "--style", "canvas.png", "--style", "other.png,weight=3", "--features", "vgg.safetensors"]
    words += ["--style-layers", "1,1,2,1,0"]
    said = shot(*words, "--iterations", "12", "--device", "cpu", "--threads", "1", "--progress", "json")
    assert said.code == 0, said
    assert images.read(shot.folder / "p.1.png").rgb.shape == (40, 48, 3)
    lines = [json.loads(line) for line in said.out.splitlines()]
    found = [line for line in lines if "iteration" in line]
    assert [line["iteration"] for line in found] == [10, 12]
    assert found[0]["scale"] == "48x40" and found[1]["loss"] < found[0]["loss"]
    assert any("--keyframe 1=p.1.png" in str(line.get("text")) for line in lines)
    job = json.loads((shot.folder / "work" / "style" / "job.json").read_text(encoding="utf-8"))
    assert [style["weight"] for style in job["styles"]] == [1.0, 3.0]
    assert job["layers"] == [1, 1, 2, 1, 0]
    again = shot.refused(*words)
    assert "this image may have been painted on and is not replaced" in again


@posix
@pytest.mark.slow
def test_ctrl_c_leaves_what_resume_goes_on_from(shot: Cli) -> None:
    pytest.importorskip("torch", reason="training is not installed")
    from tests.support.vgg_weights import tiny_vgg

    tiny_vgg(shot.folder / "vgg.safetensors")
    words = [*PAINT, "--style", "canvas.png", "--features", "vgg.safetensors", "--iterations", "5000"]
    words += ["--device", "cpu", "--threads", "1", "--progress", "none"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "plugin", *words]
    checkpoint = shot.folder / "work" / "style" / "checkpoint.safetensors"
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
