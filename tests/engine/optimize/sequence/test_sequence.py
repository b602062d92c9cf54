"""Sequences: what is written, steadiness against frames that are painted alone, hidden surfaces, stops, wrong input."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load_file

torch = pytest.importorskip("torch", reason="training is not installed")
torch.set_num_threads(1)  # tiny networks on a busy machine: a second thread mostly waits

from engine import images
from engine.base.errors import ImageError, InputError, Interrupted
from engine.base.stop_flag import StopFlag
from engine.color.keys import find_key_transform
from engine.optimize.job import StyleImage
from engine.optimize.sequence import sequence
from engine.optimize.sequence.job import SequenceJob
from engine.optimize.sequence.sequence import main, paint_sequence
from engine.optimize.sequence.temporal import TemporalLoss
from tests.support import ROOT
from tests.support.interrupts import StopAfter
from tests.support.pictures import picture, write_exr
from tests.support.shifting_shots import HEIGHT, STEP_PX, WIDTH, change_of_hidden, followed, shifting_plate
from tests.support.vgg_weights import tiny_vgg


def job(folder: Path, *, count: int = 3, hides: int | None = None, **changes: object) -> SequenceJob:
    """Some frames, one style image, weights; in a folder that is there."""
    picture(folder / "canvas.png", seed=5, height=40, width=40)
    (folder / "work").mkdir(exist_ok=True)
    values: dict[str, object] = {
        "plate": shifting_plate(folder, count, hides=hides),
        "plate_layer": "",
        "frames": tuple(range(1, count + 1)),
        "plate_colorspace": None,
        "ocio": None,
        "out": str(folder / "p.%d.png"),
        "work": folder / "work",
        "styles": (StyleImage(folder / "canvas.png"),),
        "features": str(tiny_vgg(folder / "vgg.safetensors")),
        "iterations": 8,
        "device": "cpu",
        "threads": 1,
        "long_term": (),
    }
    return SequenceJob(**{**values, **changes})  # type: ignore[arg-type]


def paint(made: SequenceJob, stop: StopFlag | None = None) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    paint_sequence(made, events.append, stop)
    return events


def read(folder: Path, frame: int) -> np.ndarray:
    return images.read(folder / f"p.{frame}.png").rgb


def unsteady(folder: Path, count: int) -> float:
    """Mean change along the known motion, display codes, away from the frame's edges."""
    changes = [followed(read(folder, frame), read(folder, frame - 1)) for frame in range(2, count + 1)]
    return float(np.nanmean([change[6:-6, 6 : -6 - STEP_PX] for change in changes]))


def test_frames_are_painted_and_say_how_they_were_shown(tmp_path: Path) -> None:
    events = paint(job(tmp_path, passes=2))
    for frame in (1, 2, 3):
        painted, plate = read(tmp_path, frame), images.read(tmp_path / f"plate.{frame}.png").rgb
        assert painted.shape == (HEIGHT, WIDTH, 3)
        assert np.abs(painted - plate).mean() > 0.02
        shown = find_key_transform(tmp_path / f"p.{frame}.png")
        assert shown is not None and (shown.frame, shown.bit_depth, shown.width) == (frame, "uint8", WIDTH)
    steps = [event for event in events if event["event"] == "progress"]
    fractions = [event["fraction"] for event in steps]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    # Backward the second time.
    order = [(event["pass"], event["frame"]) for event in steps if event.get("iteration") == 8]
    assert order == [(1, 1), (1, 2), (1, 3), (2, 3), (2, 2), (2, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("passes", [1, 4])
def test_a_sequence_is_steadier_than_frames_alone(tmp_path: Path, passes: int) -> None:
    count = 4
    for frame in range(1, count + 1):
        paint(msgspec.structs.replace(job(tmp_path, count=count, iterations=24), frames=(frame,)))
    alone = unsteady(tmp_path, count)
    paint(job(tmp_path, count=count, passes=passes, iterations=24 // passes))
    assert unsteady(tmp_path, count) <= 0.5 * alone


@pytest.mark.parametrize("passes", [1, 3])
def test_what_enters_is_held_to_the_pass_before(tmp_path: Path, passes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the last pass of three, forward as the first, the next frame has it; in a single sweep no frame has."""
    held: list[np.ndarray] = []

    class Seen(TemporalLoss):
        def __init__(self, loss: Any, carried: Any, weight: float) -> None:
            super().__init__(loss, carried, weight)
            weights = [each.weight[0, 0].numpy() for each in carried]
            held.append(np.sum([np.zeros((HEIGHT, WIDTH)), *weights], axis=0))

    monkeypatch.setattr(sequence, "TemporalLoss", Seen)
    paint(job(tmp_path, passes=passes, iterations=2))
    middle = held[-2]
    assert len(held) == 3 * passes
    assert middle[6:-6, 12 : -3 * STEP_PX].mean() > 0.9
    entered = middle[6:-6, -STEP_PX:].mean()
    assert entered > 0.8 if passes == 3 else entered < 0.1


@pytest.mark.slow
def test_a_surface_that_was_hidden_keeps_its_style(tmp_path: Path) -> None:
    """Frame 3 shows something else; what comes back in frame 4 is compared with what frame 2 had there."""
    changed = {}
    for long_term in ((), (2,)):
        paint(job(tmp_path, count=4, hides=3, iterations=24, long_term=long_term))
        changed[long_term] = change_of_hidden(read(tmp_path, 4), read(tmp_path, 2), hides=3)
    assert changed[2,] <= 0.5 * changed[()], changed


@pytest.mark.parametrize("passes", [1, 3])
def test_what_was_stopped_goes_on_to_the_same_bytes(tmp_path: Path, passes: int) -> None:
    made = job(tmp_path, passes=passes, iterations=4)
    paint(made)
    whole = {frame: (tmp_path / f"p.{frame}.png").read_bytes() for frame in made.frames}
    for path in tmp_path.glob("p.*"):
        path.unlink()
    with pytest.raises(Interrupted, match=r"stopped at frame \d( of pass \d)?; --resume goes on"):
        paint(made, StopAfter(9 * passes + 3))
    events = paint(msgspec.structs.replace(made, resume=True))
    notes = [event["text"] for event in events if event["event"] == "note"]
    assert len(notes) == 1 and notes[0].endswith(f"of {3 * passes} frames of passes are painted already and stay")
    assert {frame: (tmp_path / f"p.{frame}.png").read_bytes() for frame in made.frames} == whole
    (tmp_path / "p.2.png").unlink()
    events = paint(msgspec.structs.replace(made, resume=True))
    assert [event.get("path") for event in events if event["event"] == "progress"] == [str(tmp_path / "p.2.png")]
    assert (tmp_path / "p.2.png").read_bytes() == whole[2]


@pytest.mark.slow
def test_what_was_killed_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    made = job(tmp_path, iterations=6, passes=2)
    paint(made)
    whole = {frame: (tmp_path / f"p.{frame}.png").read_bytes() for frame in made.frames}
    for path in tmp_path.glob("p.*"):
        path.unlink()
    frames = tmp_path / "work" / "sequence" / "frames"
    for path in frames.iterdir():
        path.unlink()
    made.save(tmp_path / "job.json")
    command = [sys.executable, "-m", "engine.optimize.sequence.sequence", "--job", str(tmp_path / "job.json")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        try:
            while not (frames / "0002.safetensors").exists() and process.poll() is None:
                time.sleep(0.01)
        finally:
            process.kill()
    paint(msgspec.structs.replace(made, resume=True))
    assert {frame: (tmp_path / f"p.{frame}.png").read_bytes() for frame in made.frames} == whole
    assert list(frames.glob(".*")) == []


@pytest.mark.slow
def test_strokes_ride_through_the_shot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("sequence", "stroke_stage"):
        monkeypatch.setattr(f"engine.optimize.sequence.{module}.STROKE_ITERATIONS_OF_FRAME", 10)
    made = job(tmp_path, strokes=60, iterations=3, passes=2)
    events = paint(made)
    fractions = [event["fraction"] for event in events if event["event"] == "progress"]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    whole = {path.name: path.read_bytes() for path in tmp_path.glob("p.*")}
    assert sorted(name for name in whole if name.endswith(".svg")) == ["p.1.svg", "p.2.svg", "p.3.svg"]
    folder = tmp_path / "work" / "sequence" / "strokes"
    one, two = (load_file(folder / f"{frame:04d}.safetensors")["location_px"] for frame in (1, 2))
    # Each of most strokes of frame 2 is one of frame 1 that moved along; the descent moves one by a pixel at most.
    away = np.linalg.norm(two[:, None] - (one - (STEP_PX, 0)), axis=2).min(axis=1)
    assert (away < 1.5).mean() > 0.7

    for path in tmp_path.glob("p.*"):
        path.unlink()
    with pytest.raises(Interrupted, match=r"stopped at the strokes of frame 2; --resume goes on"):
        paint(made, StopAfter(18))
    paint(msgspec.structs.replace(made, resume=True))
    assert {path.name: path.read_bytes() for path in tmp_path.glob("p.*")} == whole


def test_a_changed_frame_is_said_when_going_on(tmp_path: Path) -> None:
    made = job(tmp_path, iterations=1)
    paint(made)
    with pytest.raises(InputError, match="frame 1 was made from another plate, style image or setting"):
        paint(msgspec.structs.replace(made, resume=True, strength=2.0))
    picture(tmp_path / "plate.2.png", height=HEIGHT, width=WIDTH)
    with pytest.raises(InputError, match="frame 2 was made from another plate, style image or setting"):
        paint(msgspec.structs.replace(made, resume=True))
    paint(made)


def test_a_preview_is_a_quarter_as_wide_and_high(tmp_path: Path) -> None:
    for frame in (1, 2):
        picture(tmp_path / f"wide.{frame}.png", seed=frame, height=4 * 34, width=4 * 36)
    made = job(tmp_path, frames=(1, 2), plate=str(tmp_path / "wide.%d.png"), preview=True, iterations=1)
    paint(made)
    assert read(tmp_path, 2).shape == (34, 36, 3)
    assert (tmp_path / "work" / "sequence" / "quarter" / "frames" / "0002.safetensors").exists()
    with pytest.raises(ImageError, match="the plate is 14x10, too small for a style image at one part in 4"):
        paint(msgspec.structs.replace(made, plate=str(tmp_path / "plate.%d.png")))


@pytest.mark.parametrize("color", ["luminance", "histogram"])
def test_colors_and_mattes_are_kept_to(tmp_path: Path, color: str) -> None:
    matte = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    matte[:, : WIDTH // 2] = 1
    for frame in (1, 2, 3):
        images.write(tmp_path / f"m.{frame}.png", matte, bit_depth="uint8")
    paint(job(tmp_path, color=color, matte=str(tmp_path / "m.%d.png"), iterations=4))
    for frame in (1, 2, 3):
        painted, plate = read(tmp_path, frame), images.read(tmp_path / f"plate.{frame}.png").rgb
        assert np.array_equal(painted[:, WIDTH // 2 :], plate[:, WIDTH // 2 :])
        assert np.abs(painted - plate)[:, : WIDTH // 2].mean() > 0.01


def test_wrong_pictures_are_refused_in_one_line(tmp_path: Path) -> None:
    made = job(tmp_path, iterations=1)
    picture(tmp_path / "tiny.png", height=8, width=40)
    with pytest.raises(ImageError, match="the style image is 40x8, too small to learn from"):
        paint(msgspec.structs.replace(made, styles=(StyleImage(tmp_path / "tiny.png"),)))
    torch.save({"layer1.weight": torch.zeros(3)}, tmp_path / "resnet.pth")
    with pytest.raises(InputError, match="no VGG"):
        paint(msgspec.structs.replace(made, features=str(tmp_path / "resnet.pth")))
    for frame, value in ((1, 1.0), (2, 0.0), (3, 1.0)):
        images.write(tmp_path / f"m.{frame}.png", np.full((HEIGHT, WIDTH, 3), value, np.float32), bit_depth="uint8")
    with pytest.raises(ImageError, match="empty matte") as caught:
        paint(msgspec.structs.replace(made, matte=str(tmp_path / "m.%d.png")))
    assert caught.value.frame == 2
    picture(tmp_path / "plate.2.png", height=HEIGHT, width=WIDTH + 4)
    with pytest.raises(ImageError, match="this frame is 60x40, the first one 56x40"):
        paint(made)
    with pytest.raises(InputError, match="has one direction only"):
        paint(msgspec.structs.replace(made, vectors=str(tmp_path / "v.%d.flo")))
    (tmp_path / "plate.2.png").unlink()
    with pytest.raises(ImageError, match="the plate's frame is missing") as caught:
        paint(made)
    assert caught.value.frame == 2


def test_pixels_that_are_no_numbers_are_filled_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for frame in (1, 2):
        rgb = images.read(Path(shifting_plate(tmp_path, 2) % frame)).rgb.copy()
        rgb[5, 7:9] = np.nan if frame == 2 else rgb[5, 7:9]
        write_exr(tmp_path / f"hdr.{frame}.exr", dict(zip("RGB", np.moveaxis(rgb, 2, 0), strict=True)))
    style = np.full((40, 40, 3), 0.3, np.float32)
    style[3, 3] = np.inf
    write_exr(tmp_path / "style.exr", dict(zip("RGB", np.moveaxis(style, 2, 0), strict=True)))
    styles = (StyleImage(tmp_path / "style.exr"),)
    events = paint(job(tmp_path, count=2, plate=str(tmp_path / "hdr.%d.exr"), styles=styles, iterations=2))
    assert "1 pixels of the style image are NaN or Inf; filled from neighbors" in caplog.text
    said = [event["text"] for event in events if event["event"] == "warning"]
    assert said == ["frame 2: 2 pixels of the plate are NaN or Inf; filled from neighbors"]
    assert np.isfinite(read(tmp_path, 2)).all()


def test_the_process_speaks_in_events(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StopFlag, "install", lambda self: None)
    job(tmp_path, count=2, iterations=1).save(tmp_path / "job.json")
    assert main(["--job", str(tmp_path / "job.json")]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last == {"event": "finished", "paths": [str(tmp_path / f"p.{frame}.png") for frame in (1, 2)]}
    job(tmp_path, features=str(tmp_path / "gone.pth")).save(tmp_path / "job.json")
    assert main(["--job", str(tmp_path / "job.json")]) == 2
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["event"] == "failed" and last["message"].startswith("cannot load feature weights")
