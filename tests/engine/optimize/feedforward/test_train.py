"""Training a look from a style image: what is learnt and written, stops, what goes on after them, and wrong inputs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training is not installed")
torch.set_num_threads(1)  # tiny networks on a busy machine: a second thread mostly waits

from engine import images
from engine.base.errors import ImageError, InputError, Interrupted
from engine.base.stop_flag import StopFlag
from engine.color import shaper
from engine.color.config import ColorConfig
from engine.look.card import open_look
from engine.look.session import Look
from engine.optimize.feedforward import recipe as recipes
from engine.optimize.feedforward import train as module
from engine.optimize.feedforward.job import StyleLookJob
from engine.optimize.feedforward.train import main, train_style
from engine.optimize.job import StyleImage
from tests.support import ROOT
from tests.support.interrupts import StopAfter
from tests.support.pictures import picture, write_exr
from tests.support.style_shots import HEIGHT, WIDTH, style_job, style_shot


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks that nothing here is judged by."""
    monkeypatch.setattr(recipes, "BLOCKS", 1)


@pytest.fixture
def shot(tmp_path: Path) -> Path:
    return style_shot(tmp_path)


def trained(made: StyleLookJob, stop: StopFlag | None = None) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    train_style(made, events.append, stop)
    return events


def losses(look: Path) -> dict[str, float]:
    return dict(open_look(look).card.trained.losses)


def test_a_look_is_learnt_from_a_style_image(shot: Path) -> None:
    trained(style_job(shot, steps=1, color="histogram"))
    before = losses(shot / "work" / "look.onnx")
    events = trained(style_job(shot, steps=40, color="histogram", preview=True))
    card = open_look(shot / "work" / "look.onnx").card
    after = dict(card.trained.losses)
    assert after["style"] < 0.75 * before["style"], (before, after)
    assert set(after) == {"content", "style", "variation", "grid", "range", "temporal"}
    assert (card.trained.recipe, card.trained.steps, card.keyframes) == ("style", 40, ())
    assert [(style.name, style.weight) for style in card.styles] == [("canvas.png", 1.0)]
    assert [event["phase"] for event in events if event["event"] == "phase"] == ["train", "export"]
    fractions = [event["fraction"] for event in events if event["event"] == "progress"]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    # style image, plate and result of the first frame and of the last
    strip = images.read(shot / "work" / "preview.png").rgb
    assert strip.shape == (HEIGHT + 22, 48 + 4 * WIDTH + 4 * 8, 3)
    plate = np.full((24, 32, 3), 0.2, np.float32)
    with Look.load(shot / "work" / "look.onnx", device="cpu", threads=1) as look:
        assert np.isfinite(look.stylize(plate).rgb).all()


def test_colors_begin_as_the_style_images(shot: Path) -> None:
    warm = np.full((40, 48, 3), (0.8, 0.3, 0.1), np.float32)
    warm += np.random.default_rng(0).normal(0, 0.05, warm.shape).astype(np.float32)
    images.write(shot / "canvas.png", warm.clip(0, 1), bit_depth="uint8")
    plate = images.read(shot / "plate.1.png").rgb
    linear = shaper.decode(plate)
    means = {}
    for color in ("style", "luminance"):
        trained(style_job(shot, steps=1, color=color))
        with Look.load(shot / "work" / "look.onnx", device="cpu", threads=1) as look:
            means[color] = shaper.encode(look.stylize(linear).rgb).reshape(-1, 3).mean(0)
    canvas = images.read(shot / "canvas.png").rgb
    wanted = shaper.encode(ColorConfig.active(None).to_working(canvas, "sRGB - Texture")).reshape(-1, 3).mean(0)
    np.testing.assert_allclose(means["style"], wanted, atol=0.06)
    own = plate.reshape(-1, 3).mean(0)
    np.testing.assert_allclose(means["luminance"][0] - means["luminance"][1], own[0] - own[1], atol=0.02)


def test_the_same_seed_gives_the_same_look(shot: Path) -> None:
    made = {}
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        job = style_job(shot, seed=seed, look=shot / "work" / "look.onnx")
        trained(job)
        made[name] = job.look.read_bytes()
    assert made["a"] == made["b"] != made["c"]


def test_a_stop_exports_and_what_goes_on_ends_as_without_it(shot: Path) -> None:
    trained(style_job(shot, steps=6))
    whole = (shot / "work" / "look.onnx").read_bytes()
    first = style_job(shot, steps=6, work=shot / "other", look=shot / "other" / "look.onnx")
    # The frames are looked at before, one by one.
    train_style(first, lambda event: None, StopAfter(3 + 3))
    assert open_look(first.look).card.trained.steps == 3
    events = trained(msgspec.structs.replace(first, resume=True))
    assert re.fullmatch(r"resumed at step 3, after \d+ s", next(e["text"] for e in events if e["event"] == "note"))
    assert first.look.read_bytes() == whole


def test_a_stop_before_the_first_step_writes_nothing(shot: Path) -> None:
    with pytest.raises(Interrupted, match="stopped before its first step"):
        trained(style_job(shot), StopAfter(0))
    assert not (shot / "work" / "look.onnx").exists()
    with pytest.raises(Interrupted, match="stopped before its first step"):
        trained(style_job(shot), StopAfter(3))


@pytest.mark.slow
def test_what_was_killed_goes_on(shot: Path) -> None:
    made = style_job(shot, steps=100_000, frames="0-1")
    made.work.mkdir()
    made.save(shot / "job.json")
    program = (
        "import sys; from engine.optimize.feedforward import recipe, train; recipe.BLOCKS = 1; "
        "train.CHECKPOINT_EVERY_S = 0.1; sys.exit(train.main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, "--job", str(shot / "job.json")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        try:
            while not made.checkpoint.exists() and process.poll() is None:
                time.sleep(0.02)
        finally:
            process.kill()
    assert made.checkpoint.exists() and not made.look.exists()
    events: list[dict[str, Any]] = []
    train_style(msgspec.structs.replace(made, resume=True), events.append, StopAfter(4))
    notes = [event["text"] for event in events if event["event"] == "note"]
    assert len(notes) == 1 and re.fullmatch(r"resumed at step \d+, after \d+ s", notes[0])
    assert open_look(made.look).card.trained.steps > int(notes[0].split()[3].rstrip(","))
    assert list(made.checkpoint.parent.glob(".*.tmp*")) == []


def test_a_checkpoint_of_something_else_is_refused(shot: Path) -> None:
    trained(style_job(shot, steps=1))
    with pytest.raises(InputError, match="the checkpoint was made from other"):
        trained(style_job(shot, resume=True, strength=2.0))
    file = style_job(shot).checkpoint
    data = bytearray(file.read_bytes())
    data[-9] ^= 1
    file.write_bytes(data)
    with pytest.raises(InputError, match="the checkpoint is damaged: its tensors have changed"):
        trained(style_job(shot, resume=True))


def test_wrong_pictures_are_refused_in_one_line(shot: Path) -> None:
    picture(shot / "tiny.png", height=8, width=40)
    with pytest.raises(ImageError, match=r"the style image is 40x8, too small to learn from"):
        trained(style_job(shot, styles=(StyleImage(shot / "tiny.png"),)))
    (shot / "tiny.png").write_bytes(b"none")
    with pytest.raises(ImageError):
        trained(style_job(shot, styles=(StyleImage(shot / "tiny.png"),)))
    picture(shot / "plate.0.png", height=20, width=48)
    with pytest.raises(ImageError, match="the plate is 48x20, too small for a style image"):
        trained(style_job(shot))


def test_weights_of_another_network_are_refused_in_one_line(shot: Path) -> None:
    torch.save({"layer1.weight": torch.zeros(3)}, shot / "resnet.pth")
    with pytest.raises(InputError, match="no VGG"):
        trained(style_job(shot, features=str(shot / "resnet.pth")))
    with pytest.raises(InputError, match=r"give a .safetensors or .pth file of VGG-19 or VGG-16$"):
        trained(style_job(shot, features=str(shot / "gone.pth")))


def test_pixels_that_are_no_numbers_are_filled_and_said_once_each(shot: Path) -> None:
    for name, bad in (("plate.0", 2), ("plate.1", 0), ("canvas", 1)):
        rgb = np.random.default_rng(1).random((HEIGHT, WIDTH, 3), np.float32)
        rgb.reshape(-1, 3)[:bad] = np.nan
        write_exr(shot / f"{name}.exr", {channel: rgb[..., index] for index, channel in enumerate("RGB")})
    job = style_job(
        shot, plate=str(shot / "plate.%d.exr"), frames="0-1", styles=(StyleImage(shot / "canvas.exr"),), steps=2
    )
    said = [event["text"] for event in trained(job) if event["event"] == "warning"]
    assert said == [
        f"{shot / 'canvas.exr'}: 1 pixels of the style image are NaN or Inf; filled from neighbors",
        "frame 0: 2 pixels of the plate are NaN or Inf; filled from neighbors",
    ]
    assert all(np.isfinite(loss) for loss in losses(job.look).values())


def test_the_process_speaks_in_events(
    shot: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StopFlag, "install", lambda self: None)
    (shot / "work").mkdir()
    style_job(shot, steps=2).save(shot / "job.json")
    assert main(["--job", str(shot / "job.json")]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["event"], last["steps"], last["interrupted"]) == ("finished", 2, False)
    assert last["check_error"] < 1e-3
    style_job(shot, features=str(shot / "gone.pth")).save(shot / "job.json")
    assert main(["--job", str(shot / "job.json")]) == 2
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["event"] == "failed" and last["message"].startswith("cannot load feature weights")


def test_a_budget_of_few_steps_is_told(shot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.Clock, "is_over", property(lambda self: self.step >= 2))
    events = trained(style_job(shot, steps=None, budget_s=5.0))
    said = [event["text"] for event in events if event["event"] == "warning"]
    assert len(said) == 1 and said[0].startswith("only 2 steps fitted into the budget of 5 s")
