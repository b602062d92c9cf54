"""What a resident worker does on request: a layer of the plate, and what its host is told of what frames lose."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import images
from plugin.client.command import child_environment
from plugin.client.job import FARM, Job
from plugin.client.worker_client import WorkerClient
from tests.support import ROOT, lookfactory
from tests.support.pictures import write_exr

pytestmark = pytest.mark.host

NAMES = ("R", "G", "B", "right.R", "right.G", "right.B")


def test_a_host_is_told_once_what_its_frames_lose(tmp_path: Path) -> None:
    lookfactory.gain(tmp_path / "hero.onnx", 0.5)
    for frame in range(3):
        channels = {name: np.full((24, 32), 0.8 if "right" in name else 0.2, np.float32) for name in NAMES}
        write_exr(tmp_path / f"stereo.{frame:04d}.exr", channels)
    job = Job(
        plate=str(tmp_path / "stereo.%04d.exr"),
        frames="0-2",
        work=str(tmp_path / "work"),
        look=str(tmp_path / "hero.onnx"),
        out=str(tmp_path / "out" / "out.%04d.png"),
        device="cpu",
        layer="right",
    )
    events: list[Mapping[str, Any]] = []

    def told() -> list[str]:
        return [str(event["message"]) for event in events if event["event"] == "warning"]

    environment = {**child_environment(), "PYTHONPATH": str(ROOT)}
    with WorkerClient((sys.executable, "-m", "plugin"), environment=environment, idle_s=30) as worker:
        worker.render(job, "0", on_event=events.append)
        once = told()
        assert len([line for line in once if "lost in .png frames: R, G, B" in line]) == 1
        assert len([line for line in once if "the view right is taken" in line]) == 1
        worker.render(job, "1", on_event=events.append)
        assert told() == once
        exr = replace(job, out=str(tmp_path / "out" / "out.%04d.exr"), host=FARM, depth="float")
        worker.render(exr, "2", on_event=events.append)
        assert told() == once
    styled = tmp_path / "out" / "out.0002.exr"
    assert images.read(styled, layer="right").rgb.mean() == pytest.approx(0.4, abs=1e-3)
    assert images.read(styled).rgb.mean() == pytest.approx(0.2, abs=1e-6)


def test_a_look_without_keyframes_renders_for_a_host(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="training is not installed")
    from tests.support.style_looks import style_look

    look = style_look(tmp_path / "canvas.onnx")
    write_exr(tmp_path / "plate.0001.exr", {name: np.full((24, 32), 0.2, np.float32) for name in "RGB"})
    job = Job(
        plate=str(tmp_path / "plate.%04d.exr"),
        frames="1",
        work=str(tmp_path / "work"),
        look=str(look),
        out=str(tmp_path / "out.%04d.exr"),
        device="cpu",
    )
    environment = {**child_environment(), "PYTHONPATH": str(ROOT)}
    with WorkerClient((sys.executable, "-m", "plugin"), environment=environment, idle_s=30) as worker:
        assert worker.load(job)["keyframes"] == []
        worker.render(job, "1")
    assert images.read(tmp_path / "out.0001.exr").rgb.shape == (24, 32, 3)
