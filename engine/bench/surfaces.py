"""Surfaces of benchmark shots: photographic textures from a seed, and their painted twins.

All images are float32 (H, W, 3), display-referred sRGB, 0..1, in texels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.base.arrays import Floats
from engine.paint.painter import PRESETS, PaintStyle, paint

__all__ = [
    "MATERIALS",
    "Floats",
    "brush_style",
    "fractal",
    "graded",
    "hazy_sky",
    "locally_filtered",
    "lookup",
    "painted",
    "recolored",
]


# Dark, middle and light color of each: as a camera sees leaves, earth, stone, fur and painted walls.
_RAMPS: tuple[tuple[tuple[float, float, float], ...], ...] = (
    ((0.07, 0.11, 0.05), (0.29, 0.40, 0.16), (0.69, 0.76, 0.42)),
    ((0.13, 0.09, 0.06), (0.46, 0.34, 0.22), (0.83, 0.73, 0.57)),
    ((0.12, 0.13, 0.15), (0.42, 0.43, 0.45), (0.80, 0.80, 0.78)),
    ((0.16, 0.08, 0.05), (0.58, 0.33, 0.17), (0.92, 0.75, 0.54)),
    ((0.08, 0.11, 0.16), (0.29, 0.38, 0.49), (0.72, 0.78, 0.83)),
    ((0.15, 0.06, 0.06), (0.53, 0.21, 0.18), (0.86, 0.59, 0.48)),
    ((0.16, 0.14, 0.07), (0.57, 0.51, 0.27), (0.90, 0.86, 0.62)),
)


def fractal(height: int, width: int, rng: np.random.Generator, *, beta: float = 1.0, stretch: float = 1.0) -> Floats:
    """(H, W) noise of mean 0 and deviation 1 whose amplitude falls with frequency ** -beta; ``stretch`` along x."""
    fy = np.fft.fftfreq(height)[:, None] * height / max(height, width)
    fx = np.fft.rfftfreq(width)[None, :] * width / max(height, width) * stretch
    radius = np.hypot(fy, fx)
    radius[0, 0] = np.inf
    # The lowest frequencies alone would make one side dark and the other light.
    amplitude = 1.0 / (radius + 4.0 / max(height, width)) ** (beta + 0.5)
    spectrum = np.fft.rfft2(rng.standard_normal((height, width))) * amplitude
    noise = np.fft.irfft2(spectrum, s=(height, width))
    return np.asarray((noise - noise.mean()) / max(float(noise.std()), 1e-9), np.float32)


def lookup(value: Floats, colors: NDArray[np.floating]) -> Floats:
    """(H, W) values 0..1 through (N, 3) colors that are evenly spaced."""
    places = np.linspace(0, 1, len(colors))
    return np.stack([np.interp(value, places, colors[:, c]) for c in range(3)], axis=2).astype(np.float32)


def _colored(value: Floats, rng: np.random.Generator, ramp: int | None = None) -> Floats:
    colors = np.array(_RAMPS[rng.integers(len(_RAMPS)) if ramp is None else ramp])
    colors = np.clip(colors + rng.normal(0, 0.03, 3), 0, 1)
    tint = np.stack([fractal(value.shape[0], value.shape[1], rng, beta=1.2) for _ in range(3)], axis=2)
    return np.clip(lookup(value, colors) * (1 + 0.05 * tint), 0, 1).astype(np.float32)


def _smeared(image: Floats, angle: Floats, length: int) -> Floats:
    """Averaged along a field of directions: line integral convolution."""
    height, width = image.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    dx, dy = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    total, count = image.copy(), 1
    for sign in (-1.0, 1.0):
        px, py = x.copy(), y.copy()
        for _ in range(length):
            vx = cv2.remap(dx, px, py, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
            vy = cv2.remap(dy, px, py, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
            px, py = px + sign * 1.5 * vx, py + sign * 1.5 * vy
            total += cv2.remap(image, px, py, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
            count += 1
    return np.asarray(total / count, np.float32)


def _standard(image: Floats) -> Floats:
    return np.asarray((image - image.mean()) / max(float(image.std()), 1e-6), np.float32)


def _relief(height_map: Floats, strength: float) -> Floats:
    """Light from the upper left on a surface of that height, around 1."""
    gx, gy = cv2.Sobel(height_map, cv2.CV_32F, 1, 0), cv2.Sobel(height_map, cv2.CV_32F, 0, 1)
    return np.asarray(np.clip(1 + strength * (gx + 0.8 * gy), 0.3, 1.7), np.float32)


def _stone(height: int, width: int, rng: np.random.Generator) -> Floats:
    relief = fractal(height, width, rng, beta=0.9)
    cracks = np.exp(-np.square(fractal(height, width, rng, beta=1.3) * 14))
    value = 0.5 + 0.16 * fractal(height, width, rng, beta=1.1) + 0.04 * relief - 0.3 * cracks
    return np.clip(_colored(np.clip(value, 0, 1).astype(np.float32), rng) * _relief(relief, 0.06)[..., None], 0, 1)


def _fur(height: int, width: int, rng: np.random.Generator) -> Floats:
    angle = rng.uniform(0, np.pi) + 0.7 * fractal(height, width, rng, beta=2.0)
    hairs = _smeared(rng.standard_normal((height, width)).astype(np.float32), angle, 11)
    tufts = _smeared(fractal(height, width, rng, beta=0.6), angle, 16)
    patches = fractal(height, width, rng, beta=1.8)
    marks = 1 / (1 + np.exp(-9 * (fractal(height, width, rng, beta=1.5) - 0.9)))
    value = 0.52 + 0.1 * _standard(hairs) + 0.09 * _standard(tufts) + 0.12 * patches - 0.3 * marks
    return _colored(np.asarray(np.clip(value, 0, 1), np.float32), rng)


def _leaves(height: int, width: int, rng: np.random.Generator) -> Floats:
    value = np.full((height, width), 0.12, np.float32)
    light = 0.5 + 0.22 * fractal(height, width, rng, beta=1.6)
    size = rng.uniform(9, 17)
    count = int(height * width / (size * size) * 1.6)
    for depth, (x, y, a, b) in zip(np.linspace(0, 1, count), rng.random((count, 4)), strict=True):
        at = (int(x * width), int(y * height))
        axes = (max(2, round(size * (0.7 + b))), max(1, round(size * (0.2 + 0.3 * b))))
        shade = float(light[min(at[1], height - 1), min(at[0], width - 1)] * (0.45 + 0.65 * depth) + 0.25 * (a - 0.5))
        turn = 360 * a
        cv2.ellipse(value, (at[0] + 3, at[1] + 4), axes, turn, 0, 360, shade * 0.35, -1, cv2.LINE_AA)
        cv2.ellipse(value, at, axes, turn, 0, 360, shade, -1, cv2.LINE_AA)
        vein = np.array([np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))]) * axes[0] * 0.9
        tip, stem = ((int(at[0] + s * vein[0]), int(at[1] + s * vein[1])) for s in (-1, 1))
        cv2.line(value, tip, stem, shade * 1.2, 1, cv2.LINE_AA)
    value += 0.02 * fractal(height, width, rng, beta=0.2)
    return _colored(np.clip(value, 0, 1), rng, int(rng.choice([0, 0, 3, 6])))


def _planks(height: int, width: int, rng: np.random.Generator) -> Floats:
    rows = np.mgrid[0:height, 0:width][0].astype(np.float32)
    pitch = rng.uniform(44, 90)
    board = np.floor(rows / pitch).astype(int)
    shift = rng.random(board.max() + 1)
    grain = fractal(height, width, rng, beta=0.7, stretch=9.0)
    rings = np.sin(7 * fractal(height, width, rng, beta=1.6, stretch=5.0) + 9 * shift[board])
    seam = np.abs(rows / pitch % 1 - 0.5) > 0.5 - 2.5 / pitch
    value = 0.5 + 0.12 * grain + 0.08 * rings + 0.3 * (shift[board] - 0.5) - 0.4 * seam
    wear = 0.08 * fractal(height, width, rng, beta=1.4)
    return _colored(np.clip(value + wear, 0, 1).astype(np.float32), rng)


def _bricks(height: int, width: int, rng: np.random.Generator) -> Floats:
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    tall = rng.uniform(26, 40)
    wide = tall * rng.uniform(1.8, 2.6)
    wobble = 2.0 * fractal(height, width, rng, beta=1.3)
    row = np.floor((rows + wobble) / tall).astype(int)
    along = (columns + wobble) / wide + 0.5 * (row % 2)
    column = np.floor(along).astype(int)
    tone = rng.random((row.max() + 3, column.max() + 3))[row + 1, column + 1]
    edge = np.minimum(np.minimum((rows + wobble) / tall % 1, 1 - (rows + wobble) / tall % 1) * tall,
                      np.minimum(along % 1, 1 - along % 1) * wide)  # fmt: skip
    brick = np.clip((edge - 1.5) / 2.0, 0, 1).astype(np.float32)
    rough = fractal(height, width, rng, beta=0.6)
    value = brick * (0.3 + 0.4 * tone) + (1 - brick) * 0.75 + 0.06 * rough
    value += 0.09 * fractal(height, width, rng, beta=1.6)
    colored = _colored(np.clip(value, 0, 1).astype(np.float32), rng, int(rng.choice([1, 3, 5, 2])))
    return np.clip(colored * _relief(brick * 2 + 0.4 * rough, 0.07)[..., None], 0, 1).astype(np.float32)


def _grass(height: int, width: int, rng: np.random.Generator) -> Floats:
    value = np.clip(0.25 + 0.1 * fractal(height, width, rng, beta=1.4), 0, 1)
    light = 0.55 + 0.17 * fractal(height, width, rng, beta=1.5)
    count = int(height * width / 260)
    for y, x, lean, tall in np.column_stack([np.sort(rng.random(count)), rng.random((count, 3))]):
        root = np.array([x * width, y * (height + 60)])
        reach = 26 + 44 * tall
        bow = (lean - 0.45) * 40
        path = [(root[0] + bow * t * t, root[1] - reach * t) for t in (0.0, 0.35, 0.7, 1.0)]
        place = light[min(int(root[1]), height - 1), min(int(root[0]), width - 1)]
        shade = float(np.clip(place * (0.5 + 0.7 * rng.random()), 0, 1))
        cv2.polylines(value, [np.rint(path).astype(np.int32)], False, shade, 1 + int(3 * lean), cv2.LINE_AA)
    return _colored(np.clip(value, 0, 1), rng, int(rng.choice([0, 0, 6])))


def _bokeh(height: int, width: int, rng: np.random.Generator) -> Floats:
    value = np.clip(0.4 + 0.15 * fractal(height, width, rng, beta=1.9), 0, 1)
    image = _colored(value, rng, int(rng.choice([0, 1, 4])))
    for x, y, size, glow in rng.random((70, 4)):
        disk = np.zeros((height, width), np.float32)
        cv2.circle(disk, (int(x * width), int(y * height)), int(12 + 44 * size), 0.06 + 0.3 * glow**2, -1, cv2.LINE_AA)
        image += disk[..., None] * rng.uniform(0.6, 1.0, 3).astype(np.float32)
    return np.clip(cv2.GaussianBlur(image, (0, 0), 2.5), 0, 1)


def hazy_sky(height: int, width: int, rng: np.random.Generator) -> Floats:
    """A sky: a gradient with clouds so faint that grain hides them."""
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    top, low = np.array([0.36, 0.52, 0.72]), np.array([0.80, 0.83, 0.84])
    top, low = np.clip(top + rng.normal(0, 0.05, 3), 0, 1), np.clip(low + rng.normal(0, 0.04, 3), 0, 1)
    haze = 0.012 * fractal(height, width, rng, beta=2.2, stretch=0.6)[..., None]
    return np.asarray(np.clip(top + (low - top) * down[..., None] + haze, 0, 1), np.float32)


MATERIALS: dict[str, Callable[[int, int, np.random.Generator], Floats]] = {
    "stone": _stone,
    "fur": _fur,
    "leaves": _leaves,
    "planks": _planks,
    "bricks": _bricks,
    "grass": _grass,
    "bokeh": _bokeh,
}
"""Each draws (height, width, rng) texels."""

_STYLES = ("oil", "impressionist", "expressionist", "pastel")


def brush_style(rng: np.random.Generator) -> PaintStyle:
    """How the painter of one shot paints: boldly, so that strokes are there where the plate has nothing."""
    chosen = PRESETS[str(rng.choice(_STYLES))]
    return replace(
        chosen,
        min_steps=3,
        dryness=float(rng.uniform(0.45, 0.8)),
        streak=float(rng.uniform(0.18, 0.3)),
        impasto=float(rng.uniform(0.5, 0.85)),
        jitter_lab=(5.5, 7.0, 8.0),
        hue_deg=float(rng.uniform(-12, 12)),
        contrast=1.15,
        edge_care=34.0,
    )


def painted(photo: Floats, radii: tuple[float, ...], style: PaintStyle, seed: int) -> Floats:
    """The photo in brush strokes of these half widths in texels; the two widest cover everything."""
    unit = 540.0 / min(photo.shape[:2])
    thresholds = tuple([0.0, 0.0, 5.0, 6.0][: len(radii)])
    fitted = replace(style, radii_px=tuple(radius * unit for radius in radii), thresholds=thresholds)
    return paint(photo, style=fitted, seed=seed)


def graded(photo: Floats, seed: int) -> Floats:
    """The photo through one curve for all objects: other hues, contrast, split tones; and a faint grain of paper."""
    rng = np.random.default_rng(seed)
    light = photo @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    curve = lookup(light, np.clip(np.sort(rng.uniform(0.02, 0.98, (5, 3)), axis=0), 0, 1))
    mixed = 0.55 * curve + 0.45 * np.clip(photo[..., rng.permutation(3)] * rng.uniform(0.8, 1.2, 3), 0, 1)
    paper = fractal(light.shape[0], light.shape[1], np.random.default_rng(seed + 1), beta=0.3)[..., None]
    return np.asarray(np.clip(mixed + 0.012 * paper, 0, 1), np.float32)


def locally_filtered(photo: Floats, seed: int) -> Floats:
    """The photo as a print: smoothed, in few tones, with dark lines along its edges."""
    rng = np.random.default_rng(seed)
    smooth = photo
    for _ in range(3):
        smooth = cv2.bilateralFilter(smooth, 9, 0.12, 5)
    lab = cv2.cvtColor(smooth, cv2.COLOR_RGB2LAB)
    step = rng.uniform(12, 17)
    place = lab[..., 0] / step
    lab[..., 0] = step * (np.floor(place) + 1 / (1 + np.exp(-12 * (place % 1 - 0.5))))
    lab[..., 1:] *= rng.uniform(1.3, 1.7)
    lab[..., 1:] += rng.uniform(-8, 8, 2).astype(np.float32)
    tones = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    gray = cv2.cvtColor(smooth, cv2.COLOR_RGB2GRAY)
    ridge = cv2.GaussianBlur(gray, (0, 0), 1.6) - 0.985 * cv2.GaussianBlur(gray, (0, 0), 3.2)
    ink = 1 / (1 + np.exp(-220 * (ridge + 0.012)))
    return np.asarray(np.clip(tones * (0.12 + 0.88 * ink[..., None]), 0, 1), np.float32)


def recolored(photo: Floats, hue: float, rng: np.random.Generator) -> Floats:
    """The photo's light and dark in three colors around ``hue`` (0..1, circular), drawn for this object."""
    light = photo @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    low, high = np.percentile(light, (2, 98))
    value = np.clip((light - low) / max(float(high - low), 0.05), 0, 1)
    hues = (hue + np.array([rng.uniform(-0.12, 0.12), 0.0, rng.uniform(-0.12, 0.12)])) % 1
    hsv = np.stack([hues * 360, rng.uniform([0.5, 0.5, 0.2], [0.9, 0.9, 0.5]), [0.22, 0.62, 0.96]], axis=1)
    return lookup(value, cv2.cvtColor(hsv[None].astype(np.float32), cv2.COLOR_HSV2RGB)[0])
