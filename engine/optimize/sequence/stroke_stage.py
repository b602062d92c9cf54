"""Stroke stage: frames painted with brushstrokes that ride on the motion, before their pixels are optimized.

After IOVST, whose strokes do not move with the shot: there each frame begins from superpixels of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from engine.base.arrays import Floats
from engine.optimize.brushstrokes.descent import Descent, DescentState
from engine.optimize.brushstrokes.layout import Layout, lay_out
from engine.optimize.brushstrokes.paint import CANVAS, STROKES_SIDE_PX
from engine.optimize.brushstrokes.regularity import Regularity
from engine.optimize.brushstrokes.render import render
from engine.optimize.brushstrokes.svg import write_svg
from engine.optimize.colors import with_lightness
from engine.optimize.gatys import StyleLoss
from engine.optimize.sequence.job import STROKE_ITERATIONS_OF_FRAME, SequenceJob
from engine.optimize.sequence.moved_strokes import StrokeSource, moved_and_new
from engine.optimize.sequence.shot_motion import ShotMotion, scaled_flow
from engine.optimize.sequence.stored_strokes import StoredStrokes
from engine.optimize.sequence.temporal import SWEEP, TemporalLoss, carry
from engine.optimize.style_inputs import ShownFrame, StyleInputs, resized

__all__ = ["StrokeStage"]


@dataclass
class StrokeStage:
    """The strokes of one sequence."""

    inputs: StyleInputs
    job: SequenceJob
    motion: ShotMotion
    stored: StoredStrokes
    pictures: Sequence[tuple[Floats, float]]
    """Style images in the job's colors, and their weights."""
    size: tuple[int, int]
    """Height and width of the frames."""

    def __post_init__(self) -> None:
        height, width = self.size
        factor = min(1.0, STROKES_SIDE_PX / max(height, width))
        self.small = (max(1, round(height * factor)), max(1, round(width * factor)))

    def paint(
        self, place: int, view: ShownFrame, report: Callable[[int, float, Tensor], None], check: Callable[[], None]
    ) -> None:
        """Move the strokes of painted frames to this one, lay those that lack, let all descend, and keep them.

        Args:
            place: of the frame among the job's.
            report: receives steps done, the loss and the picture, (1, 3, h, w).
            check: called before each step; what it raises ends all.
        """
        device, frames = self.inputs.machine.device, self.job.frames
        plate = _shrunk(view.shown, self.small)
        matte = None if view.matte is None else _shrunk(view.matte, self.small)
        fresh = lay_out(plate, self.job.strokes, seed=self.job.seed, directions=None, matte=matte)
        colors = torch.from_numpy(self.inputs.target(fresh.strokes.color.numpy()[None])[0])
        fresh = Layout(fresh.strokes.colored(colors), fresh.broad)
        near = [frames[place - offset] for offset in (1, *sorted(self.job.long_term)) if place >= offset]
        sources = [self._source(frames[place], other) for other in near]
        layout = moved_and_new(sources, fresh) if sources else fresh
        layout = layout.to(device, layout.strokes.color)

        loss = self._loss(view, frames[place], near, [source.layout for source in sources])
        descent = Descent(layout, *self.small, self._canvas(), loss, Regularity.of(layout.strokes, None))
        state = DescentState.begin(layout.strokes)
        while state.done < STROKE_ITERATIONS_OF_FRAME:
            check()
            state, value = descent.step(state, STROKE_ITERATIONS_OF_FRAME)
            if state.done % 10 == 0:
                report(state.done, value, self._drawn(Layout(state.strokes, layout.broad), self.small))
        self.stored.write(frames[place], Layout(state.strokes, layout.broad))

    def picture(self, frame: int) -> Tensor:
        """(1, 3, H, W): a frame's strokes at the frames' own size."""
        return self._drawn(self.stored.read(frame), self.size)

    def write_drawing(self, path: Path, view: ShownFrame) -> None:
        """Write a frame's strokes as SVG.

        Raises:
            OutputError: it cannot be written.
        """
        strokes = self.stored.read(view.frame).strokes.scaled(self.size[1] / self.small[1])
        if self.job.color == "luminance":
            column, row = (strokes.location_px.numpy()[:, axis].astype(int) for axis in (0, 1))
            own = view.shown[row.clip(0, self.size[0] - 1), column.clip(0, self.size[1] - 1)]
            strokes = strokes.colored(torch.from_numpy(with_lightness(own, strokes.color.numpy())))
        write_svg(path, strokes, *self.size, CANVAS, view.matte)

    def _source(self, frame: int, other: int) -> StrokeSource:
        flows = [self.motion.between(*ends)[0] for ends in ((other, frame), (frame, other))]
        forth, back = (scaled_flow(flow, self.small) for flow in flows)
        return StrokeSource(self.stored.read(other), forth, back)

    def _loss(
        self, view: ShownFrame, frame: int, near: Sequence[int], layouts: Sequence[Layout]
    ) -> Callable[[Tensor], Tensor]:
        """Content and style, and what the strokes of painted frames show of this one."""
        inputs, job, size = self.inputs, self.job, self.small
        content = resized(inputs.tensor(inputs.target(view.shown)), size)
        mask = None if view.matte is None else resized(inputs.tensor(view.matte[..., None]), size)
        styles = inputs.scaled_styles(list(self.pictures), size)
        style = StyleLoss(inputs.maps, content, styles, mask, job.strength, thrifty=min(size) >= 256, layers=job.layers)
        motions = [self.motion.between(frame, other) for other in near]
        flows = [scaled_flow(flow, size) for flow, _ in motions]
        trusts = [_shrunk(trust, size) for _, trust in motions]
        painted = [self._drawn(layout, size)[0].permute(1, 2, 0).cpu().numpy() for layout in layouts]
        whole = TemporalLoss(style, carry(painted, flows, trusts, inputs.tensor), SWEEP.weight)
        if mask is None:
            return whole
        return lambda picture: whole(content + (picture - content) * (mask > 0))

    def _canvas(self) -> Tensor:
        return torch.tensor(CANVAS, device=self.inputs.machine.device)

    def _drawn(self, layout: Layout, size: tuple[int, int]) -> Tensor:
        strokes = layout.strokes.to(self.inputs.machine.device).scaled(size[1] / self.small[1])
        with torch.no_grad():
            return render(strokes, *size, self._canvas()).clamp(0, 1)


def _shrunk(picture: Floats, size: tuple[int, int]) -> Floats:
    if picture.shape[:2] == size:
        return picture
    return np.asarray(cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA), np.float32)
