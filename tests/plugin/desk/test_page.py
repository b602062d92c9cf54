"""The desk's page in a real browser: Debian's chromium, driven by playwright. Training and verbs are stand-ins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("starlette")

from engine import images
from engine.base.errors import InputError
from tests.support.chromium import chromium_path, launch_options
from tests.support.desks import HEIGHT, WIDTH, Served, layer, served, stand_in, wait_for

CHROMIUM = chromium_path()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium; PAINTOVER_CHROMIUM=PATH names another one"),
]
WAIT_MS = 240_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(**launch_options(CHROMIUM))
        yield started
        started.close()


class Tab:
    """One page, and what its console said."""

    def __init__(self, browser: Any, address: str) -> None:
        self.said: list[str] = []
        self.page = browser.new_page(viewport={"width": 1280, "height": 720})
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(f"page: {error}"))
        self.page.goto(address)

    def see(self, **data: object) -> None:
        """Wait for what the viewer says that it shows."""
        wanted = "".join(f'[data-{name}="{value}"]' for name, value in data.items())
        self.page.locator(f"#viewer{wanted}").wait_for(state="attached", timeout=WAIT_MS)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a pixel of the picture, which fits the viewer, is in the window."""
        box = self.page.locator("#picture").bounding_box()
        scale = min(box["width"] / WIDTH, box["height"] / HEIGHT)
        left = box["x"] + (box["width"] - WIDTH * scale) / 2
        top = box["y"] + (box["height"] - HEIGHT * scale) / 2
        return left + x * scale, top + y * scale

    def stroke(self, x: float, y: float, to_x: float, to_y: float) -> None:
        mouse = self.page.mouse
        mouse.move(*self.at(x, y))
        mouse.down()
        mouse.move(*self.at(to_x, to_y), steps=6)
        mouse.up()

    def color(self, x: float, y: float) -> list[int]:
        """What the screen shows of a pixel, without the pointer's ring."""
        self.page.mouse.move(2, 2)
        left, top = self.at(x, y)
        png = self.page.screenshot(clip={"x": left, "y": top, "width": 2, "height": 2})
        pixel = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[0, 0, ::-1]
        return [int(code) for code in pixel]

    def shows(self, x: float, y: float, color: list[int]) -> bool:
        """Whether a pixel has a color, but for what canvases round."""
        return bool(np.abs(np.subtract(self.color(x, y), color)).max() <= 2)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    stand_in(monkeypatch, tmp_path)
    with served(tmp_path) as found:
        yield found


@pytest.fixture
def tab(here: Served, browser: Any) -> Iterator[Tab]:
    made = Tab(browser, here.access.address)
    made.see(plate=0)
    yield made
    made.page.close()
    assert made.said == []


def painting_of(here: Served, frame: int) -> Path | None:
    return next((each.painting for each in here.desk.paintings.all() if each.frame == frame), None)


def set_brush(tab: Tab, color: str, size: int = 8) -> None:
    """As a person would by the controls, without a click for each."""
    script = """([id, value]) => { const input = document.getElementById(id); input.value = value;
        input.dispatchEvent(new Event('input')); }"""
    for id_, value in (("color", color), ("size", size), ("softness", 0)):
        tab.page.evaluate(script, [id_, value])


def test_a_stroke_is_seen_at_once_saved_and_undone(tab: Tab, here: Served) -> None:
    assert tab.page.url == f"http://{here.access.hosts[0]}/", "the token has left the address"
    set_brush(tab, "#10c040")
    before = tab.color(40, 30)
    assert not tab.shows(40, 30, [16, 192, 64]), "not before"
    tab.stroke(20, 30, 60, 30)
    assert tab.shows(40, 30, [16, 192, 64])
    path = wait_for(lambda: painting_of(here, 0), "the painting")
    found = images.read(path)
    assert np.allclose(found.rgb[30, 40] * 255, [16, 192, 64], atol=2)
    assert found.alpha[30, 40] == 1 and found.alpha[50, 40] == 0
    tab.press("z")
    wait_for(lambda: not here.desk.paintings.all()[0].painted, "the empty layer")
    assert tab.shows(40, 30, before)
    tab.press("Z")
    wait_for(lambda: here.desk.paintings.all()[0].painted, "the stroke again")
    assert tab.shows(40, 30, [16, 192, 64])


def test_the_result_comes_where_the_painting_changed(tab: Tab, here: Served) -> None:
    tab.press("2")
    tab.stroke(20, 30, 60, 30)
    tab.page.locator('#viewer[data-frame="0"]:not([data-stamp=""])').wait_for(state="attached", timeout=WAIT_MS)
    tab.page.locator("#training-state", has_text="Training.").wait_for(timeout=WAIT_MS)
    assert tab.page.locator("#training-facts").inner_text().split()[:2] == ["loss", "0.2500"]
    tab.press("ArrowRight")
    tab.see(frame=1, plate=1)
    wait_for(lambda: "1" in here.desk.state()["results"], "the next frame's result")


def test_keys_move_through_frames_and_keyframes(tab: Tab, here: Served) -> None:
    tab.press("End")
    tab.see(plate=3)
    tab.press("ArrowRight")
    tab.press("ArrowLeft")
    tab.see(plate=2)
    here.desk.add(0)
    tab.page.locator("#keyframes li").wait_for(timeout=WAIT_MS)
    tab.press("ArrowUp")
    tab.see(plate=0)
    size = tab.page.locator("#size-shown")
    tab.press("]")
    assert size.inner_text() == "28"
    tab.press("[", "[")
    assert size.inner_text() == "20"
    tab.press("l")
    tab.see(plate=2)
    tab.press("k", "j")
    tab.see(plate=1)
    tab.press(" ")


def test_colors_are_picked_from_the_screen(tab: Tab, here: Served) -> None:
    shown = tab.color(30, 20)
    tab.press("i")
    tab.page.mouse.click(*tab.at(30, 20))
    picked = tab.page.locator("#color").input_value()
    found = [int(picked[at : at + 2], 16) for at in (1, 3, 5)]
    # The click may fall on the neighbor of the pixel that was asked for; the plate is noise, scaled up and smoothed.
    assert np.abs(np.subtract(found, shown)).max() <= 24


def test_an_eraser_takes_away_and_a_matte_limits(tab: Tab, here: Served) -> None:
    set_brush(tab, "#ffffff", 12)
    tab.stroke(20, 30, 60, 30)
    wait_for(lambda: painting_of(here, 0), "the painting")
    tab.press("e")
    tab.stroke(38, 20, 38, 40)
    wait_for(lambda: images.read(painting_of(here, 0)).alpha[30, 38] == 0, "the erased part")
    assert images.read(painting_of(here, 0)).alpha[30, 25] == 1
    tab.press("m")
    tab.stroke(20, 30, 30, 30)
    matte = wait_for(lambda: here.desk.paintings.all()[0].matte, "the matte")
    coverage = images.read_matte(matte)
    assert coverage[30, 25] == 1 and coverage[30, 55] == 0
    tab.page.locator("#keyframes .what", has_text="+ matte").wait_for(timeout=WAIT_MS)


def test_a_second_tab_shows_what_the_first_painted(tab: Tab, here: Served, browser: Any) -> None:
    other = Tab(browser, here.access.address)
    other.see(plate=0)
    set_brush(tab, "#10c040")
    tab.stroke(20, 30, 60, 30)
    wait_for(lambda: other.shows(40, 30, [16, 192, 64]), "the stroke in the other tab")
    other.page.close()
    assert other.said == []


def test_a_page_that_is_opened_again_has_it_all(tab: Tab, here: Served) -> None:
    set_brush(tab, "#10c040")
    tab.stroke(20, 30, 60, 30)
    wait_for(lambda: painting_of(here, 0), "the painting")
    tab.page.reload()
    tab.see(plate=0)
    wait_for(lambda: tab.shows(40, 30, [16, 192, 64]), "the stroke")
    document = json.loads((here.folder / "work" / "desk" / "desk.json").read_text(encoding="utf-8"))
    assert [each["frame"] for each in document["keyframes"]] == [0]


def test_what_another_program_saves_is_shown(tab: Tab, here: Served) -> None:
    here.desk.add(1)
    number = here.desk.paintings.all()[0].id
    here.ask(f"/painting/{number}", "PUT", layer())
    here.desk.open_program(number)
    opened = next((here.folder / "work" / "desk" / "open").glob("*.png"))
    tab.press("ArrowRight")
    tab.see(plate=1)
    key = images.read(opened)
    pixels = key.rgb.copy()
    pixels[40:60, 60:90] = (0.0, 0.0, 1.0)
    images.write(opened, pixels, like=key.header, bit_depth="uint16")
    wait_for(lambda: here.desk.paintings.all()[0].painting == opened, "the saved file")
    wait_for(lambda: tab.shows(75, 50, [0, 0, 255]), "what was saved")


def test_the_buttons_of_a_keyframe(tab: Tab, here: Served) -> None:
    tab.page.locator("#add").click()
    row = tab.page.locator("#keyframes li")
    row.wait_for(timeout=WAIT_MS)
    row.locator("input").click()
    wait_for(lambda: not here.desk.paintings.all()[0].on, "the switch")
    tab.page.locator("#keyframes li.off").wait_for(timeout=WAIT_MS)
    row.locator("button", has_text="\u00d7").click()
    wait_for(lambda: not here.desk.paintings.all(), "the end of the keyframe")


def test_what_is_erased_over_a_result_is_the_plate_at_once(tab: Tab, here: Served) -> None:
    set_brush(tab, "#10c040", 12)
    before = tab.color(30, 30)
    tab.press("2")
    tab.page.locator("#badge", has_text="the plate: nothing is painted yet").wait_for(timeout=WAIT_MS)
    tab.stroke(20, 30, 60, 30)
    tab.page.locator('#viewer:not([data-stamp=""])').wait_for(state="attached", timeout=WAIT_MS)
    wait_for(lambda: not tab.shows(30, 30, [16, 192, 64]), "the result in the painting's place")
    wait_for(lambda: tab.page.locator("#badge").inner_text() == "", "the end of the badge")
    result = tab.color(30, 30)
    assert np.abs(np.subtract(result, before)).max() > 16, "the stand-in's gray is not the plate"
    tab.press("e")
    tab.page.mouse.move(*tab.at(20, 30))
    tab.page.mouse.down()
    tab.page.mouse.move(*tab.at(60, 30), steps=6)
    left, top = tab.at(30, 30)

    def erased() -> bool:
        png = tab.page.screenshot(clip={"x": left, "y": top, "width": 2, "height": 2})
        found = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[0, 0, ::-1]
        return bool(np.abs(np.subtract(found, before, dtype=int)).max() <= 8)

    wait_for(erased, "the plate, while the eraser is still down")
    tab.page.mouse.up()
    wait_for(lambda: images.read(painting_of(here, 0)).alpha[30, 40] == 0, "what was erased")


def test_the_exposure_is_that_of_paint_as_well(tab: Tab) -> None:
    set_brush(tab, "#10c040")
    tab.stroke(20, 30, 60, 30)
    assert tab.shows(40, 30, [16, 192, 64])
    script = """(stops) => { const input = document.getElementById("exposure"); input.value = stops;
        input.dispatchEvent(new Event("input")); }"""
    tab.page.evaluate(script, -2)
    # Two stops, by the power of a display.
    wait_for(lambda: tab.shows(40, 30, [round(code * 2 ** (-2 / 2.2)) for code in (16, 192, 64)]), "darker paint")
    tab.page.evaluate(script, 0)
    wait_for(lambda: tab.shows(40, 30, [16, 192, 64]), "paint as it was")


def test_values_are_those_of_the_frame_in_view(tab: Tab, here: Served) -> None:
    tab.page.mouse.move(*tab.at(30.5, 20.5))
    readout = tab.page.locator("#readout")
    for frame in (0, 1):
        plate = " ".join(f"{value:.4f}" for value in here.desk.pictures.values(frame, 30, 20)["plate"])
        readout.get_by_text(f"30, 20  plate {plate}").wait_for(timeout=WAIT_MS)
        tab.press("ArrowRight")


def test_a_keyframe_that_was_removed_is_brought_back(tab: Tab, here: Served) -> None:
    set_brush(tab, "#10c040")
    tab.stroke(20, 30, 60, 30)
    wait_for(lambda: painting_of(here, 0), "the painting")
    tab.page.locator("#keyframes .what", has_text="painted").wait_for(timeout=WAIT_MS)
    tab.page.locator("#keyframes li button", has_text="\u00d7").click()
    wait_for(lambda: not here.desk.paintings.all(), "the end of the keyframe")
    wait_for(lambda: not tab.shows(40, 30, [16, 192, 64]), "the plate without it")
    tab.page.locator("#keyframes li.removed button", has_text="Bring back").click()
    wait_for(lambda: tab.shows(40, 30, [16, 192, 64]), "the stroke")


def test_what_is_painted_while_the_desk_is_closed_is_saved_when_it_is_back(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, tmp_path)
    with served(tmp_path) as first:
        port = first.port
        tab = Tab(browser, first.access.address)
        tab.see(plate=0)
        set_brush(tab, "#10c040")
        tab.stroke(20, 20, 60, 20)
        wait_for(lambda: painting_of(first, 0), "the painting")
        tab.press("ArrowRight")
        tab.see(plate=1)
        tab.press("ArrowLeft", "2")
        tab.page.locator('#viewer[data-frame="0"]:not([data-stamp=""])').wait_for(state="attached", timeout=WAIT_MS)
    tab.page.locator("#connection", has_text="the desk is closed: open it again").wait_for(timeout=WAIT_MS)
    tab.stroke(20, 40, 60, 40)
    # Of a frame that is no keyframe as well.
    tab.press("ArrowRight")
    tab.stroke(20, 40, 60, 40)
    assert tab.shows(40, 40, [16, 192, 64])
    try:
        again = served(tmp_path, port=port)
        with again as second:
            # As whoever opens the new address in this browser.
            tab.page.request.get(second.access.address)
            wait_for(lambda: len(second.desk.paintings.trained_from()) == 2, "both keyframes")
            for frame in (0, 1):
                wait_for(lambda at=frame: images.read(painting_of(second, at)).alpha[40, 40] == 1, "the stroke")
            assert images.read(painting_of(second, 0)).alpha[20, 40] == 1, "what was there before"
            # The numbers of results begin anew: what is shown is of the desk that is open.
            tab.page.locator('#viewer[data-frame="1"]:not([data-stamp=""])').wait_for(state="attached", timeout=WAIT_MS)
            wait_for(lambda: tab.page.locator("#connection").inner_text() == "", "the end of the line")
    except InputError as error:
        if "cannot be used" not in str(error):
            raise
        pytest.skip("somebody else took the port meanwhile")
    finally:
        tab.page.close()
