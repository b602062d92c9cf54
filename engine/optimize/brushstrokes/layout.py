"""Layout: the strokes that descent begins from, laid along the forms of a plate from broad to fine."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from engine.base.arrays import Floats
from engine.optimize.brushstrokes.curves import Brushstrokes
from engine.optimize.brushstrokes.directions import Directions
from engine.optimize.brushstrokes.render import bare
from engine.optimize.brushstrokes.superpixels import superpixels
from engine.paint.strokes import stroke_directions

__all__ = ["Layout", "lay_out"]

_LEVELS = ((0.1, 1.5), (0.4, 1.15), (0.5, 1.0))
"""Share of the strokes, and their width in units of their regions', from broad to fine."""
_FINE_REGIONS = 2.5
"""Regions of the finest level for each stroke that it has: those with the most detail get one."""
_STRETCH = 1.5
"""Length of a stroke in units of its region's."""
_SLENDER = 2.6
"""Least length of a stroke in units of its width."""
_MOST_BEND = 0.25
"""Of a curve's middle from its chord, in units of the chord."""
_WIDEN, _WIDENINGS = 1.25, 12
_LEAST_WIDTH_PX = 1.5


@dataclass(frozen=True, eq=False)
class Layout:
    """Strokes to begin from."""

    strokes: Brushstrokes
    """From broad to fine, each level in random order."""
    broad: int
    """How many of the first make up the underpainting, which leaves nothing bare."""

    def to(self, device: torch.device, color: torch.Tensor) -> Layout:
        """The same on a device, in other colors (N, 3)."""
        return Layout(self.strokes.colored(color).to(device), self.broad)


def lay_out(plate: Floats, count: int, *, seed: int, directions: Directions | None, matte: Floats | None) -> Layout:
    """Strokes on a plate's regions, in the regions' mean colors.

    Args:
        plate: (H, W, 3) display-referred sRGB in 0..1.
        count: how many strokes, at most.
        seed: of the order in which the strokes of a level are laid.
        directions: the artist's; where they say nothing, strokes run along the plate's forms.
        matte: (H, W) in 0..1; no stroke begins where it is 0. None for everywhere.
    """
    height, width = plate.shape[:2]
    rng = np.random.default_rng(seed)
    lab = np.asarray(cv2.cvtColor(plate, cv2.COLOR_RGB2Lab), np.float32)
    side = min(height, width)
    forms = stroke_directions(lab, max(1.5, side / 150), side / 6)
    area = np.ones((height, width), np.float32) if matte is None else (matte > 0).astype(np.float32)
    # All regions cover the frame; those outside the matte are dropped, and so there may be as many more.
    share = max(float(area.mean()), 1e-4)
    levels = []
    for level, (part, thickness) in enumerate(_LEVELS):
        wanted = max(1, round(count * part))
        regions = min(wanted / share * (_FINE_REGIONS if level == 2 else 1), height * width / 6)
        found = superpixels(plate, max(1, round(regions)))
        inside = _mean_of(area[..., None], found.labels)[:, 0] > 0
        need = np.where(inside, 1.0, 0.0)
        if level == 2:
            smooth = cv2.GaussianBlur(lab, (0, 0), (height * width * share / (count * _LEVELS[1][0])) ** 0.5 / 2)
            need = need * _mean_of(np.abs(lab - smooth).sum(2, keepdims=True), found.labels)[:, 0]
        chosen = np.argsort(-need, kind="stable")[:wanted]
        chosen = rng.permutation(chosen[need[chosen] > 0])
        color = _mean_of(plate, found.labels)[chosen]
        center, spread = found.center_px[chosen], found.covariance_px[chosen]
        strokes = _strokes(center, spread, color, forms, directions, thickness)
        levels.append(_widened(strokes, found.labels, chosen, area) if level == 0 else strokes)
    return Layout(Brushstrokes.joined(levels), len(levels[0]))


def _strokes(
    center: Floats, spread: Floats, color: Floats, forms: Floats, directions: Directions | None, thickness: float
) -> Brushstrokes:
    """A stroke along each region, (N, 2) centers and (N, 2, 2) covariances."""
    middle = _turned(center, spread, forms, directions)
    across = np.stack([-middle[:, 1], middle[:, 0]], axis=1)
    extent = [np.sqrt(np.maximum(np.einsum("ni,nij,nj->n", v, spread, v), 1 / 12)) for v in (middle, across)]
    length, breadth = (2 * 3**0.5 * each for each in extent)  # of an even rectangle
    width = np.maximum(breadth * thickness, _LEAST_WIDTH_PX)
    reach = (np.maximum(length * _STRETCH, width * _SLENDER) - width)[:, None] / 2
    ends = []
    for sign in (-1, 1):
        there = _turned(center + sign * reach * middle, spread, forms, directions)
        there *= np.sign((there * middle).sum(1, keepdims=True) + 1e-9)
        ends.append(sign * reach * _unit(middle + there))
    start, end = ends
    chord = np.linalg.norm(end - start, axis=1, keepdims=True)
    bow = (start + end) / 2
    bow *= np.minimum(1, _MOST_BEND * chord / np.maximum(np.linalg.norm(bow, axis=1, keepdims=True), 1e-6))
    mean = (start + end) / 2 - bow
    start, end = start - mean, end - mean
    curve = np.stack([start, -bow, end], axis=1)
    return Brushstrokes(*(torch.from_numpy(np.ascontiguousarray(v, np.float32)) for v in (center, curve, width, color)))


def _turned(at_px: Floats, spread: Floats, forms: Floats, directions: Directions | None) -> Floats:
    """(N, 2) unit directions of strokes: the artist's, else those of the forms and of their regions together."""
    height, width = forms.shape[:2]
    column = np.clip(at_px[:, 0].astype(int), 0, width - 1)
    row = np.clip(at_px[:, 1].astype(int), 0, height - 1)
    form = _doubled(forms[row, column])
    # The covariance of a region as a doubled direction, whose length tells how far it is from round.
    own = np.stack([spread[:, 0, 0] - spread[:, 1, 1], 2 * spread[:, 0, 1]], axis=1)
    own /= np.maximum(spread[:, 0, 0] + spread[:, 1, 1], 1e-6)[:, None]
    double = form + own
    if directions is not None:
        wish, weight = directions.double[row, column], directions.weight[row, column, None]
        double = double * (1 - weight) + wish * weight * 2
    angle = np.arctan2(double[:, 1], double[:, 0]) / 2
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def _widened(strokes: Brushstrokes, labels: np.ndarray, regions: np.ndarray, area: Floats) -> Brushstrokes:
    """The strokes of some regions, each as wide as it takes to leave nothing of ``area`` bare in its region."""
    height, width = labels.shape
    stroke_of = np.full(labels.max() + 1, -1)
    stroke_of[regions] = np.arange(len(regions))
    for _ in range(_WIDENINGS):
        holes = (bare(strokes, height, width).numpy() > 0) & (area > 0)
        short = np.unique(stroke_of[labels[holes]])
        short = short[short >= 0]
        if not len(short):
            break
        wider = strokes.width_px.clone()
        wider[torch.from_numpy(short)] *= _WIDEN
        strokes = Brushstrokes(strokes.location_px, strokes.curve_px, wider, strokes.color)
    return strokes


def _mean_of(values: Floats, labels: np.ndarray) -> Floats:
    """(N, C) means of (H, W, C) by label."""
    flat = labels.ravel()
    counted = np.bincount(flat)
    sums = [np.bincount(flat, values[..., channel].ravel()) for channel in range(values.shape[2])]
    return (np.stack(sums, axis=1) / counted[:, None]).astype(np.float32)


def _doubled(direction: Floats) -> Floats:
    x, y = direction[..., 0], direction[..., 1]
    return np.stack([x * x - y * y, 2 * x * y], axis=-1)


def _unit(vectors: Floats) -> Floats:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-6)
