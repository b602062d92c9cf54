"""Steadiness of rendered frames: the change from one to the next that the plate's motion does not explain."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from engine.base.arrays import Bytes, Floats
from engine.base.errors import ImageError
from engine.motion.flow import estimate, pull, reliability

__all__ = ["Step", "TemporalError", "plate_step", "temporal_error"]


_LEAST_TRUST = 0.05
"""A step whose flow is reliable over less than this share says nothing: a cut, or a blank frame."""
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


@dataclass(frozen=True, eq=False)
class Step:
    """The plate's motion from one frame to the next."""

    flow: Floats
    """(h, w, 2), pixels of the small plate: a pixel of this frame to the next."""
    trust: Floats
    """(h, w) in 0..1: how reliable that is."""

    @property
    def retention(self) -> float:
        """Share of the frame that is still there in the next."""
        return float(self.trust.mean())


@dataclass(frozen=True, eq=False)
class TemporalError:
    """What does not follow the plate's motion between two frames."""

    mean: float
    """Display codes (0..255), mean over the pixels whose flow is reliable."""
    image: Floats
    """(h, w), display codes, seen from the earlier frame; 0 where the flow is not reliable."""


def plate_step(here: Bytes, after: Bytes) -> Step:
    """Motion between two plates, (h, w, 3) uint8 display codes of one size.

    Raises:
        ImageError: they differ in size.
    """
    _check(here, after)
    one, two = _luma(here), _luma(after)
    flow, back = estimate(one, two), estimate(two, one)
    return Step(flow, reliability(flow, back))


def temporal_error(here: Bytes, after: Bytes, step: Step) -> TemporalError | None:
    """mean ``|after pulled along the flow - here|`` where the flow is reliable; None where it hardly is anywhere.

    Of the plate itself this is what grain, light and interpolation leave: the base line to compare a result with.

    Args:
        here, after: (h, w, 3) uint8 display codes, of the size that ``step`` was estimated at.

    Raises:
        ImageError: the sizes differ.
    """
    _check(here, after)
    if here.shape[:2] != step.trust.shape:
        raise ImageError(f"a step of {_size(step.trust)} does not fit pictures of {_size(here)}")
    if step.retention < _LEAST_TRUST:
        return None
    pulled = pull(after, step.flow)
    difference = cv2.absdiff(pulled, here).astype(np.float32).mean(axis=2) * step.trust
    return TemporalError(float(difference.sum() / step.trust.sum()), difference)


def _luma(rgb: Bytes) -> Bytes:
    return np.asarray(rgb.astype(np.float32) @ _LUMA + 0.5, np.uint8)


def _check(here: Bytes, after: Bytes) -> None:
    if here.shape != after.shape:
        raise ImageError(f"the frame is {_size(here)} and the next one {_size(after)}", remedy="render at one size")


def _size(picture: npt.NDArray[np.generic]) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"
