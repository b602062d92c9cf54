"""Shots to measure on: footage with paintings where there is some, otherwise a shot drawn from a seed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from engine import images
from engine.base.arrays import Floats
from engine.base.errors import InputError
from engine.base.frames import FrameRange, SequencePath
from engine.bench.plan import SHARED
from engine.color import shaper
from engine.paint.painter import PRESETS, paint
from engine.shot.shot import Plate

__all__ = ["BenchShot", "draw_shot", "find_shot", "open_shot", "texture"]


_NUMBERED = re.compile(r"(plate|painted)\.(\d+)\.(\w+)$")


@dataclass(frozen=True)
class BenchShot:
    """A plate and its paintings."""

    name: str
    plate: Plate
    paintings: dict[int, Path]
    """By frame: the first is the keyframe, the others are references."""

    @property
    def keyframe(self) -> int:
        return min(self.paintings)

    @property
    def references(self) -> dict[int, Path]:
        """Painted frames that training does not see."""
        return {frame: path for frame, path in self.paintings.items() if frame != self.keyframe}


def find_shot(asked: Path | None, folder: Path, *, quick: bool) -> BenchShot:
    """The shot that was asked for, the footage beside the checkout, or one drawn into ``folder``.

    Raises:
        InputError: ``asked`` holds no plate or no painting.
    """
    beside = SHARED / "shots" / "lynx"
    if asked is not None:
        return open_shot(asked)
    if beside.is_dir() and not quick:
        return open_shot(beside)
    return draw_shot(folder, *((144, 256) if quick else (540, 960)))


def open_shot(folder: Path) -> BenchShot:
    """A folder with ``plate.####.EXT`` and ``painted.####.EXT``.

    Raises:
        InputError: no plate or no painting in it.
    """
    plates: dict[int, Path] = {}
    paintings: dict[int, Path] = {}
    for path in sorted(folder.glob("*.*")):
        match = _NUMBERED.fullmatch(path.name)
        if match is not None:
            (plates if match[1] == "plate" else paintings)[int(match[2])] = path
    if not plates or not paintings:
        raise InputError("no shot to measure on: plate.####.* and painted.####.* are needed", path=folder)
    first = plates[min(plates)]
    match = _NUMBERED.fullmatch(first.name)
    digits, suffix = ("4", first.suffix) if match is None else (str(len(match[2])), first.suffix)
    pattern = SequencePath.parse(folder / f"plate.%0{digits}d{suffix}")
    return BenchShot(folder.name, Plate(pattern, FrameRange(tuple(sorted(plates)))), paintings)


def draw_shot(folder: Path, height: int, width: int, frames: int = 3) -> BenchShot:
    """Write a plate of drifting textures (8-bit sRGB PNG) and a painting of its first frame made of brush strokes."""
    folder.mkdir(parents=True, exist_ok=True)
    for frame in range(frames):
        # Display-referred, as a camera's 8-bit file would be.
        shown = np.clip(shaper.encode(texture(height, width, frame)), 0, 1)
        images.write(folder / f"plate.{frame:04d}.png", shown, bit_depth="uint8")
        if frame == 0:
            style = PRESETS[min(PRESETS)]
            images.write(folder / "painted.0000.png", paint(shown, style=style, seed=0), bit_depth="uint8")
    return open_shot(folder)


def texture(height: int, width: int, frame: int, *, grain: float = 0.01) -> Floats:
    """A plate's frame (H, W, 3), scene-linear, 0 .. about 1.2: forms at every scale that drift, and fresh grain."""
    rng = np.random.default_rng(7)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    encoded = np.full((height, width, 3), 0.5, np.float32)
    for cell in (256, 96, 32, 12, 5):
        lattice = rng.standard_normal((64, 64, 3)).astype(np.float32)
        x, y = (columns + 3 * frame) / cell, (rows + frame) / cell
        encoded += 0.15 * cell**0.2 / 2 * cv2.remap(lattice, x % 62, y % 62, cv2.INTER_LINEAR)
    noise = np.random.default_rng(1000 + frame).standard_normal((height, width, 3)).astype(np.float32)
    return shaper.decode(np.clip(encoded + grain * noise, 0, 1.1))
