"""The report: its numbers, its states, and a page that needs nothing beside it and trusts no text."""

from __future__ import annotations

import base64
import html
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine import images
from engine.base.errors import ImageError, Interrupted
from engine.base.frames import FrameRange, SequencePath
from engine.color.config import ColorConfig
from engine.color.showing import Showing
from engine.motion.stmap import sidecar_path, write_sidecar
from engine.shot.shot import Keyframe, Plate
from plugin.cli import main
from plugin.progress.protocol import NoProgress
from plugin.progress.stop import StopRequest
from plugin.report.charts import Line, chart
from plugin.report.page import write_report
from plugin.report.stills import Stills
from tests.support import lookfactory
from tests.support.report_shots import SIZE, Page, Shot, alone, sidecar


@pytest.fixture
def shot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shot:
    monkeypatch.delenv("OCIO", raising=False)
    return Shot(tmp_path)


# Numbers


def test_temporal_error_and_its_base_line(shot: Shot) -> None:
    summary, _ = shot.report()
    rows = {row.frame: row for row in summary.rows}
    assert all(row.plate_error == 0.0 for row in summary.rows[:-1])
    for frame in (4, 5):
        assert rows[frame].error == pytest.approx(20.0, abs=0.6)
    assert rows[1].error == 0.0 == rows[7].error and rows[9].error is None
    assert (summary.error, summary.plate_error) == (0.0, 0.0)


def test_unsteady_frames_are_warned_of(shot: Shot) -> None:
    rng = np.random.default_rng(3)
    for frame in range(1, 10):
        grain = rng.normal(0, 3 / 255, (*SIZE, 3)).astype(np.float32)
        lift = 30 / 255 if frame == 5 else 0.0
        images.write(shot.out.path(frame), np.clip(shot.picture * 0.5 + grain + lift, 0, 1), bit_depth="uint8")
    summary, text = shot.report()
    warned = [row.frame for row in summary.rows if row.warnings]
    assert warned == [4, 5]
    assert re.fullmatch(
        r"changes \d+\.\d times as much towards the next frame as is usual here", summary.rows[3].warnings[0]
    )
    assert "2 of 9 frames have warnings: 4-5" in summary.warnings and "2 of 9 frames have warnings: 4-5" in text


def test_carried_shares_come_from_sidecars(shot: Shot) -> None:
    shot.sidecars({1: 1.0, 2: 0.9, 3: 0.8, 4: 0.3, 5: 0.3, 6: 0.3, 7: 0.8, 8: 0.9})
    summary, text = shot.report()
    shares = [row.carried for row in summary.rows]
    assert shares == pytest.approx([1.0, 0.9, 0.8, 0.3, 0.3, 0.3, 0.8, 0.9, 0.0], abs=1e-6)
    assert summary.source == "sidecars" and summary.carried == pytest.approx(5.3 / 9)
    assert "no STMap sidecar: nothing is carried here" in summary.rows[8].warnings
    assert "only 30 % rides on a painting" in summary.rows[4].warnings
    assert "59 %" in alone(text).text


def test_the_layer_of_a_rendered_frame_wins(shot: Shot) -> None:
    shot.sidecars({frame: 1.0 for frame in range(1, 10)})
    out = SequencePath.parse(shot.folder / "out.%04d.exr")
    for frame in range(1, 10):
        layer = {"paintover.carried": np.full(SIZE, 0.25, np.float32)}
        images.write(out.path(frame), shot.picture * 0.5, extra=layer)
    summary, text = shot.report(out=out)
    assert summary.source == "layer" and [row.carried for row in summary.rows] == [0.25] * 9
    assert "paintover.carried" in alone(text).text


def test_the_best_of_several_keyframes_counts(shot: Shot) -> None:
    shot.sidecars({frame: 0.4 for frame in range(1, 10)})
    for frame in range(1, 10):
        sidecar(shot.work, 9, frame, 0.7)
    path = shot.folder / "r.html"
    keys = [Keyframe(1, Path("a.png")), Keyframe(9, Path("b.png"))]
    summary = write_report(path, shot.plate, shot.out, None, keys, shot.work, ColorConfig.active(), NoProgress())
    assert summary.carried == pytest.approx(0.7)


# What to paint next


def test_the_next_painting_has_its_reason(shot: Shot) -> None:
    shot.sidecars({1: 1.0, 2: 1.0, 3: 1.0, 4: 0.59, 5: 0.59, 6: 0.59, 7: 1.0, 8: 1.0, 9: 1.0})
    summary, text = shot.report()
    assert summary.advice.frame in (4, 5, 6)
    assert summary.advice.reason.startswith("41 % of frames 4-6 ride on no painting; ")
    assert summary.advice.gain == pytest.approx(3 * 0.41 / 9, abs=0.01)
    page = alone(text)
    assert f"Paint frame {summary.advice.frame} next" in page.text and "41 % of frames 4-6" in page.text


def test_suggest_gives_the_same_advice(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    """A painting of which the alpha covers the left half, and a matte that leaves out the upper half."""
    alpha = np.zeros(SIZE, np.float32)
    alpha[:, : SIZE[1] // 2] = 1.0
    matte = np.ones((*SIZE, 3), np.float32)
    matte[: SIZE[0] // 2] = 0.0
    painted, matted = shot.folder / "painted.png", shot.folder / "matte.png"
    images.write(painted, shot.picture, alpha=alpha, bit_depth="uint8")
    images.write(matted, matte, bit_depth="uint8")
    keyframe = ["--keyframe", f"1={painted},matte={matted}"]
    plate = ["--plate", shot.plate.path.text, "--frames", "1-9", "--work", str(shot.work)]
    for sidecars in (False, True):
        if sidecars:
            for frame in range(1, 10):
                write_sidecar(
                    sidecar_path(shot.work, 1, frame),
                    np.zeros((*SIZE, 2), np.float32),
                    np.full(SIZE, 1.0, np.float32),
                    SIZE,
                )
        assert main(["suggest", *plate, *keyframe, "--count", "1", "--json"]) == 0
        suggested = json.loads(capsys.readouterr().out)
        assert main(["report", *plate, *keyframe, "--out", shot.out.text, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert suggested["painted"][0]["from_sidecars"] == sidecars
        assert suggested["painted"][0]["alone"] == pytest.approx(0.25, abs=0.01)
        assert told["advice"]["frame"] == suggested["suggested"][0]["frame"]
        assert told["advice"]["gain"] == pytest.approx(suggested["suggested"][0]["gain"], abs=1e-4)
        assert "75 % of frames 1-9 ride on no painting" in told["advice"]["reason"]
    # What is measured counts no more than what is planned, and a painting that is partial by intent is no warning.
    assert told["carried"] == pytest.approx(0.25, abs=0.01)
    assert not any(row["warnings"] for row in told["rows"])
    page = alone((shot.work / "report.html").read_text(encoding="utf-8"))
    assert "1 (25 % of the frame)" in page.text


def test_a_damaged_painting_is_named_and_counts_wholly(shot: Shot) -> None:
    (shot.folder / "painted.png").write_bytes(b"broken")
    shot.sidecars({frame: 1.0 for frame in range(1, 10)})
    keys = [Keyframe(1, shot.folder / "painted.png")]
    summary = write_report(
        shot.folder / "r.html", shot.plate, shot.out, None, keys, shot.work, ColorConfig.active(), NoProgress()
    )
    assert summary.carried == 1.0 and len(summary.warnings) == 1
    assert summary.warnings[0].startswith("keyframe 1 counts as painted wholly: frame 1: ")


def test_the_next_painting_has_its_command(shot: Shot) -> None:
    shot.sidecars({1: 1.0, 2: 1.0, 3: 1.0, 4: 0.5, 5: 0.5, 6: 0.5, 7: 1.0, 8: 1.0, 9: 1.0})
    summary, text = shot.report()
    page, frame = alone(text), summary.advice.frame
    command = f"paintover key --plate {shot.plate.path.text} --frames {frame} --out paint.%04d.png"
    assert command in page.text.splitlines() and f"--keyframe {frame}=paint.{frame:04d}.png" in page.text
    # What to do stands before everything else.
    assert page.text.index("What to do next") < page.text.index("Plate and result")


def test_a_shot_that_is_carried_needs_no_painting(shot: Shot) -> None:
    shot.sidecars({frame: 1.0 for frame in range(1, 10)})
    summary, _ = shot.report()
    assert summary.advice.frame is None
    assert summary.advice.reason == "The paintings carry 100 % of the shot, and no other would add 2 %."


def test_without_sidecars_the_page_says_so(shot: Shot) -> None:
    summary, text = shot.report()
    assert (summary.source, summary.carried, summary.advice.frame) == ("none", None, None)
    assert "holds no STMap sidecars" in summary.advice.reason and "run paintover prepare" in summary.advice.reason
    page = alone(text)
    assert "no prepare was run" in page.text and "rides on a painting\n" not in page.text
    summary, _ = shot.report(work=None)
    assert summary.advice.reason.startswith("The frames were rendered without STMap sidecars")


# States


def test_missing_and_damaged_frames_are_shown(shot: Shot) -> None:
    shot.out.path(3).unlink()
    whole = shot.out.path(7).read_bytes()
    shot.out.path(7).write_bytes(whole[: len(whole) // 2])
    summary, text = shot.report()
    states = {row.frame: row.state for row in summary.rows}
    assert states == {f: "missing" if f == 3 else "damaged" if f == 7 else "there" for f in range(1, 10)}
    assert summary.warnings[:2] == ("1 of 9 frames is missing: 3", "1 of 9 frames is damaged: 7")
    for frame in (2, 3, 6, 7):
        assert summary.rows[frame - 1].error is None and summary.rows[frame - 1].plate_error == 0.0
    page = alone(text)
    assert "7 of 9" in page.text and page.text.count("missing") >= 2


def test_frames_are_compared_with_the_look(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    look, other = shot.folder / "hero.onnx", shot.folder / "other.onnx"
    lookfactory.gain(look, 0.5)
    lookfactory.gain(other, 0.25)
    command = ["render", "--plate", shot.plate.path.text, "--work", str(shot.work), "--out", shot.out.text]
    tail = ["--device", "cpu", "--overwrite", "--progress", "none"]
    assert main([*command, "--look", str(look), "--frames", "1-9", *tail]) == 0
    assert main([*command, "--look", str(other), "--frames", "6", *tail]) == 0
    capsys.readouterr()
    summary, text = shot.report(look)
    assert [row.state for row in summary.rows] == ["whole"] * 5 + ["foreign"] + ["whole"] * 3
    assert "1 of 9 frames is of another look, settings or plate: 6" in summary.warnings
    assert "8 of 9" in alone(text).text
    known, _ = shot.report(look, states={frame: "whole" for frame in range(1, 10)})
    assert {row.state for row in known.rows} == {"whole"}


def test_a_missing_plate_frame_is_a_warning(shot: Shot) -> None:
    shot.plate.path.path(4).unlink()
    summary, text = shot.report()
    assert "there is no such image" in summary.rows[3].warnings[0]
    assert summary.rows[3].error is None and summary.rows[2].error is None and summary.rows[0].error == 0.0
    alone(text)


def test_no_frame_at_all_is_an_error(shot: Shot) -> None:
    out = SequencePath.parse(shot.folder / "none.%04d.png")
    with pytest.raises(ImageError) as error:
        shot.report(out=out)
    assert str(error.value) == (f"no rendered frame of 1-9 is on disk ({out.path(1)}); render first, or check --out")
    assert not (shot.folder / "report.html").exists()


# The page itself


def test_the_page_stands_alone(shot: Shot) -> None:
    shot.sidecars({frame: 1.0 - frame / 20 for frame in range(1, 10)})
    _, text = shot.report()
    page = alone(text)
    assert len(page.every("svg")) == 2 and len(page.every("tr")) == 10
    assert all(image.get("alt") for image in page.every("img")) and len(page.every("img")) >= 12
    assert re.search(r"@media \(prefers-color-scheme:\s*dark\)", page.styles) and len(text) < 1_000_000


def test_the_player_has_every_frame(shot: Shot) -> None:
    shot.out.path(3).unlink()
    _, text = shot.report()
    page = alone(text)
    assert [one["frame"] for one in page.reel] == list(range(1, 10)) and "All 9 frames." in page.text
    assert [one["frame"] for one in page.reel if one["painted"]] == [1]
    lost = page.reel[2]
    assert (lost["result"], lost["state"], lost["why"]) == (None, "missing", "missing")
    codes = np.frombuffer(base64.b64decode(page.reel[0]["plate"].split(",")[1]), np.uint8)
    plate = cv2.imdecode(codes, cv2.IMREAD_COLOR)
    # In gray: a JPEG has half of the colors' detail.
    gray = cv2.cvtColor(plate, cv2.COLOR_BGR2GRAY)
    truth = cv2.cvtColor(shot.picture, cv2.COLOR_RGB2GRAY)
    assert plate.shape == (*SIZE, 3) and np.abs(gray - truth * 255).mean() < 3.0
    kinds = [button.get("data-view") for button in page.every("button")]
    assert kinds[:3] == ["plate", "result", "wipe"]


def test_one_frame_has_a_page(shot: Shot) -> None:
    plate = Plate(shot.plate.path, FrameRange.parse("1"))
    summary, text = shot.report(plate=plate)
    page = alone(text)
    assert len(page.reel) == 1 and "One frame." in page.text and page.every("svg") == []
    assert "1 of 1" in page.text and summary.error is None


def test_two_keyframes_and_no_sidecars(shot: Shot) -> None:
    """A static plate: each carries the other, so nothing is left to paint."""
    keys = [Keyframe(1, Path("a.png")), Keyframe(9, Path("b.png"))]
    path = shot.folder / "r.html"
    summary = write_report(path, shot.plate, shot.out, None, keys, shot.work, ColorConfig.active(), NoProgress())
    page = alone(path.read_text(encoding="utf-8"))
    assert summary.advice.frame is None and [one["frame"] for one in page.reel if one["painted"]] == [1, 9]


def test_a_linear_plate_looks_as_its_display_values(shot: Shot) -> None:
    """Half of scene-linear light is code 188 of sRGB, and not 128; what is sRGB already keeps its codes."""
    config = ColorConfig.active()
    linear = SequencePath.parse(shot.folder / "linear.%04d.exr")
    images.write(linear.path(1), np.full((*SIZE, 3), 0.5, np.float32))
    assert Stills(linear, "lin_rec709", config, 64, Showing())(1).rgb.mean() == pytest.approx(188, abs=1)
    through = config.view_forward(
        config.to_working(images.read(linear.path(1)).rgb, "lin_rec709"), *config.default_display_view()
    )
    assert Stills(linear, "lin_rec709", config, 64)(1).rgb.mean() == pytest.approx(through.mean() * 255, abs=1)
    pictures = SequencePath.parse(shot.folder / "picture.%04d.png")
    images.write(pictures.path(1), np.full((*SIZE, 3), 128 / 255, np.float32), bit_depth="uint8")
    assert Stills(pictures, "sRGB", config, 64)(1).rgb.max() == 128


def test_a_hostile_name_is_only_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OCIO", raising=False)
    folder = tmp_path / 'x"><script>alert(1)<'
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system has no such names")
    shot = Shot(folder)
    shot.out.path(2).write_bytes(b"broken")
    sidecar(shot.work, 1, 3, 0.5, (10, 10))
    _, text = shot.report()
    page = alone(text)
    assert '"><script>alert(1)<' in page.text and "alert(1)" not in "".join(page.scripts)
    assert page.every("script") == [{"type": "application/json", "id": "reel"}, {}]
    heading = re.search(r"<h1>(.*)</h1>", text)
    assert heading is not None and html.unescape(heading[1]) == folder.name
    assert "the STMap sidecar is 10x10 and the plate 128x72" in page.text


def test_the_same_frames_give_the_same_page(shot: Shot) -> None:
    shot.sidecars({frame: 0.8 for frame in range(1, 10)})
    assert shot.report()[1] == shot.report(page="again.html")[1]


def test_a_stop_leaves_the_old_page(shot: Shot) -> None:
    shot.report()
    before = (shot.folder / "report.html").read_bytes()

    class Stopped(StopRequest):
        def check(self) -> None:
            raise Interrupted("stopped on request")

    with pytest.raises(Interrupted):
        shot.report(stop=Stopped())
    assert (shot.folder / "report.html").read_bytes() == before
    assert not list(shot.folder.glob(".*"))


def test_charts_keep_gaps_and_escape(shot: Shot) -> None:
    svg = chart([1, 2, 3, 4], [Line("<b>", [0.5, None, 1.0, 0.0], "accent")], title='"t"', top=1.0, percent=True)
    page = Page(svg)
    assert page.open == [] and "frame 1: <b> 50 %" in page.text and "frame 2: nothing measured" in page.text
    assert len(page.every("polyline")) == 1 and len(page.every("circle")) == 3
    assert page.every("svg")[0]["aria-label"] == '"t"'
