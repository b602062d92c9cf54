"""The shaper in torch: the curve of :mod:`engine.color.shaper`, in the form that a look computes.

One logarithm serves both upper pieces of :func:`encode`, and an exponential is faster than a power: numpy's own
functions, which prepare what is trained on, spend a power and a logarithm. A test holds the two together.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from engine.color.shaper import CUT, GAIN, GAMMA, LIMIT, OFFSET, SLOPE, TOE

__all__ = ["decode", "encode"]


def encode(linear: Tensor) -> Tensor:
    """Encode scene-linear values (any shape, float32, unbounded) to the working encoding (about -5.9 .. 5.9)."""
    magnitude = linear.abs().clamp_max(LIMIT)
    log = torch.log(magnitude.clamp_min(CUT))
    low = torch.exp(log / GAMMA) * GAIN - OFFSET
    high = log * SLOPE + 1
    curve = torch.where(magnitude <= 1, low, high)
    return torch.where(magnitude <= CUT, magnitude * TOE, curve) * torch.sign(linear)


def decode(encoded: Tensor) -> Tensor:
    """Invert :func:`encode`: working encoding (any shape, float32) to scene-linear values, held to ``LIMIT``."""
    knee = TOE * CUT
    magnitude = encoded.abs()
    # Both upper pieces are exponentials: of the scaled logarithm up to 1, of the line above.
    low = torch.log((magnitude.clamp(knee, 1) + OFFSET) / GAIN) * GAMMA
    high = (magnitude - 1) / SLOPE
    exponent = torch.where(magnitude <= 1, low, high)
    upper = torch.exp(exponent.clamp_max(math.log(LIMIT)))
    return torch.where(magnitude <= knee, magnitude / TOE, upper) * torch.sign(encoded)
