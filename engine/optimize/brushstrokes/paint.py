"""``python -m engine.optimize.brushstrokes.paint --job JOB.json``: brushstrokes, one JSON event a line on stdout.

Stopping: the first Ctrl-C or SIGTERM ends between two steps and leaves a checkpoint; the second exits at once. Every
file is replaced atomically, so that a kill at any moment loses at most the time since the last checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine import images
from engine.base.arrays import Floats
from engine.base.errors import Interrupted
from engine.base.events import Emit, leave
from engine.base.frames import SequencePath
from engine.base.stop_flag import StopFlag
from engine.base.temporaries import clean_temporaries
from engine.color.keys import write_key
from engine.images.provenance import file_sha256
from engine.optimize.brushstrokes.checkpoint import FILE, StrokesCheckpoint
from engine.optimize.brushstrokes.curves import Brushstrokes
from engine.optimize.brushstrokes.descent import Descent, DescentState
from engine.optimize.brushstrokes.directions import Directions, read_directions
from engine.optimize.brushstrokes.job import StrokesJob
from engine.optimize.brushstrokes.layout import Layout, lay_out
from engine.optimize.brushstrokes.regularity import Regularity
from engine.optimize.brushstrokes.render import render
from engine.optimize.brushstrokes.svg import write_svg
from engine.optimize.colors import with_lightness
from engine.optimize.gatys import CHUNK, StyleLoss, optimize
from engine.optimize.process import run_job
from engine.optimize.style_inputs import LEAST_SIDE_PX, ShownFrame, StyleInputs, resized

__all__ = ["STROKES_SIDE_PX", "main", "paint_strokes"]

STROKES_SIDE_PX = 512
"""Longer side at which strokes move, as published; they are drawn at the frame's own size."""
KEEP_EVERY_S = 10.0
"""Between checkpoints, and between previews."""
CANVAS = (0.5, 0.5, 0.5)
"""What no stroke covers; within the matte, the underpainting leaves none of it."""
_SCALES = (1, 2, 4)
"""At which strokes without a style are compared with the plate: their mean colors count too."""
_STROKES_STRENGTH = 0.3
"""Of the style while strokes move, in units of the pixels' later."""
_FORM_WEIGHT, _FORM_PX = 0.5, 8
_LIGHTNESS = (0.299, 0.587, 0.114)


class _Stopped(Exception):
    """A stop was asked for."""


def paint_strokes(job: StrokesJob, emit: Emit, stop: StopFlag | None = None) -> list[Path]:
    """Paint every frame of the job; returns the pictures that are written, each with its SVG beside it.

    Raises:
        Interrupted: a stop was asked for; a checkpoint is left.
        InputError, ImageError, ColorError, DeviceError: wrong input.
        OutputError: disk full or no permission.
    """
    stop = stop or StopFlag()
    out = SequencePath.parse(job.out)
    inputs = StyleInputs.load(job)
    for folder in {job.folder, out.path(job.frames[0]).parent}:
        clean_temporaries(folder)
    written = []
    for count, frame in enumerate(job.frames):
        path = out.path(frame)
        if job.resume and path.is_file():
            emit({"event": "note", "text": f"{path}: frame {frame} is painted already and stays"})
            continue
        view = inputs.frame(frame, path)
        if view.bad_pixels:
            text = f"frame {frame}: {view.bad_pixels} pixels of the plate are NaN or Inf; filled from neighbors"
            emit({"event": "warning", "text": text})
        _Frame(job, emit, stop, inputs, view, path, count).paint()
        written.append(path)
    return written


@dataclass(eq=False)
class _Frame:
    """The work on one frame."""

    job: StrokesJob
    emit: Emit
    stop: StopFlag
    inputs: StyleInputs
    view: ShownFrame
    path: Path
    count: int

    def __post_init__(self) -> None:
        job, shown = self.job, self.view.shown
        height, width = shown.shape[:2]
        self.size = (height, width)
        factor = min(1.0, max(STROKES_SIDE_PX / max(height, width), LEAST_SIDE_PX / min(height, width)))
        # Rounded up: strokes that cover the small frame cover the large one to its last row.
        self.small = (math.ceil(height * factor - 1e-6), math.ceil(width * factor - 1e-6))
        self.scale = max(height / self.small[0], width / self.small[1])
        where = job.directions_of(self.view.frame)
        directions = None if where is None else read_directions(where, (width, height))
        self.digest = _digest(job, self.inputs, self.view, directions)
        self.directions = None if directions is None else directions.shrunk(*self.small)
        self.plate = _shrunk(shown, self.small)
        self.matte = None if self.view.matte is None else _shrunk(self.view.matte, self.small)
        work = self.small[0] * self.small[1] * job.iterations, height * width * job.pixel_iterations
        self.share = work[0] / sum(work)
        self.next_s = time.monotonic()

    def paint(self) -> None:
        """Move the strokes, write their SVG, go on with the pixels, write the painting."""
        job, view, device = self.job, self.view, self.inputs.machine.device
        found = StrokesCheckpoint.load(job.folder, view.frame, self.digest) if job.resume else None
        layout = lay_out(self.plate, job.strokes, seed=job.seed, directions=self.directions, matte=self.matte)
        plate_colors = layout.strokes.color.numpy()
        begun = layout.to(device, torch.from_numpy(self.inputs.target(plate_colors[None])[0]))
        if found is None:
            found = StrokesCheckpoint(view.frame, self.digest, DescentState.begin(begun.strokes))
        else:
            what, done = found.where
            self.emit({"event": "note", "text": f"resumed frame {view.frame} at the {what}, after {done} iterations"})
        found = found.to(device)
        if found.pixels is None:
            found = self._move(found, begun)
        strokes = found.state.strokes.scaled(self.scale)
        picture = self._drawn(strokes, self.size)
        if job.color == "luminance":
            painted = with_lightness(plate_colors, strokes.color.cpu().numpy())
            strokes = strokes.colored(torch.from_numpy(painted).to(device))
        svg = job.svg(view.frame)
        write_svg(svg, strokes, *self.size, CANVAS, view.matte)
        shown = self.inputs.picture(self._drawn(strokes, self.size))
        if job.pixel_iterations:
            refined = self.inputs.picture(self._refine(found, picture))
            shown = with_lightness(shown, refined) if job.color == "luminance" else refined
        if view.matte is not None:
            shown = view.shown + (shown - view.shown) * view.matte[..., None]
        write_key(self.path, shown, view.transform, self.inputs.config)
        (job.folder / FILE).unlink(missing_ok=True)
        facts = {"frame": view.frame, "path": str(self.path), "svg": str(svg)}
        self.emit({"event": "progress", "fraction": (self.count + 1) / len(job.frames), **facts})

    def _move(self, found: StrokesCheckpoint, layout: Layout) -> StrokesCheckpoint:
        """The descent of the strokes, from where a checkpoint stands to its end."""
        steps = self.job.iterations
        loss = self._styled_loss() if self.job.styles else self._plain_loss()
        regularity = Regularity.of(layout.strokes, self.directions)
        descent = Descent(layout, *self.small, self._canvas(), loss, regularity)
        state = found.state
        while state.done < steps:
            if self.stop.exit_code:
                self._stop(replace(found, state=state))
            state, value = descent.step(state, steps)
            if state.done % CHUNK == 0 or state.done == steps or self._is_due():
                here = replace(found, state=state)
                self._report(here, "strokes", self.small, steps, value, self.share * state.done / steps)
        return replace(found, state=state)

    def _refine(self, found: StrokesCheckpoint, picture: Tensor) -> Tensor:
        """The pixels' descent from the strokes' picture: it is their content, so that strokes stay strokes."""
        total, latest = self.job.pixel_iterations, found
        x = picture if found.pixels is None else found.pixels
        before = found.iteration
        loss = self._style_loss(self.size, picture, self.job.strength)

        def report(done: int, value: float, x: Tensor) -> None:
            nonlocal latest
            latest = replace(found, pixels=x.clone(), iteration=min(before + done, total - 1))
            share = self.share + (1 - self.share) * (before + done) / total
            self._report(latest, "pixels", self.size, total, value, share, before + done)

        def check() -> None:
            if self.stop.exit_code:
                raise _Stopped

        try:
            x, _ = optimize(loss, x, total - before, weight=self._mask(self.size), report=report, check=check)
        except _Stopped:
            self._stop(latest if latest.pixels is not None else replace(found, pixels=x))
        return x

    def _style_loss(self, size: tuple[int, int], content: Tensor, strength: float) -> Callable[[Tensor], Tensor]:
        """Of a picture against the style images, and against a content."""
        inputs, mask = self.inputs, self._mask(size)
        styles = inputs.scaled_styles(inputs.colored(self.view.shown), size)
        thrifty, layers = min(size) >= 256, inputs.job.layers
        whole = StyleLoss(inputs.maps, content, styles, mask, strength, thrifty=thrifty, layers=layers)
        if mask is None:
            return whole
        return lambda picture: whole(content + (picture - content) * (mask > 0))

    def _styled_loss(self) -> Callable[[Tensor], Tensor]:
        """Of the strokes' picture against the style images and the plate: its deep features, and its forms as they are.

        Deep features alone forgive a nose that moves by some pixels; strokes would lose what little of it they have.
        """
        plate, mask = self.inputs.tensor(self.inputs.target(self.plate)), self._mask(self.small)
        whole = self._style_loss(self.small, plate, self.job.strength * _STROKES_STRENGTH)
        form = _form(plate)
        with torch.no_grad():
            unit, power = float(whole(plate)), float(form.square().mean())

        def loss(picture: Tensor) -> Tensor:
            off = _form(picture) - form
            off = off if mask is None else off * mask
            return whole(picture) / max(unit, 1e-12) + _FORM_WEIGHT * off.square().mean() / max(power, 1e-6)

        return loss

    def _plain_loss(self) -> Callable[[Tensor], Tensor]:
        """Of a picture against the plate: squared differences of colors, of their means over several pixels too."""
        plate, mask = self.inputs.tensor(self.plate), self._mask(self.small)

        def loss(picture: Tensor) -> Tensor:
            off = picture - plate if mask is None else (picture - plate) * mask
            return sum(((off if n == 1 else F.avg_pool2d(off, n)).square().mean() for n in _SCALES), off.new_zeros(()))

        return loss

    def _mask(self, size: tuple[int, int]) -> Tensor | None:
        matte = self.view.matte
        return None if matte is None else resized(self.inputs.tensor(matte[..., None]), size)

    def _canvas(self) -> Tensor:
        return torch.tensor(CANVAS, device=self.inputs.machine.device)

    def _drawn(self, strokes: Brushstrokes, size: tuple[int, int]) -> Tensor:
        with torch.no_grad():
            return render(strokes, *size, self._canvas()).clamp(0, 1)

    def _stop(self, found: StrokesCheckpoint) -> NoReturn:
        found.save(self.job.folder)
        what, done = found.where
        total = self.job.iterations if what == "strokes" else self.job.pixel_iterations
        message = f"stopped at frame {self.view.frame}, {done} of {total} iterations of the {what}"
        raise Interrupted(message, exit_code=self.stop.exit_code, remedy="--resume goes on")

    def _is_due(self) -> bool:
        return time.monotonic() >= self.next_s

    def _report(
        self,
        found: StrokesCheckpoint,
        what: str,
        size: tuple[int, int],
        total: int,
        loss: float,
        share: float,
        done: int | None = None,
    ) -> None:
        """Say how far the frame is; from time to time leave a checkpoint and a preview."""
        job = self.job
        event = {
            "event": "progress",
            "fraction": round((self.count + share) / len(job.frames), 4),
            "frame": self.view.frame,
            "scale": f"{what} at {size[1]}x{size[0]}",
            "iteration": found.where[1] if done is None else done,
            "iterations": total,
            "loss": loss,
        }
        if self._is_due():
            found.save(job.folder)
            preview = job.folder / "preview.png"
            x = self._drawn(found.state.strokes, self.small) if found.pixels is None else found.pixels
            images.write(preview, self.inputs.picture(x), bit_depth="uint8")
            event["preview"] = str(preview)
            self.next_s = time.monotonic() + KEEP_EVERY_S
        self.emit(event)


def _form(picture: Tensor) -> Tensor:
    """(1, 1, H, W) lightness without its mean over some pixels around."""
    light = (picture * picture.new_tensor(_LIGHTNESS).view(1, 3, 1, 1)).sum(1, keepdim=True)
    return light - F.avg_pool2d(light, 2 * _FORM_PX + 1, 1, _FORM_PX, count_include_pad=False)


def _shrunk(picture: Floats, size: tuple[int, int]) -> Floats:
    if picture.shape[:2] == size:
        return picture
    return np.asarray(cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA), np.float32)


def _digest(job: StrokesJob, inputs: StyleInputs, view: ShownFrame, directions: Directions | None) -> str:
    """SHA-256 over what makes two runs the same painting."""
    facts = [job.iterations, job.pixel_iterations, job.strokes, job.style_scale, job.strength, job.color, job.seed]
    features = Path(job.features)
    facts += [job.layers, view.frame, file_sha256(features) if features.is_file() else job.features]
    digest = hashlib.sha256(json.dumps(facts).encode())
    arrays = [array for picture, share in inputs.styles for array in (picture, np.float64(share))]
    arrays += [view.shown, view.matte, *([] if directions is None else [directions.double, directions.weight])]
    for array in arrays:
        digest.update(b"none" if array is None else f"{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def main(arguments: list[str] | None = None) -> int:
    """Run a job file; events go to stdout, one JSON object a line. Returns the exit code."""

    def paint(path: Path, emit: Emit, stop: StopFlag) -> list[Path]:
        return paint_strokes(StrokesJob.load(path), emit, stop)

    return run_job(arguments, "engine.optimize.brushstrokes.paint", "Paint with brushstrokes.", paint)


if __name__ == "__main__":
    leave(main())
