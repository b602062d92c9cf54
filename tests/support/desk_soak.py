"""Hours at the desk in minutes: random painting, scrubbing, undo, two tabs, a killed trainer, in a real browser.

::

    python -m tests.support.desk_soak --plate plate.%04d.jpg --work work --minutes 30

It prints memory once a minute, and ends with 1 where the browser's console had a word, a stroke was lost (the layers on
disk are not those on the pages), or the server grew by more than :data:`MOST_GROWTH` after the first quarter.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import psutil
from playwright.sync_api import Page, sync_playwright

from engine import images
from plugin.progress.child import child_environment
from tests.support.chromium import chromium_path, launch_options

MOST_GROWTH = 1.3
KILL_EVERY_S = 60.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plate", required=True)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    words = ["desk", "--plate", options.plate, "--work", str(options.work), "--budget", "60s", "--no-browser"]
    desk = subprocess.Popen(
        [sys.executable, "-m", "plugin", *words], env=child_environment(), stdout=subprocess.PIPE, text=True
    )
    try:
        address = (desk.stdout or sys.stdin).readline().strip()
        with sync_playwright() as driver:
            browser = driver.chromium.launch(**launch_options(chromium_path()))
            said: list[str] = []
            tabs = [opened(browser.new_page(viewport={"width": 1280, "height": 720}), address, said) for _ in range(2)]
            memory = worked(desk, tabs, options.minutes, random.Random(options.seed))
            lost = lost_strokes(tabs[0], options.work)
            browser.close()
    finally:
        desk.terminate()
        desk.wait()
    # Of the server: a trainer is killed now and then, and begins anew. Caches have filled after a minute.
    served = [row[0] for row in memory][1:]
    growth = max(served[len(served) // 2 :]) / max(served[: max(1, len(served) // 4)]) if served else 1.0
    print(json.dumps({"console": said, "lost": lost, "growth": round(growth, 2)}))
    return 1 if said or lost or growth > MOST_GROWTH else 0


def opened(page: Page, address: str, said: list[str]) -> Page:
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(address)
    page.locator('#viewer[data-plate]:not([data-plate=""])').wait_for(state="attached", timeout=120_000)
    return page


def worked(desk: subprocess.Popen[str], tabs: list[Page], minutes: float, rng: random.Random) -> list[list[int]]:
    """Do this and that; returns MiB of the server and of its children, once a minute."""
    began = last = killed = time.monotonic()
    memory: list[list[int]] = []
    done = 0
    while time.monotonic() - began < 60 * minutes:
        act(rng.choice(tabs), rng)
        done += 1
        now = time.monotonic()
        if now - killed > KILL_EVERY_S:
            killed = now
            for child in psutil.Process(desk.pid).children():
                if "engine.training.session" in child.cmdline():
                    child.kill()
        if now - last > 60 or not memory:
            last = now
            server = psutil.Process(desk.pid)
            sizes = [server.memory_info().rss, *(child.memory_info().rss for child in server.children())]
            memory.append([size >> 20 for size in sizes])
            print(f"{now - began:6.0f} s  {done} acts  MiB {memory[-1]}", flush=True)
    return memory


def act(tab: Page, rng: random.Random) -> None:
    what = rng.choice(("stroke", "stroke", "scrub", "scrub", "undo", "redo", "view", "erase", "wait"))
    if what in ("stroke", "erase"):
        box = tab.locator("#picture").bounding_box() or {"x": 0, "y": 0, "width": 1, "height": 1}
        tab.keyboard.press("e" if what == "erase" else "b")
        x, y = (box[side] + box[size] * rng.uniform(0.3, 0.7) for side, size in (("x", "width"), ("y", "height")))
        tab.mouse.move(x, y)
        tab.mouse.down()
        tab.mouse.move(x + rng.uniform(-80, 80), y + rng.uniform(-80, 80), steps=5)
        tab.mouse.up()
    elif what == "scrub":
        tab.keyboard.press(rng.choice(("ArrowLeft", "ArrowRight", "Home", "End", "ArrowUp", "ArrowDown")))
    elif what == "view":
        tab.keyboard.press(rng.choice(("1", "2", "3", "o", "o", "c", "c", "f")))
    elif what == "wait":
        tab.wait_for_timeout(rng.uniform(0, 500))
    else:
        tab.keyboard.press("z" if what == "undo" else "Z")


def lost_strokes(tab: Page, work: Path) -> list[str]:
    """Layers on disk whose coverage is not the one that the desk serves to a page that asks now."""
    tab.wait_for_timeout(5000)
    lost = []
    document = json.loads((work / "desk" / "desk.json").read_text(encoding="utf-8"))
    for keyframe in document["keyframes"]:
        if not keyframe["painting"] or not keyframe["painted"] or keyframe["removed"]:
            continue
        script = "async (id) => [...new Uint8Array(await (await fetch(`/painting/${id}`)).arrayBuffer())]"
        served = cv2.imdecode(np.array(tab.evaluate(script, keyframe["id"]), np.uint8), cv2.IMREAD_UNCHANGED)
        own = images.read(work / "desk" / keyframe["painting"]).alpha
        if own is None or np.abs(served[..., 3] / 255.0 - own).max() > 0.01:
            lost.append(f"frame {keyframe['frame']}")
    return lost


if __name__ == "__main__":
    sys.exit(main())
