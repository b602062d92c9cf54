"""Frames that a style look learns from: neighbors of the shot, the motion between them, and crops of both.

All of them are in memory, as half floats; of a long or large shot only pairs that are spread evenly over it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.base.arrays import Floats
from engine.base.errors import ImageError
from engine.base.frames import FrameRange
from engine.color import shaper
from engine.color.config import ColorConfig
from engine.motion.flow import estimate, luma8, one_thread, reliability
from engine.shot.plate import PlateReader
from engine.training.data.keyframes import pad_to_multiple
from engine.training.model.edges import MARGIN

__all__ = ["LEAST_SIDE_PX", "Crop", "FramePair", "ShotFrames", "choose_pairs", "load_frames"]

LEAST_SIDE_PX = 32
"""Of plate and style images: below, the deepest features have four pixels a side."""
MULTIPLE = 8
"""Frames are padded to multiples of it."""
CONTEXT_PX = 16
"""Along a crop's artificial borders: seen and not judged."""
_MOST_PAIRS = 24
_MOST_BYTES = 2**30
_PIXEL_BYTES = 2 * 3 * 2 + 2 * 2 + 2
"""Of a pair: two frames, the flow, its reliability."""


@dataclass(frozen=True, eq=False)
class FramePair:
    """Two neighbors, or one frame alone."""

    earlier: int
    later: int | None
    flow: Tensor
    """(2, H, W) float16 pixels, from the earlier to the later one, padded as they are; zero without a later one."""
    trust: Tensor
    """(1, H, W) float16 in 0..1; zero in the padding."""


@dataclass(frozen=True, eq=False)
class Crop:
    """One window of a pair."""

    plates: Tensor
    """(2, 3, h, w) float32, working encoding, earlier and later; or (1, 3, h, w)."""
    flow: Tensor
    """(1, 2, h, w), within what is judged."""
    trust: Tensor
    """(1, 1, h, w), within what is judged."""
    inner: tuple[slice, slice]
    """Rows and columns that are judged."""

    def judged(self, pictures: Tensor) -> Tensor:
        """Of pictures (B, C, h, w) what is judged."""
        return pictures[..., self.inner[0], self.inner[1]]


@dataclass(frozen=True, eq=False)
class ShotFrames:
    """What was loaded."""

    plates: dict[int, Tensor]
    """By number (3, H, W) float16, working encoding, with ``MARGIN`` around and padded to the multiple."""
    pairs: tuple[FramePair, ...]
    size: tuple[int, int]
    """Height and width before padding."""
    bad_pixels: dict[int, int]
    """Frames with pixels that are no finite numbers, and how many; they were filled."""
    plate_space: str

    def encoded(self, frame: int) -> Floats:
        """(H, W, 3) float32, working encoding."""
        height, width = self.size
        inside = self.plates[frame][:, MARGIN : MARGIN + height, MARGIN : MARGIN + width]
        return np.ascontiguousarray(inside.permute(1, 2, 0).float().numpy())

    def crop(self, side: int, rng: np.random.Generator, device: torch.device) -> Crop:
        """A window of any pair, at most ``side`` pixels plus its context high and wide."""
        pair = self.pairs[int(rng.integers(len(self.pairs)))]
        rows, top = _window(self.size[0], side, rng)
        columns, left = _window(self.size[1], side, rng)
        here = (slice(None), slice(top, top + rows), slice(left, left + columns))
        numbers = [pair.earlier] if pair.later is None else [pair.earlier, pair.later]
        plates = torch.stack([self.plates[number][here] for number in numbers])
        inner = (_judged(top, rows, self.size[0]), _judged(left, columns, self.size[1]))
        within = (slice(None), *inner)
        return Crop(
            plates.to(device).float().contiguous(memory_format=torch.channels_last),
            pair.flow[here][within][None].to(device).float(),
            pair.trust[here][within][None].to(device).float(),
            inner,
        )


def choose_pairs(frames: FrameRange, pixels: int) -> list[tuple[int, int | None]]:
    """Neighbors of a range, spread evenly, as many as memory takes; a single frame by itself."""
    numbers = list(frames)
    if len(numbers) == 1:
        return [(numbers[0], None)]
    most = max(1, min(_MOST_PAIRS, _MOST_BYTES // (pixels * _PIXEL_BYTES), len(numbers) - 1))
    places = np.unique(np.linspace(0, len(numbers) - 2, most).round().astype(int))
    return [(numbers[place], numbers[place + 1]) for place in places]


def load_frames(
    reader: PlateReader, frames: FrameRange, config: ColorConfig, check: Callable[[], None] = lambda: None
) -> ShotFrames:
    """Read pairs of neighbors and follow the motion between them.

    Args:
        check: called before each frame; what it raises ends all.

    Raises:
        ImageError: a frame is missing, damaged, too small, or of another size than the first.
    """
    plates: dict[int, Tensor] = {}
    grays: dict[int, np.ndarray] = {}
    bad: dict[int, int] = {}
    size, space = (0, 0), ""

    def load(frame: int) -> None:
        nonlocal size, space
        if frame in plates:
            return
        check()
        read = reader.read(frame)
        height, width = read.rgb.shape[:2]
        if min(height, width) < LEAST_SIDE_PX:
            why = f"the plate is {width}x{height}, too small for a style image"
            raise ImageError(why, frame=frame, path=read.path, remedy=f"its least side is {LEAST_SIDE_PX} pixels")
        if size not in ((0, 0), (height, width)):
            why = f"this frame is {width}x{height}, others are {size[1]}x{size[0]}"
            raise ImageError(why, frame=frame, path=read.path, remedy="give frames of one size")
        if read.image.bad_pixels:
            bad[frame] = read.image.bad_pixels
        size, space = (height, width), read.space
        encoded = shaper.encode(config.to_working(read.rgb, read.space))
        grays[frame] = luma8(encoded)
        x = torch.from_numpy(np.ascontiguousarray(encoded.transpose(2, 0, 1)))
        plates[frame] = pad_to_multiple(x, MULTIPLE, "replicate").half()

    load(frames.first)
    pairs = []
    for earlier, later in choose_pairs(frames, size[0] * size[1]):
        load(earlier)
        if later is not None:
            load(later)
        pairs.append(_pair(earlier, later, grays, size))
        for done in [number for number in grays if number < earlier]:
            del grays[done]
    used = {number for pair in pairs for number in (pair.earlier, pair.later) if number is not None}
    kept = {number: plate for number, plate in plates.items() if number in used}
    return ShotFrames(kept, tuple(pairs), size, bad, space)


def _pair(earlier: int, later: int | None, grays: dict[int, np.ndarray], size: tuple[int, int]) -> FramePair:
    flow, trust = np.zeros((*size, 2), np.float32), np.zeros(size, np.float32)
    if later is not None:
        with one_thread():
            flow = estimate(grays[earlier], grays[later])
            trust = reliability(flow, estimate(grays[later], grays[earlier]))

    def padded(image: np.ndarray, mode: str) -> Tensor:
        return pad_to_multiple(torch.from_numpy(np.ascontiguousarray(image)), MULTIPLE, mode).half()

    return FramePair(
        earlier, later, padded(flow.transpose(2, 0, 1), "replicate"), padded(trust[None].astype(np.float32), "constant")
    )


def _window(length: int, side: int, rng: np.random.Generator) -> tuple[int, int]:
    """Length and start of a window of a padded side of ``length`` pixels, on the network's grid."""
    whole = MARGIN + -(-(length + MARGIN) // MULTIPLE) * MULTIPLE
    wanted = min(whole, -(-(side + 2 * CONTEXT_PX) // MULTIPLE) * MULTIPLE)
    return wanted, int(rng.integers((whole - wanted) // MULTIPLE + 1)) * MULTIPLE


def _judged(start: int, count: int, length: int) -> slice:
    """What of a window is judged: all but the context, and the padding at the frame's own border."""
    first = MARGIN if start == 0 else CONTEXT_PX
    end = MARGIN + length - start
    last = end if start + count >= MARGIN + length else count - CONTEXT_PX
    return slice(first, min(last, end))
