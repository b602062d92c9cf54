"""Network of a look from a style image: the plain translation of our translator, which knows no exemplars.

Its norms are folded: they are factors and summands that were set by what the network sees on the shot's frames and then
stay, in training as in the look (docs/decisions/025-norms-of-style-looks.md).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from engine.optimize.colors import LIGHTNESS
from engine.training.model.network import Architecture, Translator

__all__ = ["StyleTranslator"]


class StyleTranslator(Translator):
    """Encoded plate (B, 3, H, W), H and W multiples of 8 -> encoded result (B, 3, H, W).

    Args:
        lightness: only the result's lightness is the network's; the colors are the plate's.
    """

    takes_carried = False

    def __init__(self, architecture: Architecture, *, lightness: bool = False) -> None:
        super().__init__(architecture)
        del self.strokes
        self.lightness = lightness
        self.light: Tensor
        self.register_buffer("light", torch.tensor(LIGHTNESS).view(1, 3, 1, 1), persistent=False)

    @property
    def reach(self) -> int:
        half, quarter, alignment = 2 * 4, 4 * (self.architecture.blocks + 1), 4
        return half + quarter + alignment

    def forward(self, x: Tensor, carried: Tensor | None = None, guide: Tensor | None = None) -> Tensor:
        """The translation; there is nothing to carry and no guide."""
        plain = self.translate_plain(x)[1]
        if not self.lightness:
            return plain
        change = torch.nn.functional.conv2d(plain - x, self.light)
        return x + torch.cat([change, change, change], 1)

    @torch.no_grad()
    def start_with_colors(self, turn: np.ndarray, offset: np.ndarray) -> None:
        """Begin with a linear map of the plate's colors, 0..1: matrix (3, 3) and summand (3,)."""
        kernel = self.architecture.skip_kernel
        self.skip.weight.zero_()
        # The skip sees -1..1, four pixels of a color side by side.
        middle = np.kron(turn, np.eye(4))
        self.skip.weight[:, :, kernel // 2, kernel // 2] = torch.from_numpy(middle).float()
        if self.skip.bias is not None:
            summand = np.repeat(turn.sum(1) + 2 * offset - 1, 4)
            self.skip.bias.copy_(torch.from_numpy(summand).float())

    @torch.no_grad()
    def settle_norms(self, x: Tensor) -> None:
        """Set every norm's statistics to what it sees of pictures (B, 3, H, W)."""
        norms = [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]

        def settle(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            values = inputs[0].float()
            if isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None:
                norm.running_mean.copy_(values.mean((0, 2, 3)))
                norm.running_var.copy_(values.var((0, 2, 3), unbiased=False))

        hooks = [norm.register_forward_pre_hook(settle) for norm in norms]
        try:
            self.eval()
            self(x)
        finally:
            for hook in hooks:
                hook.remove()
