"""Augmentations of full-frame training: what Texler et al. 2020 compared their patches with (their figure 9).

The paper names them and no strengths; these are ours, each so strong that it is seen at once.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from engine.training.job.limits import AUGMENTATIONS

__all__ = ["Augmentation"]

NOISE = 0.1
"""Deviation of the Gaussian noise, in the working encoding: 25 codes of 255."""
BLACK = 0.1
"""Share of the pixels that are black."""
OCCLUDERS = 8
LARGEST_OCCLUDER = 0.25
"""Longest side of a black rectangle, of the frame's."""
DROPPED = 0.1
"""Share of the maps, or of single pixels of maps, that are dropped before each convolution but the first."""


class Augmentation:
    """One of :data:`AUGMENTATIONS`, drawn anew in each step.

    Args:
        rng: the training's own, so that a resumed training draws what it would have drawn.
    """

    def __init__(self, name: str, rng: np.random.Generator) -> None:
        if name not in AUGMENTATIONS:
            raise ValueError(f"no augmentation {name}")
        self.name = name
        self.rng = rng

    def spoiled(self, plate: Tensor) -> Tensor:
        """A plate (B, 3, H, W), working encoding, as the network is to see it; the painting stays."""
        _, _, height, width = plate.shape
        if self.name == "noise":
            noise = self.rng.standard_normal(tuple(plate.shape), np.float32) * np.float32(NOISE)
            return plate + torch.from_numpy(noise).to(plate)
        if self.name == "black-pixels":
            kept = self.rng.random((height, width), np.float32) >= BLACK
            return plate * torch.from_numpy(kept).to(plate)
        if self.name == "occlusion":
            kept = np.ones((height, width), bool)
            for _ in range(OCCLUDERS):
                rows, columns = (
                    max(1, round(self.rng.uniform(0, LARGEST_OCCLUDER) * side)) for side in (height, width)
                )
                top, left = (int(self.rng.integers(side)) for side in (height, width))
                kept[top : top + rows, left : left + columns] = False
            return plate * torch.from_numpy(kept).to(plate)
        return plate

    def into(self, net: nn.Module) -> None:
        """Let a network drop, while it trains, what this augmentation drops."""
        if self.name not in ("map-dropout", "pixel-dropout"):
            return
        convolutions = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
        for convolution in convolutions[1:]:
            convolution.register_forward_pre_hook(self._dropped)

    def _dropped(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if not module.training:
            return None
        x = inputs[0]
        shape = (*x.shape[:2], 1, 1) if self.name == "map-dropout" else tuple(x.shape)
        # What is kept counts for what is dropped, so that the mean stays.
        kept = (self.rng.random(shape, np.float32) >= DROPPED).astype(np.float32) / np.float32(1 - DROPPED)
        return (x * torch.from_numpy(kept).to(x),)
