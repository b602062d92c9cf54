"""A small shot that moves, a style image, and features: what a look from a style image is trained from."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine import images
from engine.optimize.feedforward.job import StyleLookJob
from engine.optimize.job import StyleImage
from tests.support.pictures import picture
from tests.support.procedural import plate
from tests.support.vgg_weights import tiny_vgg

HEIGHT, WIDTH, FRAMES = 40, 56, 3
SHIFT = 2
"""Pixels that the shot moves to the left, and up, from frame to frame."""


def style_shot(folder: Path, *, height: int = HEIGHT, width: int = WIDTH, frames: int = FRAMES) -> Path:
    """Write plate.0.png and so on, canvas.png and vgg.safetensors; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    still = np.clip(plate(height, width), 0, 1)
    for frame in range(frames):
        # What leaves on one side comes in on the other, so that every frame is as rich as the first.
        shown = np.roll(still, (-SHIFT * frame, -SHIFT * frame), (0, 1))
        images.write(folder / f"plate.{frame}.png", shown, bit_depth="uint8")
    picture(folder / "canvas.png", seed=5, height=40, width=48)
    tiny_vgg(folder / "vgg.safetensors")
    return folder


def style_job(folder: Path, **changes: object) -> StyleLookJob:
    """A job of 3 steps on the CPU; ``changes`` replace fields."""
    values: dict[str, object] = {
        "plate": str(folder / "plate.%d.png"),
        "plate_layer": "",
        "frames": f"0-{FRAMES - 1}",
        "plate_colorspace": None,
        "ocio": None,
        "work": folder / "work",
        "look": folder / "work" / "look.onnx",
        "styles": (StyleImage(folder / "canvas.png"),),
        "features": str(folder / "vgg.safetensors"),
        "budget_s": None,
        "steps": 3,
        "device": "cpu",
        "threads": 1,
        "preview": False,
    }
    return StyleLookJob(**{**values, **changes})  # type: ignore[arg-type]
