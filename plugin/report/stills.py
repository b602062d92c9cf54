"""Frames as people see them: small 8-bit sRGB pictures, whatever the file's size and colorspace."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from engine.base.arrays import Floats
from engine.base.frames import SequencePath
from engine.color.config import ColorConfig
from engine.shot.plate import PlateReader

__all__ = ["Still", "Stills"]

Pixels8 = npt.NDArray[np.uint8]

_CARRIED = "paintover.carried"


@dataclass(frozen=True, eq=False)
class Still:
    """One frame."""

    rgb: Pixels8
    """(h, w, 3) sRGB, reduced and clipped, no view transform."""
    size: tuple[int, int]
    """Height and width of the file, pixels."""
    carried: Floats | None
    """(H, W) in 0..1, the layer ``paintover.carried`` of a rendered frame that has it."""
    bad_pixels: int
    """How many pixels had NaN or Inf."""


class Stills:
    """Reads stills of one sequence or movie."""

    def __init__(self, path: SequencePath, colorspace: str | None, config: ColorConfig, width_px: int) -> None:
        """``colorspace`` is the one stated, None for each file's own; pictures are at most ``width_px`` wide."""
        self._reader = PlateReader(path, colorspace, config)
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
        rgb = image.rgb
        if width > self._width_px:
            size = (self._width_px, max(1, round(height * self._width_px / width)))
            rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.float32)
        config = self._config
        if read.space != config.resolve("sRGB"):
            rgb = config.from_working(config.to_working(rgb, read.space), "sRGB")
        shown = (np.clip(np.nan_to_num(rgb), 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
        layer = image.header.parts[image.header.index].layers.get(_CARRIED)
        carried = None if layer is None else np.clip(np.nan_to_num(layer.astype(np.float32)), 0.0, 1.0)
        return Still(shown, (height, width), carried, image.bad_pixels)
