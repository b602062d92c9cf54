"""Peak memory of stylizing an image, in its own process: ``python -m engine.bench.memory LOOK WIDTH HEIGHT DEVICE``."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
from pathlib import Path

import psutil

from engine.base.errors import PaintoverError
from engine.bench.shots import texture
from engine.look.session import Look

__all__ = ["main", "peak_gib"]

SAMPLE_EVERY_S = 0.002


def peak_gib(look: Path, width: int, height: int, device: str) -> float:
    """GiB of resident memory that stylizing adds to a process that has the image, loading the look included.

    Raises:
        PaintoverError: the process failed.
    """
    command = [sys.executable, "-m", "engine.bench.memory", str(look), str(width), str(height), device]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise PaintoverError(f"memory could not be measured: {last}")
    return float(json.loads(done.stdout)["delta_gib"])


def main(arguments: list[str] | None = None) -> int:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m engine.bench.memory")
    parser.add_argument("look", type=Path)
    parser.add_argument("width", type=int)
    parser.add_argument("height", type=int)
    parser.add_argument("device")
    options = parser.parse_args(arguments)
    process = psutil.Process()
    rgb = texture(options.height, options.width, 0)
    before = peak = process.memory_info().rss
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(SAMPLE_EVERY_S):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        Look.load(options.look, device=options.device).stylize(rgb)
    finally:
        done.set()
        watcher.join()
    print(json.dumps({"delta_gib": (peak - before) / 2**30}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
