"""A look from a style image that nobody trained, and what its card says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from engine.optimize.feedforward.network import StyleTranslator
from engine.training.export.look import write_look
from engine.training.model.network import Architecture
from tests.support.networks import shake
from tests.support.procedural import plate

__all__ = ["style_card", "style_look"]


def style_card() -> dict[str, Any]:
    return {
        "name": "canvas",
        "working_colorspace": "lin_rec709_scene",
        "ocio_config": "none",
        "keyframes": [],
        "styles": [{"name": "canvas.jpg", "image_sha256": "c" * 64, "weight": 2.0}],
        "trained": {"recipe": "style", "steps": 1, "seconds": 0.0, "seed": 0, "loss": 1.0, "losses": {}},
        "plate_colorspace": "sRGB - Texture",
        "paint_colorspace": "sRGB - Texture",
    }


def style_look(path: Path) -> Path:
    """Write a small look whose every part contributes."""
    torch.manual_seed(0)
    write_look(path, shake(StyleTranslator(Architecture(width=16, blocks=2))), (), style_card(), plate(48, 64))
    return path
