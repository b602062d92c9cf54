"""Keyframes from style images: what is written, where the plate stays, stops and what goes on after them."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training is not installed")
torch.set_num_threads(1)  # tiny networks on a busy machine: a second thread mostly waits

from engine import images
from engine.base.errors import ImageError, InputError, Interrupted
from engine.base.stop_flag import StopFlag
from engine.color.keys import find_key_transform
from engine.optimize.job import StyleImage, StyleJob
from engine.optimize.stylize import CHECKPOINT, load_checkpoint, main, stylize
from tests.support import ROOT
from tests.support.interrupts import StopAfter
from tests.support.pictures import picture, write_exr
from tests.support.vgg_weights import tiny_vgg

HEIGHT, WIDTH = 36, 48


def job(folder: Path, **changes: object) -> StyleJob:
    """Two frames, one style image, weights; in a work folder that is there."""
    for frame in (1, 2):
        y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
        rgb = np.stack([x / WIDTH, y / HEIGHT, np.full_like(x, 0.3 + 0.1 * frame)], axis=2)
        images.write(folder / f"plate.{frame}.png", rgb, bit_depth="uint8")
    picture(folder / "canvas.png", seed=5, height=40, width=40)
    (folder / "work" / "style").mkdir(parents=True, exist_ok=True)
    values: dict[str, object] = {
        "plate": str(folder / "plate.%d.png"),
        "plate_layer": "",
        "frames": (1,),
        "plate_colorspace": None,
        "ocio": None,
        "out": str(folder / "p.%d.png"),
        "work": folder / "work",
        "styles": (StyleImage(folder / "canvas.png"),),
        "features": str(tiny_vgg(folder / "vgg.safetensors")),
        "iterations": 20,
        "device": "cpu",
        "threads": 1,
    }
    return StyleJob(**{**values, **changes})  # type: ignore[arg-type]


def paint(made: StyleJob, stop: StopFlag | None = None) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    stylize(made, events.append, stop)
    return events


def read(folder: Path, frame: int = 1) -> np.ndarray:
    return images.read(folder / f"p.{frame}.png").rgb


def test_frames_are_painted_and_say_how_they_were_shown(tmp_path: Path) -> None:
    events = paint(job(tmp_path, frames=(1, 2)))
    for frame in (1, 2):
        painted, plate = read(tmp_path, frame), images.read(tmp_path / f"plate.{frame}.png").rgb
        assert painted.shape == (HEIGHT, WIDTH, 3)
        assert np.abs(painted - plate).mean() > 0.02
        shown = find_key_transform(tmp_path / f"p.{frame}.png")
        assert shown is not None and (shown.frame, shown.bit_depth) == (frame, "uint8")
    fractions = [event["fraction"] for event in events if event["event"] == "progress"]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert not (tmp_path / "work" / "style" / CHECKPOINT).exists()
    assert images.read(tmp_path / "work" / "style" / "preview.png").rgb.shape == (HEIGHT, WIDTH, 3)


def test_the_loss_falls_at_each_scale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.optimize.gatys.LEAST_SIDE", 32)
    made = job(tmp_path, iterations=40, device="cpu")
    for name, height, width in (("plate.1.png", 128, 144), ("canvas.png", 96, 96)):
        y, x = np.mgrid[:height, :width].astype(np.float32)
        rgb = 0.5 + 0.5 * np.stack([np.sin(x / 9), np.sin(y / 7), np.sin((x + y) / 11)], axis=2)
        images.write(tmp_path / name, rgb.astype(np.float32), bit_depth="uint8")
    losses: dict[str, list[float]] = {}
    for event in paint(made):
        if "loss" in event:
            losses.setdefault(event["scale"], []).append(event["loss"])
    assert list(losses) == ["36x32", "72x64", "144x128"]
    for falling in losses.values():
        assert len(falling) == 4
        assert all(later < earlier for earlier, later in itertools.pairwise(falling)), losses


def test_the_same_seed_gives_the_same_painting(tmp_path: Path) -> None:
    made = {seed: None for seed in (0, 1)}
    for seed in made:
        paint(job(tmp_path, seed=seed, iterations=5))
        made[seed] = read(tmp_path)
    paint(job(tmp_path, seed=0, iterations=5))
    assert np.array_equal(read(tmp_path), made[0])
    assert not np.array_equal(made[0], made[1])


def test_a_matte_keeps_the_plate(tmp_path: Path) -> None:
    matte = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    matte[:, : WIDTH // 2] = 1
    images.write(tmp_path / "m.1.png", matte, bit_depth="uint8")
    paint(job(tmp_path, matte=str(tmp_path / "m.%d.png")))
    plate = images.read(tmp_path / "plate.1.png").rgb
    painted = read(tmp_path)
    assert np.array_equal(painted[:, WIDTH // 2 :], plate[:, WIDTH // 2 :])
    assert np.abs(painted[:, : WIDTH // 2] - plate[:, : WIDTH // 2]).mean() > 0.02


def test_luminance_keeps_the_plates_colors(tmp_path: Path) -> None:
    off = {}
    for color in ("style", "luminance"):
        paint(job(tmp_path, color=color))
        plate, painted = images.read(tmp_path / "plate.1.png").rgb, read(tmp_path)
        # Where nothing is clipped, differences of channels are the plate's.
        inside = ((painted > 0.01) & (painted < 0.99)).all(axis=2)
        off[color] = np.abs((painted - painted[..., :1]) - (plate - plate[..., :1]))[inside].mean()
    assert off["luminance"] < 0.005 < off["style"]


def test_a_stop_leaves_a_checkpoint_that_goes_on(tmp_path: Path) -> None:
    with pytest.raises(Interrupted, match=r"stopped at frame 1, 10 of 20 iterations of scale 1; --resume goes on"):
        paint(job(tmp_path), StopAfter(16))
    assert not (tmp_path / "p.1.png").exists()
    events = paint(job(tmp_path, resume=True))
    assert {"event": "note", "text": "resumed frame 1 at scale 1, after 10 iterations"} in events
    assert [event["iteration"] for event in events if "iteration" in event] == [20]
    assert read(tmp_path).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.slow
def test_what_was_killed_goes_on(tmp_path: Path) -> None:
    made = job(tmp_path, iterations=1000)
    made.save(tmp_path / "job.json")
    checkpoint = tmp_path / "work" / "style" / CHECKPOINT
    command = [sys.executable, "-m", "engine.optimize.stylize", "--job", str(tmp_path / "job.json")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        try:
            while not checkpoint.exists() and process.poll() is None:
                time.sleep(0.02)
        finally:
            process.kill()
    assert not (tmp_path / "p.1.png").exists()
    events: list[dict[str, Any]] = []
    with pytest.raises(Interrupted):
        stylize(msgspec.structs.replace(made, resume=True), events.append, StopAfter(20))
    notes = [event["text"] for event in events if event["event"] == "note"]
    assert len(notes) == 1 and re.fullmatch(r"resumed frame 1 at scale 1, after \d+0 iterations", notes[0])
    assert list(checkpoint.parent.glob(".*.tmp*")) == []


def test_resume_leaves_painted_frames_alone(tmp_path: Path) -> None:
    paint(job(tmp_path, iterations=2))
    before = (tmp_path / "p.1.png").read_bytes()
    events = paint(job(tmp_path, frames=(1, 2), iterations=2, resume=True))
    assert (tmp_path / "p.1.png").read_bytes() == before
    assert read(tmp_path, 2).shape == (HEIGHT, WIDTH, 3)
    assert any("frame 1 is painted already and stays" in event.get("text", "") for event in events)


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        paint(job(tmp_path), StopAfter(1))
    with pytest.raises(InputError, match="made from another plate, style image or setting"):
        paint(job(tmp_path, resume=True, style_scale=2.0))
    file = tmp_path / "work" / "style" / CHECKPOINT
    file.write_bytes(file.read_bytes()[:-9] + b"?" + file.read_bytes()[-8:])
    with pytest.raises(InputError, match="the checkpoint is damaged: its pixels have changed"):
        load_checkpoint(file.parent, 1, "")
    file.write_bytes(b"nothing")
    with pytest.raises(InputError, match="the checkpoint is damaged"):
        paint(job(tmp_path, resume=True))


def test_wrong_pictures_are_refused_in_one_line(tmp_path: Path) -> None:
    made = job(tmp_path)
    picture(tmp_path / "tiny.png", height=8, width=40)
    with pytest.raises(ImageError, match=r"the style image is 40x8, too small to learn from"):
        paint(job(tmp_path, styles=(StyleImage(tmp_path / "tiny.png"),)))
    with pytest.raises(ImageError, match=r"there is no such image \(.*gone.png\)"):
        paint(job(tmp_path, styles=(StyleImage(tmp_path / "gone.png"),)))
    images.write(tmp_path / "m.1.png", np.zeros((HEIGHT, WIDTH, 3), np.float32), bit_depth="uint8")
    with pytest.raises(ImageError, match="empty matte"):
        paint(job(tmp_path, matte=str(tmp_path / "m.%d.png")))
    picture(tmp_path / "m.1.png", height=9, width=9)
    with pytest.raises(ImageError, match=r"the matte is 9x9, and the plate 48x36"):
        paint(job(tmp_path, matte=str(tmp_path / "m.%d.png")))
    torch.save({"layer1.weight": torch.zeros(3)}, tmp_path / "resnet.pth")
    with pytest.raises(InputError, match="no VGG"):
        paint(job(tmp_path, features=str(tmp_path / "resnet.pth")))
    (tmp_path / "resnet.pth").write_bytes(b"none")
    with pytest.raises(InputError, match=r"give a .safetensors or .pth file of VGG-16 or VGG-19$"):
        paint(job(tmp_path, features=str(tmp_path / "resnet.pth")))
    picture(tmp_path / "plate.1.png", height=20, width=48)
    with pytest.raises(ImageError, match="the plate is 48x20, too small for a style image"):
        stylize(made, lambda event: None)


def test_a_style_image_that_is_not_finite_is_filled_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sound = np.random.default_rng(1).random((40, 40), dtype=np.float32)
    bad = sound.copy()
    bad[2, 3] = np.inf
    write_exr(tmp_path / "bad.exr", {"R": bad, "G": sound, "B": sound})
    paint(job(tmp_path, styles=(StyleImage(tmp_path / "bad.exr"),), iterations=2))
    assert re.search(r"1 pixels of the style image are NaN or Inf; filled from neighbors \(.*bad.exr\)", caplog.text)
    assert np.isfinite(read(tmp_path)).all()


def test_a_style_image_with_holes_is_refused(tmp_path: Path) -> None:
    sound = np.random.default_rng(1).random((40, 40), dtype=np.float32)
    for holes, image in ((17, "bad.exr"), (1600, "none.exr")):
        bad = sound.copy()
        bad.flat[:holes] = np.nan
        write_exr(tmp_path / image, {"R": bad, "G": sound, "B": sound})
        said = (
            f"{holes} of 1600 pixels of the style image are NaN or Inf, too many to fill in .*crop it to what is sound"
        )
        with pytest.raises(ImageError, match=said):
            paint(job(tmp_path, styles=(StyleImage(tmp_path / image),)))
    rgba = np.full((40, 40, 4), 255, np.uint8)
    rgba[:10, :, 3] = 0
    cv2.imwrite(str(tmp_path / "cut.png"), rgba)
    with pytest.raises(ImageError, match="25% of the style image is transparent, and what lies beneath"):
        paint(job(tmp_path, styles=(StyleImage(tmp_path / "cut.png"),)))


def test_the_process_speaks_in_events(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StopFlag, "install", lambda self: None)
    job(tmp_path, iterations=1).save(tmp_path / "job.json")
    assert main(["--job", str(tmp_path / "job.json")]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last == {"event": "finished", "paths": [str(tmp_path / "p.1.png")]}
    job(tmp_path, features=str(tmp_path / "gone.pth")).save(tmp_path / "job.json")
    assert main(["--job", str(tmp_path / "job.json")]) == 2
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["event"] == "failed" and last["message"].startswith("cannot load feature weights")
