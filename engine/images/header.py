"""Header: everything of an image file but its color, as is needed to write a rendered frame like its plate."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import OpenImageIO as oiio

from engine.base.arrays import Floats
from engine.base.errors import ImageError
from engine.images.color_claims import ColorClaim
from engine.images.layers import ColorChannels

__all__ = ["Header", "Layer", "Part", "Window", "erase_attributes", "place"]

Layer = npt.NDArray[Any]
"""One channel's (H, W) pixels in the format they are stored in: float16, float32 or uint32."""

Window = tuple[int, int, int, int]
"""x, y, width and height."""


@dataclass(frozen=True, eq=False)
class Part:
    """One part (subimage) of a file."""

    spec: oiio.ImageSpec
    """OIIO's description: windows, channel names and formats, metadata."""
    layers: Mapping[str, Layer]
    """Channels that are not the picture."""


@dataclass(frozen=True, eq=False)
class Header:
    """Metadata, windows, extra channels and other parts of a file that was read; opaque but for its properties.

    Images that a camera stored on their side were turned upright when read, so a header never asks for a rotation.
    """

    parts: tuple[Part, ...]
    """Every part of the file, in its order."""
    index: int
    """Which part the picture is in."""
    color: ColorChannels
    """Which channels of that part the picture is."""
    alpha: Floats | None
    """The plate's own alpha, (H, W)."""
    file_format: str
    """OIIO's name: "openexr", "png", "tiff", "jpeg", "dpx" ..."""
    associated: bool
    """Whether the file's color is multiplied by its alpha."""
    claims: tuple[ColorClaim, ...] = ()
    """What the file itself says about its color, the strongest first."""
    remarks: tuple[str, ...] = ()
    """What a person should know of how the file was read, a line each."""

    @property
    def spec(self) -> oiio.ImageSpec:
        """OIIO's description of the picture's part."""
        return self.parts[self.index].spec

    @property
    def width(self) -> int:
        """Of the data window, in pixels."""
        return int(self.spec.width)

    @property
    def height(self) -> int:
        """Of the data window, in pixels."""
        return int(self.spec.height)

    @property
    def data(self) -> tuple[int, int, int, int]:
        """Data window x, y, w, h; the origin may be negative (overscan)."""
        return int(self.spec.x), int(self.spec.y), self.width, self.height

    @property
    def display(self) -> tuple[int, int, int, int]:
        """Display window (the format) x, y, w, h."""
        spec = self.spec
        return int(spec.full_x), int(spec.full_y), int(spec.full_width), int(spec.full_height)

    @property
    def bit_depth(self) -> str:
        """The format of the stored color: "uint8", "uint16", "half" or "float"."""
        formats = self.spec.channelformats
        if formats:
            return _bit_depth(str(formats[self.spec.channelindex(self.color.rgb[0])]))
        return _bit_depth(str(self.spec.format))

    @property
    def bits_per_sample(self) -> int:
        """Significant bits of integer color, such as 10 for most DPX; 0 where the file does not say."""
        return int(self.spec.get_int_attribute("oiio:BitsPerSample", 0))

    @cached_property
    def attributes(self) -> Mapping[str, Any]:
        """The metadata of the picture's part."""
        return {item.name: item.value for item in self.spec.extra_attribs}

    def to_display(self, pixels: Floats, fill: float = 0.0) -> Floats:
        """Data-window ``pixels`` (H, W) or (H, W, C) as the display window, padded with ``fill`` and cropped.

        Raises:
            ImageError: ``pixels`` are not of the data window's size.
        """
        _, _, width, height = self.data
        if pixels.shape[:2] != (height, width):
            raise ImageError(f"expected the data window's {width}x{height}, got {pixels.shape[1]}x{pixels.shape[0]}")
        result = np.full((self.display[3], self.display[2], *pixels.shape[2:]), fill, np.float32)
        inside, outside = _overlap(self.data, self.display)
        result[outside] = pixels[inside]
        return result

    def from_display(self, pixels: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Display-window ``pixels`` as the data window: zeros, and False in the mask, where the display has none."""
        _, _, width, height = self.display
        if pixels.shape[:2] != (height, width):
            raise ImageError(f"expected the display window's {width}x{height}, got {pixels.shape[1]}x{pixels.shape[0]}")
        result = np.zeros((self.height, self.width, *pixels.shape[2:]), np.float32)
        covered = np.zeros((self.height, self.width), bool)
        inside, outside = _overlap(self.data, self.display)
        result[inside] = pixels[outside]
        covered[inside] = True
        return result, covered


Region = tuple[slice, slice]


def place(pixels: Floats, inside: Window, wanted: Window, fill: float = 0.0) -> Floats:
    """``pixels`` (H, W) or (H, W, C) of one window as those of another: padded with ``fill`` and cropped.

    Raises:
        ImageError: ``pixels`` are not of the size of ``inside``.
    """
    if pixels.shape[:2] != (inside[3], inside[2]):
        raise ImageError(f"expected the window's {inside[2]}x{inside[3]}, got {pixels.shape[1]}x{pixels.shape[0]}")
    if inside == wanted:
        return pixels
    result = np.full((wanted[3], wanted[2], *pixels.shape[2:]), fill, pixels.dtype)
    source, target = _overlap(inside, wanted)
    result[target] = pixels[source]
    return result


def _overlap(first: Window, second: Window) -> tuple[Region, Region]:
    """The common area of two windows, as slices of each."""
    left, top = max(first[0], second[0]), max(first[1], second[1])
    right = max(left, min(first[0] + first[2], second[0] + second[2]))
    bottom = max(top, min(first[1] + first[3], second[1] + second[3]))

    def region(window: Window) -> Region:
        return slice(top - window[1], bottom - window[1]), slice(left - window[0], right - window[0])

    if right == left or bottom == top:
        return (slice(0, 0), slice(0, 0)), (slice(0, 0), slice(0, 0))
    return region(first), region(second)


def _bit_depth(name: str) -> str:
    if name in {"uint8", "int8"}:
        return "uint8"
    if name in {"uint16", "int16", "uint", "int"}:
        return "uint16"
    return "half" if name == "half" else "float"


def erase_attributes(spec: oiio.ImageSpec, names: str) -> None:
    """Removes the metadata whose whole name matches the regular expression ``names`` (OIIO's has no alternation)."""
    for item in list(spec.extra_attribs):
        if re.fullmatch(names, item.name):
            spec.erase_attribute(re.sub(r"([\\^$.*\[\]])", r"\\\1", item.name))
