"""What the command line refuses, and what it says: one line and the right exit code, before any long work."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from engine import images
from plugin.training import process as training_process
from tests.support import lookfactory
from tests.support.command_line import PLATE, RENDER, RUN, TRAIN, Cli
from tests.support.pictures import HEIGHT, WIDTH, picture
from tests.support.signals import posix

# Wrong usage


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("rendr",), "there is no verb 'rendr'; did you mean render?"),
        (("frobnicate",), "there is no verb 'frobnicate'; the verbs are run, "),
        (("--plate", "x"), "--plate needs a verb before it; "),
        ((*RENDER, "--frmes", "1-2"), "render: unknown option --frmes; did you mean --frames?"),
        ((*RENDER, "--zzzzzzzz"), "render: unknown option --zzzzzzzz; see paintover render --help"),
        ((*RENDER, "a.toml", "b.toml"), "render: unexpected argument 'b.toml'"),
        ((*TRAIN, "--budget", "60s", "--steps", "5"), "train: argument --steps: not allowed with argument --budget"),
        ((*TRAIN, "--recipe", "nope"), "train: argument --recipe: invalid choice: 'nope'"),
        ((*RENDER, "--frames"), "render: argument --frames/--frame: expected one argument"),
        (("render", *PLATE, "--out", "o.%04d.png"), "--look is missing; "),
        (("render", "--look", "hero.onnx", "--out", "o.%04d.png"), "--plate is missing; "),
        (("render", "--look", "hero.onnx", *PLATE), "--out is missing; "),
        (("verify", "--look", "hero.onnx", "--out", "o.%04d.png"), "--frames is missing; "),
        (("train", *PLATE), "no keyframe given; "),
        (("inspect",), "inspect: the following arguments are required: PATH"),
    ],
)
def test_usage(cli: Cli, words: tuple[str, ...], message: str) -> None:
    assert cli.refused(*words).startswith(message)


# Wrong input: each case has its own line, before any long work


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--budget", "2s"), ["--budget 2s is too small to train anything", "at least 5s"]),
        (("--budget", "0"), ["--budget 0 is too small"]),
        (("--budget", "soon"), ["--budget 'soon' is not a duration", "60s, 2m or 1h"]),
        (("--steps", "0"), ["--steps 0 is too small, the least is 1"]),
        (("--steps", "many"), ["--steps 'many' is not a whole number"]),
        (("--seed", "-1"), ["--seed -1 is too small"]),
        (("--device", "gpu"), ["unknown device 'gpu'", "cuda:0"]),
        (("--device", "cuda:99"), ["cuda:99"]),
        (("--colorspace", "sRBG"), ["unknown colorspace 'sRBG'", "did you mean"]),
        (("--paint-colorspace", "Nope"), ["unknown colorspace 'Nope'"]),
        (("--ocio", "no.ocio"), ["cannot load the OCIO config", "no.ocio"]),
        (("--features", "vgg.pth"), ["the features file is missing", "vgg.pth"]),
        (("--keyframe", "3=gone.png"), ["frame 3", "the painting of keyframe 3 is missing", "gone.png"]),
        (("--keyframe", "3=painted.0000.png,matte=m.png"), ["the matte of keyframe 3 is missing", "m.png"]),
        (("--keyframe", "99=painted.0000.png"), ["keyframe 99 is outside the frame range 0-10"]),
        (("--keyframe", "0=painted.0000.png"), ["keyframe 0 is given twice"]),
        (("--keyframe", "painted.png"), ['"painted.png" is not a keyframe', "1001=p1001.png"]),
        (("--frames", "0-99"), ["the plate lacks frame 11 and 88 more", "plate.0011.png", "on disk are frames 0-10"]),
        (("--frames", "ten"), ['"ten" is not a frame range']),
        (("--frames", ""), ['frame range "" is empty']),
        (("--plate", "plate.png"), ['"plate.png" names no frame number', "%04d"]),
        (("--plate", "plate.0001.png"), ['did you mean "plate.%04d.png"?']),
        (("--plate", "nothing.%04d.png"), ["nothing.0000.png"]),
        (("--look", "hero.pt"), ['"hero.pt" does not end in .onnx', "hero.onnx"]),
    ],
)
def test_wrong_input_to_train(cli: Cli, words: tuple[str, ...], parts: list[str]) -> None:
    line = cli.refused(*TRAIN, *words)
    for part in parts:
        assert part in line
    assert not (cli.folder / "work" / "job.json").exists()


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--out", "plate.%04d.png"), ["frame 0", "output onto the plate", "plate.0000.png", "choose another --out"]),
        (("--out", "./plate.####.png"), ["output onto the plate"]),
        (("--out", "painted.%04d.png"), ["output onto a painting", "painted.0000.png"]),
        (("--out", "out.png"), ['"out.png" names no frame number']),
        (("--out", "out.%04d.xyz"), ["out.%04d.xyz", "no image format that can be written"]),
        (("--out", "out.mp4"), ["not into a movie", "out.mp4"]),
        (("--out", "out.%04d.gif"), ["out.%04d.gif", "keeps no hashes", "use .exr, .png, .tif, .jpg or .dpx"]),
        (("--out", "out.%04d.hdr"), ["out.%04d.hdr", "keeps no hashes"]),
        (("--out", "out.%04d.webp"), ["out.%04d.webp", "use .exr, .png, .tif, .jpg or .dpx"]),
        (("--out", "out.%04d.tga"), ["out.%04d.tga", "keeps no hashes"]),
        (("--out", "out.%04d.bmp"), ["out.%04d.bmp", "keeps no hashes"]),
    ],
)
def test_wrong_output_of_run(cli: Cli, words: tuple[str, ...], parts: list[str]) -> None:
    line = cli.refused(*RUN, *words)
    for part in parts:
        assert part in line
    assert not (cli.folder / "work" / "job.json").exists()


@pytest.mark.parametrize("option", ["--out", "--work", "--look"])
def test_a_file_where_a_folder_should_be(cli: Cli, option: str) -> None:
    (cli.folder / "file").write_text("x", encoding="utf-8")
    value = {"--out": "file/deep/out.%04d.png", "--work": "file/work", "--look": "file/look.onnx"}[option]
    line = cli.refused(*RUN, option, value)
    assert "cannot make the folder" in line and "file" in line


@posix
def test_no_permission_to_write(cli: Cli) -> None:
    locked = cli.folder / "locked"
    locked.mkdir()
    locked.chmod(0o555)
    target = locked / "deep"
    if os.access(locked, os.W_OK):
        target = Path("/sys/paintover")  # root may write anywhere but here
        if not Path("/sys").is_dir():
            pytest.skip("runs as root on a system without /sys")
    line = cli.refused(*RUN, "--out", str(target / "out.%04d.png"))
    assert "no permission to write here" in line and "choose another output folder" in line


def test_wrong_looks(cli: Cli) -> None:
    def refused(look: str) -> str:
        return cli.refused("render", "--look", look, *PLATE, "--out", "out.%04d.png")

    whole = (cli.folder / "hero.onnx").read_bytes()
    (cli.folder / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    (cli.folder / "text.onnx").write_text("not a look at all", encoding="utf-8")
    newer = onnx.load_model_from_string(whole)
    card = json.loads(newer.metadata_props[0].value)
    newer.metadata_props[0].value = json.dumps({**card, "format": 99})
    onnx.save_model(newer, str(cli.folder / "newer.onnx"))
    lines = {name: refused(f"{name}.onnx") for name in ("gone", "cut", "text", "newer")}
    assert "cannot read the look" in lines["gone"] and "gone.onnx" in lines["gone"]
    assert re.search(r"truncated|damaged|cut off", lines["cut"]) and "cut.onnx" in lines["cut"]
    assert "not an ONNX file" in lines["text"]
    assert "made by a newer Paintover (card format 99" in lines["newer"]
    assert not list(cli.folder.glob("out.*"))


def test_a_missing_and_a_truncated_frame_fail_alone(cli: Cli) -> None:
    (cli.folder / "plate.0003.png").unlink()
    data = (cli.folder / "plate.0007.png").read_bytes()
    (cli.folder / "plate.0007.png").write_bytes(data[: len(data) // 2])
    said = cli(*RENDER, "--progress", "none")
    lines = [line for line in said.err.splitlines() if "warning" not in line]
    assert said.code == 2
    assert lines[0].startswith("paintover: 2 of 11 frames failed (3,7); frame 3: ") and "plate.0003.png" in lines[0]
    assert len(lines) == 2 and "frame 7" in lines[1] and "plate.0007.png" in lines[1]
    assert len(list(cli.folder.glob("out.*.png"))) == 9


def test_damaged_and_foreign_frames_are_found(cli: Cli) -> None:
    assert cli(*RENDER).code == 0
    data = (cli.folder / "out.0004.png").read_bytes()
    (cli.folder / "out.0004.png").write_bytes(data[:-1])
    (cli.folder / "out.0006.png").unlink()
    lookfactory.gain(cli.folder / "other.onnx", 0.25)
    verify = ("verify", "--look", "hero.onnx", "--frames", "0-10", "--out", "out.%04d.png")
    line = cli.refused(*verify, code=3)
    assert "2 of 11 frames are not right: missing 6; damaged 4" in line and "render again" in line
    assert "foreign 0-3,5,7-10" in cli.refused(*verify, "--look", "other.onnx", code=3)
    assert "foreign" in cli.refused(*verify, "--tile", "64", code=3)
    assert cli(*RENDER).code == 0 and cli(*verify).code == 0


def test_verify_compares_the_plate_when_given(cli: Cli) -> None:
    assert cli(*RENDER).code == 0
    picture(cli.folder / "plate.0002.png", seed=50)
    verify = ("verify", "--look", "hero.onnx", "--frames", "0-10", "--out", "out.%04d.png")
    assert cli(*verify).code == 0
    assert "foreign 2" in cli.refused(*verify, *PLATE, code=3)


def test_training_that_finds_an_error_keeps_its_exit_code(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_TRAINING", "error")
    assert cli.refused(*TRAIN) == "frame 0: empty matte (m.png); paint some of it"
    monkeypatch.setenv("FAKE_TRAINING", "crash")
    assert "RuntimeError: out of luck" in cli.refused(*RUN, code=1)
    assert not list(cli.folder.glob("out.*"))


@pytest.mark.parametrize("what", ["painting", "matte"])
def test_a_wrong_size_is_refused_before_motion_is_followed(cli: Cli, what: str) -> None:
    picture(cli.folder / "painted.0000.png", width=40 if what == "painting" else 32)
    picture(cli.folder / "m.png", width=40 if what == "matte" else 32)
    words = [*RUN[:5], "--keyframe", "0=painted.0000.png,matte=m.png", *RUN[7:]]
    line = cli.refused(*words)
    assert f"frame 0: the {what} is 40x24, its plate frame 32x24" in line
    assert "resize it to 32x24, or pass --fit-paintings" in line
    assert not (cli.folder / "work" / "stmap").exists()
    assert cli(*words, "--fit-paintings").code == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "parts"),
    [
        ("size", ["frame 0", "the painting is 40x24", "32x24", "resize it to 32x24, or pass --fit-paintings"]),
        ("matte", ["frame 0", "nothing is painted", "m.png"]),
        ("truncated", ["frame 0", "damaged or truncated", "painted.0000.png"]),
    ],
)
def test_wrong_paintings(cli: Cli, monkeypatch: pytest.MonkeyPatch, case: str, parts: list[str]) -> None:
    pytest.importorskip("safetensors", reason="the training extra is not installed")
    monkeypatch.setattr(training_process, "COMMAND", (sys.executable, "-m", "engine.training.train"))
    keyframe = "0=painted.0000.png"
    painting = cli.folder / "painted.0000.png"
    if case == "size":
        picture(painting, width=40)
    elif case == "matte":
        images.write(cli.folder / "m.png", np.zeros((HEIGHT, WIDTH, 3), np.float32), bit_depth="uint8")
        keyframe += ",matte=m.png"
    else:
        painting.write_bytes(painting.read_bytes()[:-40])
    words = ("train", *PLATE, "--keyframe", keyframe, "--work", "work", "--look", "new.onnx", "--device", "cpu")
    line = cli.refused(*words)
    for part in parts:
        assert part in line
    assert not (cli.folder / "new.onnx").exists()


def test_a_full_disk_may_be_retried(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "out.0000.png")

    monkeypatch.setattr("plugin.arguments.preflight.tempfile.TemporaryFile", full)
    line = cli.refused(*RENDER, code=1)
    assert "disk full while writing" in line and "free some space" in line


def test_tracebacks_only_with_debug(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("Error: division\nby zero")

    monkeypatch.setattr("plugin.verbs.render.read_card", broken)
    line = cli.refused(*RENDER, code=1)
    assert line == (
        "internal fault: ZeroDivisionError, Error, division by zero; "
        "run again with --debug and send it with the output of paintover doctor"
    )
    assert "Traceback" in cli(*RENDER, "--debug").err
