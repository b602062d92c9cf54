"""The preview strip: plate, painting, current result on the keyframe, current result on an unpainted frame."""

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

__all__ = ["Preview"]


LARGEST = (540, 960)
"""Larger frames show their central part: a smaller picture would show another texture."""
STRIP_HEIGHT = 360
GAP = 8
BACKGROUND = 0.12


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
    ) -> None:
        """
        Args:
            keyframe: the painted frame to show.
            probe: (H, W, 3) scene-linear, an unpainted frame.
            exemplars, stmap: what is carried to the probe, (H, W, 3K); None for nothing.
            guide: (H, W, G), the probe's guide image, for a network that takes one.
        """
        self.path = path
        self._config = config
        self._showing = Showing.of(keyframe.paint_colorspace, config)
        self._exemplars = exemplars
        self._stmap = None if stmap is None else _center(stmap)
        self._guide = None if guide is None else _center(guide)
        self._keyframe_guide = None if keyframe.guide is None else _center(keyframe.guide)
        self._keyframe_plate = _center(keyframe.plate)
        self._probe = _center(probe)
        painting = np.where(keyframe.weight[..., None] > 0, keyframe.painting, np.float32(BACKGROUND))
        self._fixed = [self._shown(self._keyframe_plate), self._shown(_center(painting))]

    def probe_result(self, net: nn.Module) -> Floats:
        """The plain translator's result on the unpainted frame's center, working encoding (h, w, 3)."""
        return reference(net, self._probe, guide=self._guide)

    def write(self, net: nn.Module) -> None:
        """Refresh the strip on disk, atomically."""
        made = (
            reference(net, self._keyframe_plate, guide=self._keyframe_guide),
            reference(net, self._probe, self._exemplars, self._stmap, self._guide),
        )
        results = [self._shown(shaper.decode(result)) for result in made]
        height = min([STRIP_HEIGHT, *[p.shape[0] for p in self._fixed]])
        gap = np.full((height, GAP, 3), BACKGROUND, np.float32)
        columns: list[Floats] = []
        for picture in [*self._fixed, *results]:
            width = max(1, round(picture.shape[1] * height / picture.shape[0]))
            columns += [cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), gap]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        images.write(self.path, np.concatenate(columns[:-1], axis=1), bit_depth="uint8")

    def _shown(self, linear: Floats) -> Floats:
        return self._showing.shown(np.ascontiguousarray(linear), self._config)


def _center(pixels: Floats) -> Floats:
    rows, columns = min(LARGEST[0], pixels.shape[0]), min(LARGEST[1], pixels.shape[1])
    top, left = (pixels.shape[0] - rows) // 2, (pixels.shape[1] - columns) // 2
    return np.ascontiguousarray(pixels[top : top + rows, left : left + columns])
