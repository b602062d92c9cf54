"""The camera of a page: the desk's look on its pictures, one stream at a time, and nothing taken on trust."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette")

from engine.shot.shot import Shot
from plugin.desk import camera as camera_module
from tests.support import lookfactory
from tests.support.chromium import FAKE_CAMERA, chromium_path, launch_options
from tests.support.desks import Served, layer, plate, served, stand_in, wait_for

pytestmark = pytest.mark.slow

WAIT_MS = 240_000


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    stand_in(monkeypatch, tmp_path)
    look = lookfactory.gain(tmp_path / "look.onnx", 0.5)
    shot = Shot(plate(tmp_path), work=tmp_path / "work", look=look, budget_s=10.0, device="cpu")
    with served(tmp_path, shot) as found:
        yield found


def started(here: Served) -> int:
    status, body, _ = here.ask("/live/start", "POST", b"")
    assert status == 200
    return int(json.loads(body)["stream"])


def test_pixels_come_back_stylized(here: Served) -> None:
    stream = started(here)
    pixels = np.full((20, 32, 4), 255, np.uint8)
    status, body, headers = here.ask(f"/live/{stream}/picture?width=32&height=20", "POST", pixels.tobytes())
    assert (status, headers["x-keyframe"], headers["x-carried"]) == (200, "none", "0.000")
    found = np.frombuffer(body, np.uint8).reshape(20, 32, 4)
    # Half the light of white, in sRGB codes.
    assert np.abs(found[..., :3].astype(int) - 188).max() <= 1 and (found[..., 3] == 255).all()


def test_a_second_stream_ends_the_first(here: Served) -> None:
    first = started(here)
    second = started(here)
    picture = np.zeros((20, 32, 4), np.uint8).tobytes()
    assert here.ask(f"/live/{first}/picture?width=32&height=20", "POST", picture)[0] == 204
    assert here.ask(f"/live/{second}/picture?width=32&height=20", "POST", picture)[0] == 200
    assert here.ask(f"/live/{second}/stop", "POST", b"")[0] == 204
    assert here.ask(f"/live/{second}/picture?width=32&height=20", "POST", picture)[0] == 204
    assert here.ask(f"/live/{second}/key", "POST", b"")[0] == 400


def commands(here: Served) -> list[str]:
    """What the trainer was told, in order."""
    log = here.folder / "session.log"
    return [json.loads(line)["do"] for line in log.read_text(encoding="utf-8").splitlines()] if log.is_file() else []


@pytest.mark.parametrize(
    ("query", "size", "status"),
    [
        ("width=32&height=20", 32 * 20 * 4 - 1, 400),
        ("width=32&height=20", 32 * 20 * 3, 400),
        ("width=4000&height=4000", 16, 400),
        ("width=-1&height=20", 16, 400),
        ("width=x", 16, 400),
        ("width=1280&height=1280", camera_module.MOST_CAMERA_BYTES + 1, 413),
    ],
)
def test_what_is_no_picture_is_refused(here: Served, query: str, size: int, status: int) -> None:
    stream = started(here)
    assert here.ask(f"/live/{stream}/picture?{query}", "POST", bytes(size))[0] == status


def test_nobody_else_is_let_in(here: Served) -> None:
    for changes in ({"Cookie": None}, {"Origin": "http://evil.example"}, {"Origin": None}):
        assert here.ask("/live/start", "POST", b"", **changes)[0] == 403
    assert here.ask("/live/1/evil", "POST", b"")[0] == 404
    assert here.ask("/live/start")[0] == 405


def test_without_a_look_it_says_so(here: Served) -> None:
    (here.folder / "look.onnx").unlink()
    said = json.loads(here.ask("/live/start", "POST", b"")[1])
    assert said == {"error": "there is no look yet; paint a frame and let it train"}


def test_the_look_is_as_trained_so_far_and_training_waits(here: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_SESSION_LOOK", str(lookfactory.gain(here.folder / "trained.onnx", 0.25)))
    here.desk.add(1)
    here.ask(f"/painting/{here.desk.paintings.all()[0].id}", "PUT", layer())
    wait_for(lambda: here.desk.is_training and here.desk.state()["training"].get("step"), "the trainer")
    stream = started(here)
    white = np.full((20, 32, 4), 255, np.uint8).tobytes()
    found = here.ask(f"/live/{stream}/picture?width=32&height=20", "POST", white)[1]
    # A quarter of the light of white, in sRGB codes; the look of the command line would give half.
    assert abs(found[0] - 137) <= 1
    wait_for(lambda: "pause" in commands(here), "the trainer to wait")
    assert "go_on" not in commands(here)
    here.ask(f"/live/{stream}/stop", "POST", b"")
    wait_for(lambda: "go_on" in commands(here), "the trainer to go on")
    told = commands(here)
    assert told.index("export") < told.index("pause") < told.index("go_on")


def test_a_stroke_has_the_trainer_wait(here: Served) -> None:
    here.desk.add(1)
    here.ask(f"/painting/{here.desk.paintings.all()[0].id}", "PUT", layer())
    wait_for(lambda: here.desk.is_training, "the trainer")
    with here.socket() as socket:
        socket.send(json.dumps({"do": "attend"}))
        wait_for(lambda: "attend" in commands(here), "the trainer to hear of it")


def test_a_stream_that_nobody_feeds_is_over(here: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_module, "_IDLE_S", 0.1)
    stream = started(here)
    picture = np.zeros((20, 32, 4), np.uint8).tobytes()
    camera_status = f"/live/{stream}/key"
    wait_for(lambda: here.ask(camera_status, "POST", b"")[0] == 400, "the end of the stream")
    assert here.ask(f"/live/{stream}/picture?width=32&height=20", "POST", picture)[0] == 204


@pytest.mark.skipif(chromium_path() is None, reason="there is no chromium; PAINTOVER_CHROMIUM=PATH names another one")
def test_the_browsers_camera_is_shown_stylized(here: Served) -> None:
    playwright: Any = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    said: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(**launch_options(chromium_path(), FAKE_CAMERA))
        page = browser.new_page(permissions=["camera"])
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(here.access.address)
        page.locator("#open-live").click()
        page.locator("#live-start").click()
        page.wait_for_function("() => Number(document.getElementById('live').dataset.shown) >= 5", timeout=WAIT_MS)
        facts = page.evaluate("() => ({ ...document.getElementById('live').dataset })")
        assert float(facts["fps"]) > 0 and float(facts["behind"]) > 0 and facts["keyframe"] == "none"
        assert "frames/s" in page.locator("#live-figures").inner_text()
        # Chromium's camera shows a green ground, which the look makes half as bright: 0.73 of its code.
        script = "() => [...document.getElementById('live-picture').getContext('2d').getImageData(4, 4, 1, 1).data]"
        red, green, blue, _ = page.evaluate(script)
        assert red < 60 and blue < 60 and 60 < green < 160
        page.locator("#live-start").click()
        page.locator("#live-start", has_text="Start camera").wait_for(timeout=WAIT_MS)
        browser.close()
    assert said == []
