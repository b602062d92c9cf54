"""Temporal consistency: what frames that are painted already show of a frame, and the loss that holds it to that.

After Ruder, Dosovitskiy and Brox, "Artistic style transfer for videos" (2016), with the weights of their code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from engine.base.arrays import Floats
from engine.motion.flow import pull
from engine.optimize.style_inputs import resized

__all__ = [
    "MULTI_PASS",
    "SWEEP",
    "CarriedFrame",
    "Coherence",
    "TemporalLoss",
    "blended",
    "carry",
    "long_term_weights",
]


@dataclass(frozen=True)
class Coherence:
    """How frames are held together."""

    weight: float
    """Of the temporal loss beside content and style, pixels in units of 0..255."""
    filter_: int
    """How painted frames are resampled, again and again: bilinear weights would blur them away."""
    margin_px: int
    """How far a frame goes on beyond its border, mirrored, for content and style."""


SWEEP = Coherence(1000.0, cv2.INTER_CUBIC, 0)
"""In a single sweep. OpenCV's cubic weights sharpen a little: the style is a statistic of the whole frame, and where
frames lose contrast as they are carried, the few free pixels at a border make up for it and break up."""

MULTI_PASS = Coherence(500.0, cv2.INTER_LANCZOS4, 8)
"""In several passes, which resample so often that cubic weights would sharpen too much. The margin is for what enters,
a column or two a frame and held to what it got at the border: painted less there, it grew to a plain strip."""


@dataclass(frozen=True)
class CarriedFrame:
    """What one painted frame shows of the frame in work."""

    pixels: Tensor
    """(1, 3, H, W), pulled along the flow."""
    weight: Tensor
    """(1, 1, H, W) in 0..1: where that is the same surface, and no nearer frame shows it."""

    def at(self, size: tuple[int, int]) -> CarriedFrame:
        """The same at another height and width."""
        return CarriedFrame(resized(self.pixels, size), resized(self.weight, size))


def long_term_weights(trusts: Sequence[Floats]) -> list[Floats]:
    """Weights (H, W) of frames, the nearest first: what nearer frames show does not count again.

    ``c_long(i - j) = max(c(i - j) - sum over nearer k of c(i - k), 0)`` (Ruder et al. 2016, equation 9).
    """
    weights, nearer = [], None
    for trust in trusts:
        weights.append(trust if nearer is None else np.maximum(trust - nearer, np.float32(0)))
        nearer = trust if nearer is None else nearer + trust
    return weights


def carry(
    painted: Sequence[Floats],
    flows: Sequence[Floats],
    trusts: Sequence[Floats],
    tensor: Callable[[Floats], Tensor],
    filter_: int = SWEEP.filter_,
) -> list[CarriedFrame]:
    """Painted frames as seen from the frame in work; those that show nothing new of it are left out.

    Args:
        painted: (H, W, 3) each, the nearest frame first.
        flows: (H, W, 2), from the frame in work to each.
        trusts: (H, W), their reliability.
        tensor: brings a picture (H, W, C) to the device.
        filter_: how frames are resampled, one of OpenCV's.
    """
    carried = []
    for picture, flow, weight in zip(painted, flows, long_term_weights(trusts), strict=True):
        if weight.any():
            pulled = np.asarray(pull(picture, flow, filter_=filter_), np.float32)
            carried.append(CarriedFrame(tensor(pulled), tensor(weight[..., None])))
    return carried


def blended(x: Tensor, carried: Sequence[CarriedFrame], *, share: bool) -> Tensor:
    """Pixels to start from: ``x`` where nothing is carried.

    Args:
        share: with what is carried they meet halfway, ``(x + c * carried) / (1 + c)``; else that replaces them,
            ``c * carried + (1 - c) * x``.
    """
    if not carried:
        return x
    coverage = sum((each.weight for each in carried), torch.zeros_like(carried[0].weight)).clamp(max=1)
    shown = sum((each.pixels * each.weight for each in carried), torch.zeros_like(x))
    return (x + shown) / (1 + coverage) if share else shown + (1 - coverage) * x


@dataclass(frozen=True)
class TemporalLoss:
    """A loss of pixels, and the weighted squared difference from what is carried: a mean over the frame."""

    loss: Callable[[Tensor], Tensor]
    carried: Sequence[CarriedFrame]
    weight: float

    def __call__(self, x: Tensor) -> Tensor:
        total = self.loss(x)
        for each in self.carried:
            total = total + self.weight * 255**2 * (each.weight * (x - each.pixels).square()).mean()
        return total
