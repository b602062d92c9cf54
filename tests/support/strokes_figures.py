"""Figures of brushstrokes: ``python -m tests.support.strokes_figures --memory``, or with ``--work DIR`` on the lynx.

``--memory`` draws strokes with gradients, in this process, and prints its peak of resident memory and the seconds of
search, picture and way back. ``--work DIR`` lays strokes on a lynx frame, lets them descend toward the plate, and
prints seconds, how far they are from it, and how far a browser's drawing of their SVG is from ours.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from engine import images
from engine.optimize.brushstrokes.curves import Brushstrokes
from engine.optimize.brushstrokes.job import PIXEL_ITERATIONS, STROKE_ITERATIONS, STROKES, StrokesJob
from engine.optimize.brushstrokes.paint import paint_strokes
from engine.optimize.brushstrokes.render import EDGE_PX, render
from engine.optimize.brushstrokes.search import search
from engine.optimize.job import StyleImage
from tests.support import SHARED
from tests.support.brushstrokes import scattered

__all__ = ["browser_picture", "main", "peak_of_drawing"]

CHROMIUM = os.environ.get("PAINTOVER_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
SAMPLE_EVERY_S = 0.002


def browser_picture(svgs: list[str], width: int, height: int, into: Path) -> np.ndarray:
    """(height, width, 3) of drawings one below the other on black, as chromium shows them; needs playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        # Root may not use chromium's sandbox, and CI is root; the page is our own.
        flags = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=[*flags, "--disable-dev-shm-usage"])
        tab = browser.new_page(viewport={"width": width, "height": height})
        tab.set_content("\n".join(["<style>body{margin:0;background:#000}svg{display:block}</style>", *svgs]))
        tab.screenshot(path=into)
        browser.close()
    return images.read(into).rgb


def peak_of_drawing(count: int, height: int, width: int) -> tuple[float, float, dict[str, float]]:
    """Peak of resident memory of this process and what drawing added, GiB, and seconds of each part."""
    process = psutil.Process()
    strokes = Brushstrokes(*(each.requires_grad_(True) for each in scattered(count, height, width).tensors))
    before = peak = process.memory_info().rss
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(SAMPLE_EVERY_S):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    spent = {}
    try:
        began = time.perf_counter()
        lists = search(strokes.points_px.detach(), strokes.width_px.detach(), height, width, EDGE_PX)
        spent["search"] = time.perf_counter() - began
        picture = render(strokes, height, width, torch.full((3,), 0.5), lists=lists)
        spent["picture"] = time.perf_counter() - began - spent["search"]
        picture.square().mean().backward()
        spent["way back"] = time.perf_counter() - began - spent["search"] - spent["picture"]
    finally:
        done.set()
        watcher.join()
    return peak / 2**30, (peak - before) / 2**30, spent


def _lynx(work: Path, count: int, iterations: int, pixels: int, style: Path | None, features: str) -> None:
    plate = SHARED / "shots" / "lynx" / "plate.0000.jpg"
    height, width = images.read(plate).rgb.shape[:2]
    (work / "strokes").mkdir(parents=True, exist_ok=True)
    job = StrokesJob(
        plate=str(plate.with_name("plate.%04d.jpg")),
        plate_layer="",
        frames=(0,),
        plate_colorspace=None,
        ocio=None,
        out=str(work / "p.%04d.png"),
        work=work,
        styles=() if style is None else (StyleImage(style.absolute()),),
        features=features if style is not None else "",
        pixel_iterations=pixels if style is not None else 0,
        strokes=count,
        iterations=iterations,
    )
    began, cpu = time.perf_counter(), time.process_time()
    stages: dict[str, float] = {}

    def on_event(event: dict[str, Any]) -> None:
        stages[str(event.get("scale", "written")).split(" at")[0]] = time.process_time() - cpu

    paint_strokes(job, on_event)
    spent, cpu = time.perf_counter() - began, time.process_time() - cpu
    painted = images.read(work / "p.0000.png").rgb
    print(f"{width}x{height}, {count} strokes, {iterations} steps: {spent:.1f} s, {cpu:.1f} of a core")
    print("seconds of a core at the end of each stage: " + ", ".join(f"{k} {v:.0f}" for k, v in stages.items()))
    print(f"mean difference from the plate: {np.abs(painted - images.read(plate).rgb).mean() * 255:.2f} / 255")
    if CHROMIUM is not None and not job.pixel_iterations:
        drawing = (work / "p.0000.svg").read_text(encoding="utf-8")
        seen = browser_picture([drawing], width, height, work / "browser.png")
        off = np.abs(seen - painted) * 255
        print(f"a browser's drawing: mean difference {off.mean():.2f} / 255, of one value in a hundred", end=" ")
        print(f"more than {np.percentile(off, 99):.0f} / 255")


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.strokes_figures")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--work", type=Path)
    parser.add_argument("--strokes", type=int, default=STROKES)
    parser.add_argument("--side", type=int, default=1024, help="of the square picture for --memory")
    parser.add_argument("--iterations", type=int, default=STROKE_ITERATIONS)
    parser.add_argument("--pixel-iterations", type=int, default=PIXEL_ITERATIONS)
    parser.add_argument("--style", type=Path)
    parser.add_argument("--features", default="vgg19")
    options = parser.parse_args(arguments)
    if options.memory:
        peak, added, spent = peak_of_drawing(options.strokes, options.side, options.side)
        parts = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in spent.items())
        print(f"{options.strokes} strokes at {options.side}x{options.side}: peak {peak:.2f} GiB, {added:.2f} added")
        print(f"{torch.get_num_threads()} threads: {parts}")
    if options.work is not None:
        pixels, style, features = options.pixel_iterations, options.style, options.features
        _lynx(options.work, options.strokes, options.iterations, pixels, style, features)
    return 0


if __name__ == "__main__":
    sys.exit(main())
