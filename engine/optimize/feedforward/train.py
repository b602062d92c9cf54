"""``python -m engine.optimize.feedforward.train --job JOB.json``: style images in, a look out, events on stdout.

Stopping: as :mod:`engine.training.train`. The first Ctrl-C or SIGTERM finishes the step, saves a checkpoint, exports
the look as it is and exits with 130 or 143. Every file is replaced atomically, so a kill at any moment loses at most
the time since the last checkpoint.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import torch
from torch import Tensor, nn

from engine.base.arrays import Floats
from engine.base.errors import InputError, Interrupted
from engine.base.events import Emit, leave, open_events
from engine.base.frames import FrameRange
from engine.base.stop_flag import StopFlag
from engine.base.temporaries import clean_temporaries
from engine.color import shaper
from engine.color.assignment import Assignment
from engine.color.config import ColorConfig
from engine.color.paintings import painting_color
from engine.color.showing import Showing
from engine.images.header import Header
from engine.images.provenance import file_sha256
from engine.optimize.feedforward.frames import ShotFrames, load_frames
from engine.optimize.feedforward.job import RECIPE, StyleLookJob
from engine.optimize.feedforward.losses import LAYERS
from engine.optimize.feedforward.recipe import StyleRecipe
from engine.optimize.gatys import VggMaps
from engine.optimize.job import StyleImage
from engine.optimize.style_inputs import read_style_image
from engine.shot.plate import PlateReader
from engine.training.checkpoint import damaged, load_checkpoint, save_checkpoint
from engine.training.clock import FEW_STEPS, Clock
from engine.training.export.look import CHECK_PIXELS, QUICK_CHECK_PIXELS, reference, write_look
from engine.training.job.recipe_settings import REVISION
from engine.training.machine import Machine
from engine.training.model.features import load_features
from engine.training.preview import LARGEST, central, write_strip
from engine.training.train import CHECKPOINT_EVERY_S, REPORT_EVERY_S, Trained, answer, next_preview_s

__all__ = ["main", "train_style"]

_WRITING_S = 0.5
"""For checkpoint, look and loading it into onnxruntime."""


@dataclass(frozen=True, eq=False)
class LoadedStyle:
    """A style image as training takes it."""

    encoded: Floats
    """(h, w, 3), working encoding."""
    weight: float
    path: Path
    sha256: str
    """Of its file."""
    colorspace: str
    bad_pixels: int


def train_style(job: StyleLookJob, emit: Emit, stop: StopFlag | None = None, began_s: float | None = None) -> Trained:
    """Train a look from style images and write it.

    Args:
        emit: receives one dict per event, see :mod:`engine.base.events`.
        stop: polled every step.
        began_s: when the budget began to run, by ``time.perf_counter``; None for now.

    Raises:
        Interrupted: a stop was asked for before the first step; nothing was written.
        InputError, ImageError, ColorError, DeviceError: wrong input; nothing was written.
        ExportError: the look failed its check; the checkpoint remains.
        OutputError: disk full or no permission.
    """
    stop = stop or StopFlag()
    clock = Clock(job, began_s)
    config = ColorConfig.active(job.ocio)
    machine = Machine.choose(job.device, job.threads)
    maps = VggMaps(load_style_features(job.features)).to(machine.device)
    frames = FrameRange.parse(job.frames)
    reader = PlateReader(job.plate_path, job.plate_colorspace, config)
    styles = _load_styles(job, reader, frames.first, config, emit)

    def check() -> None:
        if stop.exit_code:
            raise Interrupted("training was stopped before its first step", exit_code=stop.exit_code)

    loaded = load_frames(reader, frames, config, check)
    for frame, count in loaded.bad_pixels.items():
        text = f"frame {frame}: {count} pixels of the plate are NaN or Inf; filled from neighbors"
        emit({"event": "warning", "text": text})
    torch.manual_seed(job.seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    rng = np.random.default_rng(job.seed)
    recipe = StyleRecipe(
        loaded,
        [(style.encoded, style.weight) for style in styles],
        maps,
        machine,
        rng,
        style_scale=job.style_scale,
        strength=job.strength,
        steadiness=job.steadiness,
        color=job.color,
    )
    folder = job.checkpoint.parent
    inputs_sha256 = _digest(job, styles, loaded)
    for place in (folder, job.work, job.look.parent):
        clean_temporaries(place)
    run = _Run(job, recipe, emit, clock, folder, inputs_sha256, rng, _Strip(job, config, styles, loaded))
    if job.resume:
        run.resume()
    emit({"event": "phase", "phase": "train", "steps": job.steps, "budget_s": job.budget_s, "look": str(job.look)})
    stopped = run.loop(stop)
    seconds = clock.elapsed_s
    if not clock.step:
        check()
    emit({"event": "phase", "phase": "export"})
    run.checkpoint()
    card = _card(job, config, styles, loaded, clock.step, seconds, run.losses)
    net = recipe.result().eval()
    check_px = QUICK_CHECK_PIXELS if stop.exit_code else CHECK_PIXELS
    plate = shaper.decode(loaded.encoded(loaded.pairs[0].earlier))
    difference = write_look(job.look, net, (), card, plate, check_px=check_px)
    if job.preview and not stop.exit_code:
        run.refresh_preview()
    if job.budget_s is not None and stopped == "done" and clock.step < FEW_STEPS:
        emit({"event": "warning", "text": clock.few_steps()})
    return Trained(job.look, clock.step, seconds, run.losses.get("loss", 0.0), difference, stopped)


def load_style_features(source: str) -> Any:
    """The features that the losses need.

    Raises:
        InputError: no file, or no VGG.
    """
    try:
        return load_features(source, LAYERS)
    except InputError as error:
        error.remedy = "give a .safetensors or .pth file of VGG-19 or VGG-16"
        raise


def load_style(style: StyleImage, plate: Assignment, header: Header, config: ColorConfig) -> LoadedStyle:
    """A style image, taken as a painting of the plate is.

    Raises:
        ImageError: as of :func:`engine.optimize.style_inputs.read_style_image`.
        ColorError: its colorspace is not in the config.
    """
    image = read_style_image(style.path)
    color = painting_color(config, image.header, style.path, None, plate, header)
    encoded = shaper.encode(color.to_working(image, config))
    return LoadedStyle(
        encoded, style.weight, style.path, file_sha256(style.path), color.taken.colorspace, image.bad_pixels
    )


def _load_styles(
    job: StyleLookJob, reader: PlateReader, frame: int, config: ColorConfig, emit: Emit
) -> list[LoadedStyle]:
    read = reader.read(frame)
    taken = Assignment(read.space, "", "file")
    styles = [load_style(style, taken, read.image.header, config) for style in job.styles]
    for style in styles:
        if style.bad_pixels:
            text = f"{style.path}: {style.bad_pixels} pixels of the style image are NaN or Inf; filled from neighbors"
            emit({"event": "warning", "text": text})
    return styles


def _digest(job: StyleLookJob, styles: list[LoadedStyle], frames: ShotFrames) -> str:
    """SHA-256 over what makes two runs the same training, the length of the run aside."""
    features = Path(job.features)
    facts = [RECIPE, REVISION, job.style_scale, job.strength, job.steadiness, job.color, job.seed]
    facts.append(file_sha256(features) if features.is_file() else job.features)
    digest = hashlib.sha256(json.dumps(facts).encode())
    for style in styles:
        digest.update(f"{style.weight} {style.encoded.shape}".encode() + style.encoded.tobytes())
    for number, plate in sorted(frames.plates.items()):
        digest.update(f"{number} {tuple(plate.shape)}".encode() + plate.numpy().tobytes())
    return digest.hexdigest()


def _card(
    job: StyleLookJob,
    config: ColorConfig,
    styles: list[LoadedStyle],
    frames: ShotFrames,
    step: int,
    seconds: float,
    losses: Mapping[str, float],
) -> dict[str, Any]:
    """What a look says of its training; a training of a number of steps says no seconds, so that its bytes stay."""
    return {
        "name": job.look.stem,
        "working_colorspace": config.working,
        "ocio_config": config.name,
        "keyframes": [],
        "styles": [{"name": each.path.name, "image_sha256": each.sha256, "weight": each.weight} for each in styles],
        "trained": {
            "recipe": RECIPE,
            "steps": step,
            "seconds": round(seconds, 3) if job.steps is None else 0.0,
            "seed": job.seed,
            "loss": losses.get("loss", 0.0),
            "losses": {name: loss for name, loss in losses.items() if name != "loss"},
        },
        "plate_colorspace": frames.plate_space,
        "paint_colorspace": styles[0].colorspace,
    }


class _Strip:
    """The preview: the heaviest style image, then plate and result of the first and the last frame."""

    def __init__(self, job: StyleLookJob, config: ColorConfig, styles: list[LoadedStyle], frames: ShotFrames) -> None:
        self.path = job.work / "preview.png"
        self._config, self._showing = config, Showing.of(styles[0].colorspace, config)
        numbers = sorted(frames.plates)
        self._frames = [
            (number, central(frames.encoded(number))) for number in dict.fromkeys((numbers[0], numbers[-1]))
        ]
        style = max(styles, key=lambda each: each.weight).encoded
        height = self._frames[0][1].shape[0]
        width = max(1, round(style.shape[1] * height / style.shape[0]))
        style = cv2.resize(style, (min(width, 4 * height), height), interpolation=cv2.INTER_AREA)
        self._style = ("style image", self._shown(style))

    def write(self, net: nn.Module) -> None:
        """Refresh the strip on disk, atomically."""
        pictures = [self._style]
        for number, encoded in self._frames:
            pictures.append((f"plate, frame {number}", self._shown(encoded)))
            pictures.append((f"result on frame {number}", self._shown(reference(net, shaper.decode(encoded)))))
        write_strip(self.path, pictures)

    def _shown(self, encoded: Floats) -> Floats:
        return self._showing.shown(np.ascontiguousarray(shaper.decode(encoded)), self._config)


@dataclass
class _Run:
    """The loop's state."""

    job: StyleLookJob
    recipe: StyleRecipe
    emit: Emit
    clock: Clock
    folder: Path
    inputs_sha256: str
    rng: np.random.Generator
    strip: _Strip
    losses: dict[str, float] = field(default_factory=dict)

    def resume(self) -> None:
        """Go on from the checkpoint, where there is one."""
        state = load_checkpoint(self.folder, self.recipe, self.inputs_sha256)
        if state is None:
            self.emit({"event": "note", "text": "no checkpoint to resume from; training starts afresh"})
            return
        try:
            self.rng.bit_generator.state = state["random"]
            self.clock.resume(int(state["step"]), float(state["elapsed_s"]))
            self.losses = {str(name): float(loss) for name, loss in state["losses"].items()}
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise damaged(self.folder, f"{type(error).__name__} in its state") from error
        self.emit({"event": "note", "text": f"resumed at step {self.clock.step}, after {self.clock.spent_s:.0f} s"})

    def loop(self, stop: StopFlag) -> str:
        """Step until the budget is spent; returns how it ended."""
        self.clock.begin()
        now = began = time.perf_counter()
        next_report, next_checkpoint, next_preview = now, now + CHECKPOINT_EVERY_S, now
        losses: Mapping[str, Tensor] = {}
        stopped = "done"
        while not self.clock.is_over:
            if stop.exit_code:
                stopped = "interrupted"
                break
            losses = self.recipe.step(self.clock.progress)
            self.clock.step += 1
            now = time.perf_counter()
            if now >= next_report:
                self._report(losses)  # a sync point
                next_report = now + REPORT_EVERY_S
            if self.job.preview and now >= next_preview and not stop.exit_code:
                cost_s = self.refresh_preview()
                self.clock.reserve_s = self._export_s(cost_s)
                now = time.perf_counter()
                next_preview = now + next_preview_s(now - began, cost_s)
            if now >= next_checkpoint:
                self.checkpoint()
                next_checkpoint = time.perf_counter() + CHECKPOINT_EVERY_S
        if losses:
            self._report(losses)
        return stopped

    def refresh_preview(self) -> float:
        """Write the preview strip; returns its cost in seconds."""
        began = time.perf_counter()
        self.strip.write(self.recipe.result())
        self._tell(preview=str(self.strip.path))
        return time.perf_counter() - began

    def checkpoint(self) -> None:
        """Save what a run can go on from."""
        state = {
            "inputs_sha256": self.inputs_sha256,
            "step": self.clock.step,
            "elapsed_s": self.clock.elapsed_s,
            "recipe": RECIPE,
            "random": self.rng.bit_generator.state,
            "losses": self.losses,
        }
        self._tell(checkpoint=str(save_checkpoint(self.folder, self.recipe, state)))

    def _report(self, losses: Mapping[str, Tensor]) -> None:
        names = list(losses)
        values = torch.stack([losses[name].float() for name in names]).tolist()  # a sync point
        self.losses = dict(zip(names, values, strict=True))
        clock, left_s = self.clock, self.clock.left_s
        self.emit(
            {
                "event": "progress",
                "fraction": round(clock.progress, 4),
                "step": clock.step,
                "steps": self.job.steps,
                "loss": round(self.losses["loss"], 5),
                "steps_per_s": round(clock.steps_per_s, 2),
                "elapsed_s": round(clock.elapsed_s, 2),
                "left_s": None if left_s is None else round(left_s, 1),
            }
        )

    def _export_s(self, preview_s: float) -> float:
        """What export and last preview will take, by what a preview takes: it runs the network over two pictures."""
        height, width = self.recipe.frames.size
        shown = min(LARGEST[0], height) * min(LARGEST[1], width)
        return preview_s * (1 + 2 * min(CHECK_PIXELS, height * width) / shown) + _WRITING_S

    def _tell(self, **facts: str) -> None:
        self.emit({"event": "progress", "fraction": round(self.clock.progress, 4), **facts})


def main(arguments: list[str] | None = None) -> int:
    """Run a job file; events go to stdout, one JSON object a line. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m engine.optimize.feedforward.train", description="Train a look from style images."
    )
    parser.add_argument("--job", required=True, type=Path, help="the job, JSON")
    options = parser.parse_args(arguments)
    emit = open_events()
    stop = StopFlag()
    stop.install()
    # Loading torch is a part of what a person waits for.
    began_s = time.perf_counter() - max(0.0, time.time() - psutil.Process().create_time())
    return answer(
        lambda: train_style(StyleLookJob.load(options.job), emit, stop, began_s),
        emit,
        stop,
        lambda: StyleLookJob.load(options.job).device,
    )


if __name__ == "__main__":
    leave(main())
