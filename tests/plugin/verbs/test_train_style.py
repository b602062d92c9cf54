"""``paintover train --style``: what is refused before any work, the look in other verbs, and a stop that goes on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest

from engine import images
from tests.support import ROOT
from tests.support.command_line import Cli
from tests.support.pictures import picture
from tests.support.signals import posix

PLATE = ("--plate", "wide.%d.png", "--work", "work")
TRAIN = ("train", *PLATE)
QUICK = ("--steps", "2", "--device", "cpu", "--threads", "1")


@pytest.fixture
def shot(cli: Cli) -> Cli:
    """A plate that is large enough, and a style image."""
    for frame in range(3):
        picture(cli.folder / f"wide.{frame}.png", seed=frame, height=72, width=88)
    picture(cli.folder / "canvas.png", seed=7, height=40, width=40)
    return cli


@pytest.fixture
def styled(shot: Cli) -> Cli:
    """And a look that was trained from it for two steps."""
    pytest.importorskip("torch", reason="training is not installed")
    from tests.support.vgg_weights import tiny_vgg

    tiny_vgg(shot.folder / "vgg.safetensors")
    said = shot(*TRAIN, "--style", "canvas.png", "--features", "vgg.safetensors", *QUICK)
    assert said.code == 0, said
    assert re.search(r"look\.onnx: 2 steps in \S+ s, loss \d", said.out + said.err), said
    return shot


@pytest.fixture
def untrained(shot: Cli) -> Cli:
    """And a look like it that nobody trained."""
    pytest.importorskip("torch", reason="training is not installed")
    from tests.support.style_looks import style_look

    style_look(shot.folder / "work" / "look.onnx")
    return shot


STYLE = ("--style", "canvas.png", "--features", "vgg19")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--style", "gone.jpg", "--features", "vgg19"], "the style image is missing (gone.jpg); check --style"),
        (["--style", "oil", "--features", "vgg19"], "oil is a style of the painter, not a style image; give a picture"),
        (["--style", "a,weight=0", "--features", "vgg19"], '"a,weight=0" is not a style image'),
        (["--style", "canvas.png"], "a style image needs deep features to be compared by; give --features FILE"),
        (["--style", "canvas.png", "--features", "gone.pth"], "the features file is missing (gone.pth)"),
        ([*STYLE, "--keyframe", "0=p.png"], "a look from a style image takes no --keyframe; drop --keyframe, or drop"),
        ([*STYLE, "--crisp"], "a look from a style image takes no --crisp"),
        ([*STYLE, "--recipe", "texler2020"], "a look from a style image takes no --recipe"),
        ([*STYLE, "--guides", "points"], "a look from a style image takes no --guides"),
        ([*STYLE, "--denoise"], "a look from a style image takes no --denoise"),
        ([*STYLE, "--from", "a.onnx"], "a look from a style image takes no --from"),
        ([*STYLE, "--style-scale", "7"], "a style scale of 7 is out of range; give 0.1 to 4"),
        ([*STYLE, "--steadiness", "-1"], "a steadiness of -1 is out of range; give 0 to 10000"),
        ([*STYLE, "--budget", "1s"], "--budget 1s is too small to train anything"),
        ([*STYLE, "--frames", "0-9"], "the plate lacks frame 3 and 6 more"),
        ([*STYLE, "--look", "a.pt"], '"a.pt" does not end in .onnx'),
        (["--colors", "luminance"], "--colors is for style images; give --style IMAGE, or leave it out"),
        (["--steadiness", "2"], "--steadiness is for style images; give --style IMAGE, or leave it out"),
    ],
)
def test_wrong_words_are_refused_before_any_work(shot: Cli, words: list[str], said: str) -> None:
    pytest.importorskip("torch", reason="training is not installed")
    assert said in shot.refused(*TRAIN, *words)
    assert not list((shot.folder / "work").rglob("*.*"))


def test_augmentations_are_of_one_recipe(shot: Cli) -> None:
    pytest.importorskip("torch", reason="training is not installed")
    line = shot.refused(*TRAIN, "--keyframe", "0=wide.1.png", "--augment", "noise")
    assert line == "the recipe paintover has no augmentations; give --recipe texler2020-fullframe with --augment"


@pytest.mark.slow
def test_a_look_without_keyframes_goes_through_every_verb(styled: Cli) -> None:
    shown = styled("inspect", "work/look.onnx")
    assert shown.code == 0 and "recipe style" in shown.out and "style        canvas.png, weight 1" in shown.out
    assert "keyframe     " not in shown.out
    render = ("render", *PLATE, "--out", "out.%d.png", "--device", "cpu")
    assert styled(*render).code == 0
    whole = images.read(styled.folder / "out.2.png").rgb
    assert whole.shape == (72, 88, 3)
    assert styled("verify", *PLATE, "--out", "out.%d.png").code == 0
    assert styled(*render, "--tile", "64", "--overwrite").code == 0
    assert np.abs(images.read(styled.folder / "out.2.png").rgb - whole).max() <= 1.01 / 255
    assert styled(*render, "--overwrite", "--carried", "--out", "out.%d.exr").code == 0
    assert styled(*render, "--overwrite", "--expect-stmaps", "--expect-look", "trained").code == 0
    report = styled("report", *PLATE, "--out", "out.%d.png", "--json")
    assert report.code == 0, report
    assert "keyframe" in styled.refused("run", *PLATE, "--out", "out.%d.png")
    assert styled.refused("prepare", *PLATE).startswith("no keyframe given; ")


def test_it_goes_to_flame_as_it_is_and_to_farms_without_training(untrained: Cli) -> None:
    assert untrained("export", "work/look.onnx", "--to", "flame", "flame").code == 0
    model = onnx.load(untrained.folder / "flame" / "look.onnx")
    assert [value.name for value in model.graph.input] == ["plate"]
    facts = json.loads((untrained.folder / "flame" / "look.json").read_text(encoding="utf-8"))["ModelDescription"]
    assert [each["Name"] for each in facts["Inputs"]] == ["plate"]
    words = ("submit", *PLATE, "--out", "out.%d.png", "--engine", "slurm", "--dry-run", "--chunk", "2")
    said = untrained(*words)
    assert said.code == 0 and " render " in said.out and " train " not in said.out and " prepare " not in said.out


@pytest.mark.slow
def test_it_goes_to_nuke_without_maps(untrained: Cli) -> None:
    said = untrained("export", "work/look.onnx", "--to", "nuke", "nuke")
    assert said.code == 0, said
    script = (untrained.folder / "nuke" / "look.nk").read_text(encoding="utf-8")
    assert 'channelsIn "rgba.red, rgba.green, rgba.blue"' in script and "STMap" not in script
    assert "from style images" in (untrained.folder / "nuke" / "cat.json").read_text(encoding="utf-8")


@posix
@pytest.mark.slow
def test_ctrl_c_leaves_a_look_and_what_resume_goes_on_from(shot: Cli) -> None:
    pytest.importorskip("torch", reason="training is not installed")
    from tests.support.vgg_weights import tiny_vgg

    tiny_vgg(shot.folder / "vgg.safetensors")
    words = [*TRAIN, "--style", "canvas.png", "--features", "vgg.safetensors", "--device", "cpu", "--threads", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "plugin", *words, "--steps", "100000", "--progress", "none"]
    preview = shot.folder / "work" / "preview.png"
    with subprocess.Popen(command, cwd=shot.folder, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            while not preview.exists() and process.poll() is None:
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=300)
        finally:
            process.kill()
    assert process.returncode == 130
    assert re.search(r"training stopped on request after \d+ steps, the best look so far is \S+look\.onnx", said), said
    assert (shot.folder / "work" / "look.onnx").exists()
    done = int(re.search(r"after (\d+) steps", said).group(1))  # type: ignore[union-attr]
    resumed = shot(*words, "--steps", str(done + 1), "--resume")
    assert resumed.code == 0 and f"resumed at step {done}, " in resumed.out + resumed.err, resumed
    assert Path(shot.folder / "work" / "train" / "checkpoint.safetensors").exists()
