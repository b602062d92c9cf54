"""Style inputs: a plate's frames, their mattes and style images, as pictures and as a style loss takes them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine import images
from engine.base.arrays import Floats
from engine.base.errors import ImageError, InputError
from engine.base.frames import SequencePath
from engine.color.config import ColorConfig
from engine.color.keys import KeyTransform, key_transform, write_key
from engine.color.showing import Showing
from engine.images.files import Image
from engine.images.header import Header
from engine.optimize.colors import match_colors, match_lightness, with_lightness
from engine.optimize.gatys import CONTENT_LAYER, STYLE_LAYERS, VggMaps
from engine.optimize.job import StyleJob
from engine.shot.matte_reader import MatteReader
from engine.shot.plate import PlateReader
from engine.training.machine import Machine
from engine.training.model.features import DeepFeatures, load_features

__all__ = ["LEAST_SIDE_PX", "MOST_HOLES", "ShownFrame", "StyleInputs", "read_style_image", "resized"]

log = logging.getLogger(__name__)

LEAST_SIDE_PX = 32
"""Of plate and style images: below, the deepest features have two pixels."""
MOST_HOLES = 0.01
"""Share of a style image that may be NaN or Inf, or transparent: what is filled in is learnt as texture."""
_SEEN = 0.5
"""Alpha from which a pixel counts as seen."""


@dataclass(frozen=True, eq=False)
class ShownFrame:
    """A frame of the plate as it is painted on."""

    frame: int
    shown: Floats
    """(H, W, 3) display values in 0..1."""
    transform: KeyTransform
    """How it is shown."""
    matte: Floats | None
    """(H, W) in 0..1, where the style goes; None for everywhere."""
    bad_pixels: int
    """How many had NaN or Inf; they are filled from the nearest finite pixel."""


@dataclass
class StyleInputs:
    """What the frames of one job are painted from."""

    job: StyleJob
    config: ColorConfig
    machine: Machine
    features: VggMaps | None
    """None for a job without style images."""
    styles: list[tuple[Floats, float]]
    """Style images, (H, W, 3) in sRGB, 0..1, and their weights."""
    shrink: int = 1
    """Frames are taken at one part in so many of their width and height."""

    @classmethod
    def load(cls, job: StyleJob, shrink: int = 1) -> StyleInputs:
        """Read style images and features.

        Raises:
            InputError, ImageError, ColorError, DeviceError: wrong input.
        """
        config = ColorConfig.active(job.ocio)
        machine = Machine.choose(job.device, job.threads)
        styles = [(_style_picture(style.path, config), style.weight) for style in job.styles]
        features = VggMaps(_features(job.features)).to(machine.device) if styles else None
        return cls(job, config, machine, features, styles, shrink)

    @property
    def maps(self) -> VggMaps:
        """The features.

        Raises:
            InputError: there are none, because there are no style images.
        """
        if self.features is None:
            raise InputError("without style images there are no features", remedy="give a style image")
        return self.features

    def frame(self, frame: int, out: Path) -> ShownFrame:
        """A frame of the plate, shown for a painting that goes to ``out``.

        Raises:
            ImageError: it or its matte is missing or damaged, it is too small, or the matte is empty.
        """
        plate = PlateReader(self.job.plate_path, self.job.plate_colorspace, self.config).read(frame)
        transform = key_transform(plate.image, plate.path, frame, self.config, plate.space, out)
        transform = replace(transform, bit_depth="uint8")
        shown = self._shrunk(np.ascontiguousarray(transform.shown(plate.image, self.config), np.float32))
        height, width = shown.shape[:2]
        if min(height, width) < LEAST_SIDE_PX:
            why = f"the plate is {width}x{height}, too small for {'a style image' if self.styles else 'strokes'}"
            why += f" at one part in {self.shrink}" if self.shrink > 1 else ""
            raise ImageError(why, frame=frame, path=plate.path, remedy=f"its least side is {LEAST_SIDE_PX} pixels")
        matte = self._matte(frame, plate.image.header)
        transform = replace(transform, width=width, height=height)
        return ShownFrame(frame, shown, transform, matte, plate.image.bad_pixels)

    def colored(self, plate: Floats) -> list[tuple[Floats, float]]:
        """The style images in the job's colors, by those of a plate (H, W, 3) where that is asked for."""
        return [(_colored(style, plate, self.job.color), share) for style, share in self.styles]

    def target(self, shown: Floats) -> Floats:
        """(H, W, 3): what the painting's content is compared with."""
        return match_lightness(shown, shown) if self.job.color == "luminance" else shown

    def write(self, path: Path, x: Tensor, view: ShownFrame) -> None:
        """Write pixels (1, 3, H, W) as the painting of a frame, in the plate's colors and within its matte if need be.

        Raises:
            OutputError: it cannot be written.
        """
        painted = self.picture(x)
        if self.job.color == "luminance":
            painted = with_lightness(view.shown, painted)
        if view.matte is not None:
            painted = view.shown + (painted - view.shown) * view.matte[..., None]
        write_key(path, painted, view.transform, self.config)

    def scaled_styles(self, pictures: list[tuple[Floats, float]], size: tuple[int, int]) -> list[tuple[Tensor, float]]:
        """The style images at one scale of the frame, and their shares, which sum to 1."""
        total = sum(share for _, share in pictures)
        scaled = []
        for picture, share in pictures:
            high, wide = picture.shape[:2]
            factor = max(size) * self.job.style_scale / max(high, wide)
            own = (max(LEAST_SIDE_PX, round(high * factor)), max(LEAST_SIDE_PX, round(wide * factor)))
            scaled.append((resized(self.tensor(picture), own), share / total))
        return scaled

    def tensor(self, picture: Floats) -> Tensor:
        """A picture (H, W, C) as (1, C, H, W)."""
        pixels = torch.from_numpy(np.ascontiguousarray(picture, np.float32)).permute(2, 0, 1)[None]
        return pixels.contiguous().to(self.machine.device)

    def picture(self, x: Tensor) -> Floats:
        """Pixels (1, 3, H, W) as a picture (H, W, 3) in 0..1."""
        return np.ascontiguousarray(x[0].clamp(0, 1).permute(1, 2, 0).cpu().numpy())

    def _matte(self, frame: int, header: Header) -> Floats | None:
        if self.job.matte is None:
            return None
        reader = MatteReader(SequencePath.parse(self.job.matte), self.job.plate_path)
        matte = self._shrunk(reader.fitted(frame, header, header.display))
        if float(matte.max()) < 0.5 / 255:
            path = reader.path.path(frame)
            raise ImageError("empty matte", frame=frame, path=path, remedy="paint some of it")
        return matte

    def _shrunk(self, picture: Floats) -> Floats:
        if self.shrink == 1:
            return picture
        size = [max(1, round(side / self.shrink)) for side in picture.shape[1::-1]]
        return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)


def resized(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """(1, C, H, W) at another height and width, filtered; the same where that is its own."""
    if tuple(picture.shape[2:]) == size:
        return picture
    return F.interpolate(picture, size=size, mode="bilinear", antialias=True, align_corners=False)


def _features(source: str) -> DeepFeatures:
    try:
        return load_features(source, (*STYLE_LAYERS, CONTENT_LAYER))
    except InputError as error:
        error.remedy = "give a .safetensors or .pth file of VGG-16 or VGG-19"
        raise


def _colored(style: Floats, plate: Floats, mode: str) -> Floats:
    if mode == "histogram":
        return match_colors(style, plate)
    return match_lightness(style, plate) if mode == "luminance" else style


def read_style_image(path: Path) -> Image:
    """A style image, with every pixel finite: a few that were not are filled, as its ``bad_pixels`` says.

    Raises:
        ImageError: it is missing, damaged or too small, or so much of it is NaN, Inf or transparent that what is filled
            in would be learnt as texture.
    """
    image = images.read(path)
    high, wide = image.rgb.shape[:2]
    if min(high, wide) < LEAST_SIDE_PX:
        why = f"the style image is {wide}x{high}, too small to learn from"
        raise ImageError(why, path=path, remedy=f"its least side is {LEAST_SIDE_PX} pixels, some hundreds are better")
    if image.bad_pixels > MOST_HOLES * high * wide:
        why = f"{image.bad_pixels} of {high * wide} pixels of the style image are NaN or Inf, too many to fill in"
        raise ImageError(why, path=path, remedy="repair the image, or crop it to what is sound")
    hidden = 0.0 if image.alpha is None else float((image.alpha < _SEEN).mean())
    if hidden > MOST_HOLES:
        why = f"{hidden:.0%} of the style image is transparent, and what lies beneath would be learnt as texture"
        raise ImageError(why, path=path, remedy="crop it to what is opaque, or put it on a background")
    return image


def _style_picture(path: Path, config: ColorConfig) -> Floats:
    """A style image as a person sees it, (H, W, 3) in sRGB, 0..1."""
    image = read_style_image(path)
    if image.bad_pixels:
        log.warning("%d pixels of the style image are NaN or Inf; filled from neighbors (%s)", image.bad_pixels, path)
    return Showing.default(config).picture(image.rgb, image.header, path, config)
