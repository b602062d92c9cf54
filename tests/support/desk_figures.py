"""Figures of the desk in a real browser: how long a stroke takes to be seen, and a frame that is scrubbed to.

::

    python -m tests.support.desk_figures --plate plate.%04d.jpg --keyframe 0=painted.jpg --work work --out figures.json

It opens ``paintover desk`` on a shot, paints, scrubs and waits; opens it again without the frames that it rendered, and
scrubs to some of them while it trains. It prints one row for each figure. Times end when the page has drawn what is
waited for. Beside other work they say nothing: the load of the machine is in the file.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from engine.base.machine import cpu_count, cpu_name
from plugin.progress.child import child_environment
from tests.support.chromium import chromium_path, launch_options

WAIT_MS = 300_000
SEEN_AFTER = """() => {
  window.seenAfter = new Promise((done) => {
    const now = (event) => done(performance.now() - event.timeStamp);
    const seen = (event) => requestAnimationFrame(() => requestAnimationFrame(() => now(event)));
    addEventListener("pointerup", seen, { once: true, capture: true });
  });
}"""
REPEATS = 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plate", required=True)
    parser.add_argument("--keyframe", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--budget", default="60s", help="training before the figures are taken")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--screenshot", type=Path, help="of the page at work, when all is trained")
    options = parser.parse_args()
    words = ["desk", "--plate", options.plate, "--keyframe", options.keyframe, "--work", options.work]
    command = [sys.executable, "-m", "plugin", *words, "--budget", options.budget, "--no-browser"]
    said: list[str] = []
    figures: dict[str, list[float]] = {}
    with sync_playwright() as driver:
        browser = driver.chromium.launch(**launch_options(chromium_path()))
        with opened(browser, command, said) as page:
            measure(page, figures, options.screenshot)
        results = Path(options.work) / "desk" / "results"
        shutil.rmtree(results)
        with opened(browser, command, said) as page:
            measure_unrendered(page, figures, results)
        browser.close()
    for name, values in figures.items():
        print(f"{name:45} {statistics.median(values):8.3f} s  {values}", file=sys.stderr)
    facts = {
        "cpu": cpu_name(),
        "cores": cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "console": said,
        "seconds": figures,
    }
    print(json.dumps(facts, indent=2))
    if options.out is not None:
        options.out.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return 0


@contextmanager
def opened(browser: Browser, command: list[str], said: list[str]) -> Iterator[Page]:
    """A page of a desk that is closed with it; what its console says is added to ``said``."""
    desk = subprocess.Popen(command, env=child_environment(), stdout=subprocess.PIPE, text=True)
    try:
        page = browser.new_page(viewport={"width": 1366, "height": 768})
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto((desk.stdout or sys.stdin).readline().strip())
        yield page
        page.close()
    finally:
        desk.terminate()
        desk.wait()


def measure_unrendered(page: Page, figures: dict[str, list[float]], results: Path) -> None:
    """Scrub to frames that were never rendered, the farthest first, with a look that is trained and trains on."""
    seen(page, '[data-plate]:not([data-plate=""])')
    page.keyboard.press("2")
    # At rest it would render all of them by itself, the nearest first.
    page.locator("#pause:enabled", has_text="Go on").click(timeout=WAIT_MS)
    page.locator("#training-state", has_text="Training.").wait_for(timeout=WAIT_MS)
    seen(page, '[data-proxy="false"]')
    for key in ("End", *["ArrowLeft"] * (REPEATS - 1)):
        before = page.locator("#viewer").get_attribute("data-frame")
        rendered = {int(path.stem) for path in results.glob("*.npy")}
        began = time.perf_counter()
        page.keyboard.press(key)
        seen(page, f':not([data-frame="{before}"]):not([data-stamp=""])')
        figures.setdefault("scrub to a frame that is not rendered, half size", []).append(
            round(time.perf_counter() - began, 3)
        )
        if int(page.locator("#viewer").get_attribute("data-frame") or 0) in rendered:
            raise RuntimeError("the frame was rendered already: give a longer shot")
        seen(page, f':not([data-frame="{before}"])[data-proxy="false"]')
        figures.setdefault("and whole, after that scrub", []).append(round(time.perf_counter() - began, 3))


def measure(page: Page, figures: dict[str, list[float]], screenshot: Path | None) -> None:
    """Seconds by figure, each taken several times."""
    frames = json.loads(page.locator("#viewer[data-frame]").get_attribute("data-frame") or "0")
    seen(page, '[data-plate]:not([data-plate=""])')
    page.locator("#training-state", has_text="Trained").wait_for(timeout=WAIT_MS)
    # Every frame has been rendered at half size at rest, and the one in view whole.
    seen(page, '[data-proxy="false"]')

    def take(name: str, act: Callable[[], None], until: Callable[[], None]) -> None:
        began = time.perf_counter()
        act()
        until()
        figures.setdefault(name, []).append(round(time.perf_counter() - began, 3))

    page.keyboard.press("2")
    for _ in range(REPEATS):
        take("scrub to a rendered frame", lambda: page.keyboard.press("ArrowRight"), lambda: fresh(page, frames + 1))
        take("scrub back", lambda: page.keyboard.press("ArrowLeft"), lambda: fresh(page, frames))
    for repeat in range(REPEATS):
        before = revision(page)
        take("stroke, drawn by 8 moves of the pointer", lambda at=repeat: stroke(page, at), lambda: painted(page))
        # By the browser's own clock: the driver's messages for each move of the pointer take longer than all else.
        seen_s = page.evaluate("() => window.seenAfter") / 1000
        figures.setdefault("of that, from when the pen is lifted", []).append(round(seen_s, 3))
        take("and in the result of the keyframe", lambda: None, lambda last=before: newer(page, last))
        page.keyboard.press("ArrowRight")
        take("and on the next frame at half size", lambda: None, lambda last=before: newer(page, last))
        take("and whole", lambda: None, lambda: seen(page, f'[data-frame="{frames + 1}"][data-proxy="false"]'))
        page.keyboard.press("ArrowLeft")
        fresh(page, frames)
    if screenshot is not None:
        page.keyboard.press("3")
        page.mouse.move(700, 300)
        page.wait_for_timeout(1500)
        page.screenshot(path=screenshot)


def seen(page: Page, data: str) -> None:
    page.locator(f"#viewer{data}").wait_for(state="attached", timeout=WAIT_MS)


def fresh(page: Page, frame: int) -> None:
    seen(page, f'[data-frame="{frame}"][data-plate="{frame}"]:not([data-stamp=""])')


def revision(page: Page) -> int:
    return int(page.locator("#viewer").get_attribute("data-revision") or 0)


def newer(page: Page, last: int) -> None:
    """A result with paintings of a later revision is drawn."""
    deadline = time.monotonic() + WAIT_MS / 1000
    while revision(page) <= last:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no result after revision {last}")
        page.wait_for_timeout(10)


def painted(page: Page) -> None:
    page.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")


def stroke(page: Page, at: int) -> None:
    box: Any = page.locator("#picture").bounding_box()
    x, y = box["x"] + box["width"] * (0.35 + 0.1 * at), box["y"] + box["height"] * 0.5
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y + 30, steps=8)
    page.evaluate(SEEN_AFTER)
    page.mouse.up()


if __name__ == "__main__":
    sys.exit(main())
