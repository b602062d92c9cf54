"""Optical flow between two frames: estimated, followed, composed, and told where it can be trusted.

Convention
    A flow is float32 (H, W, 2) in pixels, (dx, dy), x right, y down, pixel centers at integers. ``flow_ab[y, x]`` takes
    a pixel of frame a to frame b; so ``pull(b, flow_ab)`` shows b as seen from a.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from engine.base.arrays import Bytes, Floats, Mask

__all__ = [
    "compose",
    "either",
    "estimate",
    "inside",
    "luma8",
    "occluded",
    "one_thread",
    "pull",
    "reliability",
    "squared_px",
]


_DERIVATIVE = np.array([[-0.5, 0.0, 0.5]], np.float32)
_SMALLEST_SIDE = 16
"""DIS needs a few of its 8-pixel patches along each side."""


def luma8(display: Floats) -> Bytes:
    """What flow is estimated on: (H, W, 3) display-referred 0..1, clipped, to gray (H, W) uint8 (Rec. 709 weights)."""
    gray = np.clip(display, 0.0, 1.0) @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    return (gray * 255.0 + 0.5).astype(np.uint8)


def estimate(a: Bytes, b: Bytes, start: Floats | None = None, *, fast: bool = False) -> Floats:
    """Flow from a to b by DIS (Kroeger et al. 2016), OpenCV's medium preset, or its fast one.

    The result depends on the number of OpenCV's threads; whoever needs the same bytes everywhere sets it to one.

    Args:
        a, b: gray images (H, W) uint8 of one size.
        start: flow (H, W, 2) to begin from; zero without.
        fast: for what is registered afterwards, and need not be right at every edge: a fifth of the time.
    """
    height, width = a.shape
    if min(height, width) < _SMALLEST_SIDE:
        return np.zeros((height, width, 2), np.float32) if start is None else start.copy()
    preset = cv2.DISOPTICAL_FLOW_PRESET_FAST if fast else cv2.DISOPTICAL_FLOW_PRESET_MEDIUM
    dis = cv2.DISOpticalFlow.create(preset)
    flow = dis.calc(a, b, None if start is None else np.ascontiguousarray(start.copy()))
    return np.asarray(flow, np.float32)


@contextmanager
def one_thread() -> Iterator[None]:
    """OpenCV on one thread inside, as it was after: the same bytes whatever the machine's number of cores."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


@functools.lru_cache(maxsize=4)
def _grid(height: int, width: int) -> tuple[Floats, Floats]:
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    x.flags.writeable = y.flags.writeable = False
    return x, y


def pull(
    image: npt.NDArray[Any],
    flow: Floats,
    *,
    border: int = cv2.BORDER_REPLICATE,
    filter_: int = cv2.INTER_LINEAR,
    step: int = 1,
) -> npt.NDArray[Any]:
    """``image`` at p + flow(p), bilinear or as said: (H, W) or (H, W, C) of any size, seen from the flow's frame.

    With a ``step`` only by the first of so many pixels of the flow along both axes.
    """
    x, y = (grid[::step, ::step] for grid in _grid(*flow.shape[:2]))
    to_x, to_y = x + flow[::step, ::step, 0], y + flow[::step, ::step, 1]
    sampled: npt.NDArray[Any] = cv2.remap(image, to_x, to_y, filter_, borderMode=border)
    return sampled


def _pulled_exactly(image: Floats, flow: Floats) -> Floats:
    """As :func:`pull` of (H, W, C), bilinear, without OpenCV's steps of 1/32 pixel."""
    x, y = _grid(*flow.shape[:2])
    high, wide = image.shape[:2]
    to_x = np.clip(x + flow[..., 0], 0, wide - 1)
    to_y = np.clip(y + flow[..., 1], 0, high - 1)
    left, top = to_x.astype(np.intp), to_y.astype(np.intp)
    right, bottom = np.minimum(left + 1, wide - 1), np.minimum(top + 1, high - 1)
    across, down = (to_x - left)[..., None].astype(np.float32), (to_y - top)[..., None].astype(np.float32)
    upper = image[top, left] * (1 - across) + image[top, right] * across
    lower = image[bottom, left] * (1 - across) + image[bottom, right] * across
    return np.asarray(upper * (1 - down) + lower * down, np.float32)


def compose(flow_ab: Floats, flow_bc: Floats) -> Floats:
    """Flow from a to c, by way of b."""
    return np.asarray(flow_ab + pull(flow_bc, flow_ab), np.float32)


def squared_px(flow: Floats) -> Floats:
    """(H, W): how long a flow (H, W, 2) is, squared."""
    return np.asarray(np.square(flow[..., 0]) + np.square(flow[..., 1]), np.float32)


def either(mask: Mask, one: Floats, other: Floats) -> Floats:
    """(H, W, 2): one flow where the mask (H, W) says so, elsewhere the other."""
    # Both numbers at once: over rows of two numpy takes five times as long.
    pair = (np.ascontiguousarray(flow, np.float32).view(np.complex64)[..., 0] for flow in (one, other))
    return np.where(mask, *pair).view(np.float32).reshape(*mask.shape, 2)


def inside(flow: Floats, height: int | None = None, width: int | None = None) -> npt.NDArray[np.bool_]:
    """(H, W): whether the flow's target lies in the other frame, of this size (default: the flow's own)."""
    x, y = _grid(*flow.shape[:2])
    right, bottom = (width or flow.shape[1]) - 1, (height or flow.shape[0]) - 1
    to_x, to_y = x + flow[..., 0], y + flow[..., 1]
    return np.asarray((to_x >= 0) & (to_x <= right) & (to_y >= 0) & (to_y <= bottom))


def occluded(flow_ab: Floats, flow_ba: Floats, *, exact: bool = False) -> npt.NDArray[np.bool_]:
    """(H, W): whether what ``flow_ab`` leads to comes back elsewhere, because something hides it there.

    Args:
        exact: as of :func:`reliability`, and its source.
    """
    back = _pulled_exactly(flow_ba, flow_ab) if exact else pull(flow_ba, flow_ab)
    round_trip = squared_px(flow_ab + back)
    lengths = squared_px(flow_ab) + squared_px(back)
    return np.asarray(round_trip >= 0.01 * lengths + 0.5)


def reliability(flow_ab: Floats, flow_ba: Floats, *, exact: bool = False) -> Floats:
    """How far ``flow_ab`` can be trusted, (H, W) in 0..1: 0 where disoccluded, leaving the frame, or at a motion edge.

    Args:
        exact: follow the flow to where it leads, as the published maps do, and not to 1/32 of a pixel, as OpenCV does.
            Guides don't, so that looks which were trained with them keep their bytes.

    Source: Ruder, Dosovitskiy, Brox 2016, section 3.3, with the smoothing of their published maps.
    """
    square = squared_px(flow_ab)
    gradient = sum(
        np.square(cv2.filter2D(flow_ab[..., axis], -1, kernel, borderType=cv2.BORDER_REPLICATE))
        for axis in (0, 1)
        for kernel in (_DERIVATIVE, _DERIVATIVE.T)
    )
    edge = gradient > 0.01 * square + 0.002
    trust = np.where(
        occluded(flow_ab, flow_ba, exact=exact), np.float32(-1), np.where(edge, np.float32(0), np.float32(1))
    )
    trust[~inside(flow_ab)] = 0
    trust = cv2.GaussianBlur(trust, (5, 5), 0.8, borderType=cv2.BORDER_REFLECT)
    return np.clip(trust, 0.0, 1.0)
