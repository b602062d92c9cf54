"""``paintover suggest``: its table, its JSON, its picture, and what it says to wrong input."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import OpenImageIO as oiio
import pytest

from engine import images
from engine.motion.stmap import sidecar_path
from plugin.cli import main
from plugin.report.advice import percent
from tests.support import ROOT
from tests.support.signals import posix

SIZE = (72, 128)


def scene(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    rng = np.random.default_rng(seed)
    layers = sum(
        sigma * cv2.GaussianBlur(rng.standard_normal((*size, 3)).astype(np.float32), (0, 0), sigma)
        for sigma in (1.5, 4, 9)
    )
    return cv2.normalize(layers, None, 0.02, 0.98, cv2.NORM_MINMAX).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten plates, 1001-1010, with a cut after 1004; a painting of 1002."""
    monkeypatch.delenv("OCIO", raising=False)
    monkeypatch.chdir(tmp_path)
    for frame in range(1001, 1011):
        images.write(tmp_path / f"plate.{frame}.png", scene(1 if frame <= 1004 else 2), bit_depth="uint8")
    images.write(tmp_path / "p1002.png", scene(3), bit_depth="uint8")
    return tmp_path


WORDS = ("suggest", "--plate", "plate.%04d.png", "--frames", "1001-1010")


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main([*WORDS, *words]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def test_the_table_and_the_next_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, "--progress", "none")
    lines = out.splitlines()
    assert lines[0].split() == ["frame", "carries", "adds", "total"]
    first, second = lines[1].split(), lines[2].split()
    assert int(first[0]) >= 1005 > int(second[0])
    assert first[1:] == "60 % 60 % 60 %".split() and second[1:] == "40 % 40 % 100 %".split()
    assert lines[3] == "0 % of the shot rides on none of them, and no other frame would carry 2 % more"
    frames = ",".join(sorted([first[0], second[0]]))
    assert lines[-1] == f"next: paintover key --plate plate.%04d.png --frames {frames} --out paint.%04d.png"
    # What it offers works as it is written.
    assert main([*lines[-1].removeprefix("next: paintover ").split(), "--progress", "none"]) == 0
    assert (folder / f"paint.{first[0]}.png").is_file() and (folder / f"paint.{second[0]}.png").is_file()


def test_painted_frames_count(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, "--progress", "none", "--keyframe", "1002=p1002.png")
    lines = out.splitlines()
    assert lines[1].split() == ["1002", *"40 % 40 % 40 %".split(), "painted"]
    assert lines[2].split()[1:] == "60 % 60 % 100 %".split() and "next: " in out


def test_nothing_more_to_paint(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images.write(folder / "p1007.png", scene(3), bit_depth="uint8")
    out = said(capsys, "--progress", "none", "--keyframe", "1002=p1002.png", "--keyframe", "1007=p1007.png")
    assert out.splitlines()[-1] == "no other frame would carry 2 % of the shot more: the paintings carry 100 %"
    assert (folder / "work" / "suggest.png").is_file()


def test_json_is_all_of_stdout(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = json.loads(said(capsys, "--json", "--count", "1"))
    assert len(facts["suggested"]) == 1 and facts["suggested"][0]["gain"] == pytest.approx(0.6, abs=0.01)
    assert facts["carried_by_frame"]["1001"] == 0.0 and facts["carried_by_frame"]["1010"] > 0.98
    assert facts["next_gain"] == pytest.approx(0.4, abs=0.01) and facts["frames"] == list(range(1001, 1011))
    assert facts["picture"] == "work/suggest.png" and facts["next"].startswith("paintover key ")


def test_sidecars_of_a_painting_are_believed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for frame in range(1001, 1011):
        path = sidecar_path(folder / "work", 1002, frame)
        path.parent.mkdir(parents=True, exist_ok=True)
        spec = oiio.ImageSpec(SIZE[1], SIZE[0], 4, "float")
        spec.channelnames = ("R", "G", "B", "A")
        out = oiio.ImageOutput.create(str(path))
        out.open(str(path), spec)
        out.write_image(np.full((*SIZE, 4), 0.5, np.float32))
        out.close()
    text = said(capsys, "--progress", "none", "--keyframe", "1002=p1002.png")
    assert text.splitlines()[1].split() == ["1002", *"50 % 50 % 50 %".split(), "painted,", "by", "its", "STMaps"]


def test_the_picture_goes_where_it_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "--progress", "none", "--out", "review/what.png")
    sheet = images.read(folder / "review" / "what.png").rgb
    assert sheet.shape[1] >= 3 * 360 and sheet.shape[0] > 700
    assert not (folder / "work").exists()
    # Its parts are there: the accent of a chosen frame, and a second curve.
    codes = np.rint(sheet * 255).astype(int)
    assert (codes == (242, 169, 59)).all(2).sum() > 1000
    assert (np.abs(codes - (94, 184, 240)).max(2) < 8).sum() > 1000
    first = (folder / "review" / "what.png").read_bytes()
    said(capsys, "--progress", "none", "--out", "review/what.png")
    assert (folder / "review" / "what.png").read_bytes() == first


def test_progress_for_machines_stays_whole(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = [json.loads(line) for line in said(capsys, "--progress", "json").splitlines()]
    assert events[-1] == {"event": "finished", "overall": 1.0}
    color, told = [event for event in events if event["event"] == "note"][:2]
    assert color["text"].startswith("plate taken as ") and color["colorspace"]
    assert len(told["frames"]) == 2 and told["picture"] == "work/suggest.png"


def test_a_shot_file_serves(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        '[plate]\npath = "plate.%04d.png"\nframes = "1001-1010"\n[[keyframes]]\nframe = 1002\npainting = "p1002.png"\n'
    )
    (folder / "shot.toml").write_text(text)
    assert main(["suggest", "shot.toml", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [one["frame"] for one in facts["painted"]] == [1002] and len(facts["suggested"]) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--count", "0"), "--count 0 is too small, the least is 1; ask for 1 or more"),
        (("--frames", "1001-1012"), "the plate lacks frame 1011 and 1 more (plate.1011.png); on disk are frames"),
        (("--keyframe", "40=p1002.png"), "keyframe 40 is outside the frame range 1001-1010"),
        (("--keyframe", "1003=p1003.png"), "the painting of keyframe 1003 is missing (p1003.png); check its path"),
        (("--out", "what.html"), '"what.html" is no .png, .jpg or .tif'),
        (("--out", "plate.1001.png"), "the picture would replace a frame of the plate (plate.1001.png)"),
        (("--out", "p1002.png", "--keyframe", "1002=p1002.png"), "the picture would replace a painting (p1002.png)"),
        (("--colorspace", "sRBG"), "unknown colorspace 'sRBG'"),
    ],
)
def test_wrong_input_is_one_line(
    folder: Path, words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*WORDS, *words, "--progress", "none"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and message in lines[0]


def test_a_plate_that_changes_its_size_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images.write(folder / "plate.1006.png", scene(1, (60, 128)), bit_depth="uint8")
    assert main([*WORDS, "--progress", "none"]) == 2
    line = "frame 1006: the plate is 128x60 here and 128x72 before (plate.1006.png); give frames of one size"
    assert capsys.readouterr().err == f"paintover: {line}\n"
    (folder / "plate.1006.png").write_bytes(b"not a picture")
    assert main([*WORDS, "--progress", "none"]) == 2
    assert re.match(r"paintover: frame 1006: .*\(plate\.1006\.png\); ", capsys.readouterr().err)


@pytest.mark.slow
@posix
def test_ctrl_c_ends_it_without_a_trace(folder: Path) -> None:
    for frame in range(1011, 1401):
        (folder / f"plate.{frame}.png").symlink_to(folder / "plate.1001.png")
    words = [sys.executable, "-m", "plugin", "suggest", "--plate", str(folder / "plate.%04d.png"),
             "--work", str(folder / "work"), "--progress", "lines"]  # fmt: skip
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Following motion"):
            break
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "paintover: stopped on request\n")
    assert list((folder / "work").iterdir()) == []


@pytest.mark.parametrize(
    ("share", "text"), [(0.0, "0 %"), (0.004, "<1 %"), (0.006, "1 %"), (0.414, "41 %"), (1.0, "100 %")]
)
def test_shares_as_people_read_them(share: float, text: str) -> None:
    assert percent(share) == text
