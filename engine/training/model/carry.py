"""Carrying exemplars: what the network is told about them, and how training spoils them so that it cannot just copy.

Sampled through a frame's STMap, an exemplar arrives with small errors, holes and another exposure. The network gets the
sampled painting, the difference between the frame and the equally sampled keyframe plate, and the confidence; from the
difference it sees where the track is wrong. On the keyframe itself every map is the identity, so training makes maps
with such errors on purpose.

Whether strokes lie where they belong shows in the plates: where their finest detail is the same, so is the place. And
strokes are as sharp as the plate: where it is out of focus, they are softened.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from typing import ClassVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary

from engine.color import shaper
from engine.look.exemplars import exemplar_stack
from engine.training.model.pieces import Pieces, joined

__all__ = [
    "CELL",
    "SHARPNESS",
    "TENT",
    "Carried",
    "Exemplar",
    "Spoiler",
    "StoredExemplar",
    "along",
    "blur_between_pixels",
    "brightened",
    "evidence",
    "exposed",
    "sample",
    "sharpened",
    "softened",
    "tone",
]

SHARPNESS = 60.0
"""How decidedly the surest of several exemplars wins a pixel: two sharp paintings averaged would be a ghost."""
CELL = 8
"""Side, pixels, of the cells in which the change of exposure is measured; tiles start on multiples of it."""
STEADY = 0.05
"""Working encoding: keeps the measured change at none where there is nothing to measure."""
LARGEST_CHANGE = 3.0
"""Largest factor, in the encoding, by which the exposure is followed: about three and a half stops."""
BINOMIAL = (1.0, 4.0, 6.0, 4.0, 1.0)
TENT = (1.0, 2.0, 3.0, 4.0, 3.0, 2.0, 1.0)
"""How far the paint's tone reaches, in cells."""
FADE = 0.01
"""Share of carried paint around a pixel under which its tone fades."""
UNPROVEN, PROVEN = 0.25, 0.55
"""Correlation of the finest detail of two plates up to which it proves nothing, and from which it proves all."""
FAINTEST = 1e-6
"""Variance of that detail, a quarter of an 8-bit code squared, under which there is nothing to correlate."""
NEAR = (1.0, 2.0, 1.0)
"""How far the evidence reaches, in cells."""
BLURRED, SHARP = 1.0 / 255, 1.6 / 255
"""Working encoding, RMS of that detail: up to which a plate is out of focus, and from which it is sharp."""
SURELY, SAME = 0.6, 0.9
"""Correlation up to which a blurred plate says nothing, and from which it is the same, as on the keyframe itself."""
SOFT = (0.0625, 0.25, 0.375, 0.25, 0.0625)
"""By what strokes on a blurred plate are softened, in both directions."""
SLIGHTEST = 1e-3
"""Coverage under which a painting is not divided by it: there is none to speak of."""
HELD = 0.125
"""Share from which a pixel counts in full for its neighbors, when strokes are filtered."""
RESTORING = (0.076, -0.190, 0.228, -0.190, 0.076)
"""What is added along an axis, half way between two pixels: what the cubic filter loses there against an exact shift,
above half the finest frequency, less what it overshoots below; least squares of the responses up to 0.85 of it."""


@dataclass(frozen=True)
class Exemplar:
    """A keyframe as a look holds it."""

    stack: Tensor
    """(7, H, W) working encoding: painting times coverage, coverage in 0..1, plate. (6, H, W) where the coverage is 1
    everywhere, and left out."""

    @classmethod
    def of(cls, painting: Tensor, coverage: Tensor, plate: Tensor) -> Exemplar:
        """From painting (3, H, W), coverage (1, H, W) and plate (3, H, W)."""
        return cls(torch.cat([painting * coverage, coverage, plate]))


@dataclass(frozen=True)
class StoredExemplar:
    """A keyframe as a look stores it, scene-linear working colorspace."""

    painting: NDArray[np.float32]
    """(H, W, 3)."""
    coverage: NDArray[np.float32]
    """(H, W) in 0..1."""
    plate: NDArray[np.float32]
    """(H, W, 3)."""

    @property
    def encoded(self) -> Exemplar:
        """In half floats of the working encoding."""
        return Exemplar(torch.from_numpy(exemplar_stack(self.painting, self.coverage, self.plate)))


@dataclass(frozen=True)
class Carried:
    """An exemplar, or the merge of several, as it arrives at a frame."""

    painting: Tensor
    """(B, 3, H, W) working encoding."""
    plate: Tensor
    """(B, 3, H, W) working encoding: the keyframe's plate, sampled alike."""
    share: Tensor
    """(B, 1, H, W) in 0..1: confidence times coverage."""
    blur: Tensor
    """(B, 2, H, W) in 0..1, along the exemplar's x and y: what the filter lost; see :func:`blur_between_pixels`."""

    CHANNELS: ClassVar[tuple[int, ...]] = (3, 3, 1, 2)
    """Of the fields, in their order."""

    @classmethod
    def of(cls, stacked: Tensor) -> Carried:
        """From what :attr:`stacked` gives."""
        return cls(*stacked.split(list(cls.CHANNELS), 1))

    @classmethod
    def nothing(cls, plate: Tensor) -> Carried:
        """What arrives where nothing is carried to a plate (B, 3, H, W)."""
        return cls.of(plate.new_zeros(plate.shape[0], sum(cls.CHANNELS), *plate.shape[2:]))

    def each(self, change: Callable[[Tensor], Tensor]) -> Carried:
        """With every field changed alike."""
        return Carried(change(self.painting), change(self.plate), change(self.share), change(self.blur))

    @property
    def stacked(self) -> Tensor:
        """(B, 9, H, W), in the order of the fields."""
        return torch.cat([self.painting, self.plate, self.share, self.blur], 1)


def sample(exemplars: Sequence[Exemplar], stmap: Tensor, cubic: bool = True) -> Carried:
    """Exemplars through an STMap (B, 3K, H, W) of u, v, confidence for each; merged where there are several.

    STMaps are Nuke's: u to the right and v upwards in 0..1, pixel centers at (i + 0.5) / size. A cubic filter keeps the
    finest detail; else it is a bilinear one.
    """
    arrived = [_sampled(each, stmap[:, 3 * i : 3 * i + 3], cubic) for i, each in enumerate(exemplars)]
    if len(arrived) == 1:
        return arrived[0]
    surest = reduce(torch.maximum, [each.share for each in arrived])
    weights = [each.share * torch.exp((each.share - surest) * SHARPNESS) for each in arrived]
    total = reduce(torch.add, weights).clamp_min(1e-6)
    weights = [weight / total for weight in weights]

    def merged(fields: list[Tensor]) -> Tensor:
        return reduce(torch.add, [field * weight for field, weight in zip(fields, weights, strict=True)])

    return Carried(
        merged([each.painting for each in arrived]),
        merged([each.plate for each in arrived]),
        merged([each.share for each in arrived]),
        merged([each.blur for each in arrived]),
    )


def _sampled(exemplar: Exemplar, stmap: Tensor, cubic: bool) -> Carried:
    """One exemplar through its own u, v, confidence (B, 3, H, W)."""
    uv, confidence = stmap.split((2, 1), 1)
    # The sampler's places are -1..1 with corners not aligned, and downwards.
    grid = uv * _pair(2.0, -2.0, uv) + _pair(-1.0, 1.0, uv)
    stack = exemplar.stack[None].float().expand(stmap.shape[0], -1, -1, -1)
    how = "bicubic" if cubic else "bilinear"
    got = F.grid_sample(stack, grid.permute(0, 2, 3, 1), mode=how, padding_mode="border", align_corners=False)
    channels, height, width = exemplar.stack.shape
    blur = blur_between_pixels(uv * _pair(width, -height, uv))
    share = confidence.clamp(0, 1)
    if channels == 6:
        painting, plate = got.split((3, 3), 1)
        return Carried(painting, plate, share, blur)
    painting, coverage, plate = got.split((3, 1, 3), 1)
    return Carried(painting / coverage.clamp_min(SLIGHTEST), plate, share * coverage.clamp(0, 1), blur)


def blur_between_pixels(places: Tensor) -> Tensor:
    """How much the cubic filter loses at places (any shape), in pixels from an edge of the image, along their axis.

    0 on a pixel's center, 1 half way between two: (4 f (1 - f))^3 of the fraction f, which follows the loss of its
    response against an exact shift.
    """
    fraction = places - 0.5
    fraction = fraction - torch.floor(fraction)
    near = fraction * (1 - fraction) * 4
    return near * near * near


def exposed(plate: Tensor, carried: Carried) -> Tensor:
    """The carried painting under the frame's own light, (B, 3, H, W).

    The change of exposure is the ratio of local means, over some forty pixels and weighted by the share, between the
    frame and the keyframe's plate as carried. In the sRGB part of the encoding a gain of the light is a factor on
    (y + 0.055); above it a summand.

    Args:
        plate: (B, 3, H, W) working encoding, H and W multiples of ``CELL``.
    """
    both = torch.cat([_bright(plate), _bright(carried.plate)], 1) * carried.share
    means = F.avg_pool2d(both, CELL)
    means = F.conv2d(means, _kernel(BINOMIAL, 6, means), padding=len(BINOMIAL) // 2, groups=6)
    here, there = means.split(3, 1)
    change = ((here + STEADY) / (there + STEADY)).clamp(1 / LARGEST_CHANGE, LARGEST_CHANGE)
    change = F.interpolate(change - 1, scale_factor=CELL, mode="bilinear", align_corners=False)
    return carried.painting + _bright(carried.painting) * change


def tone(plain: Tensor, painted: Tensor, share: Tensor) -> Tensor:
    """How the carried paint around a pixel departs from a plain translation, (B, 3, H, W); 0 where none is near.

    The share-weighted mean of ``painted - plain`` within some thirty pixels, the nearer the more. Both are of the
    keyframe, carried alike, so that a change of the light is no part of it.

    Args:
        plain, painted: (B, 3, H, W), H and W multiples of ``CELL``.
        share: (B, 1, H, W) in 0..1.
    """
    means = F.avg_pool2d(torch.cat([(painted - plain) * share, share], 1), CELL)
    means = F.conv2d(means, _kernel(TENT, 4, means), padding=len(TENT) // 2, groups=4)
    near = means[:, :3] / (means[:, 3:] + FADE)
    return F.interpolate(near, scale_factor=CELL, mode="bilinear", align_corners=False)


def evidence(plate: Tensor, carried: Tensor) -> tuple[Tensor, Tensor]:
    """What the finest detail of a frame's plate and of a carried one says, two maps (B, 1, H, W) in 0..1.

    First how surely that detail is the same: their correlation in what both have within three pixels, around each
    pixel; a change of the light does not touch it, and where there is no such detail nothing is proven. Then how sharp
    strokes may be: 0 where either plate is out of focus, unless what little detail there is is certainly the same.

    Args:
        plate, carried: (B, 3, H, W) working encoding, H and W multiples of ``CELL``.
    """
    # In full precision: differences of neighbors, squared, are nothing in half of it.
    with torch.autocast(plate.device.type, enabled=False):
        both = _finest(plate, carried)
        here, there = both.split(1, 1)
        means = F.avg_pool2d(torch.cat([here * there, both * both], 1), CELL)
        # Beyond the border as on it: zeros there would make it look out of focus.
        means = F.conv2d(F.pad(means, [len(NEAR) // 2] * 4, mode="replicate"), _kernel(NEAR, 3, means), groups=3)
        both, one, other = means.split(1, 1)
        one, other = one.clamp_min(0), other.clamp_min(0)
        alike = both / (torch.sqrt(one * other) + FAINTEST)
        detail = torch.sqrt(torch.minimum(one, other))
        sharp = torch.maximum(_ramp(detail, BLURRED, SHARP), _ramp(alike, SURELY, SAME))
        found = torch.cat([_ramp(alike, UNPROVEN, PROVEN), sharp], 1)
        proven, sharp = F.interpolate(found, scale_factor=CELL, mode="bilinear", align_corners=False).split(1, 1)
        return proven, sharp


def sharpened(carried: Carried) -> Tensor:
    """The carried painting, (B, 3, H, W), with what the cubic filter lost between pixels."""
    painting = carried.painting
    with torch.autocast(painting.device.type, enabled=False):
        held = _held(painting, carried.share)
        changes = []
        for dim, lost in zip((3, 2), carried.blur.split(1, 1), strict=True):
            near = along(held, RESTORING, dim)
            # Its weights are 0 together, so what is not carried counts as the pixel itself.
            changes.append((near[:, :3] - painting * near[:, 3:]) * lost)
        return painting + changes[0] + changes[1]


def softened(painting: Tensor, share: Tensor, sharp: Tensor) -> Tensor:
    """A carried painting (B, 3, H, W), softened as far as the plates are not sharp (B, 1, H, W): :func:`evidence`.

    Nothing on a blurred plate says whether a track is a pixel aside, and soft strokes are then nearer to the right.
    """
    with torch.autocast(painting.device.type, enabled=False):
        near = _held(painting, share)
        for dim in (3, 2):
            near = along(near, SOFT, dim)
        return painting + (near[:, :3] - painting * near[:, 3:]) * (1 - sharp)


def _held(painting: Tensor, share: Tensor) -> Tensor:
    """(B, 4, H, W): a painting times how far it is carried, and that: beyond a matte's edge are no colors to mix in."""
    held = (share / HELD).clamp(0, 1)
    return torch.cat([painting * held, held], 1)


def along(x: Tensor, line: Sequence[float], dim: int) -> Tensor:
    """Filtered along an axis by a symmetric line, beyond the edge as on it: sums of shifted images, four times as fast
    as a convolution of so few channels."""
    if has_torch_function_unary(x):
        return handle_torch_function(along, (x,), x, line, dim)
    reach, size = len(line) // 2, x.shape[dim]
    padded = F.pad(x, [reach, reach, 0, 0] if dim == 3 else [0, 0, reach, reach], mode="replicate")
    total = padded.narrow(dim, reach, size) * line[reach]
    for near in range(reach):
        both = padded.narrow(dim, near, size) + padded.narrow(dim, 2 * reach - near, size)
        total = total + both * line[near]
    return total


def _ramp(x: Tensor, low: float, high: float) -> Tensor:
    """0 up to ``low``, 1 from ``high`` on."""
    return ((x - low) / (high - low)).clamp(0, 1)


def _finest(plate: Tensor, carried: Tensor) -> Tensor:
    """(B, 2, H, W): of both, the mean of the channels less its mean over 3x3 pixels."""
    grey = torch.cat([plate.mean(1, keepdim=True), carried.mean(1, keepdim=True)], 1)
    return grey - F.avg_pool2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), 3, 1)


def _kernel(line: Sequence[float], channels: int, like: Tensor) -> Tensor:
    """(channels, 1, n, n), of sum 1."""
    weights = _constant(tuple(weight / sum(line) for weight in line), like.device, like.dtype)
    return torch.outer(weights, weights).expand(channels, 1, -1, -1)


def _pair(x: float, y: float, like: Tensor) -> Tensor:
    """(1, 2, 1, 1)."""
    return _constant((float(x), float(y)), like.device, like.dtype).reshape(1, 2, 1, 1)


@cache
def _constant(values: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Kept where it is needed: copying it there anew would let the processor wait for the GPU in every step."""
    with torch.inference_mode(False):
        return torch.tensor(values, device=device, dtype=dtype)


def brightened(encoded: Tensor, factor: Tensor | float) -> Tensor:
    """An encoded image after its light changed; ``factor`` is on the encoding's (y + 0.055), as in :func:`exposed`."""
    return encoded + _bright(encoded) * (factor - 1)


def _bright(y: Tensor) -> Tensor:
    """What a factor on the light multiplies: y + 0.055, brought to 0 at black, and held above white."""
    return y.clamp(0, 1) + (y * (10 * shaper.OFFSET)).clamp(0, shaper.OFFSET)


class Spoiler:
    """Draws carried exemplars for training crops with the errors that tracks have.

    A crop's exemplar is sampled through a smooth random displacement, mostly under a pixel or two; blobs and sides of
    it are holes of little confidence; small blobs are wrong at full confidence, for the network to find out; parts come
    from places that look alike, as repainted surfaces do; and some crops get nothing, which is the plain translator.
    """

    PLAIN = 0.45
    """Share of the crops without an exemplar."""
    LARGEST_PX = 5.0
    PIECED = 0.6
    """Share of the others that are partly made of pieces."""
    RELIT = 0.15
    """Share of the crops under another exposure."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def light(self, rows: int, columns: int) -> Tensor | None:
        """Factor (1, rows, columns) on the encoding by which a crop is relit, or None."""
        if self.rng.random() >= self.RELIT:
            return None
        stops = self.rng.uniform(-1, 1) + 0.4 * self._smooth(rows, columns, 64)[0]
        return torch.from_numpy(np.exp2(stops / shaper.GAMMA).astype(np.float32))[None]

    TOLERATED_PX = 1.0
    """Displacement that the network need not undo: it would learn to blur what it cannot place."""
    FADING_PX = 3.0
    """Deviation of the blur by which the tolerance fades towards where nothing right arrives."""

    def crop(
        self, exemplar: Exemplar, top: int, left: int, rows: int, columns: int, pieces: Pieces | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """A spoiled exemplar, on the CPU, for the crop at (top, left) of its own frame, and what to make of it.

        Returns:
            (9, rows, columns) as :attr:`Carried.stacked`; and (4, rows, columns), painting times coverage and
            coverage: the right result, displaced as much as is tolerated. None where it is the painting itself.
            Of ``pieces``, where some are shown, it is these in the painting's own tone and without seams, as far as
            strokes are the painting's own.
        """
        if self.rng.random() < self.PLAIN:
            return torch.zeros(sum(Carried.CHANNELS), rows, columns), None
        rng = self.rng
        size = math.exp(rng.uniform(math.log(0.15), math.log(self.LARGEST_PX)))
        shift = self._smooth(rows, columns, int(rng.choice([16, 32, 64])), 2) * size * 0.6
        shift += rng.normal(0, 0.3, (2, 1, 1))
        # Higher than the crop's other errors: what is seen is another place altogether.
        hole, wrong = self._holes(rows, columns), self._smooth(rows, columns, 24)[0] > rng.uniform(1.8, 3.5)
        away = rng.uniform(-60, 60, (2, 1, 1))
        lost = np.clip(hole + wrong, 0, 1)
        off = np.maximum(np.sqrt(np.square(shift).sum(0)), self.TOLERATED_PX)
        # Where nothing right arrives the plain translator answers, and to that a displaced target is mere noise.
        tolerated = self.TOLERATED_PX * (1 - cv2.GaussianBlur(lost, (0, 0), self.FADING_PX))
        right = shift * (tolerated / off)
        shift = shift * (1 - lost) + away * lost
        length = np.sqrt(np.square(shift).sum(0))
        share = np.exp(-0.25 * np.abs(self._smooth(rows, columns, 16)[0]) * rng.uniform(0, 1) - np.square(length / 8))
        share = np.where(wrong, rng.uniform(0.5, 1.0), share) * (1 - hole) + hole * rng.choice([0.0, 0.0, 0.15])
        wanted = self._sampled(exemplar, top, left, right)[:4]
        if pieces is not None and rng.random() < self.PIECED:
            window = (slice(top, top + rows), slice(left, left + columns))
            every = (slice(None), *window)
            pieced = self._pieced(rows, columns)
            shift = np.where(pieced, pieces.shift[every], shift)
            share = np.where(pieced, pieces.share[window] * rng.uniform(0.8, 1.1), share)
            kept = pieced & pieces.alike[window] & (rng.random() < pieces.own)
            if kept.any():
                arrived = self._sampled(exemplar, top, left, np.where(kept, pieces.shift[every], right))[:4]
                own, other = (x.numpy().transpose(1, 2, 0) for x in (wanted, arrived))
                mixed = np.where(kept[..., None], joined(other, own, pieces.seam[window]), own)
                wanted = torch.from_numpy(mixed).permute(2, 0, 1)
        got = self._sampled(exemplar, top, left, shift)
        coverage = got[3:4]
        noise = torch.from_numpy(rng.normal(0, rng.uniform(0, 0.015), (3, rows, columns)).astype(np.float32))
        shares = torch.from_numpy(share.astype(np.float32))[None].clamp(0, 1) * coverage.clamp(0, 1)
        # Tops and lefts are whole pixels.
        blur = blur_between_pixels(torch.from_numpy(shift.astype(np.float32)) + 0.5)
        return torch.cat([got[:3] / coverage.clamp_min(SLIGHTEST), got[4:] + noise, shares, blur]), wanted

    @staticmethod
    def _sampled(exemplar: Exemplar, top: int, left: int, shift: np.ndarray) -> Tensor:
        height, width = exemplar.stack.shape[-2:]
        _, rows, columns = shift.shape
        y, x = np.mgrid[top : top + rows, left : left + columns].astype(np.float32)
        grid = np.stack([(x + shift[0] + 0.5) / width * 2 - 1, (y + shift[1] + 0.5) / height * 2 - 1], 2)
        places = torch.from_numpy(grid[None].astype(np.float32))
        stack = exemplar.stack[None]
        return F.grid_sample(stack, places, mode="bicubic", padding_mode="border", align_corners=False)[0]

    def _smooth(self, rows: int, columns: int, cell: int, count: int = 1) -> np.ndarray:
        """(count, rows, columns) smooth noise, mean 0 and deviation about 1."""
        top, left = (int(v) for v in self.rng.integers(0, cell, 2))
        found = np.empty((count, rows, columns), np.float32)
        for plane in found:
            lattice = self.rng.standard_normal((rows // cell + 4, columns // cell + 4)).astype(np.float32) * 1.3
            wide = cv2.resize(lattice, (0, 0), fx=cell, fy=cell, interpolation=cv2.INTER_CUBIC)
            plane[...] = wide[cell + top : cell + top + rows, cell + left : cell + left + columns]
        return found

    def _pieced(self, rows: int, columns: int) -> np.ndarray:
        """(rows, columns): where a crop shows what no keyframe does: a blob, or all beyond a line."""
        for _ in range(8):
            found = self._holes(rows, columns) > 0.5
            if found.any():
                break
        return found

    def _holes(self, rows: int, columns: int) -> np.ndarray:
        """(rows, columns) in 0..1: 1 where the exemplar is hidden or left the frame."""
        rng = self.rng
        hole = np.zeros((rows, columns), np.float32)
        if rng.random() < 0.6:
            blobs = self._smooth(rows, columns, int(rng.choice([12, 24, 48])))[0]
            hole = np.clip((blobs - rng.uniform(0.3, 2)) * 8, 0, 1)
        if rng.random() < 0.3:
            y, x = np.mgrid[0:rows, 0:columns]
            angle = rng.uniform(0, 2 * math.pi)
            along = (x - columns / 2) * math.cos(angle) + (y - rows / 2) * math.sin(angle)
            hole = np.maximum(hole, np.clip((along - rng.uniform(-0.2, 0.6) * columns / 2) / 3, 0, 1))
        return hole
