"""Frames as people see them: small 8-bit sRGB pictures, whatever the file's size and colorspace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from engine.base.arrays import Floats
from engine.base.frames import SequencePath
from engine.color.config import ColorConfig
from engine.color.showing import Showing
from engine.shot.plate import PlateReader

__all__ = ["STILL_PX", "Still", "Stills", "fit", "reduced"]

Pixels8 = npt.NDArray[np.uint8]

STILL_PX = 400
"""Width at which plates and results are measured and compared."""
_CARRIED = "paintover.carried"


@dataclass(frozen=True, eq=False)
class Still:
    """One frame."""

    rgb: Pixels8
    """(h, w, 3) as seen, reduced and clipped."""
    size: tuple[int, int]
    """Height and width of the file, pixels."""
    carried: Floats | None
    """(H, W) in 0..1, the layer ``paintover.carried`` of a rendered frame that has it."""
    bad_pixels: int
    """How many pixels had NaN or Inf."""


def reduced(rgb: npt.NDArray[Any], width_px: int) -> npt.NDArray[Any]:
    """A picture (h, w, C) at no more than this width."""
    height, width = rgb.shape[:2]
    if width <= width_px:
        return rgb
    size = (width_px, max(1, round(height * width_px / width)))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), rgb.dtype)


def fit(picture: Pixels8, like: Pixels8) -> Pixels8:
    """``picture`` at the size of ``like``."""
    if picture.shape == like.shape:
        return picture
    size = (like.shape[1], like.shape[0])
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


class Stills:
    """Reads stills of one sequence or movie."""

    def __init__(
        self,
        path: SequencePath,
        colorspace: str | None,
        config: ColorConfig,
        width_px: int,
        showing: Showing | None = None,
    ) -> None:
        """
        Args:
            colorspace: the one stated, None for each file's own.
            width_px: pictures are at most so wide.
            showing: how scene-linear frames are shown; None for the config's default view.
        """
        self._reader = PlateReader(path, colorspace, config)
        self._showing = showing or Showing.default(config)
        self._config = config
        self._width_px = width_px

    def __call__(self, frame: int) -> Still:
        """The frame's still.

        Raises:
            ImageError: missing or damaged.
            ColorError: its colorspace cannot be converted.
        """
        read = self._reader.read(frame)
        image = read.image
        height, width = image.rgb.shape[:2]
        rgb = reduced(image.rgb, self._width_px)
        picture = self._showing.picture(rgb, image.header, read.path, self._config, read.space)
        codes = np.asarray(picture * 255.0 + 0.5, np.uint8)
        layer = image.header.parts[image.header.index].layers.get(_CARRIED)
        carried = None if layer is None else np.clip(np.nan_to_num(layer.astype(np.float32)), 0.0, 1.0)
        return Still(codes, (height, width), carried, image.bad_pixels)
