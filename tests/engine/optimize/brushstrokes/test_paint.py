"""Frames painted with strokes: what is written, stops and what goes on after them, and wrong input."""

from __future__ import annotations

import json
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
from engine.optimize.brushstrokes.checkpoint import FILE
from engine.optimize.brushstrokes.job import StrokesJob
from engine.optimize.brushstrokes.paint import main, paint_strokes
from engine.optimize.job import StyleImage
from tests.support import ROOT
from tests.support.interrupts import StopAfter
from tests.support.pictures import picture, write_exr
from tests.support.vgg_weights import tiny_vgg

HEIGHT, WIDTH = 36, 48


def job(folder: Path, *, styled: bool = False, **changes: object) -> StrokesJob:
    """Two frames; in a work folder that is there."""
    for frame in (1, 2):
        y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
        ring = 0.5 + 0.4 * np.sin(np.hypot(x - 20, y - 16) / 2.5)
        rgb = np.stack([ring, y / HEIGHT, np.full_like(x, 0.3 + 0.1 * frame)], axis=2)
        images.write(folder / f"plate.{frame}.png", rgb, bit_depth="uint8")
    (folder / "work" / "strokes").mkdir(parents=True, exist_ok=True)
    values: dict[str, object] = {
        "plate": str(folder / "plate.%d.png"),
        "plate_layer": "",
        "frames": (1,),
        "plate_colorspace": None,
        "ocio": None,
        "out": str(folder / "p.%d.png"),
        "work": folder / "work",
        "styles": (),
        "features": "",
        "strokes": 80,
        "iterations": 6,
        "device": "cpu",
        "threads": 1,
    }
    if styled:
        values["styles"] = (StyleImage(picture(folder / "canvas.png", seed=5, height=40, width=40)),)
        values["features"] = str(tiny_vgg(folder / "vgg.safetensors"))
        values["pixel_iterations"] = 20
    return StrokesJob(**{**values, **changes})  # type: ignore[arg-type]


def paint(made: StrokesJob, stop: StopFlag | None = None) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    paint_strokes(made, events.append, stop)
    return events


def read(folder: Path, frame: int = 1) -> np.ndarray:
    return images.read(folder / f"p.{frame}.png").rgb


def away(folder: Path, name: str = "p.1.png") -> float:
    return float(np.square(images.read(folder / name).rgb - images.read(folder / "plate.1.png").rgb).mean())


def test_frames_are_painted_with_an_svg_beside_each(tmp_path: Path) -> None:
    events = paint(job(tmp_path, frames=(1, 2)))
    for frame in (1, 2):
        painted, plate = read(tmp_path, frame), images.read(tmp_path / f"plate.{frame}.png").rgb
        assert painted.shape == (HEIGHT, WIDTH, 3)
        assert 0.01 < np.abs(painted - plate).mean() < 0.1
        shown = find_key_transform(tmp_path / f"p.{frame}.png")
        assert shown is not None and (shown.frame, shown.bit_depth) == (frame, "uint8")
        assert 70 <= (tmp_path / f"p.{frame}.svg").read_text(encoding="utf-8").count("<path ") <= 80
    fractions = [event["fraction"] for event in events if event["event"] == "progress"]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert events[-1]["svg"] == str(tmp_path / "p.2.svg")
    assert not (tmp_path / "work" / "strokes" / FILE).exists()
    assert images.read(tmp_path / "work" / "strokes" / "preview.png").rgb.shape == (HEIGHT, WIDTH, 3)


def test_more_steps_come_nearer_to_the_plate(tmp_path: Path) -> None:
    off = []
    for iterations in (1, 40):
        paint(job(tmp_path, iterations=iterations))
        off.append(away(tmp_path))
    assert off[1] < 0.6 * off[0]


def test_a_style_image_changes_strokes_and_then_pixels(tmp_path: Path) -> None:
    made = {}
    for name, changes in (
        ("plain", {}),
        ("strokes", {"styled": True, "pixel_iterations": 0}),
        ("both", {"styled": True}),
    ):
        events = paint(job(tmp_path, **changes))  # type: ignore[arg-type]
        made[name] = read(tmp_path)
    assert np.abs(made["strokes"] - made["plain"]).mean() > 0.01
    assert np.abs(made["both"] - made["strokes"]).mean() > 0.01
    scales = [event["scale"] for event in events if "scale" in event]
    assert {"strokes at 48x36", "pixels at 48x36"} == set(scales) and scales == sorted(scales, reverse=True)


def test_luminance_keeps_the_colors_of_strokes(tmp_path: Path) -> None:
    chroma = {}
    for color in ("style", "luminance"):
        paint(job(tmp_path, styled=True, color=color, iterations=20))
        painted, plate = cv2.blur(read(tmp_path), (9, 9)), cv2.blur(images.read(tmp_path / "plate.1.png").rgb, (9, 9))
        chroma[color] = np.abs((painted - painted[..., :1]) - (plate - plate[..., :1])).mean()
    assert chroma["luminance"] < 0.7 * chroma["style"]
    assert 'stroke="#' in (tmp_path / "p.1.svg").read_text(encoding="utf-8")


def test_a_matte_keeps_the_plate(tmp_path: Path) -> None:
    matte = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    matte[:, : WIDTH // 2] = 1
    images.write(tmp_path / "m.1.png", matte, bit_depth="uint8")
    paint(job(tmp_path, styled=True, matte=str(tmp_path / "m.%d.png")))
    plate, painted = images.read(tmp_path / "plate.1.png").rgb, read(tmp_path)
    assert np.array_equal(painted[:, WIDTH // 2 :], plate[:, WIDTH // 2 :])
    assert np.abs(painted[:, : WIDTH // 2] - plate[:, : WIDTH // 2]).mean() > 0.02
    assert 'mask="url(#matte)"' in (tmp_path / "p.1.svg").read_text(encoding="utf-8")


def test_directions_come_from_a_file(tmp_path: Path) -> None:
    vectors = np.zeros((HEIGHT, WIDTH, 3), np.float32) + np.float32([1.0, 0.5, 0.5])
    images.write(tmp_path / "d.png", vectors, bit_depth="uint8")
    paint(job(tmp_path, directions=str(tmp_path / "d.png")))
    lines = (tmp_path / "p.1.svg").read_text(encoding="utf-8").splitlines()
    words = [line.split('"')[1] for line in lines if line.startswith("<path")]
    ends = np.array([[float(n) for n in word.replace("M", "").replace("Q", " ").split()] for word in words])
    turn = np.degrees(np.arctan2(np.abs(ends[:, 5] - ends[:, 1]), np.abs(ends[:, 4] - ends[:, 0])))
    assert turn.mean() < 5


def test_a_stop_leaves_strokes_that_go_on_to_as_good_a_painting(tmp_path: Path) -> None:
    paint(job(tmp_path, iterations=30))
    whole = away(tmp_path)
    (tmp_path / "p.1.png").unlink()
    with pytest.raises(Interrupted, match=r"stopped at frame 1, 12 of 30 iterations of the strokes; --resume goes on"):
        paint(job(tmp_path, iterations=30), StopAfter(12))
    assert not (tmp_path / "p.1.png").exists()
    events = paint(job(tmp_path, iterations=30, resume=True))
    assert {"event": "note", "text": "resumed frame 1 at the strokes, after 12 iterations"} in events
    assert [event["iteration"] for event in events if "iteration" in event][-2:] == [20, 30]
    assert away(tmp_path) == pytest.approx(whole, rel=0.02)


def test_a_stop_among_the_pixels_keeps_the_strokes(tmp_path: Path) -> None:
    made = job(tmp_path, styled=True)
    with pytest.raises(Interrupted, match=r"stopped at frame 1, 10 of 20 iterations of the pixels"):
        paint(made, StopAfter(6 + 16))
    drawing = (tmp_path / "p.1.svg").read_bytes()
    events = paint(msgspec.structs.replace(made, resume=True))
    assert {"event": "note", "text": "resumed frame 1 at the pixels, after 10 iterations"} in events
    assert (tmp_path / "p.1.svg").read_bytes() == drawing
    assert read(tmp_path).shape == (HEIGHT, WIDTH, 3)


def test_a_long_frame_keeps_enough_height_for_features(tmp_path: Path) -> None:
    made = job(tmp_path, styled=True, iterations=1, pixel_iterations=0, strokes=20)
    picture(tmp_path / "plate.1.png", height=33, width=800)
    events = paint(made)
    assert "strokes at 776x32" in [event.get("scale") for event in events]
    assert read(tmp_path).shape == (33, 800, 3)


def test_a_matte_of_one_pixel_gets_a_stroke(tmp_path: Path) -> None:
    matte = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    matte[20, 30] = 1
    images.write(tmp_path / "m.1.png", matte, bit_depth="uint8")
    paint(job(tmp_path, matte=str(tmp_path / "m.%d.png"), iterations=2))
    changed = np.abs(read(tmp_path) - images.read(tmp_path / "plate.1.png").rgb).max(2) > 0
    assert changed.sum() <= 1 and "<path " in (tmp_path / "p.1.svg").read_text(encoding="utf-8")


@pytest.mark.slow
def test_what_was_killed_goes_on(tmp_path: Path) -> None:
    made = job(tmp_path, iterations=5000)
    made.save(tmp_path / "job.json")
    checkpoint = tmp_path / "work" / "strokes" / FILE
    command = [sys.executable, "-m", "engine.optimize.brushstrokes.paint", "--job", str(tmp_path / "job.json")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        try:
            while not checkpoint.exists() and process.poll() is None:
                time.sleep(0.02)
        finally:
            process.kill()
    assert not (tmp_path / "p.1.png").exists()
    events: list[dict[str, Any]] = []
    with pytest.raises(Interrupted):
        paint_strokes(msgspec.structs.replace(made, resume=True), events.append, StopAfter(3))
    notes = [event["text"] for event in events if event["event"] == "note"]
    assert len(notes) == 1 and notes[0].startswith("resumed frame 1 at the strokes, after ")
    assert list(checkpoint.parent.glob(".*.tmp*")) == []


def test_resume_leaves_painted_frames_alone(tmp_path: Path) -> None:
    paint(job(tmp_path, iterations=2))
    before = (tmp_path / "p.1.png").read_bytes()
    events = paint(job(tmp_path, frames=(1, 2), iterations=2, resume=True))
    assert (tmp_path / "p.1.png").read_bytes() == before
    assert read(tmp_path, 2).shape == (HEIGHT, WIDTH, 3)
    assert any("frame 1 is painted already and stays" in event.get("text", "") for event in events)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        paint(job(tmp_path), StopAfter(1))
    with pytest.raises(InputError, match="made from another plate, style image or setting"):
        paint(job(tmp_path, resume=True, strokes=90))


def test_wrong_pictures_are_refused_in_one_line(tmp_path: Path) -> None:
    made = job(tmp_path, styled=True)
    with pytest.raises(ImageError, match=r"the style image is 40x8, too small to learn from"):
        tiny = StyleImage(picture(tmp_path / "tiny.png", height=8, width=40))
        paint(msgspec.structs.replace(made, styles=(tiny,)))
    images.write(tmp_path / "m.1.png", np.zeros((HEIGHT, WIDTH, 3), np.float32), bit_depth="uint8")
    with pytest.raises(ImageError, match="empty matte"):
        paint(job(tmp_path, matte=str(tmp_path / "m.%d.png")))
    with pytest.raises(ImageError, match="the directions say nothing"):
        paint(job(tmp_path, directions=str(tmp_path / "m.1.png")))
    picture(tmp_path / "d.png", height=9, width=9)
    with pytest.raises(ImageError, match=r"the directions are 9x9, and the plate 48x36"):
        paint(job(tmp_path, directions=str(tmp_path / "d.png")))
    torch.save({"layer1.weight": torch.zeros(3)}, tmp_path / "resnet.pth")
    with pytest.raises(InputError, match="no VGG"):
        paint(job(tmp_path, styled=True, features=str(tmp_path / "resnet.pth")))
    picture(tmp_path / "plate.1.png", height=20, width=48)
    with pytest.raises(ImageError, match="the plate is 48x20, too small for a style image"):
        paint_strokes(made, lambda event: None)
    with pytest.raises(ImageError, match="the plate is 48x20, too small for strokes"):
        paint_strokes(msgspec.structs.replace(made, styles=(), features="", pixel_iterations=0), lambda event: None)


def test_pixels_that_are_not_finite_are_filled_and_said(tmp_path: Path) -> None:
    made = job(tmp_path, plate=str(tmp_path / "light.%d.exr"), iterations=2)
    channels = {name: np.full((HEIGHT, WIDTH), 0.2, np.float32) for name in "RGB"}
    channels["G"][5:8, 5:8] = np.nan
    write_exr(tmp_path / "light.1.exr", channels)
    events = paint(made)
    said = [event["text"] for event in events if event["event"] == "warning"]
    assert said == ["frame 1: 9 pixels of the plate are NaN or Inf; filled from neighbors"]
    assert np.ptp(read(tmp_path), axis=(0, 1)).max() < 0.02


def test_the_process_speaks_in_events(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StopFlag, "install", lambda self: None)
    job(tmp_path, iterations=1).save(tmp_path / "job.json")
    assert main(["--job", str(tmp_path / "job.json")]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last == {"event": "finished", "paths": [str(tmp_path / "p.1.png")]}
    job(tmp_path, styled=True, features=str(tmp_path / "gone.pth")).save(tmp_path / "job.json")
    assert main(["--job", str(tmp_path / "job.json")]) == 2
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["event"] == "failed" and last["message"].startswith("cannot load feature weights")
