"""Frames as people see them: small 8-bit sRGB pictures, whatever the file's size and colorspace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from engine import images
from engine.base.arrays import Floats
from engine.base.frames import SequencePath
from engine.color.config import ColorConfig
from engine.color.showing import Showing
from engine.images.header import Window, place
from engine.shot.plate import PlateFrame, PlateReader
from engine.shot.windows import window_of

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
    """Height and width of the area that it shows, pixels: that which all frames of the plate are worked on."""
    carried: Floats | None
    """(H, W) of that area in 0..1, the layer ``paintover.carried`` of a rendered frame that has it."""
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
        plate: SequencePath | None = None,
    ) -> None:
        """
        Args:
            colorspace: the one stated, None for each file's own.
            width_px: pictures are at most so wide.
            showing: how scene-linear frames are shown; None for the config's default view.
            plate: of rendered frames, which are shown where they lie on it; None for a plate itself.
        """
        self._reader = PlateReader(path, colorspace, config)
        self._plate = plate
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
        own, area = self._place(frame, read)
        rgb = reduced(place(image.rgb, own, area), self._width_px)
        picture = self._showing.picture(rgb, image.header, read.path, self._config, read.space)
        codes = np.asarray(picture * 255.0 + 0.5, np.uint8)
        layer = image.header.parts[image.header.index].layers.get(_CARRIED)
        carried = None
        if layer is not None:
            carried = place(np.clip(np.nan_to_num(layer.astype(np.float32)), 0.0, 1.0), own, area)
        return Still(codes, (area[3], area[2]), carried, image.bad_pixels)

    def _place(self, frame: int, read: PlateFrame) -> tuple[Window, Window]:
        """Where a file's pixels lie, and the area to show: the plate's for all of its frames and their results."""
        own = read.image.header
        if self._plate is None:
            return own.data, read.window
        path = self._plate.path(frame)
        if self._plate.is_movie or not path.is_file():
            return own.data, own.data
        plate = images.read_header(path, frame=frame, layer=self._plate.layer)
        if own.display[2:] != plate.display[2:]:
            return own.data, own.data
        left, top = (own.data[axis] - own.display[axis] + plate.display[axis] for axis in (0, 1))
        return (left, top, own.width, own.height), window_of(self._plate, plate)
