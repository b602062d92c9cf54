"""Plates to render, the settings that render them on the CPU, and the hashes of what was written."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from engine import images
from engine.base.frames import FrameRange, SequencePath
from engine.rendering.render import RenderSettings
from engine.shot.shot import Plate

SMALL = {"channels": (8, 12, 16), "blocks": 1}

ON_CPU = RenderSettings(device="cpu")

TILED = RenderSettings(device="cpu", tile=64)


def picture(frame: int, height: int = 60, width: int = 91) -> np.ndarray:
    """Noise that differs by frame, scene-linear, of an odd width."""
    return np.random.default_rng(frame + 1000).random((height, width, 3), dtype=np.float32) * 2


def make_plate(folder: Path, frames: str = "1-6", suffix: str = ".exr", **options: Any) -> Plate:
    folder.mkdir(exist_ok=True)
    path, wanted = SequencePath.parse(folder / f"plate.%04d{suffix}"), FrameRange.parse(frames)
    for frame in wanted:
        pixels = picture(frame) if suffix == ".exr" else picture(frame) / 2
        images.write(path.path(frame), pixels, **options)
    return Plate(path, wanted, "scene_linear" if suffix == ".exr" else None)


def outputs(folder: Path, suffix: str = ".exr") -> SequencePath:
    return SequencePath.parse(folder / f"out.%04d{suffix}")


def digests(out: SequencePath, frames: FrameRange) -> dict[int, str]:
    return {frame: hashlib.sha256(out.path(frame).read_bytes()).hexdigest() for frame in frames}
