"""The preview strip: plate, painting, current result on the keyframe, current result on an unpainted frame.

Each picture has its name above it, and the results are what a render would give: with the strokes that are carried.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from torch import nn

from engine import images
from engine.base.arrays import Floats
from engine.color import shaper
from engine.color.config import ColorConfig
from engine.color.showing import Showing
from engine.training.data.keyframes import LoadedKeyframe
from engine.training.export.look import reference
from engine.training.model.carry import StoredExemplar

__all__ = ["LARGEST", "Preview", "central", "write_strip"]


LARGEST = (540, 960)
"""Larger frames show their central part: a smaller picture would show another texture."""
STRIP_HEIGHT = 360
GAP = 8
BACKGROUND = 0.12
LABEL_HEIGHT = 22
_INK = 0.85


class Preview:
    """Draws and writes the strip; each image is shown as the painting was seen."""

    def __init__(
        self,
        path: Path,
        keyframe: LoadedKeyframe,
        probe: Floats,
        config: ColorConfig,
        exemplars: Sequence[StoredExemplar] = (),
        stmap: Floats | None = None,
        guide: Floats | None = None,
        *,
        probe_frame: int | None = None,
        keyframe_stmap: Floats | None = None,
    ) -> None:
        """
        Args:
            keyframe: the painted frame to show.
            probe: (H, W, 3) scene-linear, an unpainted frame.
            exemplars, stmap: what is carried to the probe, (H, W, 3K); None for nothing.
            guide: (H, W, G), the probe's guide image, for a network that takes one.
            probe_frame: its number; None where every frame is painted and it is the keyframe again.
            keyframe_stmap: what is carried to the keyframe, (H, W, 3K); None for nothing.
        """
        self.path = path
        again = "without carried strokes" if probe_frame is None else f"result on frame {probe_frame}"
        key = keyframe.frame
        self._labels = (f"plate, frame {key}", "painting", f"result on keyframe {key}", again)
        self._config = config
        self._showing = Showing.of(keyframe.paint_colorspace, config)
        self._exemplars = exemplars
        self._stmap = None if stmap is None else central(stmap)
        self._keyframe_stmap = None if keyframe_stmap is None else central(keyframe_stmap)
        self._guide = None if guide is None else central(guide)
        self._keyframe_guide = None if keyframe.guide is None else central(keyframe.guide)
        self._keyframe_plate = central(keyframe.plate)
        self._probe = central(probe)
        painting = np.where(keyframe.weight[..., None] > 0, keyframe.painting, np.float32(BACKGROUND))
        self._fixed = [self._shown(self._keyframe_plate), self._shown(central(painting))]

    def probe_result(self, net: nn.Module) -> Floats:
        """The plain translator's result on the unpainted frame's center, working encoding (h, w, 3)."""
        return reference(net, self._probe, guide=self._guide)

    def write(self, net: nn.Module) -> None:
        """Refresh the strip on disk, atomically."""
        made = (
            reference(net, self._keyframe_plate, self._exemplars, self._keyframe_stmap, self._keyframe_guide),
            reference(net, self._probe, self._exemplars, self._stmap, self._guide),
        )
        results = [self._shown(shaper.decode(result)) for result in made]
        write_strip(self.path, list(zip(self._labels, [*self._fixed, *results], strict=True)))

    def _shown(self, linear: Floats) -> Floats:
        return self._showing.shown(np.ascontiguousarray(linear), self._config)


def write_strip(path: Path, pictures: Sequence[tuple[str, Floats]]) -> None:
    """Write pictures (h, w, 3), display-referred, side by side, each with its name above it; atomically."""
    height = min([STRIP_HEIGHT, *[picture.shape[0] for _, picture in pictures]])
    gap = np.full((LABEL_HEIGHT + height, GAP, 3), BACKGROUND, np.float32)
    columns: list[Floats] = []
    for label, picture in pictures:
        width = max(1, round(picture.shape[1] * height / picture.shape[0]))
        resized = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        columns += [np.concatenate([_label(label, width), resized]), gap]
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(path, np.concatenate(columns[:-1], axis=1), bit_depth="uint8")


def _label(text: str, width: int) -> Floats:
    """(LABEL_HEIGHT, width, 3): a line of text, as large as it fits."""
    font, line = cv2.FONT_HERSHEY_SIMPLEX, np.zeros((LABEL_HEIGHT, width), np.uint8)
    full = cv2.getTextSize(text, font, 0.5, 1)[0][0]
    scale = min(0.5, 0.5 * max(width - 4, 1) / full)
    cv2.putText(line, text, (2, LABEL_HEIGHT - 7), font, scale, 255, 1, cv2.LINE_AA)
    ink = BACKGROUND + (_INK - BACKGROUND) * line.astype(np.float32) / 255
    return np.repeat(ink[..., None], 3, 2)


def central(pixels: Floats) -> Floats:
    """The part that a preview shows, at most :data:`LARGEST` rows and columns."""
    rows, columns = min(LARGEST[0], pixels.shape[0]), min(LARGEST[1], pixels.shape[1])
    top, left = (pixels.shape[0] - rows) // 2, (pixels.shape[1] - columns) // 2
    return np.ascontiguousarray(pixels[top : top + rows, left : left + columns])
