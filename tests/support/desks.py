"""Desks on a small shot: served at a port of this machine, with stand-ins for training and for verbs."""

from __future__ import annotations

import http.client
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from websockets.sync.client import ClientConnection, connect

from engine.base.frames import SequencePath
from engine.color.config import ColorConfig
from engine.shot.shot import Plate, Shot
from plugin.arguments.options import Options
from plugin.desk import tasks, trainer
from plugin.desk.access import Access
from plugin.desk.desk import ShotDesk
from plugin.desk.server import DeskServer, listen
from tests.support import SUPPORT
from tests.support.pictures import picture

WIDTH, HEIGHT = 96, 64
WAIT_S = 240.0
"""On a busy machine; nothing waits so long where it works."""


def layer(
    color: tuple[int, int, int] = (200, 120, 40), box: tuple[int, int, int, int] | None = (10, 10, 40, 30)
) -> bytes:
    """PNG of a layer, painted in a box: left, top, right, bottom; None for nowhere."""
    pixels = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    if box is not None:
        left, top, right, bottom = box
        pixels[top:bottom, left:right] = (*color[::-1], 255)
    return cv2.imencode(".png", pixels)[1].tobytes()


def plate(folder: Path, frames: int = 4) -> Plate:
    for frame in range(frames):
        picture(folder / f"plate.{frame:04d}.png", seed=frame, height=HEIGHT, width=WIDTH)
    return Plate.of(folder / "plate.%04d.png", f"0-{frames - 1}")


def stand_in(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Training and verbs are fakes from now on."""
    monkeypatch.setattr(trainer, "COMMAND", (sys.executable, str(SUPPORT / "fake_session.py")))
    monkeypatch.setattr(tasks, "PROGRAM", (sys.executable, str(SUPPORT / "fake_verb.py")))
    monkeypatch.setenv("FAKE_SESSION_SIZE", f"{HEIGHT}x{WIDTH}")
    monkeypatch.setenv("FAKE_SESSION_LOG", str(folder / "session.log"))
    monkeypatch.setenv("FAKE_VERB_LOG", str(folder / "verbs.log"))


@dataclass
class Served:
    """A desk at work."""

    desk: ShotDesk
    access: Access
    folder: Path

    @property
    def port(self) -> int:
        return int(self.access.hosts[0].partition(":")[2])

    @property
    def cookie(self) -> str:
        return f"{self.access.cookie}={self.access.token}"

    def headers(self, **changes: str | None) -> dict[str, str]:
        host = self.access.hosts[0]
        found = {"Host": host, "Origin": f"http://{host}", "Cookie": self.cookie, **changes}
        return {name: value for name, value in found.items() if value is not None}

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, **changes: str | None
    ) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers(**changes).items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()

    def socket(self, **changes: str | None) -> ClientConnection:
        headers = self.headers(**changes)
        origin = headers.pop("Origin", None)
        uri, place = f"ws://{headers.pop('Host')}/socket", ("127.0.0.1", self.port)
        return connect(
            uri,
            origin=origin,
            additional_headers=headers,
            open_timeout=WAIT_S,
            proxy=None,
            address=place,  # type: ignore[arg-type]
        )


def wait_for(found: Callable[[], Any], what: str) -> Any:
    """What ``found`` gives once it is true."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        value = found()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited {WAIT_S:g} s for {what}")


def hear(socket: ClientConnection, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The next message that is wanted."""
    deadline = time.monotonic() + WAIT_S
    while True:
        message = json.loads(socket.recv(timeout=deadline - time.monotonic()))
        if wanted(message):
            return message


@contextmanager
def served(folder: Path, shot: Shot | None = None, port: int = 0) -> Iterator[Served]:
    """A desk on a small plate in ``folder``, its work in ``folder/work``."""
    shot = shot or Shot(plate(folder), work=folder / "work", look=folder / "work" / "look.onnx", budget_s=10.0)
    options = Options()
    bound = listen(port)
    desk = ShotDesk(shot, options, ColorConfig.active(None), SequencePath.parse(folder / "out.%04d.png"))
    access = Access(bound.getsockname()[1])
    server = DeskServer(desk, bound, access)
    server.start()
    desk.open()
    try:
        yield Served(desk, access, folder)
    finally:
        server.close()
        desk.close()
