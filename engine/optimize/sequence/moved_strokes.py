"""Moved strokes: brushstrokes that ride on a shot's motion to another frame, and those laid where none came along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from engine.base.arrays import Floats, Mask
from engine.motion.flow import inside, occluded
from engine.optimize.brushstrokes.curves import Brushstrokes
from engine.optimize.brushstrokes.layout import Layout
from engine.optimize.brushstrokes.render import bare

__all__ = ["StrokeSource", "moved", "moved_and_new"]

_BARE = 0.3
"""Share of a pixel that no stroke covers, from which it is open to new ones."""
_APART_PX = 1.0
"""A point that moves so much otherwise than its stroke's middle, and by its width, lies on another surface."""
_STRETCH_PX = 3.0
"""Deviation of the blur before a flow is asked how much larger things become."""
_LARGER, _SMALLER = 1.25, 0.8
_CROWD = 1.25
"""How many strokes there may be, in units of those of a frame alone."""


@dataclass(frozen=True, eq=False)
class StrokeSource:
    """A painted frame whose strokes may come along."""

    layout: Layout
    forth: Floats
    """(H, W, 2) flow from it to the frame in work, pixels of the picture that the strokes are drawn at."""
    back: Floats
    """(H, W, 2) flow from the frame in work to it."""


def moved_and_new(sources: Sequence[StrokeSource], fresh: Layout) -> Layout:
    """The strokes that a frame begins from.

    Those of the first source move along its flow. Where it shows nothing of the frame, or no stroke covers it, those of
    the next one come along, and at last those of ``fresh``.

    Args:
        sources: painted frames, the nearest first; at least one.
        fresh: strokes laid on the frame itself.
    """
    layout, hidden = moved(sources[0]), _lost(sources[0].back, sources[0].forth)
    height, width = hidden.shape
    for source in sources[1:]:
        known = ~_lost(source.back, source.forth)
        layout = _joined(layout, moved(source), (hidden | _is_bare(layout, height, width)) & known)
        hidden &= ~known
    layout = _joined(layout, fresh, hidden | _is_bare(layout, height, width))
    return _thinned(layout, round(_CROWD * len(fresh.strokes)))


def moved(source: StrokeSource) -> Layout:
    """The strokes of a source where they lie in the frame in work; those that are hidden or gone there are left out."""
    place, curve, width, color = (each.detach().cpu().numpy() for each in source.layout.strokes.tensors)
    stays = ~_lost(source.forth, source.back)[_pixel(place, source.forth.shape)]
    middle = _at(source.forth, place)
    shift = _at(source.forth, place[:, None] + curve)
    apart = np.linalg.norm(shift - middle[:, None], axis=2) > np.maximum(_APART_PX, width)[:, None]
    shift = np.where(apart[..., None], middle[:, None], shift)
    width = width * _growth(source.forth)[_pixel(place, source.forth.shape)]
    arrays = (place + middle, curve + shift - middle[:, None], width, color)
    strokes = Brushstrokes(*(torch.from_numpy(np.ascontiguousarray(each[stays], np.float32)) for each in arrays))
    return Layout(strokes, int(stays[: source.layout.broad].sum()))


def _joined(layout: Layout, more: Layout, open_: Mask) -> Layout:
    """With those of ``more`` that belong where ``open_`` is, (H, W): broad ones over broad ones, fine ones on top."""
    if not open_.any() or not len(more.strokes):
        return layout
    strokes = more.strokes
    reach = strokes.width_px.numpy() / 2 + np.abs(strokes.curve_px.numpy()).max(axis=(1, 2))
    far = np.asarray(cv2.distanceTransform((~open_).astype(np.uint8), cv2.DIST_L2, 5), np.float32)
    away = far[_pixel(strokes.location_px.numpy(), open_.shape)]
    is_broad = np.arange(len(strokes)) < more.broad
    # The underpainting must leave nothing bare; what is fine stays within.
    wanted = np.where(is_broad, away <= reach, away <= 0)
    parts = [
        _picked(layout.strokes, slice(None, layout.broad)),
        _picked(strokes, wanted & is_broad),
        _picked(layout.strokes, slice(layout.broad, None)),
        _picked(strokes, wanted & ~is_broad),
    ]
    return Layout(Brushstrokes.joined(parts), layout.broad + int((wanted & is_broad).sum()))


def _thinned(layout: Layout, most: int) -> Layout:
    """Without the lowest of the fine strokes, where there are more than ``most``: most of those are painted over."""
    extra = len(layout.strokes) - most
    if extra <= 0:
        return layout
    keep = np.ones(len(layout.strokes), bool)
    keep[layout.broad : layout.broad + extra] = False
    return Layout(_picked(layout.strokes, keep), layout.broad)


def _picked(strokes: Brushstrokes, which: Mask | slice) -> Brushstrokes:
    index = which if isinstance(which, slice) else torch.from_numpy(which)
    return Brushstrokes(*(each[index] for each in strokes.tensors))


def _lost(flow: Floats, back: Floats) -> Mask:
    """(H, W): what leaves the frame, or is hidden in the other one."""
    return np.asarray(~inside(flow) | occluded(flow, back, exact=True))


def _is_bare(layout: Layout, height: int, width: int) -> Mask:
    return np.asarray(bare(layout.strokes, height, width).numpy() > _BARE)


def _growth(flow: Floats) -> Floats:
    """(H, W): how much longer things become along a flow."""
    soft = cv2.GaussianBlur(flow, (0, 0), _STRETCH_PX, borderType=cv2.BORDER_REPLICATE)
    down, right = np.gradient(soft, axis=0), np.gradient(soft, axis=1)
    area = (1 + right[..., 0]) * (1 + down[..., 1]) - right[..., 1] * down[..., 0]
    return np.clip(np.sqrt(np.maximum(area, 0)), _SMALLER, _LARGER).astype(np.float32)


def _at(flow: Floats, points: Floats) -> Floats:
    """The flow, bilinear, at points (..., 2) of a picture whose first pixel's center is at (0.5, 0.5)."""
    flat = np.ascontiguousarray(points.reshape(-1, 1, 2) - 0.5, np.float32)
    found = [
        cv2.remap(flow, part[..., 0], part[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for part in np.array_split(flat, -(-len(flat) // 16_384) or 1)
    ]
    return np.concatenate(found).reshape(points.shape).astype(np.float32)


def _pixel(points: Floats, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of the pixels that points (N, 2) lie in; of the nearest where they lie beyond the frame."""
    column = np.clip(points[:, 0].astype(int), 0, shape[1] - 1)
    row = np.clip(points[:, 1].astype(int), 0, shape[0] - 1)
    return row, column
