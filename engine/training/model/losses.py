"""What a translation is judged by. Nothing here needs a download.

The recipe's perceptual measure is learned on the spot: a small patch discriminator tells paintings from results, and
the result is asked to match the painting in the discriminator's own features (feature matching, Wang et al. 2018,
pix2pixHD, eq. 3). An ablation against deep features is recorded in docs/decisions/002-losses-without-downloads.md.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Discriminator", "WashoutGuard", "feature_matching", "grid_pattern", "masked_l1", "texture_energy"]


def masked_l1(result: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean absolute difference.

    Args:
        result, target: (B, 3, H, W).
        weight: (B, 1, H, W) in 0..1; pixels of weight 0 have no influence and receive no gradient.
    """
    difference = (result.float() - target.float()).abs() * weight
    return difference.sum() / (weight.sum() * result.shape[1]).clamp_min(1.0)


class Discriminator(nn.Module):
    """Patch discriminator after Texler et al. 2020: (B, C, H, W) -> logits (B, 1, H/4 - 2, W/4 - 2) and features.

    Args:
        inputs: channels of the image.
        width: channels of the first layer, then twice and four times as many.
    """

    def __init__(self, inputs: int = 3, width: int = 24) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(inputs, width, 4, 2, 1), nn.LeakyReLU(0.2)),
                nn.Sequential(
                    nn.Conv2d(width, 2 * width, 4, 2, 1), nn.InstanceNorm2d(2 * width, affine=True), nn.LeakyReLU(0.2)
                ),
                nn.Sequential(
                    nn.Conv2d(2 * width, 4 * width, 4, 1, 1),
                    nn.InstanceNorm2d(4 * width, affine=True),
                    nn.LeakyReLU(0.2),
                ),
            ]
        )
        self.verdict = nn.Conv2d(4 * width, 1, 4, 1, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        features = []
        for layer in self.layers:
            x = layer(x)
            features.append(x)
        return self.verdict(x), features


def feature_matching(result: list[Tensor], target: list[Tensor]) -> Tensor:
    """Mean absolute difference of two lists of feature maps, averaged over the maps."""
    differences = [F.l1_loss(a.float(), b.float()) for a, b in zip(result, target, strict=True)]
    return torch.stack(differences).mean()


@torch.no_grad()
def texture_energy(image: Tensor, weight: Tensor | None = None) -> float:
    """Root mean square of the Laplacian of an image (B, 3, H, W), where ``weight`` (B, 1, H, W) is positive.

    0 where the image is too small to have a neighborhood. This is a synchronization point on a GPU; call it rarely.
    """
    if min(image.shape[-2:]) < 3:
        return 0.0
    kernel = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]], device=image.device)
    channels = image.shape[1]
    response = F.conv2d(image.float(), kernel.expand(channels, 1, 3, 3), groups=channels)
    if weight is None:
        return float(response.square().mean().sqrt())
    # A pixel counts where its whole neighborhood is painted.
    inside = (-F.max_pool2d(-(weight > 0.5).float(), 3, 1)).expand_as(response)
    return float(((response.square() * inside).sum() / inside.sum().clamp_min(1.0)).sqrt())


def grid_pattern(result: Tensor, target: Tensor, weight: Tensor, period: int = 4, window: int = 4) -> Tensor:
    """How much of the residual repeats with the network's own sampling grid.

    A network that works at a quarter of the resolution and rearranges channels into pixels tends to draw a faint
    screen of dots, which a discriminator takes for texture. A painting has no such screen, so the residual's mean over
    a few periods must be the same at every phase of the grid; this is the mean absolute deviation from that.

    Args:
        result, target: (B, 3, H, W), H and W multiples of ``period``.
        weight: (B, 1, H, W) in 0..1.
        period: of the grid, pixels.
        window: periods, along each side, over which a phase is averaged.
    """
    residual = (result.float() - target.float()) * weight
    phases = F.pixel_unshuffle(residual, period)  # (B, 3 * period^2, H / period, W / period)
    side = min(window, *phases.shape[-2:])
    means = F.avg_pool2d(phases, side).unflatten(1, (result.shape[1], period * period))
    return (means - means.mean(2, keepdim=True)).abs().mean()


class WashoutGuard:
    """Stops training when the texture of results on unpainted frames fades for good, and remembers the best state.

    ``observe`` takes the ratio of the result's texture energy on unpainted frames to the exemplar's. Fading is a fall
    by more than ``tolerance`` under the best ratio so far (counted up to ``enough``: shedding surplus texture is no
    fading) at ``patience`` observations in a row.
    """

    def __init__(self, enough: float = 0.85, tolerance: float = 0.15, patience: int = 3) -> None:
        self.enough = enough
        self.tolerance = tolerance
        self.patience = patience
        self.best = 0.0
        self.faded = 0

    def observe(self, ratio: float) -> bool:
        """Record one observation; True when the state just seen should be kept as the best."""
        level = min(ratio, self.enough)
        if level >= self.best * (1 - self.tolerance):
            self.best = max(self.best, level)
            self.faded = 0
            return True
        self.faded += 1
        return False

    def state(self) -> dict[str, float]:
        """What :meth:`restore` needs, as JSON values."""
        return {"best": self.best, "faded": self.faded}

    def restore(self, state: Mapping[str, float]) -> None:
        self.best, self.faded = float(state["best"]), int(state["faded"])

    @property
    def stop(self) -> bool:
        """True once the texture has faded for ``patience`` observations in a row."""
        return self.faded >= self.patience
