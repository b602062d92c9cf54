"""Configuration P of Texler et al. 2020 (SIGGRAPH), and its full-frame baseline F: what our recipe is compared with.

Kept as published, including the tanh and the zero-filled patch borders; only the numerics follow ours (mixed precision
where the device has it, the shaper as the image encoding). Without feature weights its deep-feature term is missing.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.training.model.network import ConvNorm

__all__ = ["DEEP_LAYERS", "GeneratorJ", "TexlerDiscriminator", "TexlerSampler", "deep_feature_loss"]

FILTERS = (32, 64, 128, 128, 128, 64)
DEEP_LAYERS = ("conv1_1", "relu1_2", "conv2_1")
"""Features 0, 3 and 5 of VGG-19."""


class PublishedResidual(nn.Module):
    """x + k3(relu(norm(k3(relu(x)))))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.norm(self.first(F.relu(x)))))


class BiasedConvNorm(ConvNorm):
    """:class:`ConvNorm` with the published bias before the norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, leak=0.2)
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)


class GeneratorJ(nn.Module):
    """The published generator: encoded plate (B, 3, H, W), H and W multiples of 4 -> (B, 3, H, W), 0..1 by its tanh."""

    reach = 76
    multiple = 4
    takes_carried = False
    guide_channels = 0

    def __init__(self, blocks: int = 7) -> None:
        super().__init__()
        f = FILTERS
        self.conv0 = BiasedConvNorm(3, f[0], 7)
        self.conv1 = BiasedConvNorm(f[0], f[1], 3, 2)
        self.conv2 = BiasedConvNorm(f[1], f[2], 3, 2)
        self.body = nn.Sequential(*[PublishedResidual(f[2]) for _ in range(blocks)])
        self.up2 = ConvNorm(f[2] + f[2], f[3])
        self.up1 = ConvNorm(f[3] + f[1], f[4])
        self.wide = nn.Conv2d(f[4] + f[0] + 3, f[5], 7, padding=3)
        self.smooth1 = nn.Conv2d(f[5], f[5], 3, padding=1)
        self.smooth1_norm = nn.BatchNorm2d(f[5])
        self.smooth2 = nn.Conv2d(f[5], f[5], 3, padding=1)
        self.last = nn.Conv2d(f[5], 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x * 2 - 1
        fine = self.conv0(x)  # (B, 32, H, W)
        middle = self.conv1(fine)  # (B, 64, H/2, W/2)
        coarse = self.conv2(middle)  # (B, 128, H/4, W/4)
        y = self.body(coarse)
        y = self.up2(F.interpolate(torch.cat([y, coarse], 1), scale_factor=2.0, mode="nearest"))
        y = self.up1(F.interpolate(torch.cat([y, middle], 1), scale_factor=2.0, mode="nearest"))
        y = F.relu(self.wide(torch.cat([y, fine, x], 1)))
        # The norm follows the activation here, so it folds into the convolution after it.
        y = self.smooth1_norm(F.relu(self.smooth1(y)))
        y = F.relu(self.smooth2(y))
        return (torch.tanh(self.last(y)) + 1) / 2


class TexlerDiscriminator(nn.Module):
    """The published discriminator: (B, 3, 32, 32) -> (B, 1, 6, 6)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, 12, 4, 2, 1), nn.LeakyReLU(0.2)]
        layers += [nn.Conv2d(12, 24, 4, 2, 1), nn.InstanceNorm2d(24), nn.LeakyReLU(0.2)]
        layers += [nn.Conv2d(24, 48, 4, 1, 1), nn.InstanceNorm2d(48), nn.LeakyReLU(0.2)]
        layers += [nn.Conv2d(48, 1, 4, 1, 1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def deep_feature_loss(result: list[Tensor], target: list[Tensor]) -> Tensor:
    """MSE over the concatenation of all maps, as published: larger maps weigh more."""
    total = sum(((a.float() - b.float()).square().sum() for a, b in zip(result, target, strict=True)))
    return total / sum(a.numel() for a in result)  # type: ignore[return-value]


class TexlerSampler:
    """Patches as published: keyframes in turn, centers without replacement inside the eroded matte, zero fill outside.

    ``next`` gives (plate, painting, real), each (B, 3, size, size) in the working encoding; ``real`` holds independent
    patches of the same painting. ``size`` 0 gives the whole keyframe, batch 1.
    """

    def __init__(
        self, pairs: list[tuple[Tensor, Tensor, Tensor]], size: int, batch: int, rng: np.random.Generator
    ) -> None:
        self.size, self.batch, self.rng = size, batch, rng
        fill = size // 2
        self.plates = [F.pad(p, (fill,) * 4) for p, _, _ in pairs]
        self.paintings = [F.pad(p, (fill,) * 4) for _, p, _ in pairs]
        self.weights = [w for _, _, w in pairs]
        self.centers = []
        for _, _, weight in pairs:
            inside = -F.max_pool2d(-(weight[None].cpu() > 0.5).float(), 7, 1, 3)
            if not inside.any():  # a matte too thin to erode
                inside = weight[None].cpu()
            self.centers.append(torch.nonzero(inside[0, 0] > 0).numpy())
        self.queues: list[np.ndarray] = [np.empty((0, 2), np.int64) for _ in pairs]
        self.turn = 0

    def _draw(self, index: int) -> np.ndarray:
        while len(self.queues[index]) < self.batch:
            fresh = self.rng.permutation(self.centers[index])
            self.queues[index] = np.concatenate([self.queues[index], fresh])
        drawn, self.queues[index] = self.queues[index][: self.batch], self.queues[index][self.batch :]
        return drawn

    def next(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        index = self.turn % len(self.plates)
        self.turn += 1
        plate, painting, weight = self.plates[index], self.paintings[index], self.weights[index]
        if self.size == 0:
            whole = painting[None]
            return plate[None], whole, whole, weight[None]

        def gather(image: Tensor, places: np.ndarray) -> Tensor:
            return torch.stack([image[:, y : y + self.size, x : x + self.size] for y, x in places.tolist()])

        places = self._draw(index)
        others = self.centers[index][self.rng.integers(0, len(self.centers[index]), self.batch)]
        patch = gather(plate, places)
        return patch, gather(painting, places), gather(painting, others), torch.ones_like(patch[:, :1])
