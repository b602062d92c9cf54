"""``python -m engine.optimize.stylize --job JOB.json``: keyframes from style images, one JSON event a line on stdout.

Stopping: the first Ctrl-C or SIGTERM ends between two evaluations and leaves a checkpoint; the second exits at once.
Every file is replaced atomically, so that a kill at any moment loses at most the time since the last checkpoint.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from engine import images
from engine.base.arrays import Floats
from engine.base.errors import ImageError, InputError, Interrupted, PaintoverError
from engine.base.events import Emit, fail, leave, open_events
from engine.base.foreign_json import parse_json
from engine.base.frames import SequencePath
from engine.base.stop_flag import StopFlag
from engine.base.temporaries import clean_temporaries, replacing
from engine.color.config import ColorConfig
from engine.color.keys import KeyTransform, key_transform, write_key
from engine.color.showing import Showing
from engine.images.header import Header
from engine.images.provenance import file_sha256
from engine.optimize.colors import match_colors, match_lightness, with_lightness
from engine.optimize.gatys import CONTENT_LAYER, STYLE_LAYERS, StyleLoss, VggMaps, optimize, pyramid_sizes
from engine.optimize.job import StyleJob
from engine.shot.matte_reader import MatteReader
from engine.shot.plate import PlateReader
from engine.training.machine import Machine
from engine.training.model.features import DeepFeatures, load_features

__all__ = ["LEAST_SIDE_PX", "main", "stylize"]

LEAST_SIDE_PX = 32
"""Of plate and style images: below, the deepest features have two pixels."""
KEEP_EVERY_S = 10.0
"""Between checkpoints, and between previews."""
NOISE = 0.02
"""Deviation of the noise that is added to the plate to start from."""
CHECKPOINT = "checkpoint.safetensors"
_REMEDY = "run again without --resume to start afresh"


class _Stopped(Exception):
    """A stop was asked for."""


@dataclass(frozen=True)
class _Place:
    """How far a frame is: where a checkpoint goes on."""

    frame: int
    scale: int
    iteration: int


def stylize(job: StyleJob, emit: Emit, stop: StopFlag | None = None) -> list[Path]:
    """Paint every frame of the job; returns the files that are written.

    Raises:
        Interrupted: a stop was asked for; a checkpoint is left.
        InputError, ImageError, ColorError, DeviceError: wrong input.
        OutputError: disk full or no permission.
    """
    stop = stop or StopFlag()
    config = ColorConfig.active(job.ocio)
    machine = Machine.choose(job.device, job.threads)
    out = SequencePath.parse(job.out)
    styles = [(_style_picture(style.path, config), style.weight) for style in job.styles]
    maps = VggMaps(_features(job.features)).to(machine.device)
    for folder in {job.folder, out.path(job.frames[0]).parent}:
        clean_temporaries(folder)
    run = _Run(job, emit, stop, config, machine, maps, styles)
    written = []
    for count, frame in enumerate(job.frames):
        path = out.path(frame)
        if job.resume and path.is_file():
            emit({"event": "note", "text": f"{path}: frame {frame} is painted already and stays"})
            continue
        run.paint(frame, path, count)
        written.append(path)
    return written


@dataclass
class _Run:
    """The work on one job."""

    job: StyleJob
    emit: Emit
    stop: StopFlag
    config: ColorConfig
    machine: Machine
    maps: VggMaps
    styles: list[tuple[Floats, float]]

    def paint(self, frame: int, path: Path, count: int) -> None:
        """Optimize one frame and write it; the checkpoint goes when the painting is there."""
        job = self.job
        plate = PlateReader(job.plate_path, job.plate_colorspace, self.config).read(frame)
        transform = key_transform(plate.image, plate.path, frame, self.config, plate.space, path)
        transform = replace(transform, bit_depth="uint8")
        shown = np.ascontiguousarray(transform.shown(plate.image, self.config), np.float32)
        height, width = shown.shape[:2]
        if min(height, width) < LEAST_SIDE_PX:
            why = f"the plate is {width}x{height}, too small for a style image"
            raise ImageError(why, frame=frame, path=plate.path, remedy=f"its least side is {LEAST_SIDE_PX} pixels")
        matte = self._matte(frame, plate.image.header)
        inputs = _digest(job, transform, self.styles, shown, matte)
        pictures = [(_colored(style, shown, job.color), share) for style, share in self.styles]
        target = match_lightness(shown, shown) if job.color == "luminance" else shown
        content = self._tensor(target)
        x, place = self._start(content, frame, inputs)
        sizes = pyramid_sizes(height, width)
        pixels = [high * wide for high, wide in sizes]
        for scale in range(place.scale, len(sizes)):
            size = sizes[scale]
            mask = None if matte is None else _resized(self._tensor(matte[..., None]), size)
            here = _resized(content, size)
            scaled = self._scaled_styles(pictures, size)
            thrifty = min(size) >= 256
            loss = StyleLoss(self.maps, here, scaled, mask, job.strength, thrifty=thrifty, layers=job.layers)
            x = _resized(x, size)
            if mask is not None:
                x = here + (x - here) * (mask > 0)
            done = place.iteration if scale == place.scale else 0
            report = _Report(
                self, frame, count, scale, sizes, done, sum(pixels[:scale]) / sum(pixels), sum(pixels), inputs
            )
            try:
                x, _ = optimize(
                    loss, x, job.iterations - done, weight=mask, report=report.chunk, check=report.check_stop
                )
            except _Stopped:
                report.keep(report.latest if report.latest is not None else x, report.done)
                message = f"stopped at frame {frame}, {report.done} of {job.iterations} iterations of scale {scale + 1}"
                raise Interrupted(message, exit_code=self.stop.exit_code, remedy="--resume goes on") from None
        painted = self.picture(x)
        if job.color == "luminance":
            painted = with_lightness(shown, painted)
        if matte is not None:
            painted = shown + (painted - shown) * matte[..., None]
        write_key(path, painted, transform, self.config)
        (job.folder / CHECKPOINT).unlink(missing_ok=True)
        self.emit({"event": "progress", "fraction": (count + 1) / len(job.frames), "frame": frame, "path": str(path)})

    def _start(self, content: Tensor, frame: int, inputs: str) -> tuple[Tensor, _Place]:
        """The plate with a little noise, else what a checkpoint of this frame holds."""
        found = load_checkpoint(self.job.folder, frame, inputs) if self.job.resume else None
        if found is not None:
            x, place = found
            text = f"resumed frame {frame} at scale {place.scale + 1}, after {place.iteration} iterations"
            self.emit({"event": "note", "text": text})
            return x.to(self.machine.device), place
        generator = torch.Generator().manual_seed(self.job.seed)
        noise = torch.randn(content.shape, generator=generator).to(content)
        return content + NOISE * noise, _Place(frame, 0, 0)

    def _matte(self, frame: int, header: Header) -> Floats | None:
        if self.job.matte is None:
            return None
        reader = MatteReader(SequencePath.parse(self.job.matte), self.job.plate_path)
        matte = reader.fitted(frame, header, header.display)
        if float(matte.max()) < 0.5 / 255:
            path = reader.path.path(frame)
            raise ImageError("empty matte", frame=frame, path=path, remedy="paint some of it")
        return matte

    def _scaled_styles(self, pictures: list[tuple[Floats, float]], size: tuple[int, int]) -> list[tuple[Tensor, float]]:
        """The style images at one scale of the frame, and their shares, which sum to 1."""
        total = sum(share for _, share in pictures)
        scaled = []
        for picture, share in pictures:
            high, wide = picture.shape[:2]
            factor = max(size) * self.job.style_scale / max(high, wide)
            own = (max(LEAST_SIDE_PX, round(high * factor)), max(LEAST_SIDE_PX, round(wide * factor)))
            scaled.append((_resized(self._tensor(picture), own), share / total))
        return scaled

    def _tensor(self, picture: Floats) -> Tensor:
        return (
            torch.from_numpy(np.ascontiguousarray(picture, np.float32))
            .permute(2, 0, 1)[None]
            .contiguous()
            .to(self.machine.device)
        )

    def picture(self, x: Tensor) -> Floats:
        """Pixels (1, 3, H, W) as a picture (H, W, 3) in 0..1."""
        return np.ascontiguousarray(x[0].clamp(0, 1).permute(1, 2, 0).cpu().numpy())


@dataclass
class _Report:
    """What one scale says and keeps while it runs."""

    run: _Run
    frame: int
    count: int
    scale: int
    sizes: list[tuple[int, int]]
    before: int
    """Iterations of this scale that a resumed run had done."""
    base: float
    """Share of the frame's work that coarser scales were."""
    total: int
    inputs: str

    def __post_init__(self) -> None:
        self.done = self.before
        self.latest: Tensor | None = None
        self._next_s = time.monotonic() + (KEEP_EVERY_S if self.scale else 0.0)

    def check_stop(self) -> None:
        """Raises where a stop was asked for."""
        if self.run.stop.exit_code:
            raise _Stopped

    def chunk(self, done: int, loss: float, x: Tensor) -> None:
        """Say how far it is; from time to time leave a checkpoint and a preview."""
        self.done, self.latest = self.before + done, x.clone()
        job, (height, width) = self.run.job, self.sizes[self.scale]
        share = self.base + height * width / self.total * self.done / job.iterations
        event = {
            "event": "progress",
            "fraction": round((self.count + share) / len(job.frames), 4),
            "frame": self.frame,
            "scale": f"{width}x{height}",
            "iteration": self.done,
            "iterations": job.iterations,
            "loss": loss,
        }
        if time.monotonic() >= self._next_s:
            self.keep(x, self.done)
            preview = job.folder / "preview.png"
            images.write(preview, self.run.picture(x), bit_depth="uint8")
            event["preview"] = str(preview)
            self._next_s = time.monotonic() + KEEP_EVERY_S
        self.run.emit(event)

    def keep(self, x: Tensor, done: int) -> None:
        """Leave a checkpoint."""
        # One iteration is left to do, so that a run that goes on has a scale to finish.
        place = _Place(self.frame, self.scale, min(done, self.run.job.iterations - 1))
        save_checkpoint(self.run.job.folder, x, place, self.inputs)


def save_checkpoint(folder: Path, x: Tensor, place: _Place, inputs_sha256: str) -> None:
    """Write the pixels and how far they are, in one file that is replaced whole.

    Raises:
        OutputError: it cannot be written.
    """
    pixels = x.detach().cpu().contiguous()
    facts = {
        "frame": place.frame,
        "scale": place.scale,
        "iteration": place.iteration,
        "inputs_sha256": inputs_sha256,
        "pixels_sha256": hashlib.sha256(pixels.numpy().tobytes()).hexdigest(),
    }
    with replacing(folder / CHECKPOINT) as temporary:
        temporary.write_bytes(save({"pixels": pixels}, metadata={"paintover": json.dumps(facts)}))


def load_checkpoint(folder: Path, frame: int, inputs_sha256: str) -> tuple[Tensor, _Place] | None:
    """The pixels and how far they are; None where there is no checkpoint, or it is another frame's.

    Raises:
        InputError: it is damaged, or was made from something else.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            facts = parse_json((file.metadata() or {})["paintover"], 2**16)
            pixels = file.get_tensor("pixels")
        place = _Place(int(facts["frame"]), int(facts["scale"]), int(facts["iteration"]))
        if facts["pixels_sha256"] != hashlib.sha256(pixels.numpy().tobytes()).hexdigest():
            raise ValueError("its pixels have changed")
        if pixels.dtype is not torch.float32 or pixels.ndim != 4 or place.scale < 0 or place.iteration < 0:
            raise ValueError("its values make no sense")
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, MemoryError, OverflowError) as error:
        why = f"the checkpoint is damaged: {str(error)[:200]}"
        raise InputError(why, path=path, remedy=_REMEDY) from error
    if place.frame != frame:
        return None
    if facts.get("inputs_sha256") != inputs_sha256:
        why = "the checkpoint was made from another plate, style image or setting"
        raise InputError(why, path=path, remedy=_REMEDY)
    return pixels, place


def _features(source: str) -> DeepFeatures:
    try:
        return load_features(source, (*STYLE_LAYERS, CONTENT_LAYER))
    except InputError as error:
        error.remedy = "give a .safetensors or .pth file of VGG-16 or VGG-19"
        raise


def _colored(style: Floats, plate: Floats, mode: str) -> Floats:
    if mode == "histogram":
        return match_colors(style, plate)
    return match_lightness(style, plate) if mode == "luminance" else style


def _style_picture(path: Path, config: ColorConfig) -> Floats:
    """A style image as a person sees it, (H, W, 3) in sRGB, 0..1."""
    image = images.read(path)
    if image.bad_pixels:
        why = f"{image.bad_pixels} pixels of the style image are NaN or Inf"
        raise ImageError(why, path=path, remedy="write it again without them")
    high, wide = image.rgb.shape[:2]
    if min(high, wide) < LEAST_SIDE_PX:
        why = f"the style image is {wide}x{high}, too small to learn from"
        raise ImageError(why, path=path, remedy=f"its least side is {LEAST_SIDE_PX} pixels, some hundreds are better")
    return Showing.default(config).picture(image.rgb, image.header, path, config)


def _digest(
    job: StyleJob, transform: KeyTransform, styles: list[tuple[Floats, float]], shown: Floats, matte: Floats | None
) -> str:
    """SHA-256 over what makes two runs the same painting."""
    facts = [job.iterations, job.style_scale, job.strength, job.layers, job.color, job.seed, transform.frame]
    features = Path(job.features)
    facts.append(file_sha256(features) if features.is_file() else job.features)
    digest = hashlib.sha256(json.dumps(facts).encode())
    for picture, share in styles:
        digest.update(f"{share} {picture.shape}".encode() + picture.tobytes())
    digest.update(f"{shown.shape}".encode() + shown.tobytes() + (b"" if matte is None else matte.tobytes()))
    return digest.hexdigest()


def _resized(picture: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(picture.shape[2:]) == size:
        return picture
    return F.interpolate(picture, size=size, mode="bilinear", antialias=True, align_corners=False)


def main(arguments: list[str] | None = None) -> int:
    """Run a job file; events go to stdout, one JSON object a line. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m engine.optimize.stylize", description="Paint from style images.")
    parser.add_argument("--job", required=True, type=Path, help="the job, JSON")
    options = parser.parse_args(arguments)
    emit = open_events()
    stop = StopFlag()
    stop.install()
    try:
        written = stylize(StyleJob.load(options.job), emit, stop)
        emit({"event": "finished", "paths": [str(path) for path in written]})
    except Interrupted as error:
        return error.exit_code
    except PaintoverError as error:
        return fail(emit, error)
    except (RuntimeError, MemoryError) as error:
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        remedy = ""
        if "out of memory" in str(error).lower() or isinstance(error, MemoryError):
            message, remedy = "out of memory", "use --device cpu or a smaller plate"
        return fail(emit, PaintoverError(message, remedy=remedy))
    return 0


if __name__ == "__main__":
    leave(main())
