"""The Nuke adapter, driven through a stand-in for Nuke: the contract of hosts, and what only Nuke can show."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import lookfactory
import numpy as np
import OpenImageIO
import pytest
from host_contract import FRAMES, HostContract, Stage, Subject
from test_cli import FAKE, picture
from test_job import VERSIONS, interpreter

from engine import images
from plugin import host_errors
from plugin.host_errors import HostError, RequestCancelled, RequestFailed
from plugin.install_nuke import install

pytest.importorskip("tkinter", reason="the stand-in for Nuke reads node text with the Tcl of tkinter")
import nuke_stub
from nuke_stage import ROOT, Nuke, nuke_at

FAKE_TRAINING = f"training_process.COMMAND = (sys.executable, {str(FAKE)!r})"


# The contract


class NukeSubject:
    """The buttons of a node, pressed in Nuke without a window; Cancel needs one."""

    def __init__(self, stage: Stage, nuke: Nuke) -> None:
        self._stage, self._nuke = stage, nuke
        job = stage.job
        nuke.start(gui=False)
        self.node = nuke.node(
            job.plate, (FRAMES[0], FRAMES[-1]), work=job.work, out=job.out, steps=job.steps, device="cpu", follow=False
        )

    def add_keyframe(self, frame: int) -> Path:
        nuke_stub.state.frame = frame
        self._press("add_keyframe")
        return Path(self._stage.job.work) / "paint" / f"{frame:04d}.png"

    def keyframes(self) -> list[int]:
        return [int(word) for word in str(self.node["keyframes"].value()).split()]

    def train(self, cancel: bool = False) -> Path:
        if cancel:
            return self._train_and_cancel()
        self._press("train")
        return Path(self._stage.job.look_path)

    def render(self, frames: str | None = None) -> None:
        self.node["frames"].setValue(frames or "")
        try:
            self._press("render")
        finally:
            self.node["frames"].setValue("")

    def states(self) -> Mapping[int, tuple[str, str]]:
        self._press("refresh")
        host = self._nuke.host(self.node)
        found = {}
        for frame in FRAMES:
            state = self._nuke.part("nuke_host").SHOWN.state(host.job(), frame)
            found[frame] = (state.state, state.reason)
            nuke_stub.state.frame = frame
            assert (nuke_stub.shown(self.node) is not None) == state.shown
        return found

    def close(self) -> None:
        """The stand-in ends with its context."""

    def _press(self, button: str) -> None:
        os.environ.update({name: self._stage.environment[name] for name in self._stage.environment})
        try:
            self._nuke.press(self.node, button)
        except RuntimeError as error:
            raise translated(error) from error

    def _train_and_cancel(self) -> Path:
        os.environ.update({name: self._stage.environment[name] for name in self._stage.environment})
        nuke_stub.env["gui"] = True
        nuke_stub.state.cancel_when = lambda title, percent: "Training" in title and percent > 5
        try:
            self._nuke.press(self.node, "train")
        finally:
            nuke_stub.env["gui"] = False
        assert nuke_stub.state.messages == [], "what the artist asked for is no error"
        raise RequestCancelled(str(self.node["status"].value()))


def translated(error: RuntimeError) -> HostError:
    """What the shim's copy of the client raised, as this process's classes have it."""
    cause: Any = error.__cause__
    kind = getattr(host_errors, type(cause).__name__)
    if kind is RequestFailed:
        return RequestFailed(str(cause), cause.exit_code)
    made: HostError = kind(str(cause))
    assert made.exit_code == cause.exit_code and "\n" not in str(error)
    return made


class TestNuke(HostContract):
    """The node's own buttons."""

    @pytest.fixture
    def stage(self, tmp_path: Path) -> Stage:
        made = Stage(tmp_path)
        # What a project in ACEScg says for an empty knob.
        made.job = replace(made.job, out_colorspace="ACEScg")
        return made

    @pytest.fixture
    def subject(self, stage: Stage) -> Iterator[Subject]:
        with nuke_at(stage.folder, stage.environment, FAKE_TRAINING) as nuke:
            yield NukeSubject(stage, nuke)


# What the knobs give


@pytest.fixture
def nuke(tmp_path: Path) -> Iterator[Nuke]:
    with nuke_at(tmp_path) as made:
        made.start(gui=True)
        yield made


def job_of(nuke: Nuke, node: Any, view: str | None = None) -> Any:
    return nuke.host(node, view).job()


def test_an_untouched_node_takes_everything_from_the_read_and_the_project(nuke: Nuke) -> None:
    nuke_stub.state.root["name"].setValue("/shots/a/comp.nk")
    node = nuke.node("/shots/a/plate.####.exr", (1001, 1100))
    node.input(0)["colorspace"].setValue("default (ACES2065-1)")
    job = job_of(nuke, node)
    assert (job.plate, job.frames, job.colorspace) == ("/shots/a/plate.####.exr", "1001-1100", "ACES2065-1")
    assert job.work == "/shots/a/paintover/Paintover1" and job.look is None
    assert job.out == "/shots/a/paintover/Paintover1/out/out.%04d.exr"
    assert (job.out_colorspace, job.budget_s, job.steps, job.tile) == ("ACEScg", 60.0, None, None)
    assert (job.carried, job.guides, job.keyframes, job.host) == (False, True, (), "Nuke 16.0v3")
    node.input(0)["raw"].setValue(True)
    assert job_of(nuke, node).colorspace == "ACEScg", "a raw Read is taken to hold the working space"


def test_knobs_that_are_filled_in_count(nuke: Nuke, tmp_path: Path) -> None:
    (tmp_path / "m.1040.png").write_bytes(b"")
    node = nuke.node(
        "/a/p.%04d.exr", (1, 9), work="/w", out="/o/o.%04d.exr", look="/l/hero.onnx", frames="1-9x2", steps=20, seed=7,
        keyframes="1001, 1040", paintings="/paint/v2/%04d.tif", matte=str(tmp_path / "m.%04d.png"), tile=512,
        colorspace_in="sRGB - Texture", colorspace_out="ACES2065-1", ocio="/c/studio.ocio", carried=True, follow=False,
    )  # fmt: skip
    job = job_of(nuke, node)
    assert (job.frames, job.look_path, job.steps, job.budget_s, job.seed) == ("1-9x2", "/l/hero.onnx", 20, None, 7)
    assert [(k.frame, k.painting, k.matte) for k in job.keyframes] == [
        (1001, "/paint/v2/1001.tif", None),
        (1040, "/paint/v2/1040.tif", str(tmp_path / "m.1040.png")),
    ]
    assert (job.colorspace, job.out_colorspace, job.ocio) == ("sRGB - Texture", "ACES2065-1", "/c/studio.ocio")
    assert (job.tile, job.carried, job.guides) == (512, True, False)


def test_the_project_s_color_config_is_found(nuke: Nuke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = nuke.node("/a/p.%04d.exr", (1, 9), work="/w", out="/o/o.%04d.exr")
    assert job_of(nuke, node).ocio is None
    nuke_stub.env["ExecutablePath"] = str(tmp_path / "Nuke16.0")
    config = tmp_path / "plugins" / "OCIOConfigs" / "configs" / "aces_1.2" / "config.ocio"
    config.parent.mkdir(parents=True)
    config.write_text("")
    nuke_stub.state.root["OCIO_config"].setValue("aces_1.2")
    assert job_of(nuke, node).ocio == str(config)
    nuke_stub.state.root["OCIO_config"].setValue("custom")
    nuke_stub.state.root["customOCIOConfigPath"].setValue("/studio/[file tail /x/config.ocio]")
    assert job_of(nuke, node).ocio == "/studio/config.ocio"
    monkeypatch.setenv("OCIO", "/farm/config.ocio")
    assert job_of(nuke, node).ocio == "/farm/config.ocio"


def test_proxy_mode_reads_the_full_size_files(nuke: Nuke) -> None:
    node = nuke.node("/a/full.%04d.exr", (1, 9), work="/w", out="/o/o.%04d.exr")
    node.input(0)["proxy"].setValue("/a/half.%04d.jpg")
    before = job_of(nuke, node)
    nuke_stub.state.root["proxy"].setValue(True)
    assert job_of(nuke, node) == before and before.plate == "/a/full.%04d.exr"


@pytest.mark.parametrize(
    ("file", "plate"),
    [
        ("/a/p.[frame].exr", "/a/p.%d.exr"),
        ("/a/p.[format %04d [frame]].exr", "/a/p.%04d.exr"),
        ('/a/p.[format "%06d" [ frame ]].exr', "/a/p.%06d.exr"),
        ("[file dirname [value root.name]]/p.%04d.exr", "/shots/a/p.%04d.exr"),
        ("[file dirname [value root.name]]/p.[format %04d [frame]].exr", "/shots/a/p.%04d.exr"),
        ("/a/it's {odd} $x.%04d.exr", "/a/it's {odd} $x.%04d.exr"),
    ],
)
def test_a_sequence_stays_a_sequence(nuke: Nuke, file: str, plate: str) -> None:
    nuke_stub.state.root["name"].setValue("/shots/a/comp.nk")
    node = nuke.node(file, (1, 9), work="/w", out="/o/o.%04d.exr")
    for frame in (1, 7):
        nuke_stub.state.frame = frame
        assert job_of(nuke, node).plate == plate


def test_views_have_files_of_their_own(nuke: Nuke) -> None:
    nuke_stub.state.views = ["left", "right"]
    node = nuke.node("/a/p_%V.%04d.exr", (1, 9), work="/w/%V", out="/o/%v/o.%04d.exr")
    left, right = (job_of(nuke, node, view) for view in ("left", "right"))
    assert (left.plate, left.work, left.out) == ("/a/p_left.%04d.exr", "/w/left", "/o/l/o.%04d.exr")
    assert (right.plate, right.work, right.out) == ("/a/p_right.%04d.exr", "/w/right", "/o/r/o.%04d.exr")
    assert [host.view for host in nuke.host(node).by_view()] == ["left", "right"]
    node["out"].setValue("/o/o.%04d.exr")
    with pytest.raises(Exception, match=r"knob out of Paintover1 does not: .*; put %V into it"):
        job_of(nuke, node)
    node["plate"].setValue("/a/p.%04d.exr")
    node["work"].setValue("/w")
    assert len(nuke.host(node).by_view()) == 1


def between(nuke: Nuke, node: Any, kind: str) -> Any:
    made = nuke_stub.createNode(kind)
    made.setInput(0, node.input(0))
    node.setInput(0, made)
    return made


def test_what_the_files_do_not_show_is_refused(nuke: Nuke) -> None:
    node = nuke.node("/a/p.%04d.exr", (1, 9), work="/w", out="/o/o.%04d.exr")
    between(nuke, node, "Dot")
    assert job_of(nuke, node).plate == "/a/p.%04d.exr"
    grade = between(nuke, node, "Grade")
    with pytest.raises(Exception, match=r"Grade1 lies between Paintover1 and its Read.*; move Grade1 below"):
        job_of(nuke, node)
    grade["disable"].setValue(True)
    assert job_of(nuke, node).plate == "/a/p.%04d.exr"
    nuke_stub.state.nodes["Read1"]["frame"].setValue("frame+100")
    with pytest.raises(Exception, match="Read1 shifts its frames"):
        job_of(nuke, node)
    node["plate"].setValue("/a/q.%04d.exr")
    assert (job_of(nuke, node).plate, job_of(nuke, node).frames) == ("/a/q.%04d.exr", "1-100")


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"work": ""}, "the knob work of Paintover1 is empty; save the script, or give a folder"),
        ({"work": "paint"}, 'the knob work of Paintover1 gives "paint", which is no whole path'),
        ({"out": "[value nowhere.x]/o.%04d.exr"}, "the knob out of Paintover1 holds .*cannot be evaluated"),
        ({"keyframes": "12 thirteen"}, '"thirteen" is no frame and no range'),
        ({"frames": "9-1"}, '"9-1" ends before it begins; write 1-9'),
        ({"budget": 1.0}, "budget_s is 1, the least is 5"),
        ({"keyframes": "3", "paintings": "rel.%04d.png"}, "the knob paintings of Paintover1"),
    ],
)
def test_a_wrong_knob_is_named(nuke: Nuke, knobs: dict[str, Any], said: str) -> None:
    node = nuke.node("/a/p.%04d.exr", (1, 9), **{"work": "/w", "out": "/o/o.%04d.exr", **knobs})
    with pytest.raises(nuke.part("client.host_errors").HostError, match=said) as caught:
        job_of(nuke, node)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2


def test_ranges_are_those_of_the_command_line(nuke: Nuke) -> None:
    from engine.frames import FrameRange, SequencePath

    patterns = nuke.part("patterns")
    for text in ("1-9x2", "1-9:4", "5", "-3-2", "-9--5", "1-3,7,9-12x3", " 1001 - 1003 ".replace(" ", "")):
        frames = FrameRange.parse(text)
        assert sorted(patterns.frame_list(text)) == list(frames), text
        assert patterns.range_ends(text)[0] == frames.first, text
    for pattern in (
        "/a/p.%04d.exr",
        "/a/p.####.exr",
        "/a/p.@@@.exr",
        "/a/p.$F4.exr",
        "/a_%02d/p%d.exr",
        "/a/p.%6d.png",
    ):
        for frame in (7, 12345, -5):
            assert patterns.frame_path(pattern, frame) == str(SequencePath.parse(pattern).path(frame)), pattern


@pytest.mark.parametrize(
    ("label", "display_and_view"),
    [
        ("sRGB (ACES)", ("ACES", "sRGB")),
        ("ACES 2.0 - SDR 100 nits (Rec.709) (sRGB - Display)", ("sRGB - Display", "ACES 2.0 - SDR 100 nits (Rec.709)")),
        ("Film (Display (P3))", ("Display (P3)", "Film")),
        ("rec709", (None, "rec709")),
        ("None", (None, None)),
    ],
)
def test_frames_are_painted_under_the_viewer_s_transform(
    nuke: Nuke, label: str, display_and_view: tuple[str | None, str | None]
) -> None:
    node = nuke.node("/a/p.%04d.exr", (1, 9), work="/w", out="/o/o.%04d.exr")
    nuke_stub.state.root["monitorLut"].setValue("Film (P3)")
    viewer = nuke_stub.createNode("Viewer")
    viewer["viewerProcess"].setValue(label)
    nuke_stub.state.viewer = nuke_stub._Viewer(viewer)
    assert nuke.host(node).painting_view() == display_and_view
    nuke_stub.state.viewer = None
    assert nuke.host(node).painting_view() == ("P3", "Film")


# What is shown


@pytest.fixture
def shot(tmp_path: Path) -> Path:
    for frame in FRAMES:
        picture(tmp_path / f"plate.{frame:04d}.png", seed=frame)
    lookfactory.gain(tmp_path / "hero.onnx", 0.5)
    return tmp_path


def on_plate(nuke: Nuke, folder: Path, **knobs: Any) -> Any:
    """A node with a look that is trained already."""
    work, out, look = (str(folder / name) for name in ("work", "out/out.%04d.exr", "hero.onnx"))
    given = {"work": work, "out": out, "look": look, "device": "cpu", **knobs}
    return nuke.node(str(folder / "plate.%04d.png"), (0, 3), **given)


def at(frame: int, node: Any) -> tuple[str | None, str]:
    """The file shown at a frame, and the reason why not."""
    nuke_stub.state.frame = frame
    notice = node.children["Notice"]
    return nuke_stub.shown(node), nuke_stub.evaluated(str(notice["message"].value()), notice)


def test_nothing_stale_is_shown_even_before_refresh(nuke: Nuke, shot: Path) -> None:
    """Everything that a frame depends on changes once; the node notices without being told."""
    node = on_plate(nuke, shot)
    assert at(1, node)[0] is None and "press Refresh" in at(1, node)[1]
    nuke.press(node, "render")
    result = node.children["Result"]
    assert [at(frame, node) for frame in FRAMES] == [(str(shot / f"out/out.{n:04d}.exr"), "") for n in FRAMES]
    assert (result["first"].value(), result["last"].value(), result["colorspace"].value()) == (0, 3, "ACEScg")
    assert result["reload"].executed == 1 and node["status"].value() == "4 of 4 frames shown"
    assert at(4, node)[0] is None, "the last frame is not held"

    changes = {
        "the plate": shot / "plate.0001.png",
        "the frame": shot / "out" / "out.0001.exr",
        "the look": shot / "hero.onnx",
        "a new map": shot / "work" / "stmap" / "key_0000" / "0001.exr",
    }
    for what, path in changes.items():
        kept = path.read_bytes() if path.is_file() else None
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((kept or b"") + b"x")
        shown, why = at(1, node)
        assert shown is None and "changed on disk: press Refresh" in why, what
        if kept is None:
            path.unlink()
        else:
            path.write_bytes(kept)
        os.utime(path, ns=(1, 1)) if path.exists() else None
        assert (at(1, node)[0] is None) == (kept is not None), "another time is another file"
        nuke.press(node, "refresh")
        assert at(1, node)[0] is not None, what

    node["carried"].setValue(True)
    assert at(1, node) == (None, "frame 1 was not looked at yet: press Refresh")
    nuke.press(node, "refresh")
    assert "rendered with other settings" in at(1, node)[1]
    node["carried"].setValue(False)
    node["colorspace_out"].setValue("ACES2065-1")
    assert "the knobs changed" in at(1, node)[1]


def test_what_changes_while_it_is_checked_is_not_taken_for_checked(
    nuke: Nuke, shot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long sequence takes a minute to check, and a farm writes meanwhile."""
    node = on_plate(nuke, shot)
    nuke.press(node, "render")
    client = nuke.part("client.worker_client").WorkerClient
    check = client.states

    def slow(self: Any, job: Any, frames: str | None = None) -> Any:
        answer = check(self, job, frames)
        (shot / "out" / "out.0002.exr").write_bytes((shot / "out" / "out.0001.exr").read_bytes())
        return answer

    monkeypatch.setattr(client, "states", slow)
    nuke.press(node, "refresh")
    assert [at(frame, node)[0] is not None for frame in FRAMES] == [True, True, False, True]
    monkeypatch.undo()
    nuke.press(node, "refresh")
    assert "the plate's frame 2 changed" in at(2, node)[1]


def test_a_missing_frame_fails_with_its_reason_or_says_it_in_the_viewer(nuke: Nuke, shot: Path) -> None:
    node = on_plate(nuke, shot)
    nuke.press(node, "refresh")
    nuke_stub.state.frame = 2
    switch, missing = node.children["Shown"], node.children["NotShown"]
    assert switch["which"].value() == 0
    assert missing["file"].getEvaluatedValue() == f"{shot}/out/out.0002.exr (frame 2 is not rendered yet)"
    assert "4 frames shown; frame 0 is not rendered yet" in node["status"].value()
    node["missing"].setValue("notice")
    assert switch["which"].value() == 2 and at(2, node)[1] == "frame 2 is not rendered yet"
    nuke_stub.state.executing = True
    assert switch["which"].value() == 0, "a render never takes the notice for the frame"
    nuke_stub.state.executing = False
    nuke_stub.env["gui"] = False
    assert switch["which"].value() == 0


def test_what_was_checked_is_known_to_the_next_nuke_and_nothing_else_is(nuke: Nuke, shot: Path) -> None:
    nuke.press(on_plate(nuke, shot, frames="0-1"), "render")
    nuke.close()
    nuke.start(gui=False)
    node = on_plate(nuke, shot)
    nuke.host(node).point_result(nuke.host(node).job())
    assert [at(frame, node)[0] is not None for frame in FRAMES] == [True, True, False, False]
    (record,) = (shot / "work" / "nuke").glob("shown-*.json")
    record.write_text(record.read_text()[:-9])
    nuke.part("nuke_host").SHOWN.forget()
    assert at(0, node)[0] is None


def test_a_colorspace_that_nuke_does_not_take_is_said(nuke: Nuke, shot: Path) -> None:
    """The frames are whole, but a Read would show them as something else."""
    nuke_stub.state.unknown_spaces = ("ACES2065-1",)
    node = on_plate(nuke, shot, colorspace_out="ACES2065-1", frames="1")
    nuke.press(node, "render")
    assert (shot / "out" / "out.0001.exr").is_file() and at(1, node)[0] is None
    (said,) = nuke_stub.state.messages
    assert "Nuke does not take ACES2065-1 as a file's colorspace; fill in colorspace out of Paintover1" in said
    node.children["Result"]["colorspace"].setValue("ACEScg (linear)")
    node["colorspace_out"].setValue("")
    nuke.press(node, "render")
    assert at(1, node)[0] is not None


# Work beside Nuke


def test_work_goes_on_beside_nuke_and_touches_nodes_in_its_main_thread_alone(nuke: Nuke, shot: Path) -> None:
    """The stand-in raises where another thread touches a knob."""
    node = on_plate(nuke, shot)
    nuke_stub.state.frame = 3
    node["add_keyframe"].execute()
    assert nuke.part("buttons").at_work("Paintover1")
    node["render"].execute()
    assert nuke_stub.state.messages == ["Paintover1: Paintover1 is at work already; wait for it, or press Cancel"]
    deadline = time.monotonic() + 60
    while nuke.part("buttons").at_work("Paintover1") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert node["keyframes"].value() == "", "nothing is touched until the main thread has its turn"
    nuke_stub.pump()
    assert node["keyframes"].value() == "3"
    assert (shot / "work" / "paint" / "0003.png").is_file()
    node["paintings"].setValue("/server/paint.%04d.png")
    nuke_stub.state.frame = 2
    nuke.press(node, "add_keyframe")
    assert node["keyframes"].value() == "2 3"
    assert node["status"].value() == (
        f"paint on {shot}/work/paint/0002.png and save it as /server/paint.0002.png, where this node looks for it"
    )


def test_quitting_stops_training_in_good_order(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    with nuke_at(tmp_path, {**stage.environment, "FAKE_TRAINING": "endless"}, FAKE_TRAINING) as nuke:
        nuke.start(gui=True)
        node = on_plate(nuke, tmp_path, look="", follow=False, steps=40)
        nuke.press(node, "add_keyframe", until=lambda: node["keyframes"].value() == "1")
        node["train"].execute()
        deadline = time.monotonic() + 60
        while not any("Training" in title and percent > 5 for title, percent in nuke_stub.state.progress):
            assert nuke.part("buttons").at_work("Paintover1") and time.monotonic() < deadline
            time.sleep(0.01)
        nuke.part("buttons").quit_work()
        assert not nuke.part("buttons").at_work("Paintover1")
        assert (tmp_path / "work" / "look.onnx").is_file()


def test_a_worker_that_gave_up_is_started_again_by_the_next_button(
    nuke: Nuke, shot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = on_plate(nuke, shot)
    good = os.environ["PAINTOVER_COMMAND"]
    (shot / "dies.py").write_text("raise SystemExit('no memory')")
    monkeypatch.setenv("PAINTOVER_COMMAND", f'"{sys.executable}" "{shot / "dies.py"}"')
    nuke.press(node, "refresh")
    (said,) = nuke_stub.state.messages
    assert "ended by itself twice in a row" in said and "no memory" in said
    monkeypatch.setenv("PAINTOVER_COMMAND", good)
    nuke.press(node, "render")
    assert len(nuke_stub.state.messages) == 1 and at(0, node)[0] is not None


def test_an_error_is_shown_once_and_in_one_line(nuke: Nuke, shot: Path) -> None:
    node = on_plate(nuke, shot, look=str(shot / "none.onnx"))
    nuke.press(node, "render")
    (said,) = nuke_stub.state.messages
    assert "none.onnx" in said and "\n" not in said
    assert str(node["status"].value()).startswith("<b>error:</b> ")
    nuke.press(node, "build_cat")
    assert nuke_stub.state.messages[1:] == [
        f"Paintover1: there is no look at {shot}/none.onnx; train one, or name another"
    ]


def test_the_preview_comes_under_a_new_name_each_time(nuke: Nuke, shot: Path) -> None:
    host = nuke.host(on_plate(nuke, shot))
    shown = []
    for seed in range(3):
        picture(shot / "preview.png", seed=seed)
        host.show_preview(str(shot / "preview.png"))
        shown.append(str(host.node["preview"].value()))
    assert shown[0] == f'<img src="{shot}/preview.nuke1.png" width="480">' and shown[0] != shown[1]
    assert (shot / "preview.nuke1.png").read_bytes() == (shot / "preview.png").read_bytes()


def test_the_farm_gets_a_command_line_that_it_understands(nuke: Nuke, shot: Path) -> None:
    from plugin.cli import _verb

    node = on_plate(nuke, shot, keyframes="1", engine="slurm", farm_options="--chunk 20", carried=True)
    words = nuke.part("buttons").submit_words(nuke.host(node))
    options = _verb("submit").parser().read(words[1:])
    assert (options.engine, options.chunk, options.plate) == ("slurm", 20, str(shot / "plate.%04d.png"))
    assert options.keyframes == [f"1={shot}/work/paint/0001.png"]
    assert (options.budget, options.carried, options.frames, options.device) == (60.0, True, "0-3", "cpu")
    assert (options.out, options.look) == (str(shot / "out" / "out.%04d.exr"), str(shot / "hero.onnx"))
    node["keyframes"].setValue("")
    assert not [word for word in nuke.part("buttons").submit_words(nuke.host(node)) if "keyframe" in word]
    node["farm_options"].setValue('--name "open')
    with pytest.raises(Exception, match="knob farm_options cannot be read"):
        nuke.part("buttons").submit_words(nuke.host(node))


# Renders, with a window and without


def opened(path: Path) -> Any:
    """An image's header, as another reader has it."""
    file = OpenImageIO.ImageInput.open(str(path))
    try:
        return file.spec()
    finally:
        file.close()


def test_frames_have_the_windows_and_layers_of_an_overscanned_plate(nuke: Nuke, shot: Path) -> None:
    spec = OpenImageIO.ImageSpec(48, 40, 4, "half")
    spec.x, spec.y = -8, -8
    spec.full_x, spec.full_y, spec.full_width, spec.full_height = 0, 0, 32, 24
    spec.attribute("PixelAspectRatio", 2.0)
    pixels = np.random.default_rng(1).random((40, 48, 4), np.float32)
    for frame in FRAMES:
        buffer = OpenImageIO.ImageBuf(spec)
        buffer.set_pixels(OpenImageIO.ROI(-8, 40, -8, 32, 0, 1, 0, 4), pixels)
        assert buffer.write(str(shot / f"wide.{frame:04d}.exr"))
    nuke.start(gui=False)
    node = on_plate(nuke, shot, frames="0", carried=True)
    node["plate"].setValue(str(shot / "wide.%04d.exr"))
    nuke_stub.state.root["proxy"].setValue(True)
    nuke.press(node, "render")
    assert at(0, node)[0] is not None
    plate, result = (opened(shot / name) for name in ("wide.0000.exr", "out/out.0000.exr"))
    for name in ("x", "y", "width", "height", "full_x", "full_y", "full_width", "full_height"):
        assert getattr(result, name) == getattr(plate, name), name
    assert result.get_float_attribute("PixelAspectRatio") == 2.0
    assert "paintover.carried" in result.channelnames and "A" in result.channelnames


def write_below(node: Any) -> Any:
    write = nuke_stub.createNode("Write")
    dot = nuke_stub.createNode("Dot")
    dot.setInput(0, node)
    write.setInput(0, node)
    write.setInput(1, dot)
    return write


def test_on_demand_each_frame_is_made_before_it_is_asked_for(nuke: Nuke, shot: Path) -> None:
    nuke.start(gui=False)
    node = on_plate(nuke, shot, mode="on_demand")
    assert nuke_stub.render(write_below(node), 1, 2) == [1, 2]
    assert [(shot / "out" / f"out.{n:04d}.exr").is_file() for n in FRAMES] == [False, True, True, False]
    assert nuke.part("buttons").shared_worker().starts == 1, "the worker stays warm"
    assert not (shot / "work" / "nuke").exists(), "machines of a farm do not write one record"
    (shot / "plate.0003.png").unlink()
    with pytest.raises(RuntimeError, match=r"^Paintover: Paintover1: .*frame 3") as caught:
        nuke_stub.render(write_below(node), 3, 3)
    assert "\n" not in str(caught.value)


def test_a_render_of_frames_checks_each_and_stops_at_the_first_that_is_not_right(nuke: Nuke, shot: Path) -> None:
    nuke.start(gui=False)
    node = on_plate(nuke, shot, frames="0-1")
    nuke.press(node, "render")
    node["frames"].setValue("")
    nuke.part("nuke_host").SHOWN.forget()
    write = write_below(node)
    assert nuke_stub.render(write, 0, 1) == [0, 1]
    with pytest.raises(RuntimeError, match=r"frame 2 is not rendered yet \(.*out\.0002\.exr\)"):
        nuke_stub.render(write, 0, 3)
    images.write(shot / "out" / "out.0001.exr", np.zeros((24, 32, 3), np.float32))
    with pytest.raises(RuntimeError, match="frame 1 was not rendered by Paintover"):
        nuke_stub.render(write, 0, 1)
    node["disable"].setValue(True)
    for callback in nuke_stub.state.before_frame:
        with nuke_stub._this(write):
            callback()


def asked(nuke: Nuke, below: Any, frame: int) -> list[tuple[str, int | None]]:
    write = nuke_stub.createNode("Write")
    write.setInput(0, below)
    found = nuke.part("above").asked_above(write, frame, nuke_stub.toNode)
    return [(one.node.name(), one.frame) for one in found]


def over(below: Any, kind: str, **knobs: Any) -> Any:
    made = nuke_stub.createNode(kind)
    made.setInput(0, below)
    for name, value in knobs.items():
        made[name].setValue(value)
    return made


def test_a_write_asks_for_the_frames_that_it_needs(nuke: Nuke, shot: Path) -> None:
    node = on_plate(nuke, shot)
    assert asked(nuke, over(node, "TimeOffset", time_offset=100), 103) == [("Paintover1", 3)]
    assert asked(nuke, over(over(node, "TimeOffset", time_offset=1), "TimeOffset", time_offset=10), 13) == [
        ("Paintover1", 2)
    ]
    assert asked(nuke, over(node, "FrameHold", first_frame=2), 50) == [("Paintover1", 2)]
    assert asked(nuke, over(node, "FrameHold", first_frame=1, increment=4), 12) == [("Paintover1", 9)]
    assert asked(nuke, over(over(node, "TimeWarp"), "TimeOffset", time_offset=1), 5) == [("Paintover1", None)]
    assert asked(nuke, over(node, "TimeOffset", time_offset=100, disable=True), 3) == [("Paintover1", 3)]
    other = on_plate(nuke, shot)
    switch = over(node, "Switch", which=1)
    switch.setInput(1, other)
    assert asked(nuke, switch, 5) == [("Paintover2", 5)], "what a switch does not show is not asked for"
    both = over(node, "Grade")
    both.setInput(1, other)
    assert asked(nuke, both, 5) == [("Paintover1", 5), ("Paintover2", 5)]
    node["disable"].setValue(True)
    assert asked(nuke, both, 5) == [("Paintover2", 5)]


def test_groups_are_looked_into_and_out_of(nuke: Nuke, shot: Path) -> None:
    """A studio's Write lies in a group of its own, and so may what is above it."""
    node = on_plate(nuke, shot)
    (group,) = nuke_stub.load_text(
        "Group {\n name Out\n}\n Input {\n  inputs 0\n  name In\n }\n Grade {\n  name G\n }\n"
        " Write {\n  name W\n }\n Output {\n  name O\n }\nend_group\n"
    )
    nuke_stub.state.nodes["Out"] = group
    group.setInput(0, node)
    find = nuke.part("above").asked_above
    assert [one.node.name() for one in find(group.children["W"], 1, nuke_stub.toNode)] == ["Paintover1"]
    assert asked(nuke, group, 2) == [("Paintover1", 2)]
    group["disable"].setValue(True)
    assert asked(nuke, group, 2) == [("Paintover1", 2)]


def test_where_time_is_changed_nothing_is_guessed(nuke: Nuke, shot: Path) -> None:
    nuke.start(gui=False)
    node = on_plate(nuke, shot, mode="on_demand")
    warp = over(node, "TimeWarp")
    write = over(warp, "Write")
    with pytest.raises(RuntimeError, match="TimeWarp1 changes time, so that nobody knows which frame to render"):
        nuke_stub.render(write, 1, 1)
    node["mode"].setValue("frames")
    with nuke_stub._this(write):
        for callback in nuke_stub.state.before_frame:
            callback()
    assert nuke_stub.shown(node) is None


def test_a_machine_without_paintover_uses_what_was_checked_and_only_that(
    nuke: Nuke, shot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nuke.press(on_plate(nuke, shot, frames="0-1"), "render")
    nuke.close()
    nuke.start(gui=False)
    node = on_plate(nuke, shot)
    monkeypatch.setenv("PAINTOVER_COMMAND", str(shot / "no-such-program"))
    assert nuke_stub.render(write_below(node), 0, 1) == [0, 1]
    with pytest.raises(RuntimeError, match=r"frame 2 was not looked at yet.*which is no program"):
        nuke_stub.render(write_below(node), 2, 2)


def test_without_a_window_nothing_asks_for_one(nuke: Nuke, shot: Path) -> None:
    nuke.start(gui=False)
    assert nuke_stub.state.menu == {} and len(nuke_stub.state.before_frame) == 1
    node = on_plate(nuke, shot)
    nuke.press(node, "render")
    assert nuke_stub.state.messages == [] and nuke_stub.state.progress == []
    assert [line for line in nuke_stub.state.said if "Rendering 0-3 100%" in line]
    node["look"].setValue(str(shot / "none.onnx"))
    with pytest.raises(RuntimeError, match=r"^Paintover: Paintover1: .*none\.onnx"):
        nuke.press(node, "render")
    nuke.start(gui=True)
    assert nuke_stub.state.menu == {"Paintover": 'nuke.createNode("Paintover")'}


# Every Python of a Nuke


@pytest.mark.parametrize("version", VERSIONS)
def test_every_python_of_a_nuke_renders_and_shows(shot: Path, version: str) -> None:
    """The installed files alone in this Python; the worker is ours, found by the variable."""
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine")
    if subprocess.run([python, "-c", "import tkinter"], capture_output=True).returncode:
        pytest.skip(f"Python {version} has no tkinter, which the stand-in reads node text with")
    install(shot / ".nuke")
    script = shot / "comp.py"
    script.write_text(
        "import sys\n"
        f"sys.path.append({str(shot)!r})\n"
        "import stub_copy as stub\n"
        "from pathlib import Path\n"
        f"folder = {str(shot)!r}\n"
        "stub.start(Path(folder) / '.nuke', gui=False)\n"
        "stub.state.root['workingSpaceLUT'].setValue('ACEScg')\n"
        "read = stub.createNode('Read')\n"
        "read['file'].setValue(folder + '/plate.%04d.png')\n"
        "read['last'].setValue(3)\n"
        "node = stub.createNode('Paintover')\n"
        "node.setInput(0, read)\n"
        "for name in ('work', 'look', 'out'):\n"
        "    place = {'work': '/work', 'look': '/hero.onnx', 'out': '/out.%04d.exr'}[name]\n"
        "    node[name].setValue(folder + place)\n"
        "node['device'].setValue('cpu')\n"
        "node['add_keyframe'].execute()\n"
        "node['frames'].setValue('1')\n"
        "node['render'].execute()\n"
        "node['frames'].setValue('')\n"
        "node['refresh'].execute()\n"
        "for frame in (1, 2):\n"
        "    stub.state.frame = frame\n"
        "    print(frame, stub.shown(node) is not None)\n"
        "print(node['keyframes'].value(), '%d.%d' % sys.version_info[:2])\n"
    )
    (shot / "stub_copy.py").write_bytes((ROOT / "tests" / "nuke_stub.py").read_bytes())
    starter = shot / "starter.py"
    starter.write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom plugin.cli import main\nsys.exit(main())\n"
    )
    environment = {**os.environ, "PAINTOVER_COMMAND": f'"{sys.executable}" "{starter}"', "PYTHONHOME": ""}
    done = subprocess.run(
        [python, "-s", "-S", str(script)], env=environment, capture_output=True, text=True, cwd=shot
    )  # fmt: skip
    assert (done.stdout, done.stderr) == (f"1 True\n2 False\n1 {version}\n", "")


# The whole way, with real training


@pytest.mark.slow
def test_add_a_keyframe_train_render_refresh(tmp_path: Path) -> None:
    """Nothing is faked but Nuke: a plate that moves, a painter who darkens it, seconds of training."""
    pytest.importorskip("torch", reason="training is not installed")
    from procedural import plate

    for frame in range(3):
        images.write(tmp_path / f"plate.{frame:04d}.exr", plate(96, 128, shift=3 * frame), bit_depth="half")
    with nuke_at(tmp_path) as nuke:
        nuke.start(gui=True)
        nuke_stub.state.root["name"].setValue(str(tmp_path / "comp.nk"))
        node = nuke.node(str(tmp_path / "plate.%04d.exr"), (0, 2), steps=12, device="cpu", carried=True)
        node.input(0)["colorspace"].setValue("default (ACEScg)")
        work = tmp_path / "paintover" / "Paintover1"
        nuke_stub.state.frame = 1
        nuke.press(node, "add_keyframe")
        painting = work / "paint" / "0001.png"
        painted = images.read(painting)
        images.write(painting, painted.rgb * np.array([0.4, 0.9, 1.0], np.float32), bit_depth="uint16")
        nuke.press(node, "train")
        assert nuke_stub.state.messages == []
        assert (work / "look.onnx").is_file() and "<img src=" in node["preview"].value()
        titles = {title for title, _ in nuke_stub.state.progress}
        assert any("Training" in title for title in titles) and len(titles) > 1, "strokes are followed first"
        nuke.press(node, "render")
        assert nuke_stub.state.messages == [] and node["status"].value() == "3 of 3 frames shown"
        assert [at(frame, node)[0] for frame in range(3)] == [f"{work}/out/out.{n:04d}.exr" for n in range(3)]
        result, source = (images.read(path).rgb for path in (work / "out/out.0001.exr", tmp_path / "plate.0001.exr"))
        red = float(result[..., 0].mean() / source[..., 0].mean())
        blue = float(result[..., 2].mean() / source[..., 2].mean())
        assert red < 0.5 < 0.8 < blue
        assert "paintover.carried" in opened(work / "out" / "out.0001.exr").channelnames

        images.write(painting, painted.rgb, bit_depth="uint16")
        nuke.press(node, "train")
        assert [at(frame, node)[0] for frame in range(3)] == [None] * 3
        nuke.press(node, "refresh")
        assert "0 of 3 frames shown" in node["status"].value() and "another look" in at(0, node)[1]
        node["frames"].setValue("2")
        nuke.press(node, "render")
        node["frames"].setValue("")
        nuke.press(node, "refresh")
        assert [at(frame, node)[0] is not None for frame in range(3)] == [False, False, True]
        nuke.press(node, "build_cat")
        assert nuke_stub.state.messages == []
        (script,) = nuke_stub.state.pasted
        assert Path(script) == work / "nuke" / "look.nk" and json.loads((work / "nuke" / "cat.json").read_text())
