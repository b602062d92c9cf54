"""Page of the stylizers: every command that paints without a painting, run on one shot, and a sheet of what it made.

::

    python -m tests.support.style_page --work work/style --out style.jpg
    python -m tests.support.style_page --work work/style --out style.jpg --only exemplars --iterations 100

It takes lynx of ../shared at half size, its hand-painted frame as the style image, and the features of ../shared,
unless others are named. A command that this version does not have is left out. What is made stays in the work folder,
beside what the command said; with ``--keep`` it is not made again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from engine import images
from engine.base.arrays import Floats
from engine.base.shell_words import shell_word
from engine.review.sheets import Cell, Row, compose
from plugin.arguments.commands import COMMANDS
from plugin.progress.child import child_environment
from tests.support import SHARED

LYNX = SHARED / "shots" / "lynx"
WIDTH = 480
CELL = 360


@dataclass(frozen=True)
class Shown:
    """One command, and the picture that it makes."""

    name: str
    title: str
    words: list[str]
    result: Path
    then: list[str] | None = None
    """A second command that makes the picture from what the first one made."""


def shrunk(source: Path, to: Path, width: int) -> Path:
    """An image in another width, 8 bits."""
    if not to.exists():
        rgb = images.read(source).rgb
        size = (width, round(rgb.shape[0] * width / rgb.shape[1]))
        small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
        images.write(to, np.asarray(np.clip(small, 0, 1), np.float32), bit_depth="uint8")
    return to


def has(verb: str, flag: str) -> bool:
    """Whether this version has a verb with an option."""
    return verb in COMMANDS and any(flag in option.flags for option in COMMANDS[verb].options)


def plan(options: argparse.Namespace, plate: str, exemplars: list[tuple[Path, Path]]) -> list[Shown]:
    """The commands that there are, with small budgets."""
    work, frame = options.work, str(options.frame)
    of_frame = ["--plate", plate, "--frame", frame, "--seed", "1", "--overwrite"]
    learning = ["--features", str(options.features)]
    steps = ["--iterations", str(options.iterations)]
    image = ["--style", str(options.style)]

    def out(name: str) -> list[str]:
        return ["--out", str(work / f"{name}.%04d.png"), "--work", str(work / name)]

    def painted(name: str) -> Path:
        return work / f"{name}.{options.frame:04d}.png"

    shown = []
    for name, title, more in (
        ("style", "paint --style IMAGE", []),
        ("luminance", "paint --style IMAGE --colors luminance", ["--colors", "luminance"]),
        ("scale", "paint --style IMAGE --style-scale 2", ["--style-scale", "2"]),
    ):
        words = ["paint", *of_frame, *image, *learning, *steps, *more, *out(name)]
        shown.append(Shown(name, title, words, painted(name)))
    given = [word for pair in exemplars for word in ("--exemplar", "=".join(map(str, pair)))]
    words = ["paint", *of_frame, *given, *out("exemplars")]
    shown.append(Shown("exemplars", f"paint --exemplar, {len(exemplars)} times", words, painted("exemplars")))
    if has("paint", "--strokes"):
        few = ["--strokes", "--stroke-count", "1500"]
        words = ["paint", *of_frame, *few, *out("strokes")]
        shown.append(Shown("strokes", "paint --strokes", words, painted("strokes")))
        words = ["paint", *of_frame, *few, *image, *learning, *out("stroked")]
        shown.append(Shown("stroked", "paint --strokes --style IMAGE", words, painted("stroked")))
    if has("sequence", "--style"):
        frames = f"{options.frame - 2}-{options.frame}"
        words = ["sequence", "--plate", plate, "--frames", frames, "--seed", "1", "--overwrite"]
        words += [*image, *learning, *steps, *out("sequence")]
        shown.append(Shown("sequence", "sequence --style IMAGE, third frame", words, painted("sequence")))
    if has("train", "--style"):
        look = ["--look", str(work / "styled.onnx")]
        words = ["train", "--plate", plate, "--frames", f"0-{options.frame}", *image, *learning]
        words += ["--budget", options.budget, *look, "--work", str(work / "train")]
        then = ["render", "--plate", plate, "--frames", frame, *look, *out("look"), "--overwrite"]
        title = f"train --style IMAGE --budget {options.budget}, then render"
        shown.append(Shown("look", title, words, painted("look"), then))
    return shown


def make(shown: Shown, log: Path, keep: bool) -> str:
    """Run it; returns how long it took, or what went wrong."""
    if keep and shown.result.exists():
        return ""
    began = time.monotonic()
    with log.open("w", encoding="utf-8") as file:
        for words in filter(None, (shown.words, shown.then)):
            command = [sys.executable, "-m", "plugin", *words, "--progress", "lines"]
            file.write(f"$ paintover {' '.join(map(shell_word, words))}\n")
            file.flush()
            done = subprocess.run(command, env=child_environment(), stdout=file, stderr=subprocess.STDOUT)
            if done.returncode:
                return f"ended with {done.returncode}"
    return f"{time.monotonic() - began:.0f} s" if shown.result.exists() else "made no picture"


def read(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 of an image."""
    rgb: Floats = images.read(path).rgb
    return np.asarray(np.rint(np.clip(rgb, 0, 1) * 255), np.uint8)


def main() -> int:
    """Run all, and write the sheet; 1 where a command failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="where everything is made")
    parser.add_argument("--out", type=Path, required=True, help="the sheet: .jpg or .png")
    parser.add_argument("--plate", type=Path, default=LYNX / "plate.%04d.jpg")
    parser.add_argument("--frame", type=int, default=5, help="which one is painted; two before it must be there")
    parser.add_argument("--style", type=Path, default=LYNX / "painted.0000.jpg")
    parser.add_argument("--exemplar", action="append", metavar="PLATE=PAINTING", help="the two of lynx by default")
    parser.add_argument("--features", type=Path, default=SHARED / "models" / "vgg16_hed_fp16.safetensors")
    parser.add_argument("--iterations", type=int, default=40)
    parser.add_argument("--budget", default="60s", help="of the look")
    parser.add_argument("--only", action="append", help="the name of one of the commands; repeat for several")
    parser.add_argument("--keep", action="store_true", help="make only what is not there")
    options = parser.parse_args()
    options.work = options.work.resolve()
    options.work.mkdir(parents=True, exist_ok=True)
    pairs = options.exemplar or [
        f"{LYNX / 'plate.0000.jpg'}={LYNX / 'painted.0000.jpg'}",
        f"{LYNX / 'plate.0010.jpg'}={LYNX / 'painted.0010.png'}",
    ]
    for frame in range(options.frame + 1):
        source = Path(str(options.plate) % frame)
        if source.exists():
            shrunk(source, options.work / f"plate.{frame:04d}.png", WIDTH)
    exemplars = []
    for index, (below, _, above) in enumerate(pair.partition("=") for pair in pairs):
        made = (
            shrunk(Path(path), options.work / f"{what}{index}.png", WIDTH)
            for path, what in ((below, "b"), (above, "a"))
        )
        exemplars.append((next(made), next(made)))
    cells = [Cell(read(options.work / f"plate.{options.frame:04d}.png"), f"plate, frame {options.frame}")]
    cells.append(Cell(read(shrunk(options.style, options.work / "style_image.png", WIDTH)), "style image"))
    failed = False
    for shown in plan(options, str(options.work / "plate.%04d.png"), exemplars):
        if options.only and shown.name not in options.only:
            continue
        said = make(shown, options.work / f"{shown.name}.log", options.keep)
        print(f"{shown.title}: {said or 'kept'}", flush=True)
        if not shown.result.exists():
            failed = True
            continue
        cells.append(Cell(read(shown.result), shown.title, said))
    sheet = compose([Row("", cells[at : at + 3]) for at in range(0, len(cells), 3)], cell_width_px=CELL)
    images.write(options.out, sheet.astype(np.float32) / 255, bit_depth="uint8")
    print(options.out)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
