"""Brush strokes: where they run, what they look like, how they land on a canvas.

The path of a stroke follows Hertzmann, "Painterly rendering with curved brush strokes of multiple sizes" (1998), with
two changes: its direction comes from a smoothed structure tensor instead of the raw gradient, so that it stays coherent
where the plate is flat, and all strokes of one layer are traced together as arrays.

Convention: points are (x, y) in pixels, pixel centers at integers; ``u`` runs along a stroke, ``v`` across it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.base.arrays import Floats

__all__ = ["Brush", "Canvas", "Strokes", "bristle_texture", "stroke_directions", "trace"]


# Samples of the bristle texture per bristle across, and per bristle width along.
_ACROSS, _ALONG = 6, 0.5
_TEX_ROWS, _TEX_COLS = 512, 2048


@dataclass(frozen=True)
class Brush:
    """How one layer's strokes are laid; lengths are in units of the radius."""

    radius_px: float  # half width of the stroke
    opacity: float  # coverage where the paint is full, 0..1
    taper_in: float  # length over which the stroke reaches its full width
    taper_out: float  # length over which it narrows again
    ragged: float  # how far single bristles lift off before or after the others
    dryness: float  # 0: paint covers to the end; 1: the last part shows bristle gaps
    streak: float  # lightness variation between bristles, 0..1
    thickness: float  # height of the paint, for impasto
    edge_care: float  # CIE Lab distance over which paint keeps off foreign color; 0 paints across


@dataclass(frozen=True)
class Strokes:
    """Traced strokes of one layer, in painting order."""

    spine_px: Floats  # (N, M, 2) points, padded by repeating the last one
    start_rgb: Floats  # (N, 3) paint at the start
    end_rgb: Floats  # (N, 3) paint at the end


def stroke_directions(lab: Floats, sigma_px: float, reach_px: float) -> Floats:
    """Unit direction of a stroke at each pixel: along the contours, the normal of the gradient.

    Args:
        lab: (H, W, 3) CIE Lab.
        sigma_px: scale at which form is read.
        reach_px: how far strong structure spreads its direction into flat areas.

    Returns:
        (H, W, 2) float32 (dx, dy); the sign is arbitrary. Where the whole neighborhood is flat: horizontal.
    """
    smooth = cv2.GaussianBlur(lab, (0, 0), max(0.6, sigma_px * 0.5))
    gx = cv2.Scharr(smooth, cv2.CV_32F, 1, 0) / 32.0
    gy = cv2.Scharr(smooth, cv2.CV_32F, 0, 1) / 32.0
    tensor = np.stack([(gx * gx).sum(2), (gx * gy).sum(2), (gy * gy).sum(2)], axis=2)
    energy = (tensor[..., 0] + tensor[..., 2])[..., None]
    tensor *= energy / (energy + np.float32(1.0))
    total = cv2.GaussianBlur(tensor, (0, 0), max(0.8, sigma_px))
    # Each wider scale counts for less, so it only decides where the narrower ones are silent.
    weight = 1.0
    for factor in (0.2, 0.5, 1.0):
        weight *= 0.12
        total += weight * _wide_blur(tensor, reach_px * factor)
    total[..., 2] += 1e-4
    # Larger eigenvector of [[a, b], [b, c]] is the gradient; the stroke runs a quarter turn from it.
    angle = 0.5 * np.arctan2(2.0 * total[..., 1], total[..., 0] - total[..., 2]) + np.pi / 2
    return np.stack([np.cos(angle), np.sin(angle)], axis=2).astype(np.float32)


def _wide_blur(image: Floats, sigma_px: float) -> Floats:
    """A Gaussian blur computed on a small image when the sigma is large."""
    factor = max(1, int(sigma_px / 4))
    height, width = image.shape[:2]
    small = cv2.resize(image, (max(1, width // factor), max(1, height // factor)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), max(0.5, sigma_px / factor))
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def trace(
    starts_px: Floats,
    directions: Floats,
    reference: Floats,
    canvas: Floats,
    paint: Floats,
    *,
    step_px: float,
    min_steps: int,
    max_steps: int,
    curvature: float,
    rng: np.random.Generator,
) -> Floats:
    """Strokes from their starting points, as (N, max_steps + 1, 2) points, padded by repeating the last one.

    A stroke ends where the canvas already matches the reference better than this stroke's paint would (Hertzmann
    1998, section 2.2), at the border, or after ``max_steps``.

    Args:
        starts_px: (N, 2) first points.
        directions: (H, W, 2) from :func:`stroke_directions`.
        reference: (H, W, 3) Lab of the blurred plate.
        canvas: (H, W, 3) Lab of the canvas before this layer.
        paint: (N, 3) Lab of each stroke's paint.
        step_px: distance between points.
        min_steps: no stroke ends on color before so many steps.
        max_steps: longest stroke.
        curvature: 1 follows the field, 0 runs straight on.
        rng: decides the first sign of the direction.
    """
    height, width = reference.shape[:2]
    count = len(starts_px)
    points = np.empty((count, max_steps + 1, 2), np.float32)
    points[:, 0] = starts_px
    alive = np.ones(count, bool)
    at = starts_px.astype(np.float32).copy()
    heading = _at(directions, at)
    heading *= np.where(rng.random(count) < 0.5, -1.0, 1.0).astype(np.float32)[:, None]
    limit = np.array([width - 1, height - 1], np.float32)
    for step in range(1, max_steps + 1):
        if step > min_steps:
            here = _at(reference, at)
            gain = np.linalg.norm(here - _at(canvas, at), axis=1) - np.linalg.norm(here - paint, axis=1)
            alive &= gain > 0
        turn = _at(directions, at)
        turn *= np.where((turn * heading).sum(1) < 0, -1.0, 1.0).astype(np.float32)[:, None]
        heading = curvature * turn + (1.0 - curvature) * heading
        heading /= np.maximum(np.linalg.norm(heading, axis=1, keepdims=True), 1e-6)
        following = at + step_px * heading
        alive &= ((following >= 0) & (following <= limit)).all(1)
        at = np.where(alive[:, None], following, at)
        points[:, step] = at
    return points


def _at(image: Floats, points_px: Floats) -> Floats:
    """Values at the nearest pixels of points that lie inside the image."""
    index = np.rint(points_px).astype(np.intp)
    return np.array(image[index[:, 1], index[:, 0]], dtype=np.float32)


@cache
def bristle_texture() -> Floats:
    """Streaks along the rows, (512, 2048) float32, uniformly distributed over 0..1, seamless on both axes.

    Read-only and always the same: strokes differ by the place that they take from it.
    """
    rng = np.random.default_rng(0)
    total = np.zeros((_TEX_ROWS, _TEX_COLS), np.float32)
    for across, along, weight in ((1.5, 90.0, 0.7), (4.0, 220.0, 1.0), (12.0, 60.0, 0.6), (1.0, 2.5, 0.2)):
        noise = rng.standard_normal((_TEX_ROWS, _TEX_COLS)).astype(np.float32)
        fy = np.fft.fftfreq(_TEX_ROWS)[:, None]
        fx = np.fft.rfftfreq(_TEX_COLS)[None, :]
        lowpass = np.exp(-2 * np.pi**2 * ((fy * across) ** 2 + (fx * along) ** 2))
        smooth = np.fft.irfft2(np.fft.rfft2(noise) * lowpass, s=noise.shape)
        total += (weight * smooth / smooth.std()).astype(np.float32)
    order = np.argsort(total, axis=None, kind="stable")
    uniform = np.empty(total.size, np.float32)
    uniform[order] = np.linspace(0.0, 1.0, total.size, dtype=np.float32)
    uniform.setflags(write=False)
    return uniform.reshape(total.shape)


def _rounded(spine_px: Floats) -> Floats:
    """One pass of Chaikin's corner cutting that keeps both ends: (N, M, 2) to (N, 2M - 2, 2)."""
    if spine_px.shape[1] < 3:
        return spine_px
    inner_a = 0.75 * spine_px[:, :-1] + 0.25 * spine_px[:, 1:]
    inner_b = 0.25 * spine_px[:, :-1] + 0.75 * spine_px[:, 1:]
    points = np.stack([inner_a, inner_b], axis=2).reshape(len(spine_px), -1, 2)
    points[:, 0], points[:, -1] = spine_px[:, 0], spine_px[:, -1]
    return points.astype(np.float32)


class Canvas:
    """Paint lying on a surface: color and height, both changed in place by :meth:`lay`."""

    def __init__(self, rgb: Floats, height: Floats, texture: Floats) -> None:
        """``rgb`` (H, W, 3) ground color, ``height`` (H, W) surface relief, ``texture`` from bristle_texture."""
        self.rgb = np.ascontiguousarray(rgb, dtype=np.float32)
        self.height = np.ascontiguousarray(height, dtype=np.float32)
        self._texture = texture
        rows, cols = height.shape
        self._x = np.arange(cols, dtype=np.float32)[None, :]
        self._y = np.arange(rows, dtype=np.float32)[:, None]

    def lay(self, strokes: Strokes, brush: Brush, reference: Floats, rng: np.random.Generator) -> None:
        """Paint all strokes in order. ``reference`` (H, W, 3) Lab says which color belongs where."""
        spine = _rounded(strokes.spine_px)
        count = len(spine)
        # Python numbers keep the arithmetic below in single precision.
        offsets = rng.integers(0, (_TEX_ROWS, _TEX_COLS), (count, 2)).tolist()
        loads = rng.uniform(0.75, 1.25, count)
        widths = brush.radius_px * rng.uniform(0.8, 1.12, count)
        start_lab = _lab(strokes.start_rgb)
        reach = brush.radius_px * 1.15 + 2.0
        corners = np.concatenate([spine.min(1) - reach, spine.max(1) + reach], axis=1)
        rows, cols = self.height.shape
        boxes = np.clip(np.rint(corners), 0, [cols, rows, cols, rows]).astype(int).tolist()
        for i in range(count):
            self._stroke(
                spine[i],
                (strokes.start_rgb[i], strokes.end_rgb[i], start_lab[i]),
                brush,
                float(widths[i]),
                float(loads[i]),
                (offsets[i][0], offsets[i][1]),
                (boxes[i][0], boxes[i][1], boxes[i][2], boxes[i][3]),
                reference,
            )

    def _stroke(
        self,
        spine: Floats,
        paint: tuple[Floats, Floats, Floats],
        brush: Brush,
        radius: float,
        load: float,
        offset: tuple[int, int],
        box: tuple[int, int, int, int],
        reference: Floats,
    ) -> None:
        x0, y0, x1, y1 = box
        if x1 - x0 < 2 or y1 - y0 < 2:
            return
        delta = np.diff(spine, axis=0)
        length = np.hypot(delta[:, 0], delta[:, 1])
        keep = length > 1e-3
        if not keep.any():
            return
        origin, delta, length = spine[:-1][keep], delta[keep], length[keep]
        unit = delta / length[:, None]
        arc = np.concatenate([[0.0], np.cumsum(length)]).astype(np.float32)
        total = float(arc[-1])

        nearest = _nearest_segment(origin, delta, length, x0, y0, x1, y1)
        dx = self._x[:, x0:x1] - origin[nearest, 0]
        dy = self._y[y0:y1] - origin[nearest, 1]
        ux, uy = unit[nearest, 0], unit[nearest, 1]
        along = dx * ux + dy * uy
        across = dy * ux - dx * uy
        # Inside the stroke the projection stays on its segment; past both ends it runs on, which makes flat tips.
        low = np.where(nearest == 0, np.float32(-1e6), np.float32(0))
        high = np.where(nearest == len(length) - 1, np.float32(1e6), length[nearest])
        u = arc[nearest] + np.minimum(np.maximum(along, low), high)

        bristles_px = max(1.0, radius / 9.0)
        row = (across * (_ACROSS / bristles_px) + offset[0]).astype(np.int32) & (_TEX_ROWS - 1)
        col = (u * (_ACROSS * _ALONG / bristles_px) + offset[1]).astype(np.int32) & (_TEX_COLS - 1)
        bristle = self._texture[row, col]

        lift = radius * brush.ragged * (self._texture[row, offset[1]] - 0.5)
        head = radius * 0.45 + u + lift
        tail = total + radius * 0.45 - u + lift
        grow = np.clip(head / max(1.0, brush.taper_in * radius), 0, 1)
        shrink = np.clip(tail / max(1.0, min(brush.taper_out * radius, total)), 0, 1)
        # A quarter ellipse at both ends: round for short tapers, pointed for long ones.
        width = radius * np.sqrt(grow * (2 - grow) * shrink * (2 - shrink))
        inside = width - np.abs(across)
        alpha = np.clip(inside + 0.5, 0, 1)
        spent = np.clip(u / total, 0, 1) if total > 0 else np.zeros_like(u)
        dry = brush.dryness * (0.25 + 0.75 * spent) / load
        # Bristle gaps open where the texture falls below the dryness; the rim of the stroke dries first.
        rim = np.abs(across) / np.maximum(width, 1e-3)
        gap = np.clip((bristle - dry * (0.35 + 0.65 * rim * rim)) * 4.0 + 0.5, 0, 1)
        alpha *= gap * brush.opacity
        if brush.edge_care > 0:
            distance = reference[y0:y1, x0:x1] - paint[2]
            foreign = np.einsum("ijk,ijk->ij", distance, distance)
            alpha /= 1.0 + np.square(foreign * np.float32(1.0 / brush.edge_care**2))
        # Hard gaps and borders would show as stairs.
        alpha = cv2.GaussianBlur(alpha, (3, 3), 0.5)

        color = paint[0] + spent[..., None] * (paint[1] - paint[0])
        color *= 1.0 + brush.streak * (bristle - 0.5)[..., None]
        patch = self.rgb[y0:y1, x0:x1]
        patch += alpha[..., None] * (color - patch)

        ridge = np.exp(-np.square((rim - 0.82) * 5.0))
        relief = brush.thickness * load * (0.45 + 0.4 * bristle + 0.4 * ridge) * (1.0 - 0.4 * spent)
        surface = self.height[y0:y1, x0:x1]
        surface += alpha * (relief - 0.75 * surface)


def _nearest_segment(
    origin: Floats, delta: Floats, length: Floats, x0: int, y0: int, x1: int, y1: int
) -> NDArray[np.intp]:
    """Index of the spine segment next to each pixel of a box, (y1 - y0, x1 - x0)."""
    shape = (y1 - y0, x1 - x0)
    if len(length) == 1:
        return np.zeros(shape, np.intp)
    counts = np.ceil(length * 1.5).astype(int) + 1
    segment = np.repeat(np.arange(len(length)), counts)
    first = np.cumsum(counts) - counts
    t = ((np.arange(len(segment)) - first[segment]) / (counts[segment] - 1)).astype(np.float32)
    px = np.clip(np.rint(origin[segment, 0] + t * delta[segment, 0]).astype(int) - x0, 0, shape[1] - 1)
    py = np.clip(np.rint(origin[segment, 1] + t * delta[segment, 1]).astype(int) - y0, 0, shape[0] - 1)
    owner = np.full(shape, -1, np.intp)
    owner[py, px] = segment
    seeds = owner >= 0
    _, labels = cv2.distanceTransformWithLabels(
        np.where(seeds, np.uint8(0), np.uint8(255)), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # OpenCV numbers the seed pixels in reading order from 1.
    return owner[seeds][labels - 1]


def _lab(rgb: Floats) -> Floats:
    """(N, 3) sRGB to (N, 3) CIE Lab."""
    return np.asarray(cv2.cvtColor(rgb[None], cv2.COLOR_RGB2LAB)[0], dtype=np.float32)
