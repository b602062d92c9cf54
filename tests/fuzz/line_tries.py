"""Hostile lines to a resident worker, which has to answer each, hear the next one, and serve it."""

from __future__ import annotations

import itertools
import json
import os
import queue
import random
import shutil
import threading
import time
from pathlib import Path
from typing import Any

from engine.base.errors import InputError
from engine.base.frames import FrameRange
from plugin.client.job import PROTOCOL
from plugin.progress.stop import StopRequest
from plugin.worker.looks import LoadedLooks
from plugin.worker.server import Worker
from tests.support import lookfactory
from tests.support.pictures import picture

from .mutations import change_value, changed, changed_text
from .outcomes import Job

__all__ = ["line_try", "write_seeds"]

_LAST = ("done", "failed", "cancelled")
_MANY = 1000
"""Frames."""
_WAIT_S = 600.0
"""For an answer; whoever watches this process has a limit of its own."""


def write_seeds(folder: Path) -> None:
    """A shot to ask for."""
    shot = folder / "asked"
    shot.mkdir()
    picture(shot / "plate.0001.png", seed=1)
    picture(shot / "plate.0002.png", seed=2)
    lookfactory.gain(shot / "look.onnx", 0.5)


def line_try(rng: random.Random, seeds: Path) -> tuple[str, list[Job]]:
    """A hostile request, and a question after it that has to be answered."""
    shutil.copytree(seeds / "asked", ".", dirs_exist_ok=True)
    request = _request(rng)
    way = rng.random()
    if way < 0.6:
        change_value(request, rng, _ODD)
        line = json.dumps(request).encode("utf-8", "surrogatepass")
    elif way < 0.85:
        text = changed_text(json.dumps(request), rng, [json.dumps(_request(rng))])
        line = text.encode("utf-8", "surrogatepass")
    else:
        line = changed(json.dumps(request).encode(), rng, [json.dumps(_request(rng)).encode()])
    Path("line.json").write_bytes(line)
    return f"a line to {str(request.get('op'))[:20]!a}", [lambda: _ask(line)]


def _request(rng: random.Random) -> dict[str, Any]:
    here = os.getcwd()  # noqa: PTH109 (the text is meant)
    op = rng.choice(("hello", "ping", "load", "state", "state", "render", "render", "cancel", "shutdown"))
    request: dict[str, Any] = {"protocol": PROTOCOL, "id": 1, "op": op}
    if op == "cancel":
        request["target"] = rng.choice((1, 2, 99))
    if op in ("load", "state", "render"):
        request["job"] = {
            "version": 1,
            "plate": {"path": f"{here}/plate.%04d.png", "frames": "1-2", "colorspace": "sRGB - Texture"},
            "keyframes": [{"frame": 1, "painting": f"{here}/painted.png"}],
            "work": f"{here}/work",
            "look": f"{here}/look.onnx",
            "out": f"{here}/out.%04d.{rng.choice(('exr', 'png', 'tif'))}",
            "device": "cpu",
            "tile": rng.choice((None, 0, 64)),
            "guides": rng.random() < 0.5,
            "host": "Nuke 16.0",
        }
        request["job"] = {name: value for name, value in request["job"].items() if value is not None}
        request["frames"] = rng.choice(("1", "1-2"))
        request["overwrite"] = rng.random() < 0.5
    return request


_ODD: tuple[Any, ...] = (
    -1, 0.5, 1e308, "", None, True, [], {}, [[]], float("nan"), "/dev/zero", "\ud800", "a\0b", "x" * 3000, "1-1000000",
    "1-5,7", "cuda:99", "auto", "half", "/", "scene_linear", "dwaa:45",
)  # fmt: skip


class _Lines:
    """What a host writes, for a worker to read line by line; ends with ``None``."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._rest = b""

    def write(self, data: bytes | None) -> None:
        self._waiting.put(data)

    def readline(self, limit: int) -> bytes:
        while b"\n" not in self._rest and len(self._rest) < limit:
            data = self._waiting.get()
            if data is None:
                self._waiting.put(None)
                break
            self._rest += data
        end = min(limit, self._rest.find(b"\n") + 1 or len(self._rest))
        line, self._rest = self._rest[:end], self._rest[end:]
        return line


class _Served:
    """A worker in two threads of this process, kept from line to line as a real one is."""

    def __init__(self) -> None:
        self._lines = _Lines()
        self._part = b""
        self.events: list[dict[str, Any]] = []
        self._heard = threading.Condition()
        self.worker = Worker(LoadedLooks(2**28, threads=1), StopRequest(), idle_s=3600.0, threads=1)
        link = self.worker.open_link(self._take, lambda reason: None, token=None)
        self.threads = [
            threading.Thread(target=self.worker.run, daemon=True),
            threading.Thread(target=self.worker.listen, args=(link, self._lines), daemon=True),
        ]
        for thread in self.threads:
            thread.start()

    @property
    def is_over(self) -> bool:
        return not self.threads[0].is_alive()

    def say(self, data: bytes) -> None:
        with self._heard:
            self.events = []
        self._lines.write(data)

    def wait(self, ping: int, answers: int) -> bool:
        """Until a question and so many requests are answered, or the worker has ended; False where time is over first.

        What an earlier line asked for may be answered meanwhile, so the question's own answer is waited for as well.
        """
        ends_s = time.monotonic() + _WAIT_S
        while time.monotonic() < ends_s:
            with self._heard:
                last = [each.get("id") for each in self.events if each["event"] in _LAST]
                if self.is_over or (ping in last and len(last) >= answers):
                    return True
                self._heard.wait(0.05)
        return False

    def end(self) -> None:
        self._lines.write(None)
        self.worker.end("the try is over")
        for thread in self.threads:
            thread.join(_WAIT_S)

    def _take(self, data: memoryview) -> int:
        with self._heard:
            *lines, self._part = (self._part + bytes(data)).split(b"\n")
            self.events += [json.loads(line) for line in lines]
            self._heard.notify_all()
        return len(data)


_served: list[_Served] = []
_PINGS = itertools.count(2**40)
"""Ids that no other request has."""


def _is_too_real(line: bytes) -> bool:
    """Whether frames would be written outside the current folder, or so many that it is no wonder if it takes long."""
    for part in line.split(b"\n"):
        try:
            request = json.loads(part)
            if request["op"] != "render":
                continue
            out = Path(request["job"]["out"])
            if not out.parent.resolve().is_relative_to(Path.cwd().resolve()):
                return True
            if len(FrameRange.parse(request.get("frames") or request["job"]["plate"]["frames"])) > _MANY:
                return True
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OSError, RuntimeError, InputError):
            continue
    return False


def _ask(line: bytes) -> None:
    """Say a line, then ask something: both must be answered, and a worker that was not told to end goes on."""
    if _is_too_real(line):
        return
    if _served and _served[0].is_over:
        _served.pop().end()
    if not _served:
        _served.append(_Served())
    served = _served[0]
    expected = sum(1 for part in line.split(b"\n") if part.strip())
    number = next(_PINGS)
    ping = json.dumps({"protocol": PROTOCOL, "id": number, "op": "ping"}).encode()
    served.say(line + b"\n" + ping + b"\n")
    if not served.wait(number, expected + 1):
        raise RuntimeError(f"the worker answered {served.events[-3:]} to {line[:200]!r}")
    events = served.events
    faults = [
        each for each in events if "internal fault" in str(each.get("message")) or "cannot be read: " in str(each)
    ]
    if faults:
        raise RuntimeError(f"the worker said {faults[0]}")
    retries = [each for each in events if each["event"] == "failed" and each.get("exit_code") not in (2, 3)]
    if retries:
        raise RuntimeError(f"the worker offers another try: {retries[0]}")
    failed = [each for each in events if each["event"] == "failed"]
    if failed:
        raise InputError(str(failed[0]["message"]))
