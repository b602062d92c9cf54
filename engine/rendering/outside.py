"""The plate outside a matte: one frame's pixels, kept while it is stylized, to show where the matte leaves it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.base.arrays import Floats, Mask

__all__ = ["Outside"]

_STRIP_ROWS = 128


@dataclass(frozen=True, eq=False)
class Outside:
    """One frame of the plate beside its matte."""

    matte: Floats
    """(H, W) in 0..1: 1 where the frame is stylized."""
    own: Floats
    """(H, W, 3), the plate's pixels in its file's colorspace, not multiplied by alpha."""

    @property
    def stylized(self) -> Mask:
        """(H, W): where the matte asks for anything but the plate."""
        return np.asarray(self.matte > 0)

    def blend(self, styled: Floats, carried: Floats, plate: Floats) -> None:
        """``matte * styled + (1 - matte) * plate``, in place; of what the matte takes away nothing is carried.

        Neither is multiplied by the plate's alpha, which both share, so that the frame's soft edge stays as it was.

        Args:
            styled, plate: (H, W, 3) scene-linear light of one colorspace, finite.
            carried: (H, W).
        """
        for top in range(0, len(self.matte), _STRIP_ROWS):
            rows = slice(top, top + _STRIP_ROWS)
            share = self.matte[rows, :, None]
            styled[rows] *= share
            styled[rows] += (1 - share) * plate[rows]
        carried *= self.matte

    def restore(self, pixels: Floats) -> None:
        """Put the plate's own values, in place, where the matte is 0: a color conversion and back is not exact.

        Args:
            pixels: (H, W, 3) in the colorspace of the plate's file.
        """
        left = self.matte == 0
        pixels[left] = self.own[left]
