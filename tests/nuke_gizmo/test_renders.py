"""Writes below a Paintover node: what they ask for, what is made for them, where they stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO
import pytest

from engine import images
from tests.support.host_contract import FRAMES

pytest.importorskip("tkinter", reason="the stand-in for Nuke reads node text with the Tcl of tkinter")
from tests.support.nuke import stub as nuke_stub
from tests.support.nuke_stage import Nuke, at, on_plate, opened
from tests.support.nuke_stage import nuke as nuke
from tests.support.nuke_stage import shot as shot

pytestmark = pytest.mark.host


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
