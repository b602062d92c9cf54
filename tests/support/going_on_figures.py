"""Going on from a look after a painting changed in one place, scored against a new training, inside and outside it.

::

    python -m tests.support.going_on_figures --work work --out figures.json

On the lynx of ../shared, everything by the command line: a look is trained from the first painting for 90 s, then the
painting changes in a box, and 30 s of ``train --from`` that look stand against a new training of 90 s. The distance is
that of :mod:`engine.bench.scoring`; what does not count is the truth's own, so that only the rest is judged:

``keyframe inside``, ``keyframe outside``
    the painted frame itself, in the box and around it
``neighbor inside``
    the next frame, which nobody painted: the changed painting as its STMap carries it, where that is sure
``frame 10 outside``
    a painting of frame 10 that no training saw, without the box as it is carried there

Each is scored as rendered, and again ``by the translator alone``, without STMaps: what is carried is the painting
itself, whatever was learnt, and would hide what was not.

Beside other work the figures say nothing: a budget is time. The load of the machine is in the file.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from engine import images
from engine.base.arrays import Floats, Mask
from engine.base.machine import cpu_count, cpu_name
from engine.bench.scoring import Distance, find_distance
from engine.motion.stmap import read_stmap, sidecar_path, stmap_to_flow
from plugin.progress.child import child_environment
from tests.support import SHARED

LYNX = SHARED / "shots" / "lynx"
LAST, NEIGHBOR = 10, 1
BOX = (slice(180, 330), slice(560, 760))
"""Rows and columns that are painted anew: part of the animal and of what lies behind it."""
SURE = 0.8
"""Confidence from which the neighbor's truth is known."""
AROUND_PX = 9
"""Around the carried box, where neither painting is right."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--before", type=float, default=90.0, help="seconds of the look that is gone on from")
    parser.add_argument("--on", type=float, default=30.0, help="seconds of going on")
    parser.add_argument("--new", type=float, default=90.0, help="seconds of the new training")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--tolerance", type=float, default=0.02, help="share by which going on may be worse")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    name, distance = find_distance()
    paintings = repainted(options.work)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    paintover("prepare", *PLATE, "--keyframe", "0", "--work", str(options.work / "tracks"))
    scores: dict[str, dict[str, list[float]]] = {"before": {}, "on": {}, "new": {}}
    for seed in options.seeds:
        folder = options.work / str(seed)
        before = trained(folder / "before", paintings[0], options.before, seed)
        looks = {
            "before": before,
            "on": trained(folder / "on", paintings[1], options.on, seed, "--from", str(before)),
            "new": trained(folder / "new", paintings[1], options.new, seed),
        }
        for method, look in looks.items():
            for how, words in (("", ()), (", by the translator alone", ("--no-stmaps",))):
                frames = rendered(look, options.work / "tracks", *words)
                for place, value in scored(frames, paintings[1], options.work / "tracks", distance).items():
                    scores[method].setdefault(place + how, []).append(value)
    means = {
        method: {place: round(statistics.fmean(each), 5) for place, each in found.items()}
        for method, found in scores.items()
    }
    worse = {
        place: round(means["on"][place] / means["new"][place], 3)
        for place in means["new"]
        if means["on"][place] > means["new"][place] * (1 + options.tolerance)
    }
    found = {
        "distance": name,
        "seconds": {"before": options.before, "on": options.on, "new": options.new},
        "means": means,
        "each seed": scores,
        "worse than a new training": worse,
        "machine": f"{cpu_name()}, {cpu_count()} cores",
        "load before": load,
        "load after": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }
    text = json.dumps(found, indent=2)
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n", encoding="utf-8")
    return 1 if worse else 0


PLATE = ("--plate", str(LYNX / "plate.%04d.jpg"), "--frames", f"0-{LAST}")


def paintover(*words: str) -> None:
    command = [sys.executable, "-m", "plugin", *words, "--progress", "none"]
    subprocess.run(command, check=True, env=child_environment(), stdin=subprocess.DEVNULL)


def repainted(work: Path) -> tuple[Path, Path]:
    """The painting as it is, and with other colors in the box; both as .png."""
    own = images.read(LYNX / "painted.0000.jpg").rgb
    changed = own.copy()
    changed[BOX] = own[BOX][..., [2, 0, 1]] * np.float32(0.9)
    paths = (work / "first.png", work / "changed.png")
    for path, rgb in zip(paths, (own, changed), strict=True):
        images.write(path, rgb, bit_depth="uint8")
    return paths


def trained(folder: Path, painting: Path, seconds: float, seed: int, *more: str) -> Path:
    look = folder / "look.onnx"
    words = ["train", *PLATE, "--keyframe", f"0={painting}", "--budget", f"{seconds:g}s", "--seed", str(seed)]
    paintover(*words, "--work", str(folder), "--look", str(look), *more)
    return look


def rendered(look: Path, tracks: Path, *more: str) -> dict[int, Floats]:
    """Frames that are scored, as the command line renders them."""
    out = look.parent / "out.%04d.png"
    words = ["render", "--look", str(look), *PLATE[:2], "--frames", f"0,{NEIGHBOR},{LAST}", "--work", str(tracks)]
    paintover(*words, "--out", str(out), "--overwrite", *more)
    return {frame: images.read(look.parent / f"out.{frame:04d}.png").rgb for frame in (0, NEIGHBOR, LAST)}


def scored(frames: dict[int, Floats], changed: Path, tracks: Path, distance: Distance) -> dict[str, float]:
    """Distance by place; of a place, for each of its pixels."""
    truth = images.read(changed).rgb
    box = np.zeros(truth.shape[:2], bool)
    box[BOX] = True
    carried, place, sure = carried_to(NEIGHBOR, truth, box, tracks)
    _, last_place, _ = carried_to(LAST, truth, box, tracks)
    around = cv2.dilate(last_place.astype(np.uint8), np.ones((AROUND_PX, AROUND_PX), np.uint8)) > 0
    judged = {
        "keyframe inside": (frames[0], truth, box),
        "keyframe outside": (frames[0], truth, ~box),
        "neighbor inside": (frames[NEIGHBOR], carried, place & sure),
        "frame 10 outside": (frames[LAST], images.read(LYNX / "painted.0010.png").rgb, ~around),
    }
    return {
        name: distance(np.where(where[..., None], shown, right), right) / float(where.mean())
        for name, (shown, right, where) in judged.items()
    }


def carried_to(frame: int, painting: Floats, box: Mask, tracks: Path) -> tuple[Floats, Mask, Mask]:
    """The painting and the box as a frame's STMap carries them, and where that is sure."""
    stmap = read_stmap(sidecar_path(tracks, 0, frame))
    height, width = box.shape
    flow = stmap_to_flow(stmap[..., 0], stmap[..., 1], height, width)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    places = (x + flow[..., 0], y + flow[..., 1])
    moved = cv2.remap(painting, *places, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    inside = cv2.remap(box.astype(np.float32), *places, cv2.INTER_LINEAR) > 0.5
    return np.clip(np.asarray(moved, np.float32), 0, 1), inside, stmap[..., 2] > SURE


if __name__ == "__main__":
    sys.exit(main())
