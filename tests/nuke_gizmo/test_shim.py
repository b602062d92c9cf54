"""The Nuke adapter through a stand-in for Nuke: the contract of hosts, every Python of a Nuke, the whole way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import images
from plugin.client import errors as host_errors
from plugin.client.errors import HostError, RequestCancelled, RequestFailed
from plugin.hosts.install_nuke import install
from tests.support import ROOT, SUPPORT
from tests.support.command_line import FAKE
from tests.support.host_contract import FRAMES, HostContract, Stage, Subject, training_length
from tests.support.interpreters import VERSIONS, interpreter

pytest.importorskip("tkinter", reason="the stand-in for Nuke reads node text with the Tcl of tkinter")
from tests.support.nuke import stub as nuke_stub
from tests.support.nuke_stage import Nuke, at, nuke_at, opened
from tests.support.nuke_stage import nuke as nuke
from tests.support.nuke_stage import shot as shot

pytestmark = pytest.mark.host

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
        "from nuke_stand_in import stub\n"
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
    shutil.copytree(SUPPORT / "nuke", shot / "nuke_stand_in")
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
    from tests.support.procedural import plate

    for frame in range(3):
        images.write(tmp_path / f"plate.{frame:04d}.exr", plate(96, 128, shift=3 * frame), bit_depth="half")
    with nuke_at(tmp_path) as nuke:
        nuke.start(gui=True)
        nuke_stub.state.root["name"].setValue(str(tmp_path / "comp.nk"))
        node = nuke.node(str(tmp_path / "plate.%04d.exr"), (0, 2), device="cpu", carried=True)
        length = training_length()
        node["budget" if "budget_s" in length else "steps"].setValue(*length.values())
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
        (creator,) = nuke_stub.selectedNodes("CatFileCreator")
        assert creator["createCatFile"].executed == 1, "the .cat is made at once"
        assert Path(script) == work / "nuke" / "look.nk" and json.loads((work / "nuke" / "cat.json").read_text())
