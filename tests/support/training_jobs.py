"""Training jobs for those who start a training and do not care what it learns."""

from __future__ import annotations

from pathlib import Path

from engine.training.job.job import PaintedFrame, TrainingJob


def job(folder: Path) -> TrainingJob:
    return TrainingJob(
        plate=str(folder / "plate.%04d.png"),
        frames="0-3",
        plate_colorspace=None,
        keyframes=(PaintedFrame(0, folder / "painted.png", None, "sRGB - Texture"),),
        work=folder,
        look=folder / "hero.onnx",
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
