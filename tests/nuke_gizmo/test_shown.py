"""Which frames a Paintover node shows, and what it says of those that it does not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.host_contract import FRAMES

pytest.importorskip("tkinter", reason="the stand-in for Nuke reads node text with the Tcl of tkinter")
from tests.support.nuke import stub as nuke_stub
from tests.support.nuke_stage import Nuke, at, on_plate
from tests.support.nuke_stage import nuke as nuke
from tests.support.nuke_stage import shot as shot

pytestmark = pytest.mark.host


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
