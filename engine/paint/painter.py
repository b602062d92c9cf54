"""Painter: a brush-stroke renderer, for people who have no painting yet.

Coarse brushes first, then finer ones only where the canvas still differs from the plate, after Hertzmann, "Painterly
rendering with curved brush strokes of multiple sizes" (1998). Added here: bristles, tapering and dry ends, an impasto
relief lit from the upper left, directions that stay coherent in flat areas, a painter's palette, and an eye for form:
fine brushes go to silhouettes and features, while busy texture stays broad.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.base.arrays import Floats
from engine.base.errors import ImageError, InputError
from engine.color.keys import key_transform, write_key
from engine.paint.strokes import Brush, Canvas, Strokes, bristle_texture, stroke_directions, trace
from engine.shot.plate import PlateReader

__all__ = ["PRESETS", "PaintStyle", "paint", "paint_frame"]


# Lengths in styles are meant for an image whose shorter side has so many pixels; others scale.
_STYLE_SIDE_PX = 540.0
# Smaller images are painted at up to twice their size, until this shorter side, so that bristles come out clean.
_WORKING_SIDE_PX = 864
# A brush thinner than this leaves no stroke, only noise.
_THINNEST_PX = 1.2


@dataclass(frozen=True)
class PaintStyle:
    """What a painting looks like. Lengths in pixels hold for a shorter side of 540 pixels and scale with the image."""

    radii_px: tuple[float, ...] = (26.0, 13.0, 7.0, 3.8, 2.2, 1.4)  # half widths of the brushes, coarse to fine
    thresholds: tuple[float, ...] = (0.0, 3.0, 4.0, 4.2, 4.0, 3.8)  # Lab error above which each brush is taken up
    blur: float = 0.5  # blur of the plate that a brush paints from, in units of its radius
    spacing: float = 1.5  # distance between strokes, in units of the radius
    min_steps: int = 4  # shortest stroke, in steps of one radius
    max_steps: int = 8  # longest stroke, in steps of one radius
    curvature: float = 0.65  # 1 follows form closely, 0 is straight
    form_px: float = 3.0  # scale at which form is read
    focus: float = 0.35  # how much more per brush the finer ones keep to silhouettes and features
    busyness: float = 5.0  # Lab amplitude of texture that halves the wish for detail
    opacity: float = 0.98  # of one stroke
    taper_in: float = 0.5  # in units of the radius
    taper_out: float = 1.6  # in units of the radius
    ragged: float = 0.8  # uneven lifting of the bristles at both ends, in units of the radius
    dryness: float = 0.5  # bristle gaps, 0..1
    streak: float = 0.11  # lightness variation between bristles, 0..1
    edge_care: float = 28.0  # Lab distance over which paint keeps off foreign color; 0 paints across
    jitter_lab: tuple[float, float, float] = (3.2, 4.0, 5.0)  # spread of the color from stroke to stroke
    drift_lab: tuple[float, float, float] = (1.5, 5.0, 5.0)  # slow wander of the color across the painting
    palette_size: int = 48  # pigments mixed from the plate
    palette_pull: float = 0.35  # 0 keeps the plate's colors, 1 uses pigments only
    hue_deg: float = 0.0  # rotation of all hues
    saturation: float = 1.12  # factor on chroma
    value: float = 0.0  # added lightness, in Lab
    contrast: float = 1.08  # factor on lightness around the middle
    range_stretch: float = 0.5  # how far the plate's lightness is spread over the full range, 0..1
    warmth: float = 3.0  # lights toward yellow and shadows toward blue, in Lab
    impasto: float = 0.55  # strength of the relief lighting, 0..1
    cloth: float = 0.25  # relief of the cloth under the paint
    ground_rgb: tuple[float, float, float] = (0.42, 0.34, 0.27)  # sRGB of the toned ground
    ground_show: float = 0.4  # how much of the ground the underpainting leaves, 0..1

    def __post_init__(self) -> None:
        if not self.radii_px or any(b >= a for a, b in zip(self.radii_px, self.radii_px[1:], strict=False)):
            raise InputError(f"radii_px {self.radii_px} must run from coarse to fine")
        if self.radii_px[-1] <= 0:
            raise InputError(f"radii_px {self.radii_px} must be above 0")
        if len(self.thresholds) != len(self.radii_px):
            raise InputError(f"{len(self.radii_px)} radii_px need as many thresholds, not {len(self.thresholds)}")
        if not 1 <= self.min_steps <= self.max_steps:
            raise InputError(f"min_steps {self.min_steps} and max_steps {self.max_steps} must be ordered and above 0")
        if self.palette_size < 2:
            raise InputError(f"palette_size {self.palette_size} must be 2 or more")
        if self.spacing <= 0 or self.busyness <= 0:
            raise InputError("spacing and busyness must be above 0")
        for name in ("opacity", "curvature", "dryness", "palette_pull", "range_stretch", "impasto", "ground_show"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} {getattr(self, name)} must be in 0..1")


_OIL = PaintStyle()

PRESETS: Mapping[str, PaintStyle] = MappingProxyType(
    {
        "oil": _OIL,
        "impressionist": replace(
            _OIL,
            radii_px=(16.0, 8.5, 5.0, 3.0, 1.8),
            thresholds=(0.0, 1.6, 3.4, 4.4, 4.2),
            spacing=1.35,
            min_steps=2,
            max_steps=4,
            curvature=0.5,
            taper_out=1.0,
            jitter_lab=(4.5, 7.5, 9.0),
            drift_lab=(1.5, 7.0, 8.0),
            saturation=1.3,
            value=3.0,
            warmth=7.0,
            dryness=0.4,
            impasto=0.7,
            edge_care=34.0,
            ground_rgb=(0.62, 0.53, 0.44),
        ),
        "expressionist": replace(
            _OIL,
            radii_px=(30.0, 15.0, 7.5, 4.0, 2.2),
            thresholds=(0.0, 3.2, 4.6, 5.0, 5.0),
            min_steps=6,
            max_steps=12,
            curvature=0.85,
            form_px=5.0,
            jitter_lab=(5.0, 8.0, 9.0),
            drift_lab=(3.0, 14.0, 14.0),
            saturation=1.5,
            contrast=1.25,
            range_stretch=0.8,
            warmth=12.0,
            streak=0.2,
            impasto=0.8,
            palette_size=24,
            palette_pull=0.6,
        ),
        "gouache": replace(
            _OIL,
            radii_px=(30.0, 16.0, 8.0, 4.2, 2.4, 1.5),
            thresholds=(0.0, 2.6, 3.4, 4.2, 4.2, 4.0),
            blur=0.6,
            max_steps=7,
            curvature=0.5,
            opacity=1.0,
            taper_in=0.25,
            taper_out=0.4,
            ragged=0.35,
            dryness=0.12,
            streak=0.03,
            edge_care=20.0,
            jitter_lab=(1.2, 1.2, 1.6),
            drift_lab=(1.0, 4.0, 4.0),
            palette_size=22,
            palette_pull=0.92,
            saturation=1.15,
            impasto=0.12,
            cloth=0.12,
        ),
        "pastel": replace(
            _OIL,
            radii_px=(20.0, 10.0, 5.5, 3.2, 2.0, 1.4),
            thresholds=(0.0, 2.4, 3.4, 4.2, 4.2, 4.0),
            curvature=0.35,
            max_steps=6,
            opacity=0.8,
            taper_in=0.8,
            taper_out=2.0,
            dryness=0.85,
            streak=0.06,
            jitter_lab=(3.5, 5.5, 6.5),
            saturation=1.05,
            value=6.0,
            contrast=0.95,
            impasto=0.1,
            cloth=0.6,
            ground_rgb=(0.80, 0.74, 0.66),
            ground_show=0.6,
        ),
    }
)


def paint(
    rgb_display: Floats,
    *,
    style: PaintStyle,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> Floats:
    """A painting of an image.

    Args:
        rgb_display: (H, W, 3) float32 in 0..1, display-referred sRGB; other values are clipped, NaN becomes black.
        style: how to paint; see :data:`PRESETS`.
        seed: the same seed gives the same painting.
        progress: called with the finished share, 0..1.

    Returns:
        (H, W, 3) float32 in 0..1, display-referred sRGB.

    Raises:
        ImageError: not (H, W, 3), or smaller than 8 pixels.
    """
    if rgb_display.ndim != 3 or rgb_display.shape[2] != 3 or min(rgb_display.shape[:2]) < 8:
        shape = rgb_display.shape
        raise ImageError(f"cannot paint an image of shape {shape}", remedy="give (H, W, 3), 8 pixels or more")
    height_out, width_out = rgb_display.shape[:2]
    plate = np.clip(np.nan_to_num(rgb_display.astype(np.float32), nan=0.0), 0, 1)
    enlarge = min(2.0, max(1.0, _WORKING_SIDE_PX / min(height_out, width_out)))
    width, height = round(width_out * enlarge), round(height_out * enlarge)
    if enlarge > 1:
        plate = np.clip(cv2.resize(plate, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)
    scale = min(height, width) / _STYLE_SIDE_PX
    rng = np.random.default_rng(seed)
    # Strokes that start outside the picture cover its border as well as its middle.
    margin = max(4, min(round(style.radii_px[0] * scale), min(height, width) - 1))
    plate = cv2.copyMakeBorder(plate, margin, margin, margin, margin, cv2.BORDER_REFLECT_101)

    target = _regraded(_lab(plate), style, rng)  # (H, W, 3) Lab
    pigments = _pigments(target, style.palette_size, rng)
    cloth = _cloth(target.shape[:2], scale, rng) * style.cloth
    canvas = Canvas(_ground(target, style, scale), cloth, bristle_texture())
    attention = _attention(target, scale)
    texture = _busyness(target, scale)

    layers = [r * scale for r in style.radii_px if r * scale >= _THINNEST_PX] or [_THINNEST_PX]
    for layer, radius in enumerate(layers):
        reference = cv2.GaussianBlur(target, (0, 0), max(0.5, radius * style.blur))
        before = _lab(np.clip(canvas.rgb, 0, 1))
        if layer == 0:
            wish = np.full(target.shape[:2], np.inf, np.float32)
        else:
            wish = _error(reference, before, radius) / (1.0 + texture / style.busyness)
            wish *= 1.0 + min(1.0, style.focus * layer) * (attention - 1.0)
        starts = _starts(wish, radius * style.spacing, style.thresholds[layer], rng)
        if len(starts):
            strokes = _strokes(starts, target, reference, before, pigments, style, radius, scale, layer, rng)
            canvas.lay(strokes, _brush(style, radius, layer, scale), reference, rng)
        if progress is not None:
            progress((layer + 1) / len(layers))

    lit = _lit(np.clip(canvas.rgb, 0, 1), canvas.height, style.impasto, scale)
    lit = lit[margin : margin + height, margin : margin + width]
    return np.ascontiguousarray(cv2.resize(lit, (width_out, height_out), interpolation=cv2.INTER_AREA))


def paint_frame(plate: PlateReader, frame: int, out_path: Path, style_name: str, seed: int) -> None:
    """Paint one plate frame, shown as ``paintover key`` shows it, into an 8-bit image that says how it was shown.

    Args:
        plate: reads the frame.
        frame: its number.
        out_path: where the painting goes; written whole or not at all.
        style_name: a key of :data:`PRESETS`.
        seed: the same seed gives the same painting.

    Raises:
        InputError: an unknown style.
        ImageError: an unreadable plate.
        ColorError: an unknown colorspace.
        OutputError: the painting cannot be written.
    """
    if style_name not in PRESETS:
        raise InputError(f"no style {style_name!r}", remedy=f"use one of {', '.join(PRESETS)}")
    if out_path.suffix.lower() == ".exr":
        raise ImageError("a painting is codes of a display", path=out_path, remedy="write .png, .tif or .jpg")
    read = plate.read(frame)
    transform = key_transform(read.image, read.path, frame, plate.config, plate.colorspace, out_path)
    transform = replace(transform, bit_depth="uint8")
    painted = paint(transform.shown(read.image, plate.config), style=PRESETS[style_name], seed=seed)
    write_key(out_path, painted, transform, plate.config)


def _strokes(
    starts: Floats,
    target: Floats,
    reference: Floats,
    before: Floats,
    pigments: Floats,
    style: PaintStyle,
    radius: float,
    scale: float,
    layer: int,
    rng: np.random.Generator,
) -> Strokes:
    """One layer's strokes with their paint."""
    directions = stroke_directions(target, max(style.form_px * scale, radius * 0.8), 90.0 * scale)
    begin = _sample(reference, starts)
    spine = trace(
        starts,
        directions,
        reference,
        before,
        begin,
        step_px=radius,
        min_steps=style.min_steps,
        max_steps=style.max_steps,
        curvature=style.curvature,
        rng=rng,
    )
    end = 0.5 * (begin + _sample(reference, spine[:, -1]))
    # Fine strokes describe; only broad ones may wander far from the plate's color.
    spread = (radius / (style.radii_px[0] * scale)) ** 0.35
    wander = rng.standard_normal(begin.shape).astype(np.float32) * np.asarray(style.jitter_lab, np.float32) * spread
    return Strokes(
        spine,
        _rgb(_mixed(begin, pigments, style.palette_pull) + wander),
        _rgb(_mixed(end, pigments, style.palette_pull) + wander),
    )


def _brush(style: PaintStyle, radius: float, layer: int, scale: float) -> Brush:
    first = layer == 0
    return Brush(
        radius_px=radius,
        opacity=style.opacity,
        taper_in=style.taper_in,
        taper_out=style.taper_out,
        ragged=style.ragged,
        dryness=style.dryness * (0.5 if first else 1.0),
        streak=style.streak,
        thickness=(radius / (style.radii_px[0] * scale)) ** 0.4,
        edge_care=style.edge_care * (2.0 if first else 1.0),
    )


def _regraded(lab: Floats, style: PaintStyle, rng: np.random.Generator) -> Floats:
    """The plate as the painter chooses to see it, in Lab."""
    light = lab[..., 0]
    low, high = np.percentile(light, (2, 98))
    stretched = (light - low) / max(float(high - low), 20.0) * 86.0 + 7.0
    light = light + style.range_stretch * (stretched - light)
    light = np.clip((light - 50.0) * style.contrast + 50.0 + style.value, 0, 100)
    turn = np.deg2rad(style.hue_deg)
    a, b = lab[..., 1] * style.saturation, lab[..., 2] * style.saturation
    graded = np.stack([light, a * np.cos(turn) - b * np.sin(turn), a * np.sin(turn) + b * np.cos(turn)], axis=2).astype(
        np.float32
    )
    graded[..., 2] += style.warmth * (light - 50.0) / 50.0
    drift = cv2.GaussianBlur(rng.standard_normal((6, 10, 3)).astype(np.float32), (0, 0), 0.7)
    drift = cv2.resize(drift, (lab.shape[1], lab.shape[0]), interpolation=cv2.INTER_CUBIC)
    graded += drift * np.asarray(style.drift_lab, np.float32)
    return graded


def _pigments(lab: Floats, size: int, rng: np.random.Generator) -> Floats:
    """The plate's main colors by k-means, (size, 3) Lab."""
    flat = lab.reshape(-1, 3)
    pixels = flat[rng.integers(0, len(flat), 4000)]
    centers = pixels[rng.choice(len(pixels), size, replace=False)].astype(np.float32)
    for _ in range(10):
        near = _nearest(pixels, centers)
        count = np.bincount(near, minlength=size)
        for channel in range(3):
            total = np.bincount(near, weights=pixels[:, channel], minlength=size)
            centers[:, channel] = np.where(count > 0, total / np.maximum(count, 1), centers[:, channel])
    return centers


def _nearest(lab: Floats, pigments: Floats) -> NDArray[np.intp]:
    distance = (pigments * pigments).sum(1)[None] - 2.0 * lab @ pigments.T
    return distance.argmin(1)


def _mixed(lab: Floats, pigments: Floats, pull: float) -> Floats:
    """Colors moved toward their nearest pigment."""
    return np.asarray(lab + pull * (pigments[_nearest(lab, pigments)] - lab), dtype=np.float32)


def _attention(lab: Floats, scale: float) -> Floats:
    """Where form is: about 1 on clear edges, up to 1.6 on the strongest, near 0 in flat or merely busy areas."""
    form = cv2.GaussianBlur(lab, (0, 0), max(0.6, 5.0 * scale))
    gx, gy = cv2.Scharr(form, cv2.CV_32F, 1, 0), cv2.Scharr(form, cv2.CV_32F, 0, 1)
    edge = cv2.GaussianBlur(np.sqrt((gx * gx + gy * gy).sum(2)), (0, 0), max(0.6, 5.0 * scale))
    relative = (edge / max(float(np.percentile(edge, 88)), 1e-3)) ** 1.5
    return np.asarray(1.6 * relative / (0.6 + relative), dtype=np.float32)


def _busyness(lab: Floats, scale: float) -> Floats:
    """Amplitude of fine texture around each pixel, in Lab."""
    fine = np.linalg.norm(lab - cv2.GaussianBlur(lab, (0, 0), max(0.6, 3.0 * scale)), axis=2)
    return np.asarray(cv2.GaussianBlur(fine, (0, 0), max(0.8, 16.0 * scale)), dtype=np.float32)


def _error(reference: Floats, canvas: Floats, radius: float) -> Floats:
    """Lab difference as seen from far enough that bristles and jitter average out."""
    seen = cv2.GaussianBlur(canvas, (0, 0), max(0.6, radius * 0.7))
    return np.asarray(
        cv2.GaussianBlur(np.linalg.norm(reference - seen, axis=2), (0, 0), max(0.6, radius * 0.5)), dtype=np.float32
    )


def _starts(wish: Floats, cell_px: float, threshold: float, rng: np.random.Generator) -> Floats:
    """One starting point per grid cell whose mean wish exceeds the threshold, in random order, as (N, 2) pixels.

    Hertzmann takes the point of largest error; weighting it with noise keeps the grid from showing.
    """
    rows_px, cols_px = wish.shape
    cell = max(2, round(cell_px))
    rows, cols = -(-rows_px // cell), -(-cols_px // cell)
    padded = np.full((rows * cell, cols * cell), -1.0, np.float32)
    padded[:rows_px, :cols_px] = np.minimum(wish, 1e3)
    cells = padded.reshape(rows, cell, cols, cell).transpose(0, 2, 1, 3).reshape(rows * cols, cell * cell)
    inside = cells >= 0
    mean = np.where(inside, cells, 0).sum(1) / np.maximum(inside.sum(1), 1)
    pick = np.where(inside, (cells + 1) * rng.random(cells.shape, dtype=np.float32), -1).argmax(1)
    chosen = np.flatnonzero(mean > threshold)
    rng.shuffle(chosen)
    y = (chosen // cols) * cell + pick[chosen] // cell
    x = (chosen % cols) * cell + pick[chosen] % cell
    return np.stack([x, y], axis=1).astype(np.float32)


def _ground(target: Floats, style: PaintStyle, scale: float) -> Floats:
    """Thin underpainting over a toned ground, sRGB."""
    wash = np.clip(_rgb(cv2.GaussianBlur(target, (0, 0), max(0.8, 12.0 * scale))), 0, 1)
    return np.asarray(wash + style.ground_show * (np.asarray(style.ground_rgb, np.float32) - wash), dtype=np.float32)


def _cloth(shape: tuple[int, ...], scale: float, rng: np.random.Generator) -> Floats:
    """Relief of woven cloth, (H, W) in 0..1."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    slack = cv2.GaussianBlur(rng.standard_normal(shape[:2]).astype(np.float32), (0, 0), max(1.0, 6.0 * scale))
    slack *= 8.0 * scale
    pitch = max(2.5, 3.2 * scale)
    weave = np.sin(2 * np.pi * (x + slack) / pitch) + np.sin(2 * np.pi * (y + slack) / pitch)
    return np.asarray(0.5 + 0.25 * weave, dtype=np.float32)


def _lit(rgb: Floats, height: Floats, strength: float, scale: float) -> Floats:
    """Paint under a lamp at the upper left: slopes toward it are lighter, with a faint gloss."""
    relief = cv2.GaussianBlur(height, (0, 0), max(0.5, 0.7 * scale))
    toward = cv2.Sobel(relief, cv2.CV_32F, 1, 0) + cv2.Sobel(relief, cv2.CV_32F, 0, 1)
    shade = np.tanh(toward * (0.2 * scale))[..., None] * strength
    gloss = 0.35 * np.square(np.clip(shade, 0, None))
    return np.asarray(np.clip(rgb * (1.0 + 0.5 * shade) + gloss, 0, 1), dtype=np.float32)


def _sample(image: Floats, points_px: Floats) -> Floats:
    index = np.rint(points_px).astype(np.intp)
    return np.array(image[index[:, 1], index[:, 0]], dtype=np.float32)


def _lab(rgb: Floats) -> Floats:
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(rgb, np.float32), cv2.COLOR_RGB2LAB), dtype=np.float32)


def _rgb(lab: Floats) -> Floats:
    """(..., 3) Lab to sRGB in 0..1."""
    flat = np.ascontiguousarray(lab, np.float32).reshape(1, -1, 3)
    return np.asarray(np.clip(cv2.cvtColor(flat, cv2.COLOR_LAB2RGB), 0, 1).reshape(lab.shape), dtype=np.float32)
