"""A stand-in Nuke with Paintover installed into it, and one node on a plate, for the tests of the Nuke adapter."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import OpenImageIO
import pytest

from plugin.client.command import child_environment
from plugin.hosts.install_nuke import install
from tests.support import ROOT, lookfactory
from tests.support.host_contract import FRAMES
from tests.support.nuke import stub as nuke_stub
from tests.support.pictures import picture

__all__ = ["Nuke", "at", "nuke", "nuke_at", "on_plate", "opened", "shot"]


class Nuke:
    """What a test does in Nuke."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home" / ".nuke"
        self.stub: Any = nuke_stub

    @property
    def shim(self) -> ModuleType:
        """The package ``paintover_nuke`` as Nuke has it."""
        return sys.modules["paintover_nuke"]

    def part(self, name: str) -> Any:
        """A module of the shim."""
        return sys.modules[f"paintover_nuke.{name}"]

    def start(self, *, gui: bool) -> None:
        """Start Nuke with what is installed."""
        self._forget()
        nuke_stub.start(self.home, gui=gui)
        nuke_stub.state.root["workingSpaceLUT"].setValue("ACEScg")

    def node(self, plate: str, ends: tuple[int, int], **knobs: Any) -> Any:
        """A Paintover node on a Read of this plate."""
        read = nuke_stub.createNode("Read")
        for name, value in (("file", plate), ("first", ends[0]), ("last", ends[1])):
            read[name].setValue(value)
        node = nuke_stub.createNode("Paintover")
        node.setInput(0, read)
        for name, value in knobs.items():
            node[name].setValue(value)
        return node

    def host(self, node: Any, view: str | None = None) -> Any:
        """The adapter around a node."""
        return self.part("nuke_host").NukeHost(node, view)

    def press(self, node: Any, button: str, until: Callable[[], bool] = lambda: True) -> None:
        """Press a button of the node, and be Nuke's main thread until its work is done.

        Raises:
            TimeoutError: nothing was heard of it for long. How long all of it takes is the machine's affair.
        """
        node[button].execute()
        heard, deadline = -1, 0.0
        while self.part("buttons").at_work(node.name()) or not until():
            news = len(nuke_stub.state.progress) + len(nuke_stub.state.waiting)
            if news != heard:
                heard, deadline = news, time.monotonic() + 120
            nuke_stub.pump()
            time.sleep(0.01)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{button}: the last of {heard} signs of life: {nuke_stub.state.progress[-1:]}")
        nuke_stub.pump()

    def close(self) -> None:
        """Quit."""
        if "paintover_nuke.buttons" in sys.modules:
            self.part("buttons").close_worker()
        self._forget()

    def _forget(self) -> None:
        for name in [name for name in sys.modules if name.split(".")[0] in ("paintover_nuke", "nuke")]:
            del sys.modules[name]
        sys.path[:] = [path for path in sys.path if not path.startswith(str(self.home.resolve()))]


@contextmanager
def nuke_at(folder: Path, environment: Mapping[str, str] | None = None, lines: str = "") -> Iterator[Nuke]:
    """A Nuke whose Paintover is this one; ``lines`` of Python run before it starts, as a starter's do."""
    nuke = Nuke(folder)
    install(nuke.home)
    starter = folder / "nuke_starter.py"
    starter.write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from plugin import cli\nfrom plugin.training import process as training_process\n"
        f"{lines}\nsys.exit(cli.main())\n"
    )
    before = dict(os.environ)
    os.environ.update({**child_environment(), **(environment or {})})
    os.environ["PAINTOVER_COMMAND"] = f'"{sys.executable}" "{starter}"'
    try:
        yield nuke
    finally:
        nuke.close()
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def nuke(tmp_path: Path) -> Iterator[Nuke]:
    with nuke_at(tmp_path) as made:
        made.start(gui=True)
        yield made


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


def opened(path: Path) -> Any:
    """An image's header, as another reader has it."""
    file = OpenImageIO.ImageInput.open(str(path))
    try:
        return file.spec()
    finally:
        file.close()
