"""A shot drawn from a seed: plates that move, paintings of them, and the job that trains on them.

It stands in for real footage on machines that have none, and is small enough for tests. Images are scene-linear
float32 (H, W, 3) of the ``scene_linear`` role unless a name says otherwise.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from engine import images
from engine.color import shaper
from engine.training.job.job import PaintedFrame, Settings, TrainingJob
from tests.support import ROOT, SHARED

__all__ = ["ROOT", "SHARED", "TINY", "ProceduralShot", "hdr_plate", "noise", "painting_of", "plate"]

"""Real footage and models, where the checkout has them beside it."""

TINY = Settings(width=16, blocks=1, crop=80, batch=2, discriminator_width=8, warmup_steps=5)
"""A network that trains a step in some milliseconds; its reach is 18 pixels."""

LINEAR = "scene_linear"
HDR_RANGE = (-0.5, 60.0)


def noise(height: int, width: int, *, seed: int, channels: int = 3, shift: int = 0, finest: int = 2) -> np.ndarray:
    """Fractal noise (H, W, C), about -1..1, that wanders ``shift`` pixels to the left and up."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, channels), np.float32)
    cell = 64
    while cell >= finest:
        lattice = rng.standard_normal((12, 12, channels)).astype(np.float32)
        y, x = np.mgrid[shift : shift + height, shift : shift + width].astype(np.float32) / cell
        sampled = cv2.remap(lattice, x % 12, y % 12, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        total += cell**0.5 / 8 * sampled.reshape(total.shape)
        cell //= 2
    return total / 2


def plate(height: int, width: int, *, seed: int = 0, shift: int = 0) -> np.ndarray:
    """A plate of soft forms and some grain, values 0.01..0.95."""
    forms = noise(height, width, seed=seed, shift=shift)
    return shaper.decode(np.clip(0.5 + 0.35 * forms, 0.1, 0.98))


def painting_of(pixels: np.ndarray, *, seed: int = 5) -> np.ndarray:
    """What a painter might make of a plate: fewer tones, warmer, with strokes."""
    encoded = shaper.encode(pixels)
    tones = np.round(encoded * 5) / 5
    strokes = 0.06 * noise(*pixels.shape[:2], seed=seed, channels=1, finest=2)
    warmer = tones @ np.array([[0.9, 0.1, 0.0], [0.1, 0.8, 0.1], [0.0, 0.1, 0.6]], np.float32)
    return shaper.decode(np.clip(warmer + strokes, 0, 1))


def hdr_plate(height: int, width: int, *, seed: int = 0, shift: int = 0) -> np.ndarray:
    """A plate whose values spread evenly in the working encoding from -0.5 to 60, with detail down to two pixels."""
    forms = noise(height, width, seed=seed, shift=shift)
    ranks = np.empty_like(forms)
    for channel in range(3):
        order = np.argsort(np.argsort(forms[..., channel], axis=None))
        ranks[..., channel] = (order / max(order.size - 1, 1)).reshape(height, width)
    low, high = shaper.encode(np.array(HDR_RANGE, np.float32))
    return shaper.decode((low + (high - low) * ranks).astype(np.float32))


@dataclass(frozen=True)
class ProceduralShot:
    """A shot on disk: EXR plates of ``frames`` frames from 0, and paintings of some."""

    folder: Path
    frames: int
    painted: tuple[int, ...]

    @classmethod
    def write(
        cls,
        folder: Path,
        *,
        size: tuple[int, int] = (72, 96),
        frames: int = 3,
        painted: tuple[int, ...] = (0,),
        seed: int = 0,
    ) -> ProceduralShot:
        folder.mkdir(parents=True, exist_ok=True)
        for frame in range(frames):
            pixels = plate(*size, seed=seed, shift=3 * frame)
            images.write(folder / f"plate.{frame:04d}.exr", pixels, bit_depth="float")
            if frame in painted:
                images.write(folder / f"painted.{frame:04d}.exr", painting_of(pixels), bit_depth="float")
        return cls(folder, frames, painted)

    def painting(self, frame: int = 0) -> Path:
        return self.folder / f"painted.{frame:04d}.exr"

    def plate(self, frame: int = 0) -> Path:
        return self.folder / f"plate.{frame:04d}.exr"

    def keyframe(self, frame: int = 0, painting: Path | None = None, matte: Path | None = None) -> PaintedFrame:
        return PaintedFrame(frame, painting or self.painting(frame), matte, LINEAR)

    def job(self, *, work: str = "work", **changes: Any) -> TrainingJob:
        """A job of 3 steps on the CPU; ``changes`` replace fields."""
        values: dict[str, Any] = {
            "plate": str(self.folder / "plate.%04d.exr"),
            "frames": f"0-{self.frames - 1}",
            "plate_colorspace": LINEAR,
            "keyframes": tuple(self.keyframe(frame) for frame in self.painted),
            "work": self.folder / work,
            "look": self.folder / work / "look.onnx",
            "budget_s": None,
            "steps": 3,
            "seed": 7,
            "device": "cpu",
            "threads": 1,
            "preview": False,
        }
        if changes.get("budget_s") is not None:
            values["steps"] = None
        return TrainingJob(**{**values, **changes})


def job_text(job: TrainingJob) -> str:
    """The job as the JSON file that the training process reads."""
    return json.dumps(job.facts())
