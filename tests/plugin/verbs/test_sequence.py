"""``paintover sequence``: what is refused before any work, a whole run, a stop that goes on, the way on to ``tune``."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from engine import images
from tests.support import ROOT
from tests.support.command_line import Cli
from tests.support.pictures import picture
from tests.support.shifting_shots import HEIGHT, WIDTH, shifting_plate
from tests.support.signals import posix

SEQUENCE = ("sequence", "--plate", "shot/plate.%d.png", "--frames", "1-3", "--out", "p.%d.png")


@pytest.fixture
def shot(cli: Cli) -> Cli:
    """Three frames that move, a style image, weights."""
    torch = pytest.importorskip("torch", reason="training is not installed")
    torch.set_num_threads(1)
    from tests.support.vgg_weights import tiny_vgg

    (cli.folder / "shot").mkdir()
    shifting_plate(cli.folder / "shot", 3)
    picture(cli.folder / "canvas.png", seed=2, height=40, width=40)
    tiny_vgg(cli.folder / "vgg.safetensors")
    return cli


STYLE = ("--style", "canvas.png", "--features", "vgg.safetensors", "--device", "cpu", "--threads", "1")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--style is missing; give --style IMAGE, a picture whose manner is taken"),
        (["--style", "oil"], "a sequence is painted from an image, not in the style oil; give --style IMAGE"),
        (["--style", "gone.jpg"], "the style image is missing (gone.jpg); check --style"),
        (["--style", "canvas.png"], "a style image needs deep features to be compared by; give --features FILE"),
        (["--style", "canvas.png", "--features", "gone.pth"], "the features file is missing (gone.pth)"),
        ([*STYLE, "--passes", "0"], "--passes 0 is too small, the least is 1; 1 is one sweep"),
        ([*STYLE, "--long-term", "ten"], '"ten" is no list of frame offsets; write 10,20,40, or none'),
        ([*STYLE, "--long-term", "1,2"], "frame offsets 1,2 are out of range"),
        ([*STYLE, "--stroke-count", "50"], "--stroke-count goes with --strokes"),
        ([*STYLE, "--out", "p.%d.exr"], "a painting is codes of a display"),
        ([*STYLE, "--frames", "1-5"], "the plate lacks frame 4 and 1 more (shot/plate.4.png); on disk are frames 1-3"),
        ([*STYLE, "--matte", "m.%d.png"], "frame 1: the matte of this frame is missing, and 2 more"),
        ([*STYLE, "--vectors", "v.%d.exr"], "there are no motion vectors (v.%d.exr); check --vectors and --frames"),
        ([*STYLE, "--backward-vectors", "v.%d.exr"], "--backward-vectors needs --vectors"),
        ([*STYLE, "--preview"], "frame 1: the plate is 14x10, too small for a style image at one part in 4"),
    ],
)
def test_wrong_words_are_refused(shot: Cli, words: list[str], said: str) -> None:
    assert shot.refused(*SEQUENCE, *words).startswith(said)
    assert not list(shot.folder.glob("p.*"))


def test_a_frame_that_is_missing_in_the_middle_is_named(shot: Cli) -> None:
    (shot.folder / "shot" / "plate.2.png").unlink()
    assert re.match(r"the plate lacks frame 2 \(shot.plate\.2\.png\); on disk are", shot.refused(*SEQUENCE, *STYLE))


@pytest.mark.slow
def test_a_sequence_of_a_shot(shot: Cli) -> None:
    words = [*SEQUENCE, *STYLE, "--passes", "2", "--long-term", "2", "--iterations", "2", "--work", "w"]
    words += ["--strokes", "--stroke-count", "20"]
    said = shot(*words, "--progress", "json")
    assert said.code == 0, said
    for frame in (1, 2, 3):
        assert images.read(shot.folder / f"p.{frame}.png").rgb.shape == (HEIGHT, WIDTH, 3)
    lines = [json.loads(line) for line in said.out.splitlines()]
    texts = [line["text"] for line in lines if "pass" in line]
    assert [re.sub(r", loss .*", "", text) for text in texts] == [
        f"pass {number} of 2, frame {frame}, 56x40, 2 of 2"
        for number, frame in ((1, 1), (1, 2), (1, 3), (2, 3), (2, 2), (2, 1))
    ]
    job = json.loads((shot.folder / "w" / "sequence" / "job.json").read_text(encoding="utf-8"))
    assert (job["passes"], job["long_term"], job["iterations"], job["strokes"]) == (2, [2], 2, 20)
    assert "this image may have been painted on and is not replaced" in shot.refused(*words)
    assert shot(*words, "--resume").code == 0
    (shot.folder / "q.2.png").mkdir()
    said = shot.refused(*words, "--out", "q.%d.png", "--overwrite")
    assert said == "a folder stands where the painting should go (q.2.png); choose another --out"
    cleaned = shot("clean", "--work", "w", "--remove", "--progress", "lines")
    assert "frames of a sequence's passes: 6 files" in cleaned.err + cleaned.out
    assert not (shot.folder / "w" / "sequence" / "frames").exists() and (shot.folder / "p.1.png").exists()


@posix
@pytest.mark.slow
def test_ctrl_c_leaves_what_resume_goes_on_from(shot: Cli) -> None:
    words = [*SEQUENCE, *STYLE, "--iterations", "400", "--progress", "none"]
    frames = shot.folder / "work" / "sequence" / "frames"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "plugin", *words]
    with subprocess.Popen(command, cwd=shot.folder, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            while not (frames / "0001.safetensors").exists() and process.poll() is None:
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=300)
        finally:
            process.kill()
    assert process.returncode == 130
    assert re.search(r"^paintover: painting stopped on request; --resume goes on$", said, re.MULTILINE), said
    assert (shot.folder / "p.1.png").exists() and not (shot.folder / "p.3.png").exists()
    assert [path.name for path in frames.iterdir()] != []
