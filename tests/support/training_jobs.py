"""A training as the application starts it."""

from __future__ import annotations

from pathlib import Path

from plugin.training.process import TrainingJob, TrainingKeyframe


def job(folder: Path) -> TrainingJob:
    return TrainingJob(
        plate=str(folder / "plate.%04d.png"),
        frames="0-3",
        plate_colorspace=None,
        keyframes=(TrainingKeyframe(0, str(folder / "painted.png"), None, "sRGB - Texture"),),
        work=str(folder),
        look=str(folder / "hero.onnx"),
        budget_s=60.0,
        steps=None,
        seed=7,
        device="cpu",
        recipe="paintover",
        features=None,
        resume=False,
        ocio=None,
        threads=2,
        preview=True,
    )
