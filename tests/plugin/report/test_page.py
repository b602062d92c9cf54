"""The report: its numbers, its states, and a page that needs nothing beside it and trusts no text."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import OpenImageIO as oiio
import pytest

from engine import images
from engine.base.errors import ImageError, Interrupted
from engine.base.frames import FrameRange, SequencePath
from engine.color.config import ColorConfig
from engine.motion.stmap import sidecar_path
from engine.shot.shot import Keyframe, Plate
from plugin.cli import main
from plugin.progress.protocol import NoProgress
from plugin.progress.stop import StopRequest
from plugin.report.charts import Line, chart
from plugin.report.page import Summary, write_report
from tests.support import ROOT, lookfactory

SIZE = (72, 128)
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """A page taken apart: text, tags with attributes, and whether every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += data + "\n"

    def every(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def texture(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    rng = np.random.default_rng(seed)
    layers = sum(
        sigma * cv2.GaussianBlur(rng.standard_normal((*size, 3)).astype(np.float32), (0, 0), sigma)
        for sigma in (1.5, 4, 9)
    )
    return cv2.normalize(layers, None, 0.05, 0.9, cv2.NORM_MINMAX).astype(np.float32)


def sidecar(work: Path, key: int, frame: int, confidence: float, size: tuple[int, int] = SIZE) -> None:
    path = sidecar_path(work, key, frame)
    path.parent.mkdir(parents=True, exist_ok=True)
    spec = oiio.ImageSpec(size[1], size[0], 4, "float")
    spec.channelnames = ("R", "G", "B", "A")
    out = oiio.ImageOutput.create(str(path))
    out.open(str(path), spec)
    out.write_image(np.full((*size, 4), confidence, np.float32))
    out.close()


class Shot:
    """Nine still plates and results that are half as bright; frame 5's result is brighter by 20 codes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder / "work"
        self.work.mkdir()
        self.plate = Plate(SequencePath.parse(folder / "plate.%04d.png"), FrameRange.parse("1-9"))
        self.out = SequencePath.parse(folder / "out.%04d.png")
        self.picture = texture(1)
        for frame in range(1, 10):
            images.write(self.plate.path.path(frame), self.picture, bit_depth="uint8")
            lift = 20 / 255 if frame == 5 else 0.0
            images.write(self.out.path(frame), self.picture * 0.5 + lift, bit_depth="uint8")

    def sidecars(self, shares: dict[int, float]) -> None:
        for frame, share in shares.items():
            sidecar(self.work, 1, frame, share)

    def report(self, look: Path | None = None, page: str = "report.html", **more: object) -> tuple[Summary, str]:
        path = self.folder / page
        keys = [Keyframe(1, Path("painted.png"))]
        given = {"work": self.work, "out": self.out, "plate": self.plate, **more}
        summary = write_report(
            path,
            given.pop("plate"),  # type: ignore[arg-type]
            given.pop("out"),  # type: ignore[arg-type]
            look,
            keys,
            given.pop("work"),  # type: ignore[arg-type]
            ColorConfig.active(),
            NoProgress(),
            **given,  # type: ignore[arg-type]
        )
        return summary, path.read_text(encoding="utf-8")


@pytest.fixture
def shot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shot:
    monkeypatch.delenv("OCIO", raising=False)
    return Shot(tmp_path)


def alone(text: str) -> Page:
    """The page parses, closes its tags, and refers to nothing outside itself."""
    page = Page(text)
    assert page.open == [] and text.startswith("<!DOCTYPE html>")
    assert not {"script", "link", "iframe", "object", "embed", "base"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset", "xlink:href", "action", "background"):
            value = attributes.get(name)
            assert value is None or value.startswith("data:image/jpeg;base64,"), value
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"url\(|@import|https?://", text)
    return page


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
    assert "prefers-color-scheme:dark" in text and len(text) < 1_000_000


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
    assert "<script" not in text and '"><script>alert(1)<' in page.text
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


# The verb


def report(shot: Shot, *more: str) -> list[str]:
    return ["report", "--plate", shot.plate.path.text, "--frames", "1-9", "--work", str(shot.work),
            "--out", shot.out.text, *more]  # fmt: skip


def test_the_verb_writes_the_page_and_warns(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    shot.out.path(3).unlink()
    shot.sidecars({1: 1.0, 2: 1.0, 3: 1.0, 4: 0.5, 5: 0.5, 6: 0.5, 7: 1.0, 8: 1.0, 9: 1.0})
    assert main(report(shot)) == 0
    said = capsys.readouterr()
    assert "paintover: warning: 1 of 9 frames is missing: 3" in said.err
    assert re.search(r"paint frame [456] next: 50 % of frames 4-6 ride on no painting; ", said.out)
    assert f"{shot.work / 'report.html'}: open it in a browser" in said.out
    alone((shot.work / "report.html").read_text(encoding="utf-8"))


def test_json_is_all_of_stdout(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(report(shot, "--json", "--page", str(shot.folder / "p.html"))) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["states"] == {"there": 9} and facts["page"] == str(shot.folder / "p.html")
    assert [row["frame"] for row in facts["rows"]] == list(range(1, 10))
    assert facts["source"] == "none" and (shot.folder / "p.html").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--page", "p.txt"), '"p.txt" does not end in .html; write --page p.html'),
        (("--out", "nothing.%04d.png"), "no rendered frame of 1-9 is on disk (nothing.0001.png)"),
        (("--keyframe", "40=p.png"), "keyframe 40 is outside the frame range 1-9"),
        (("--colorspace", "sRBG"), "unknown colorspace 'sRBG'"),
        (("--look", "none.onnx"), "(none.onnx)"),
    ],
)
def test_wrong_input_is_one_line(
    shot: Shot, words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(report(shot, *words, "--progress", "none")) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and message in lines[0]


def test_it_never_loads_torch() -> None:
    code = "import sys, plugin.verbs.report, plugin.verbs.suggest; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
