"""Losses of a look from a style image.

After Johnson, Alahi and Fei-Fei, "Perceptual losses for real-time style transfer and super-resolution" (2016), with
the layers and weights of their code; the temporal loss after Ruder, Dosovitskiy and Brox (2016), between results of
neighboring frames, weighted by how far the flow between them can be trusted.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.optimize.gatys import VggMaps, gram

__all__ = ["CONTENT", "LAYERS", "STYLES", "PerceptualLoss", "beyond_range", "temporal_loss", "warped"]

CONTENT = "relu3_3"
STYLES = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
LAYERS = (*STYLES,)
CONTENT_WEIGHT, STYLE_WEIGHT, TV_WEIGHT = 1.0, 10.0, 1.0
"""Content and style are relative to what is wanted, so that they weigh alike whatever a file's features are like. Total
variation is a mean over pixels: it weighs alike at every size."""
_TILE_PX = 512
"""Style images are looked at in pieces of this side, so that memory does not grow with them."""


class PerceptualLoss:
    """Content of a plate and statistics of style images.

    Args:
        maps: the features, of :data:`LAYERS`.
        styles: pictures (1, 3, h, w), RGB in 0..1, and their weights, which sum to 1.
        strength: factor on the weight of the style.
        gray: only lightness counts.
    """

    def __init__(
        self,
        maps: VggMaps,
        styles: Sequence[tuple[Tensor, float]],
        strength: float = 1.0,
        light: Tensor | None = None,
    ) -> None:
        self.maps = maps
        self.strength = strength
        self.light = light
        self.grams: dict[str, Tensor] = {}
        with torch.no_grad():
            for picture, share in styles:
                for name, each in _grams(maps, picture).items():
                    self.grams[name] = self.grams.get(name, torch.zeros_like(each)) + share * each

    def __call__(self, result: Tensor, plate: Tensor) -> dict[str, Tensor]:
        """The losses of a result for a plate, both (1, 3, h, w) RGB in 0..1 or somewhat beyond."""
        if self.light is not None:
            result, plate = (F.conv2d(each, self.light).expand(-1, 3, -1, -1) for each in (result, plate))
        with torch.no_grad():
            wanted = self.maps(plate)[CONTENT].float()
        found = self.maps(result)
        content = _relative(found[CONTENT].float(), wanted)
        style = torch.stack([_relative(gram(found[name].float(), None), self.grams[name]) for name in STYLES]).mean()
        rows, columns = result[..., 1:, :] - result[..., :-1, :], result[..., 1:] - result[..., :-1]
        variation = rows.square().mean() + columns.square().mean()
        return {
            "content": CONTENT_WEIGHT * content,
            "style": self.strength * STYLE_WEIGHT * style,
            "variation": TV_WEIGHT * variation,
        }


def _relative(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean square error, in units of the mean square of what is wanted."""
    return F.mse_loss(found, wanted) / wanted.square().mean().clamp_min(1e-12)


def _grams(maps: VggMaps, picture: Tensor) -> dict[str, Tensor]:
    """The Gram matrices of a picture, the mean over its pieces."""
    found: dict[str, Tensor] = {}
    for top, rows in _pieces(picture.shape[2]):
        for left, columns in _pieces(picture.shape[3]):
            piece = picture[..., top : top + rows, left : left + columns]
            share = rows * columns / (picture.shape[2] * picture.shape[3])
            for name, each in maps(piece).items():
                if name in STYLES:
                    found[name] = found.get(name, torch.zeros(())) + share * gram(each.float(), None)
    return found


def _pieces(length: int) -> list[tuple[int, int]]:
    """Start and length of about equal pieces."""
    count = -(-length // _TILE_PX)
    edges = [length * index // count for index in range(count + 1)]
    return [(start, end - start) for start, end in itertools.pairwise(edges)]


def warped(later: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """A picture as seen from the earlier frame, and where it shows that.

    Args:
        later: (1, C, h, w).
        flow: (1, 2, h, w) pixels, from the earlier frame to the later one.

    Returns:
        (1, C, h, w), and (1, 1, h, w): 1 where the flow stays inside, else 0.
    """
    height, width = flow.shape[2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=flow.device, dtype=torch.float32),
        torch.arange(width, device=flow.device, dtype=torch.float32),
        indexing="ij",
    )
    to_x, to_y = x + flow[0, 0], y + flow[0, 1]
    inside = (to_x >= 0) & (to_x <= width - 1) & (to_y >= 0) & (to_y <= height - 1)
    grid = torch.stack([(to_x + 0.5) / width * 2 - 1, (to_y + 0.5) / height * 2 - 1], 2)[None]
    seen = F.grid_sample(later, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return seen, inside[None, None].float()


def temporal_loss(earlier: Tensor, later: Tensor, flow: Tensor, trust: Tensor) -> Tensor:
    """Mean square change of a result along the motion.

    Args:
        earlier, later: results of neighboring frames, (1, 3, h, w).
        flow: (1, 2, h, w) pixels, from the earlier frame to the later one.
        trust: (1, 1, h, w) in 0..1.
    """
    seen, inside = warped(later, flow)
    weight = trust * inside
    return ((seen - earlier).square().mean(1, keepdim=True) * weight).sum() / weight.sum().clamp_min(1.0)


def beyond_range(result: Tensor, plate: Tensor) -> Tensor:
    """Mean square of what leaves black and white: a display would clip it.

    White is as bright as the plate is there.
    """
    white = plate.amax(1, keepdim=True).clamp_min(1.0)
    return (F.relu(-result).square() + F.relu(result - white).square()).mean()
