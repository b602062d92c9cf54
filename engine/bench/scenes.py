"""Shots with exact ground truth: layers that move and hide each other, each with a photo and a painted twin.

The painted twin rides on its layer's surface, so the right painted frame is known for every frame, and so is where each
pixel was in any other frame.

Convention
    Points are (x, y) in pixels of the shot, pixel centers at integers; surfaces are measured in texels, ``DENSITY`` to
    a pixel where an object has its own size. Images are float32 (H, W, 3), display-referred sRGB, 0..1.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from engine import images
from engine.base.arrays import Floats, Mask
from engine.base.errors import InputError
from engine.bench import surfaces
from engine.bench.families import FAMILIES, Family
from engine.bench.surfaces import MATERIALS
from engine.color import shaper

__all__ = ["DENSITY", "GRAIN", "Layer", "Motion", "Scene", "coordinates_path", "make_scene", "write_scene"]


DENSITY = 2
"""Texels, and samples of the picture, per pixel and axis: truth is rendered so large and averaged down."""
GRAIN = 0.012
"""Deviation of the plate's grain."""
_BRUSHES = (40.0, 19.0, 9.0)
"""Half widths in texels, for a picture 272 pixels high."""
_MEANT_HEIGHT = 272
_LENS = 1.1
"""Blur of a lens, in texels: drawn edges are harder than a camera's."""
_BACKDROPS = ("leaves", "stone", "bricks", "grass", "bokeh", "planks")
_OBJECTS = ("fur", "fur", "stone", "leaves", "planks", "bricks")


@dataclass(frozen=True)
class Swing:
    """A quantity that swings around a middle: ``middle + reach * sin(rate * frame + phase)``."""

    middle: float
    reach: float = 0.0
    rate: float = 0.0
    """Radians per frame."""
    phase: float = 0.0

    def at(self, frame: int) -> float:
        return self.middle + self.reach * float(np.sin(self.rate * frame + self.phase))


@dataclass(frozen=True)
class Motion:
    """How one layer lies in the picture at each frame: bent, scaled, turned, moved."""

    x: Swing
    """Of the surface's center, in pixels; so is ``y``."""
    y: Swing
    angle: Swing
    """Radians."""
    scale: Swing
    bend: Swing
    """Reach of a wave across the surface, in texels; zero for a stiff one."""
    wave: tuple[float, float]
    """Radians per texel of that wave, along x and y of the surface."""
    center: tuple[float, float]
    """Of the surface, in texels."""

    def matrix(self, frame: int) -> Floats:
        """(2, 3): from the bent surface to pixels."""
        scale, angle = self.scale.at(frame) / DENSITY, self.angle.at(frame)
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shift = np.array([self.x.at(frame), self.y.at(frame)]) - turn @ np.array(self.center)
        return np.column_stack([turn, shift]).astype(np.float32)

    def _bent(self, texels: Floats, frame: int) -> Floats:
        """What the wave adds at texels (..., 2)."""
        reach = self.bend.at(frame)
        if reach == 0:
            return np.zeros_like(texels)
        phase = texels[..., 0] * self.wave[0] + texels[..., 1] * self.wave[1] + self.bend.phase
        return np.stack([reach * np.cos(phase), 0.7 * reach * np.sin(phase)], axis=-1).astype(np.float32)

    def to_pixels(self, texels: Floats, frame: int) -> Floats:
        """Where texels (..., 2) of the surface are seen."""
        matrix = self.matrix(frame)
        return np.asarray((texels + self._bent(texels, frame)) @ matrix[:, :2].T + matrix[:, 2], np.float32)

    def to_texels(self, pixels: Floats, frame: int) -> Floats:
        """Which texels are seen at pixels (..., 2): the inverse of :meth:`to_pixels`."""
        matrix = self.matrix(frame).astype(np.float64)
        inverse = np.linalg.inv(matrix[:, :2])
        flat = ((pixels - matrix[:, 2]) @ inverse.T).astype(np.float32)
        texels = flat
        # The wave is gentle, so each round shrinks the error to a fifth, of the most elastic ones to a half.
        for _ in range(14 if self.bend.reach or self.bend.middle else 0):
            texels = flat - self._bent(texels, frame)
        return texels


@dataclass(frozen=True, eq=False)
class Layer:
    """One surface. Images (h, w, 3), alphas (h, w) float32 0..1, in texels."""

    photo: Floats
    painted: Floats
    photo_alpha: Floats | None
    """None for the backdrop, which has no end: beyond its border it is mirrored."""
    painted_alpha: Floats | None
    """As a brush draws the same outline."""
    motion: Motion

    def alpha_at(self, texels: Floats, alpha: Floats | None) -> Floats:
        """(H, W) coverage at texels (H, W, 2)."""
        if alpha is None:
            return np.ones(texels.shape[:2], np.float32)
        sampled = cv2.remap(alpha, texels[..., 0], texels[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        return np.asarray(sampled, np.float32)


@dataclass(frozen=True, eq=False)
class Scene:
    """A shot and its truth; everything is drawn when it is asked for, and always the same.

    Frames run from 0.
    """

    family: Family
    seed: int
    width: int
    height: int
    frames: int
    layers: tuple[Layer, ...]
    """From back to front."""

    @property
    def name(self) -> str:
        return f"{self.family.name}-{self.seed}"

    def plate(self, frame: int) -> Floats:
        """(H, W, 3): the photo twins, in the frame's light, with fresh grain."""
        rng = np.random.default_rng([self.seed, frame, 77])
        noise = rng.standard_normal((self.height, self.width, 3)).astype(np.float32)
        # Film's grain is wider than a pixel, and only partly colored.
        noise = cv2.GaussianBlur(noise, (0, 0), 0.55) * 1.5
        noise = 0.7 * noise.mean(axis=2, keepdims=True) * 1.7 + 0.5 * noise
        return np.clip(self._composite(frame, painted=False) + GRAIN * noise, 0, 1).astype(np.float32)

    def painted(self, frame: int) -> Floats:
        """(H, W, 3): the painted twins, in the frame's light, without grain: what a painter would have painted."""
        return self._composite(frame, painted=True)

    def coordinates(self, frame: int, key: int) -> tuple[Floats, Mask]:
        """Where each pixel of ``frame`` was in ``key``.

        Returns:
            (H, W, 2) float32 pixels in the keyframe, also where they lie outside it or are hidden there; and (H, W)
            bool: whether they are inside and seen. Exact to a few thousandths of a pixel.
        """
        pixels = _grid(self.height, self.width)
        owner = self._owner(pixels, frame)
        points = np.zeros_like(pixels)
        for index, layer in enumerate(self.layers):
            mine = owner == index
            if mine.any():
                points[mine] = layer.motion.to_pixels(layer.motion.to_texels(pixels[mine], frame), key)
        limit = np.array([self.width - 1, self.height - 1], np.float32)
        seen = ((points >= 0) & (points <= limit)).all(axis=2) & (self._owner(points, key) == owner)
        return points, seen

    def occluded(self, frame: int, keys: Sequence[int]) -> Mask:
        """(H, W) bool: what is seen in none of the keyframes."""
        hidden = np.ones((self.height, self.width), bool)
        for key in keys:
            hidden &= ~self.coordinates(frame, key)[1]
        return hidden

    def _owner(self, pixels: Floats, frame: int) -> npt.NDArray[np.int8]:
        """Index of the front layer that covers each of the pixels (H, W, 2)."""
        owner = np.zeros(pixels.shape[:2], np.int8)
        for index, layer in enumerate(self.layers[1:], start=1):
            owner[layer.alpha_at(layer.motion.to_texels(pixels, frame), layer.photo_alpha) >= 0.5] = index
        return owner

    def _composite(self, frame: int, *, painted: bool) -> Floats:
        fine = _grid(self.height * DENSITY, self.width * DENSITY)
        # The centers of DENSITY x DENSITY samples that make one pixel.
        pixels = np.asarray((fine + 0.5) / DENSITY - 0.5, np.float32)
        picture = np.zeros((*fine.shape[:2], 3), np.float32)
        for layer in self.layers:
            texels = layer.motion.to_texels(pixels, frame)
            surface = layer.painted if painted else layer.photo
            sampled = cv2.remap(
                surface, texels[..., 0], texels[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
            )
            if layer.photo_alpha is None:
                picture = sampled
            else:
                alpha = layer.alpha_at(texels, layer.painted_alpha if painted else layer.photo_alpha)
                picture += alpha[..., None] * (sampled - picture)
        picture = np.clip(cv2.resize(picture, (self.width, self.height), interpolation=cv2.INTER_AREA), 0, 1)
        if self.family.stops:
            picture = np.clip(shaper.encode(shaper.decode(picture) * self._light(frame)[..., None]), 0, 1)
        return np.asarray(picture, np.float32)

    def _light(self, frame: int) -> Floats:
        """(H, W) factor on linear light: over all, and a glow that wanders through the picture."""
        rng = np.random.default_rng([self.seed, 5])
        sign, start, lean = rng.choice([-1.0, 1.0]), rng.uniform(0.1, 0.4), rng.uniform(0.3, 0.7)
        share = frame / max(1, self.frames - 1)
        grid = _grid(self.height, self.width)
        x, y = grid[..., 0] / self.width, grid[..., 1] / self.height
        away = np.square(x - start - 0.5 * share) + np.square((y - lean) * self.height / self.width)
        return np.asarray(np.exp2(self.family.stops * (sign * (share - 0.5) + 0.4 * np.exp(-away / 0.03))), np.float32)


@lru_cache(maxsize=4)
def _grid(height: int, width: int) -> Floats:
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    grid = np.stack([x, y], axis=2)
    grid.flags.writeable = False
    return grid


def make_scene(family: str, seed: int, width: int = 480, height: int = 272, frames: int = 24) -> Scene:
    """A shot of one family, ``frames`` long or as long as the family says; the same arguments give the same shot.

    Raises:
        InputError: an unknown family, a picture under 64 pixels, or fewer than two frames.
    """
    if family not in FAMILIES:
        raise InputError(f"no family {family!r}", remedy=f"known are {', '.join(FAMILIES)}")
    if min(width, height) < 64 or frames < 2:
        raise InputError(f"a shot of {frames} frames {width}x{height} shows nothing", remedy="use 2 of 64x64 or more")
    kind = FAMILIES[family]
    frames = kind.frames or frames
    rng = np.random.default_rng([zlib.crc32(family.encode()), seed])
    painter = _Painter(kind, seed, rng, height / _MEANT_HEIGHT)
    camera = _Camera.draw(kind, width, frames, rng)
    layers = [_backdrop(kind, painter, camera, width, height, frames, rng)]
    turns = rng.permutation(kind.objects)
    for number in range(kind.objects):
        layers.append(_object(kind, painter, camera, width, height, frames, (number, int(turns[number])), rng))
    return Scene(kind, seed, width, height, frames, tuple(layers))


@dataclass(frozen=True)
class _Camera:
    """Swings of the camera, as the backdrop shows them, in pixels and factors."""

    x: Swing
    y: Swing
    zoom: Swing

    @classmethod
    def draw(cls, family: Family, width: int, frames: int, rng: np.random.Generator) -> _Camera:
        # A slow pan runs one way through the shot; a fast one would leave any set, so it turns.
        rate = _rate(family, 0.45 if family.pan < 0.015 else 0.9, frames)
        phase = rng.uniform(-0.9, -0.4) + (np.pi if rng.random() < 0.5 else 0.0)
        reach = family.pan * width / rate
        zoom = Swing(1.0, float(rng.uniform(0.02, 0.05)), float(rate), float(rng.uniform(0, 6)))
        if family.zoom:
            # Half a swing, from one end to the other.
            zoom = Swing(1 + family.zoom / 2, family.zoom / 2, float(np.pi / (frames - 1)), -np.pi / 2)
        return cls(
            Swing(0.0, reach, float(rate), float(phase)),
            Swing(0.0, 0.25 * reach, _whole(family, float(rate) * 0.8, frames), float(rng.uniform(0, 6))),
            zoom,
        )


def _rate(family: Family, periods: float, frames: int) -> float:
    """Radians per frame of so many swings in a shot."""
    return _whole(family, 2 * np.pi * periods / frames, frames)


def _whole(family: Family, rate: float, frames: int) -> float:
    """The rate, or the nearest one that swings a whole number of times, for shots that come back to their beginning.

    Its last frame is one after which the first would follow again.
    """
    if family.frames is None:
        return rate
    return 2 * np.pi / frames * max(1, round(rate * frames / (2 * np.pi)))


class _Painter:
    """Makes painted twins, one style for the whole shot."""

    def __init__(self, family: Family, seed: int, rng: np.random.Generator, size: float) -> None:
        self._family, self._seed, self._size = family, seed, size
        self._style = surfaces.brush_style(rng)
        self._hue = rng.random()

    def paint(self, photo: Floats, number: int, rng: np.random.Generator) -> Floats:
        """The twin of a photo; objects after the backdrop (number 0) get finer brushes."""
        twin = self._family.twin
        if twin == "grade":
            return surfaces.graded(photo, self._seed)
        if twin == "filter":
            return surfaces.locally_filtered(photo, self._seed)
        # Steps of the golden ratio keep the hues of any number of objects apart.
        hue = (self._hue + 0.618 * number) % 1
        subject = surfaces.recolored(photo, hue, rng) if twin == "palette" else photo
        finer = 1.0 if number == 0 else 0.7
        radii = tuple(radius * self._size * finer for radius in _BRUSHES)
        return surfaces.painted(subject, radii, self._style, self._seed * 100 + number)


def _backdrop(
    family: Family, painter: _Painter, camera: _Camera, width: int, height: int, frames: int, rng: np.random.Generator
) -> Layer:
    """Two materials, or sky and ground, large enough for the whole pan."""
    xs, ys = ([swing.at(f) for f in range(frames)] for swing in (camera.x, camera.y))
    margin = 0.14 * width
    w = round(DENSITY * (width + 2 * max(map(abs, xs)) + margin))
    h = round(DENSITY * (height + 2 * max(map(abs, ys)) + margin))
    horizon = family.sky + 0.1 if family.sky else rng.uniform(0.35, 0.65)
    first, second = (str(name) for name in rng.choice(_BACKDROPS, 2, replace=False))
    above = surfaces.hazy_sky(h, w, rng) if family.sky else MATERIALS[first](h, w, rng)
    below = MATERIALS[second](h, w, rng)
    line = h * (horizon + 0.035 * surfaces.fractal(2, w, rng, beta=1.2)[0])
    blend = np.clip((np.arange(h, dtype=np.float32)[:, None] - line[None]) / 2 + 0.5, 0, 1).astype(np.float32)
    photo = above + blend[..., None] * (below - above)
    if not family.sky:
        photo *= 1 + 0.12 * surfaces.fractal(h, w, rng, beta=2.0)[..., None]
    photo = cv2.GaussianBlur(np.clip(photo, 0, 1).astype(np.float32), (0, 0), _LENS)
    motion = Motion(
        Swing(width / 2 + camera.x.middle, camera.x.reach, camera.x.rate, camera.x.phase),
        Swing(height / 2 + camera.y.middle, camera.y.reach, camera.y.rate, camera.y.phase),
        Swing(0.0, float(rng.uniform(0.01, 0.03)), camera.zoom.rate, float(rng.uniform(0, 6))),
        camera.zoom,
        Swing(0.0),
        (0.0, 0.0),
        ((w - 1) / 2, (h - 1) / 2),
    )
    if family.bend > 1:
        reach = float(rng.uniform(0.8, 1.2)) * family.bend * h / 300
        rate = _rate(family, float(rng.uniform(0.6, 0.9)), frames)
        elastic = Swing(0.0, reach, rate, float(rng.uniform(0, 6)))
        motion = replace(motion, bend=elastic, wave=(float(rng.uniform(6, 9)) / h, float(rng.uniform(-9, 9)) / h))
    return Layer(photo, painter.paint(photo, 0, rng), None, None, motion)


def _object(
    family: Family,
    painter: _Painter,
    camera: _Camera,
    width: int,
    height: int,
    frames: int,
    place: tuple[int, int],
    rng: np.random.Generator,
) -> Layer:
    """Something round with light from the upper left; ``place`` is its depth order and its slot from left to right."""
    number, slot = place
    tall = height * rng.uniform(*family.sizes)
    h = round(DENSITY * tall)
    w = round(h * rng.uniform(0.7, 1.2))
    inside = _outline(h, w, rng)
    material = str(rng.choice(_OBJECTS))
    photo = MATERIALS[material](h, w, rng) * _rounded(inside)[..., None]
    photo = cv2.GaussianBlur(np.clip(photo, 0, 1).astype(np.float32), (0, 0), _LENS)
    soft = np.clip(inside / 2.2 + 0.5, 0, 1).astype(np.float32)
    brushed = soft
    if family.textured:
        wobble = 1.8 * surfaces.fractal(h, w, rng, beta=0.9)
        brushed = np.clip((inside + wobble) / 2.2 + 0.5, 0, 1).astype(np.float32)
    rate = _whole(family, 2 * np.pi * family.periods / frames * rng.uniform(0.85, 1.1), frames)
    slower, faster = _whole(family, rate * 0.9, frames), _whole(family, rate * 1.3, frames)
    reach = family.speed * width / rate
    near = 1.0 + 0.15 * number
    ground = 0.68 if family.sky else 0.5
    phase = float(rng.uniform(-0.8, 0.8) + np.pi * (number % 2))
    motion = Motion(
        _sum(Swing(width * (slot + 0.5) / family.objects, reach, rate, phase), camera.x, near),
        _sum(Swing(height * (ground + rng.uniform(-0.12, 0.12)), 0.25 * reach, slower, phase + 1), camera.y, near),
        Swing(float(rng.uniform(-0.3, 0.3)), float(rng.uniform(0.08, 0.25)), rate, float(rng.uniform(0, 6))),
        Swing(1.0, float(rng.uniform(0.04, 0.12)), rate, float(rng.uniform(0, 6))),
        Swing(0.0, float(rng.uniform(1.5, 5.0)) * family.bend * h / 300, faster, float(rng.uniform(0, 6))),
        (float(rng.uniform(0.5, 1.5)) * 4 / h, float(rng.uniform(-1.5, 1.5)) * 4 / h),
        ((w - 1) / 2, (h - 1) / 2),
    )
    return Layer(photo, painter.paint(photo, number + 1, rng), soft, brushed, motion)


def _sum(own: Swing, camera: Swing, near: float) -> _Sum:
    return _Sum(own.middle, own.reach, own.rate, own.phase, camera, near)


@dataclass(frozen=True)
class _Sum(Swing):
    """An object's own swing, seen by a moving camera that shows near things moving more."""

    camera: Swing = Swing(0.0)
    near: float = 1.0

    def at(self, frame: int) -> float:
        return super().at(frame) + self.near * self.camera.at(frame)


def _outline(height: int, width: int, rng: np.random.Generator) -> Floats:
    """(H, W) distance to an uneven round outline in texels, positive inside."""
    grid = _grid(height, width)
    x, y = grid[..., 0] / width - 0.5, grid[..., 1] / height - 0.5
    angle, radius = np.arctan2(y, x), np.hypot(x, y) * 2
    wave = np.zeros_like(angle)
    for order in range(2, 8):
        wave += rng.uniform(-1, 1) / order * np.cos(order * angle + rng.uniform(0, 6.3))
    limit = 0.8 + 0.14 * wave / max(float(np.abs(wave).max()), 1e-6)
    shape = (radius < limit).astype(np.uint8)
    outer, inner = cv2.distanceTransform(1 - shape, cv2.DIST_L2, 5), cv2.distanceTransform(shape, cv2.DIST_L2, 5)
    # Both count from the neighbor's center; half a texel brings the outline between them.
    return np.asarray(cv2.GaussianBlur(inner - outer - (shape - 0.5), (0, 0), 1.2), np.float32)


def _rounded(inside: Floats) -> Floats:
    """(H, W) light from the upper left on a shape that bulges toward the viewer."""
    bulge = cv2.GaussianBlur(np.sqrt(np.clip(inside, 0, None)), (0, 0), 0.03 * min(inside.shape) + 1)
    gx, gy = cv2.Sobel(bulge, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(bulge, cv2.CV_32F, 0, 1) / 8
    return np.asarray(np.clip(0.95 + 2.2 * (0.6 * gx + gy), 0.35, 1.5), np.float32)


def coordinates_path(folder: Path, frame: int, key: int) -> Path:
    """Where :func:`write_scene` puts the coordinates of ``frame`` in ``key``: NPZ with ``points`` and ``seen``."""
    return folder / f"key_{key:04d}" / f"coordinates.{frame:04d}.npz"


def write_scene(
    scene: Scene, folder: Path, keys: Sequence[int], *, coordinates: bool = True, truth: Sequence[int] | None = None
) -> None:
    """Write ``plate.%04d.png``, ``painted.%04d.png`` and ``occ.%04d.png`` (255: seen in no keyframe), 8-bit sRGB.

    The last two for all frames, or those in ``truth``. With ``coordinates`` also :meth:`Scene.coordinates` for each of
    them and every key, at :func:`coordinates_path`.

    Raises:
        InputError: a key outside the shot, or none.
        OutputError: the folder cannot be written.
    """
    if not keys or not all(0 <= key < scene.frames for key in keys):
        raise InputError(f"keys {list(keys)} must lie in 0-{scene.frames - 1}")
    folder.mkdir(parents=True, exist_ok=True)
    for frame in range(scene.frames):
        images.write(folder / f"plate.{frame:04d}.png", scene.plate(frame), bit_depth="uint8")
        if truth is not None and frame not in truth:
            continue
        images.write(folder / f"painted.{frame:04d}.png", scene.painted(frame), bit_depth="uint8")
        hidden = np.ones((scene.height, scene.width), bool)
        for key in keys:
            points, seen = scene.coordinates(frame, key)
            hidden &= ~seen
            if coordinates:
                path = coordinates_path(folder, frame, key)
                path.parent.mkdir(exist_ok=True)
                np.savez_compressed(path, points=points, seen=seen)
        mask = np.repeat(hidden[..., None], 3, axis=2).astype(np.float32)
        images.write(folder / f"occ.{frame:04d}.png", mask, bit_depth="uint8")
