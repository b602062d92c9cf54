"""A session of a small repaint, timed from outside: how long a person waits, in this checkout or in an older one.

``python -m engine.bench.session --checkout DIR`` exports a key, paints on it in the artist's stead, runs the shot,
mends a corner of the painting, runs again, and runs once more with nothing changed. Everything goes through the command
line and the files that an artist sees, so that versions can be compared; the painting itself is not timed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine import images
from engine.base.errors import InputError, PaintoverError
from engine.bench.machine import describe
from engine.bench.plan import SHARED

__all__ = ["main", "timed_session"]

_LOOK_EVERY_S = 0.05
_CORNER = 0.25
"""Share of each side that is painted anew."""


def timed_session(checkout: Path, plate: str, frames: str, budget_s: float, work: Path) -> dict[str, float]:
    """Seconds of each wait, by what is waited for.

    Args:
        checkout: whose ``paintover`` is run.
        plate: pattern of the source frames; the first frame of ``frames`` is painted.
        work: an empty folder.

    Raises:
        PaintoverError: a command failed.
    """
    first = int(frames.split("-")[0].split(",")[0])
    key, painted = work / f"key.{first:04d}.png", work / "painted.png"
    waits: dict[str, float] = {}
    words = ["key", "--plate", plate, "--frames", str(first), "--out", str(work / "key.%04d.png")]
    waits["key"], _ = _wait(checkout, words, None)
    _paint(key, painted, 1.0)
    run = [
        "run",
        "--plate",
        plate,
        "--frames",
        frames,
        "--keyframe",
        f"{first}={painted}",
        "--budget",
        f"{budget_s:g}s",
    ]
    run += ["--work", str(work / "work"), "--out", str(work / "out.%04d.png")]
    preview = work / "work" / "preview.png"
    for name in ("first run", "repaint"):
        waits[f"{name}: result"], seen = _wait(checkout, run, preview)
        if seen is not None:
            waits[f"{name}: preview"] = seen
        if name == "first run":
            _paint(key, painted, _CORNER)
    waits["unchanged"], _ = _wait(checkout, run, None)
    return waits


def _paint(key: Path, painted: Path, share: float) -> None:
    """A painting as a stand-in: broad tones in place of fine ones, in a corner or everywhere."""
    read = images.read(key if share == 1.0 else painted)
    height, width = (round(share * side) for side in read.rgb.shape[:2])
    corner = read.rgb[:height, :width]
    tones = np.floor(corner[..., ::-1] * 6.0) / 6.0 if share == 1.0 else 1.0 - corner
    rgb = read.rgb.copy()
    rgb[:height, :width] = tones
    images.write(painted, rgb, like=read.header)


def _wait(checkout: Path, words: Sequence[str], preview: Path | None) -> tuple[float, float | None]:
    """Seconds until a command ends, and until a file is new; None where that does not come."""
    environment = {**os.environ, "PYTHONPATH": str(checkout.resolve())}
    before = _changed_ns(preview)
    seen: float | None = None
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "plugin", *words, "--progress", "none"],
            cwd=checkout,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        while process.poll() is None:
            if seen is None and _changed_ns(preview) != before:
                seen = time.perf_counter() - started
            time.sleep(_LOOK_EVERY_S)
        elapsed_s = time.perf_counter() - started
        if process.returncode:
            said.seek(0)
            last = said.read().decode(errors="replace").strip().splitlines()[-1:]
            raise PaintoverError(f"paintover {words[0]} ended with {process.returncode}: {''.join(last)}")
    return elapsed_s, seen


def _changed_ns(path: Path | None) -> int:
    try:
        return 0 if path is None else path.stat().st_mtime_ns
    except OSError:
        return 0


def main(arguments: list[str] | None = None) -> int:
    """Run a session, print its waits."""
    parser = argparse.ArgumentParser(prog="python -m engine.bench.session", description="How long a person waits.")
    parser.add_argument("--checkout", type=Path, default=Path.cwd(), help="whose paintover is run (default: this one)")
    parser.add_argument("--plate", help="pattern of the plate (default: the footage beside the checkout)")
    parser.add_argument("--frames", default="0-10", help="default 0-10")
    parser.add_argument("--budget", type=float, default=60.0, metavar="SECONDS", help="default 60")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="also write the waits here")
    options = parser.parse_args(arguments)
    plate = options.plate or str(SHARED / "shots" / "lynx" / "plate.%04d.jpg")
    try:
        if not (options.checkout / "plugin").is_dir():
            raise InputError(
                "no checkout of Paintover", path=options.checkout, remedy="name its folder with --checkout"
            )
        with tempfile.TemporaryDirectory(prefix="paintover-session-") as folder:
            waits = timed_session(options.checkout, plate, options.frames, options.budget, Path(folder))
    except PaintoverError as error:
        print(f"session: {error}", file=sys.stderr)
        return error.exit_code
    for name, seconds in waits.items():
        print(f"{name:<20} {seconds:7.1f} s")
    if options.out is not None:
        facts = {"machine": describe(), "budget_s": options.budget, "waits_s": waits}
        options.out.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
