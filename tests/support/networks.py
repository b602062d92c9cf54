"""Untrained networks whose every part contributes, and the looks written from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from engine.look.session import Look
from engine.training.export.look import write_look
from engine.training.model.carry import StoredExemplar
from engine.training.model.network import Architecture, Translator
from engine.training.model.texler import GeneratorJ
from tests.support.procedural import TINY, painting_of, plate


def shake(net: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights and running statistics everywhere, so that nothing is zero by its start."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in net.state_dict().items():
        if not value.is_floating_point():
            continue
        fresh = torch.randn(value.shape, generator=generator)
        fan = max(1, value[0].numel()) if value.ndim == 4 else 1
        spread = (2 / fan) ** 0.5 if value.ndim == 4 else 0.1
        offset = 1.0 if name.endswith(("norm.weight", "running_var")) else 0.0
        value.copy_((fresh * spread + offset).abs() if offset else fresh * spread)
    return net.eval()


def stored(painting: np.ndarray, coverage: np.ndarray | None = None) -> StoredExemplar:
    """An exemplar whose plate has nothing to do with it."""
    height, width = painting.shape[:2]
    return StoredExemplar(painting, np.ones((height, width), np.float32) if coverage is None else coverage, painting)


def blended() -> torch.nn.Module:
    """A network that knows nothing of exemplars: the look lays them over its result."""
    return shake(GeneratorJ(1)).eval()


def card(exemplars: list[StoredExemplar]) -> dict[str, object]:
    frames = [
        {"frame": i, "exemplar_sha256": f"{i:064}", "width": e.coverage.shape[1], "height": e.coverage.shape[0]}
        for i, e in enumerate(exemplars)
    ]
    trained = {"recipe": "paintover", "steps": 0, "seconds": 0.0, "seed": 0, "loss": 0.0, "losses": {}}
    names = {"name": "test", "working_colorspace": "scene_linear", "ocio_config": "test"}
    return {**names, "keyframes": frames, "trained": trained, "plate_colorspace": "", "paint_colorspace": ""}


def lively(architecture: Architecture | None = None) -> Translator:
    """An untrained network whose every part contributes: its own start would be the bare skip."""
    made = Translator(architecture or Architecture(TINY.width, TINY.blocks))
    skip = {k: v.clone() for k, v in made.skip.state_dict().items()}
    shake(made)
    made.skip.load_state_dict(skip)
    with torch.no_grad():
        # In scale with a picture: what runs over the largest half float would be cut off on the way out.
        x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
        scale = 0.3 / (made(x) - x).std()
        for head in (made.head, made.strokes.head):
            head.weight.mul_(scale)
            head.bias.mul_(scale)
    return made.eval()


def write(path: Path, net: torch.nn.Module, exemplars: list[StoredExemplar] | None = None) -> Look:
    exemplars = exemplars or [stored(painting_of(plate(24, 32)))]
    write_look(path, net, exemplars, card(exemplars), plate(24, 32))
    return Look.load(path, device="cpu", threads=1)
