"""Pictures of the report: small frames, what no painting carries, and what flickers, each held by the page itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from engine.base.arrays import Bytes
from engine.base.errors import ImageError
from engine.review.steadiness import plate_step, temporal_error
from plugin.report.frames import FrameReader
from plugin.report.player import as_uri, jpeg
from plugin.report.stills import fit

__all__ = ["HEAT_CODES", "Picture", "error_picture", "picture", "uncarried_picture"]

Pixels8 = npt.NDArray[np.uint8]

HEAT_CODES = 32.0
"""Temporal error, display codes, at the bright end of a heat map."""
_UNCARRIED = np.array([235, 72, 46], np.float32)
_QUALITY = 84


@dataclass(frozen=True)
class Picture:
    """A picture of the page, or why there is none."""

    alt: str
    """What it shows, in words."""
    uri: str = ""
    """It itself, as a data URI; empty where a file of it cannot be read."""
    width: int = 0
    """Pixels."""
    height: int = 0
    """Pixels."""
    problem: str = ""
    """What stands in its place."""


def picture(draw: Callable[[], Pixels8], alt: str) -> Picture:
    """What ``draw`` gives, (h, w, 3) sRGB; an image error becomes words in its place."""
    try:
        rgb = draw()
    except ImageError as error:
        return Picture(alt, problem=str(error))
    data = jpeg(rgb, _QUALITY)
    return Picture(alt, as_uri(data), rgb.shape[1], rgb.shape[0]) if data else Picture(alt, problem=alt)


def uncarried_picture(frame: int, frames: FrameReader, estimated: Bytes | None = None) -> Pixels8:
    """The plate in gray, red where nothing is carried.

    Args:
        estimated: (h, w) uint8 of any size, 255 where all is carried; None for what layers and sidecars say.

    Raises:
        ImageError: the plate or a sidecar cannot be read.
    """
    plate = frames.plate(frame)
    height, width = plate.rgb.shape[:2]
    share = np.zeros((height, width), np.float32)
    if estimated is not None:
        codes = cv2.resize(estimated, (width, height), interpolation=cv2.INTER_CUBIC)
        share = np.asarray(codes, np.float32) / np.float32(255)
    else:
        try:
            result = frames.result(frame)
        except ImageError:
            result = None
        carried, _ = frames.carried(frame, result, plate.size)
        if carried is not None:
            share = np.asarray(cv2.resize(carried, (width, height), interpolation=cv2.INTER_AREA), np.float32)
    gray = _gray(plate.rgb, 0.8)
    mixed = gray + 0.85 * (1.0 - share[..., None]) * (_UNCARRIED - gray)
    return np.asarray(np.clip(mixed + 0.5, 0.0, 255.0), np.uint8)


def error_picture(frame: int, after: int, frames: FrameReader) -> Pixels8:
    """The result in dark gray under its temporal error towards the frame ``after`` as heat.

    Raises:
        ImageError: one of the frames cannot be read.
    """
    plate, result = frames.plate(frame).rgb, frames.result(frame).rgb
    step = plate_step(plate, fit(frames.plate(after).rgb, plate))
    error = temporal_error(fit(result, plate), fit(frames.result(after).rgb, plate), step)
    gray = _gray(fit(result, plate), 0.25)
    if error is None:
        return np.asarray(gray, np.uint8)
    strength = np.clip(cv2.GaussianBlur(error.image, (0, 0), 1.0) / HEAT_CODES, 0.0, 1.0)
    codes = np.asarray(strength * 255.0 + 0.5, np.uint8)
    heat = cv2.applyColorMap(codes, cv2.COLORMAP_INFERNO)[..., ::-1].astype(np.float32)
    return np.asarray(np.clip(heat + gray * (1.0 - strength[..., None]), 0.0, 255.0), np.uint8)


def _gray(rgb: Pixels8, gain: float) -> npt.NDArray[np.float32]:
    return np.repeat(rgb.mean(axis=2, keepdims=True, dtype=np.float32), 3, axis=2) * np.float32(gain)
