"""The desk with a real trainer and real verbs: a stroke becomes a look and frames, and comes back after a kill."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("starlette")

from engine.look.session import Look
from engine.shot.shot import Shot
from plugin.cli import main
from tests.support.desks import layer, plate, served, wait_for

pytestmark = [pytest.mark.slow]


@pytest.fixture
def shot(tmp_path: Path) -> Shot:
    work = tmp_path / "work"
    return Shot(plate(tmp_path, frames=2), work=work, look=work / "look.onnx", steps=3, device="cpu")


def test_a_stroke_becomes_frames_that_verify(shot: Shot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with served(tmp_path, shot) as here:
        here.desk.add(0)
        number = here.desk.paintings.all()[0].id
        assert here.ask(f"/painting/{number}", "PUT", layer())[0] == 200
        wait_for(lambda: here.desk.state()["training"].get("state") == "trained", "training")
        wait_for(lambda: "1" in here.desk.state()["results"], "the other frame")
        assert here.ask("/result/1")[0] == here.ask("/carried/1")[0] == 200
        found = here.desk.pictures.values(0, 20, 20)
        # The stroke itself, carried on its own keyframe, in scene-linear light.
        painted = here.desk.pictures.config.to_working(
            np.array([[[200, 120, 40]]], np.float32) / np.float32(255), here.desk.pictures.transform.colorspace
        )[0, 0]
        assert np.abs(np.subtract(found["result"], painted)).max() < 0.1
        here.desk.commit(render=True)
        state = wait_for(
            lambda: here.desk.state()["tasks"]["commit"]["state"] != "running" and here.desk.state(), "the commit"
        )
        assert state["tasks"]["commit"]["text"] == "committed", state["messages"]
    look = tmp_path / "work" / "look.onnx"
    assert Look.load(look, device="cpu").card.trained.steps == 3
    assert (tmp_path / "work" / "report.html").is_file()
    words = [
        "--look",
        str(look),
        "--plate",
        shot.plate.path.text,
        "--frames",
        "0-1",
        "--out",
        str(tmp_path / "out.%04d.png"),
    ]
    assert main(["verify", *words, "--work", str(tmp_path / "work"), "--progress", "none"]) == 0


def test_nothing_is_lost_when_all_of_it_is_killed(shot: Shot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(signal, "SIGKILL"):
        pytest.skip("there is no SIGKILL here")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with served(tmp_path, shot) as here:
        here.desk.add(1)
        number = here.desk.paintings.all()[0].id
        here.ask(f"/painting/{number}", "PUT", layer())
        wait_for(lambda: here.desk.state()["training"].get("state") == "trained", "training")
        child = here.desk._trainer._child
        checkpoint = tmp_path / "work" / "desk" / "train" / "checkpoint.safetensors"
        wait_for(checkpoint.is_file, "the checkpoint")
        os.kill(child._process.pid, signal.SIGKILL)
        wait_for(lambda: here.desk._trainer._child not in (None, child), "another trainer")
        wait_for(lambda: here.desk.state()["training"].get("step") == 3, "what it goes on with")
    with served(tmp_path, replace(shot)) as again:
        held = again.desk.paintings.all()
        assert [(each.frame, each.painted) for each in held] == [(1, True)]
        assert again.ask(f"/painting/{held[0].id}")[0] == 200
        wait_for(lambda: again.desk.state()["training"].get("step") == 3, "what it goes on with")
