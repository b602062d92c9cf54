"""Brushstrokes by chance, and the picture that they make, computed plainly: all strokes for all pixels."""

from __future__ import annotations

import numpy as np
import torch

from engine.optimize.brushstrokes.curves import Brushstrokes

__all__ = ["plain_picture", "scattered"]


def scattered(
    count: int, height: int, width: int, *, seed: int = 0, bend: float = 1.2, dtype: torch.dtype = torch.float32
) -> Brushstrokes:
    """Strokes anywhere in a picture and a little beyond, a few pixels to a third of it long."""
    generator = torch.Generator().manual_seed(seed)

    def chance(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    side = (height * width / count) ** 0.5
    place = (chance(count, 2) * 1.1 - 0.05) * torch.tensor([width, height])
    curve = (chance(count, 3, 2) - 0.5) * 2 * bend * side
    return Brushstrokes(
        place.to(dtype), curve.to(dtype), (1 + side * chance(count)).to(dtype), chance(count, 3).to(dtype)
    )


def plain_picture(strokes: Brushstrokes, height: int, width: int, canvas: float, edge_px: float) -> np.ndarray:
    """(height, width, 3): every stroke laid on every pixel, by its distance to 1500 points of the curve."""
    t = np.linspace(0, 1, 1501)[:, None]
    at = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=2)
    picture = np.full((height, width, 3), canvas)
    points, widths, colors = (each.double().numpy() for each in (strokes.points_px, strokes.width_px, strokes.color))
    for (start, control, end), breadth, color in zip(points, widths, colors, strict=True):
        curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end
        distance = np.stack([np.hypot(*(row[:, None] - curve).transpose(2, 0, 1)).min(axis=1) for row in at])
        share = np.clip((breadth / 2 - distance) / (2 * edge_px) + 0.5, 0, 1)
        share = (share * share * (3 - 2 * share))[..., None]
        picture = picture * (1 - share) + share * color
    return picture
