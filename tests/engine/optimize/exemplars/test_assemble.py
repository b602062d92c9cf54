"""Keyframes from exemplars, files in and files out: what is written and said, stops, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("scipy", reason="scipy is not installed")

from engine import images
from engine.base.errors import ImageError, Interrupted
from engine.base.stop_flag import StopFlag
from engine.color.keys import find_key_transform
from engine.optimize.exemplars.assemble import main, paint_from_exemplars
from engine.optimize.exemplars.job import ExemplarJob, PaintedExemplar
from tests.support.interrupts import StopAfter
from tests.support.pictures import picture, write_exr

HEIGHT, WIDTH = 40, 56


def job(folder: Path, **changes: object) -> ExemplarJob:
    """Two frames that are one picture, painted once, and another exemplar; in a work folder that is there."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    rgb = np.stack([x / WIDTH, y / HEIGHT, 0.5 + 0.5 * np.sin(x * y / 200)], axis=2).astype(np.float32)
    for name in ("plate.1.png", "plate.2.png", "painted_on.png"):
        images.write(folder / name, rgb, bit_depth="uint8")
    for number, name in enumerate(("p1.png", "other.png", "p2.png")):
        picture(folder / name, seed=number, height=HEIGHT, width=WIDTH)
    (folder / "work" / "exemplars").mkdir(parents=True, exist_ok=True)
    values: dict[str, object] = {
        "plate": str(folder / "plate.%d.png"),
        "plate_layer": "",
        "frames": (1,),
        "plate_colorspace": None,
        "ocio": None,
        "out": str(folder / "out.%d.png"),
        "work": folder / "work",
        "exemplars": (
            PaintedExemplar(folder / "painted_on.png", folder / "p1.png"),
            PaintedExemplar(folder / "other.png", folder / "p2.png"),
        ),
        "threads": 1,
    }
    return ExemplarJob(**{**values, **changes})  # type: ignore[arg-type]


def paint(made: ExemplarJob, stop: StopFlag | None = None) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    paint_from_exemplars(made, events.append, stop)
    return events


def test_frames_are_painted_and_say_from_what(tmp_path: Path) -> None:
    made = job(tmp_path, frames=(1, 2))
    events = paint(made)
    for frame in (1, 2):
        path = tmp_path / f"out.{frame}.png"
        assert np.array_equal(images.read(path).rgb, images.read(tmp_path / "p1.png").rgb)
        shown = find_key_transform(path)
        assert shown is not None and (shown.frame, shown.bit_depth) == (frame, "uint8")
        assert images.read(made.labels_path(frame)).rgb.shape[1] == 1324  # three pictures of 400 beside each other
    fractions = [event["fraction"] for event in events if event["event"] == "progress"]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert "frame 1: p1.png 100%, p2.png 0%" in [event.get("text") for event in events]
    assert not [event for event in events if event["event"] == "warning"]


def test_where_no_exemplar_fits_is_said(tmp_path: Path) -> None:
    made = job(tmp_path)
    plate = images.read(tmp_path / "plate.1.png").rgb
    plate[:13, :18] = (1, 0, 1)
    images.write(tmp_path / "plate.1.png", plate, bit_depth="uint8")
    warnings = [event["text"] for event in paint(made) if event["event"] == "warning"]
    assert len(warnings) == 1 and warnings[0].startswith("frame 1: no exemplar shows what ")
    assert "% of it shows, mostly upper left" in warnings[0]


def test_a_matte_keeps_the_plate(tmp_path: Path) -> None:
    matte = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    matte[:, : WIDTH // 2] = 1
    images.write(tmp_path / "m.1.png", matte, bit_depth="uint8")
    paint(job(tmp_path, matte=str(tmp_path / "m.%d.png")))
    found = images.read(tmp_path / "out.1.png").rgb
    for half, name in ((slice(None, WIDTH // 2), "p1.png"), (slice(WIDTH // 2, None), "plate.1.png")):
        assert np.array_equal(found[:, half], images.read(tmp_path / name).rgb[:, half])


def test_an_exemplar_of_light_is_seen_as_its_frame_is(tmp_path: Path) -> None:
    """A plate in EXR is shown through the view; so are the exemplar's plate and a painting in EXR."""
    made = job(tmp_path)
    light = np.random.default_rng(1).random((HEIGHT, WIDTH, 3), dtype=np.float32)
    for name in ("plate.1.exr", "lit.exr"):
        images.write(tmp_path / name, light)
    exemplar = PaintedExemplar(tmp_path / "lit.exr", tmp_path / "lit.exr")
    paint(job(tmp_path, plate=str(tmp_path / "plate.%d.exr"), exemplars=(exemplar, made.exemplars[1])))
    transform = find_key_transform(tmp_path / "out.1.png")
    assert transform is not None and transform.view
    from engine.color.config import ColorConfig

    shown = transform.shown(images.read(tmp_path / "plate.1.exr"), ColorConfig.active(None))
    assert np.abs(images.read(tmp_path / "out.1.png").rgb - shown).max() < 1.5 / 255


def test_resume_leaves_painted_frames_alone(tmp_path: Path) -> None:
    paint(job(tmp_path))
    before = (tmp_path / "out.1.png").read_bytes()
    (tmp_path / "p1.png").write_bytes((tmp_path / "p2.png").read_bytes())
    events = paint(job(tmp_path, frames=(1, 2), resume=True))
    assert (tmp_path / "out.1.png").read_bytes() == before and (tmp_path / "out.2.png").exists()
    assert any("frame 1 is painted already and stays" in event.get("text", "") for event in events)


def test_a_stop_leaves_no_half_a_frame(tmp_path: Path) -> None:
    with pytest.raises(Interrupted, match=r"stopped at frame 1; --resume goes on"):
        paint(job(tmp_path), StopAfter(3))
    assert sorted(path.name for path in tmp_path.glob("out*")) == []


def test_wrong_pictures_are_refused_in_one_line(tmp_path: Path) -> None:
    job(tmp_path)
    picture(tmp_path / "tiny.png", height=20, width=40)
    picture(tmp_path / "wide.png", height=40, width=90)
    nothing = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    images.write(tmp_path / "empty.png", nothing, alpha=nothing[..., 0], bit_depth="uint8")
    for plate, painting, said in (
        ("tiny.png", "tiny.png", "the exemplar's plate is 40x20, too small to copy patches from"),
        ("painted_on.png", "wide.png", "the painting is 90x40, and the plate that it is painted on 56x40"),
        ("painted_on.png", "empty.png", "nothing is painted on the exemplar"),
        ("painted_on.png", "gone.png", "there is no such image"),
    ):
        with pytest.raises(ImageError) as caught:
            paint(job(tmp_path, exemplars=(PaintedExemplar(tmp_path / plate, tmp_path / painting),)))
        assert said in str(caught.value).splitlines()[0] and painting in str(caught.value)
    images.write(tmp_path / "m.1.png", np.zeros((HEIGHT, WIDTH, 3), np.float32), bit_depth="uint8")
    with pytest.raises(ImageError, match="frame 1: empty matte"):
        paint(job(tmp_path, matte=str(tmp_path / "m.%d.png")))
    assert not (tmp_path / "out.1.png").exists()
    made = job(tmp_path)
    picture(tmp_path / "plate.1.png", height=20, width=48)
    with pytest.raises(ImageError, match="the plate is 48x20, too small to be put together from patches"):
        paint_from_exemplars(made, lambda event: None)


def test_exemplars_that_are_not_finite_are_filled_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sound = np.random.default_rng(1).random((HEIGHT, WIDTH), dtype=np.float32)
    bad = sound.copy()
    bad[2, 3] = np.nan
    write_exr(tmp_path / "nan.exr", {"R": bad, "G": sound, "B": sound})
    made = job(tmp_path)
    paint(job(tmp_path, exemplars=(PaintedExemplar(tmp_path / "painted_on.png", tmp_path / "nan.exr"),)))
    assert "1 pixels of the exemplar's painting are NaN or Inf; filled from neighbors" in caplog.text
    assert np.isfinite(images.read(Path(made.out % 1)).rgb).all()


def test_the_process_speaks_in_events(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StopFlag, "install", lambda self: None)
    job(tmp_path).save(tmp_path / "job.json")
    assert main(["--job", str(tmp_path / "job.json")]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last == {"event": "finished", "paths": [str(tmp_path / "out.1.png")]}
    job(tmp_path, exemplars=(PaintedExemplar(tmp_path / "gone.png", tmp_path / "p1.png"),)).save(tmp_path / "job.json")
    assert main(["--job", str(tmp_path / "job.json")]) == 2
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["event"] == "failed" and "gone.png" in last["path"]
