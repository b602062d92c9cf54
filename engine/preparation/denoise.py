"""Denoising: grain averaged away along the motion, so that a translator does not turn it into crawling strokes.

A pixel is followed through the neighboring frames by flow, and averaged with what it finds there as far as that has the
pixel's own color. Flow follows the convention of ``engine.motion.flow``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from engine.base.arrays import Floats
from engine.base.errors import InputError
from engine.motion.flow import compose, pull, reliability

__all__ = ["DenoiseSettings", "FlowOf", "ImageOf", "filter_frame"]

ImageOf = Callable[[int], Floats]
"""Frame number to its image, (H, W, 3) float32."""

FlowOf = Callable[[int, int], Floats]
"""Two neighboring frame numbers a, b to the flow from a to b, (H, W, 2) float32 in pixels."""


@dataclass(frozen=True)
class DenoiseSettings:
    """How strongly to denoise; the defaults are the published ones.

    Raises:
        InputError: a range under 0, or a divisor that is not above 0.
    """

    range: int = 15
    """Frames to look at before and after; 0 leaves the image as it is. The weight in time falls with a third of it."""
    divisor: float = 16.0
    """Colors that differ by sqrt(3) / divisor (0..1 units, Euclidean over RGB) weigh exp(-1/2); less denoises more."""
    occlusion_aware: bool = True
    """Whether a pixel stops contributing where its chain of flow is occluded, leaves the frame, or is at an edge."""

    def __post_init__(self) -> None:
        if self.range < 0:
            raise InputError(f"a denoising range of {self.range} frames is impossible", remedy="use 0 or more")
        if not (math.isfinite(self.divisor) and self.divisor > 0):
            raise InputError(f"a denoising divisor of {self.divisor} is impossible", remedy="use a number above 0")


def filter_frame(
    frame: int,
    *,
    first: int,
    last: int,
    image: ImageOf,
    flow: FlowOf,
    trust: FlowOf | None = None,
    settings: DenoiseSettings | None = None,
) -> Floats:
    """The image of ``frame``, denoised: (H, W, 3) float32, in the colorspace and range of the images.

    Memory does not grow with the range: one neighbor, one step of flow and the chain so far are held at a time.

    Args:
        frame: within first..last.
        first, last: the ends of the shot; neighbors beyond are not asked for.
        image: display-referred or in the working encoding, where equal steps look equal; 1.0 is 255 in the published
            8-bit units. Scene-linear light would keep the noise of highlights and lose the detail of shadows. Asked
            for ``frame`` and for each neighbor in the range once.
        flow: asked outward from ``frame``, a step at a time; occlusion-aware also for the way back.
        trust: as ``flow``, but gives the flow's reliability, (H, W) in 0..1, for who has it; None to compute it.
        settings: the defaults where None.

    Raises:
        InputError: the frame is not in the shot.

    Source: Bennett and McMillan 2005, section 4, along flow as in Texler et al. 2020, section 3.3.
    """
    settings = settings or DenoiseSettings()
    sure = trust or (lambda near, far: reliability(flow(near, far), flow(far, near)))
    if not first <= frame <= last:
        raise InputError(f"frame {frame} is not within {first}-{last}", frame=frame)
    center = image(frame)
    height, width = center.shape[:2]
    total = center.astype(np.float32)
    weights = np.ones((height, width), np.float32)
    for step in (-1, 1):
        chain = np.zeros((height, width, 2), np.float32)
        known = np.ones((height, width), np.float32)
        for distance in range(1, settings.range + 1):
            near, far = frame + step * (distance - 1), frame + step * distance
            if not first <= far <= last:
                break
            onward = flow(near, far)
            if settings.occlusion_aware:
                known *= pull(sure(near, far), chain, border=cv2.BORDER_CONSTANT)
                if not known.any():
                    break
            chain = compose(chain, onward)
            found = pull(image(far), chain)
            weight = known * _alike(center, found, distance, settings)
            total += weight[..., None] * found
            weights += weight
    return np.asarray(total / weights[..., None], np.float32)


def _alike(center: Floats, found: Floats, distance: int, settings: DenoiseSettings) -> Floats:
    """(H, W): the weights of a neighbor's colors, by their distance in time and in color."""
    in_time = -(distance**2) / (2 * (settings.range / 3) ** 2)
    difference = found - center
    in_color = np.einsum("hwc,hwc->hw", difference, difference) * np.float32(-(settings.divisor**2) / 6)
    return np.exp(in_color + np.float32(in_time), dtype=np.float32)
