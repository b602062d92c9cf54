"""Brushstrokes as data: quadratic Bezier curves with a width and a color, each over those before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

__all__ = ["SAMPLES", "Brushstrokes", "bezier", "sampled"]

SAMPLES = 10
"""Points of a curve that searches go by."""


@dataclass(frozen=True, eq=False)
class Brushstrokes:
    """Strokes with round ends in the order in which they are laid; float32 on one device.

    The numbers of a stroke are those of Kotovenko et al. (2021): place, three points of the curve relative to it, width
    and color. Lengths are pixels of the picture that they are drawn at; its upper left corner is (0, 0), x runs
    right and y down, and the first pixel's center is at (0.5, 0.5).
    """

    location_px: Tensor
    """(N, 2) x, y."""
    curve_px: Tensor
    """(N, 3, 2) start, control and end, relative to the location."""
    width_px: Tensor
    """(N,) of the whole stroke, from edge to edge."""
    color: Tensor
    """(N, 3) display-referred sRGB, 0..1."""

    def __len__(self) -> int:
        return len(self.width_px)

    @property
    def points_px(self) -> Tensor:
        """(N, 3, 2) start, control and end in the picture."""
        return self.location_px[:, None] + self.curve_px

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """All numbers, in the order of the fields."""
        return self.location_px, self.curve_px, self.width_px, self.color

    def scaled(self, factor: float) -> Brushstrokes:
        """The same strokes in a picture ``factor`` times as large."""
        place, curve, width, color = self.tensors
        return Brushstrokes(place * factor, curve * factor, width * factor, color)

    def to(self, device: torch.device) -> Brushstrokes:
        """The same strokes, apart from any graph, on a device."""
        return Brushstrokes(*(each.detach().to(device) for each in self.tensors))

    def colored(self, color: Tensor) -> Brushstrokes:
        """The same strokes in other colors (N, 3)."""
        return Brushstrokes(self.location_px, self.curve_px, self.width_px, color)

    @classmethod
    def joined(cls, parts: Sequence[Brushstrokes]) -> Brushstrokes:
        """The strokes of all parts, one part over the other."""
        return cls(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(cls)))


def bezier(points: Tensor, t: Tensor) -> Tensor:
    """(..., 2) points at ``t`` (...) of the curves (..., 3, 2)."""
    t = t[..., None]
    start, control, end = points.unbind(-2)
    return (1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end


def sampled(points: Tensor, count: int = SAMPLES) -> Tensor:
    """(N, count, 2) points of the curves (N, 3, 2), from start to end."""
    t = torch.linspace(0, 1, count, device=points.device, dtype=points.dtype)
    return bezier(points[:, None], t[None].expand(len(points), count))
