"""The player's reel: which frames the page's player shows, and how large, so that the page stays small."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["Reel", "View", "as_uri", "jpeg"]

Pixels8 = npt.NDArray[np.uint8]

_REEL_BYTES = 7_500_000
"""All pictures of the player; as text they take a third more, and the page at most about 12 MB."""
_BYTES_PER_PIXEL = 0.2
"""What a JPEG of a grainy frame takes; a rough guess that only decides on the size."""
_LARGEST_PX = 960 * 540
_SMALLEST_PX = 400 * 225
"""Smaller pictures say nothing: rather fewer frames."""
_WIDE = 16 / 9
_QUALITY = 82
_KEPT_KEYFRAMES = 40
"""Keyframes that are always shown; of more, only some."""


@dataclass(frozen=True)
class View:
    """A frame of the player: JPEG bytes, None for a picture that cannot be read."""

    plate: bytes | None
    result: bytes | None

    @property
    def size_bytes(self) -> int:
        """Of both pictures."""
        return len(self.plate or b"") + len(self.result or b"")


@dataclass(frozen=True)
class Reel:
    """Frames to show."""

    frames: tuple[int, ...]
    """Of the whole range, ascending."""
    keys: frozenset[int]
    step: int
    """Every so many frames are shown, and besides them the last one and the keyframes."""
    area_px: int
    """Pixels of a picture at most."""

    @classmethod
    def of(cls, frames: Sequence[int], keys: Collection[int]) -> Reel:
        """As large as the page's size allows, but no larger than is useful; every frame, unless they are too many."""
        pixels = _REEL_BYTES / _BYTES_PER_PIXEL / 2
        step = max(1, -(-len(frames) * _SMALLEST_PX // int(pixels)))
        area = min(_LARGEST_PX, max(_SMALLEST_PX, int(pixels / (-(-len(frames) // step)))))
        inside = sorted(set(keys) & set(frames))[:_KEPT_KEYFRAMES]
        return cls(tuple(frames), frozenset(inside), step, area)

    @property
    def width_px(self) -> int:
        """Of a picture that is 16 to 9."""
        return round((self.area_px * _WIDE) ** 0.5)

    @cached_property
    def _shown(self) -> set[int]:
        return self.chosen(self.step)

    def chosen(self, step: int) -> set[int]:
        """Every so many frames, the last one, and the keyframes."""
        return {*self.frames[::step], self.frames[-1], *self.keys}

    def view(self, frame: int, plate: Pixels8 | None, result: Pixels8 | None) -> View | None:
        """The frame's pictures (h, w, 3) sRGB, encoded; None for a frame that is not shown."""
        if frame not in self._shown:
            return None
        return View(*(None if rgb is None else jpeg(self._within(rgb), _QUALITY) for rgb in (plate, result)))

    def fitted(self, views: Mapping[int, View]) -> dict[int, View]:
        """The views, fewer of them where they are more bytes than the page may have."""
        step, kept = self.step, dict(views)
        while step < len(self.frames) and sum(view.size_bytes for view in kept.values()) > _REEL_BYTES:
            step *= 2
            wanted = self.chosen(step)
            kept = {frame: view for frame, view in views.items() if frame in wanted}
        return kept

    def _within(self, rgb: Pixels8) -> Pixels8:
        height, width = rgb.shape[:2]
        scale = (self.area_px / (height * width)) ** 0.5
        if scale >= 1.0:
            return rgb
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def jpeg(rgb: Pixels8, quality: int) -> bytes:
    """A picture (h, w, 3) sRGB as the bytes of a JPEG file."""
    done, data = cv2.imencode(".jpg", np.ascontiguousarray(rgb[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes() if done else b""


def as_uri(picture: bytes) -> str:
    """The JPEG as a data URI, which a page holds in itself."""
    return f"data:image/jpeg;base64,{base64.b64encode(picture).decode('ascii')}"
