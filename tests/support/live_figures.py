"""Figures of live work: frames per second and latency of ``paintover live`` and of the desk's camera.

::

    python -m tests.support.live_figures --look look.onnx --source plate.%04d.jpg --work work --out figures.json

It plays a source through a look at 320 pixels, without and with a keyframe of the stream, and shows chromium's fake
camera in the desk's tab. Beside other work the figures say nothing: the load of the machine is in the file.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from engine.base.machine import cpu_count, cpu_name
from plugin.progress.child import child_environment
from tests.support.chromium import FAKE_CAMERA, chromium_path, launch_options

WAIT_MS = 300_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--look", required=True)
    parser.add_argument("--source", required=True, help="images or a movie; also the desk's plate")
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--seconds", type=float, default=12.0, help="of each")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--screenshot", type=Path, help="of the desk's tab")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    found: dict[str, Any] = {
        "verb, plain": of_verb(options, []),
        "verb, keyframe of the stream": of_verb(options, ["--keyframe-at", "first"]),
        **of_tab(options),
        "machine": f"{cpu_name()}, {cpu_count()} cores",
        "load before": load,
        "load after": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }
    text = json.dumps(found, indent=2)
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n", encoding="utf-8")
    return 0


def of_verb(options: argparse.Namespace, more: list[str]) -> dict[str, Any]:
    """What the last seconds of a run say, which are those with a keyframe where there is one."""
    words = ["live", "--look", options.look, "--source", options.source, "--loop", "--size", "320", *more]
    words += ["--duration", str(options.seconds), "--out", str(options.work / "live.mp4"), "--progress", "json"]
    command = [sys.executable, "-m", "plugin", *words]
    done = subprocess.run(command, env=child_environment(), check=True, capture_output=True, text=True)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    last = [event for event in events if "fps" in event][-1]
    return {name: last[name] for name in ("fps", "latency_s", "worst_s", "shown", "dropped", "carried")}


def of_tab(options: argparse.Namespace) -> dict[str, Any]:
    words = ["desk", "--plate", options.source, "--look", options.look, "--work", str(options.work), "--no-browser"]
    desk = subprocess.Popen(
        [sys.executable, "-m", "plugin", *words], env=child_environment(), stdout=subprocess.PIPE, text=True
    )
    try:
        address = (desk.stdout or sys.stdin).readline().strip()
        with sync_playwright() as driver:
            browser = driver.chromium.launch(**launch_options(chromium_path(), FAKE_CAMERA))
            page = browser.new_page(viewport={"width": 1366, "height": 768}, permissions=["camera"])
            page.goto(address)
            page.locator('#viewer[data-plate]:not([data-plate=""])').wait_for(state="attached", timeout=WAIT_MS)
            page.locator("#open-live").click()
            page.locator("#live-start").click()
            page.locator("#live[data-shown]").wait_for(state="attached", timeout=WAIT_MS)
            page.wait_for_timeout(1000 * options.seconds)
            plain = figures(page)
            page.locator("#live-key").click()
            page.locator('#live[data-keyframe="followed"]').wait_for(state="attached", timeout=WAIT_MS)
            page.wait_for_timeout(1000 * options.seconds)
            keyed = figures(page)
            if options.screenshot is not None:
                page.screenshot(path=options.screenshot)
            browser.close()
    finally:
        desk.terminate()
        desk.wait()
    return {"tab, plain": plain, "tab, keyframe of the stream": keyed}


def figures(page: Page) -> dict[str, Any]:
    facts: dict[str, str] = page.evaluate("() => ({ ...document.getElementById('live').dataset })")
    return {name: float(facts[name]) for name in ("fps", "behind", "worst", "shown", "dropped", "carried")}


if __name__ == "__main__":
    sys.exit(main())
