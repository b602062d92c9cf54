"""Frames as people see them: small 8-bit sRGB pictures, whatever the file's size and colorspace."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from engine import images
from engine.base.arrays import Floats
from engine.base.frames import SequencePath
from engine.color.config import ColorConfig
from engine.color.showing import Showing
from engine.images import movies

__all__ = ["Still", "Stills"]

Pixels8 = npt.NDArray[np.uint8]

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
        self._showing = showing or Showing.default(config)
        self._path = path
        self._colorspace = colorspace
        self._config = config
        self._width_px = width_px

    def __call__(self, frame: int) -> Still:
        """The frame's still.

        Raises:
            ImageError: missing or damaged.
            ColorError: its colorspace cannot be converted.
        """
        source = self._path.path(frame)
        movie = self._path.is_movie
        image = movies.read_frame(source, frame, frame=frame) if movie else images.read(source, frame=frame)
        height, width = image.rgb.shape[:2]
        rgb = image.rgb
        if width > self._width_px:
            size = (self._width_px, max(1, round(height * self._width_px / width)))
            rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.float32)
        picture = self._showing.picture(rgb, image.header, source, self._config, self._colorspace)
        shown = (picture * 255.0 + 0.5).astype(np.uint8)
        layer = image.header.parts[image.header.index].layers.get(_CARRIED)
        carried = None if layer is None else np.clip(np.nan_to_num(layer.astype(np.float32)), 0.0, 1.0)
        return Still(shown, (height, width), carried, image.bad_pixels)
