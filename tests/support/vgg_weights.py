"""A tiny VGG-16 of random weights, for whoever needs deep features and no picture worth looking at."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

__all__ = ["tiny_vgg"]

_COUNTS = (2, 2, 3, 3, 3)


def tiny_vgg(path: Path, *, channels: int = 8) -> Path:
    """Write it, by layer names (``conv1_1.weight``); 64 channels in the first layer, which every VGG has."""
    generator = torch.Generator().manual_seed(0)
    state, inputs = {}, 3
    for stage, count in enumerate(_COUNTS, 1):
        for index in range(1, count + 1):
            outputs = 64 if stage == index == 1 else channels
            weight = torch.randn(outputs, inputs, 3, 3, generator=generator) * (2 / (9 * inputs)) ** 0.5
            state[f"conv{stage}_{index}.weight"] = weight
            state[f"conv{stage}_{index}.bias"] = torch.zeros(outputs)
            inputs = outputs
    save_file(state, path)
    return path
