"""``python -m engine.optimize.stylize --job JOB.json``: keyframes from style images, one JSON event a line on stdout.

Stopping: the first Ctrl-C or SIGTERM ends between two evaluations and leaves a checkpoint; the second exits at once.
Every file is replaced atomically, so that a kill at any moment loses at most the time since the last checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from engine import images
from engine.base.errors import InputError, Interrupted
from engine.base.events import Emit, leave
from engine.base.foreign_json import parse_json
from engine.base.frames import SequencePath
from engine.base.stop_flag import StopFlag
from engine.base.temporaries import clean_temporaries, replacing
from engine.images.provenance import file_sha256
from engine.optimize.gatys import StyleLoss, optimize, pyramid_sizes
from engine.optimize.job import StyleJob
from engine.optimize.process import run_job
from engine.optimize.style_inputs import ShownFrame, StyleInputs, resized

__all__ = ["main", "stylize"]

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
    out = SequencePath.parse(job.out)
    inputs = StyleInputs.load(job)
    for folder in {job.folder, out.path(job.frames[0]).parent}:
        clean_temporaries(folder)
    run = _Run(job, emit, stop, inputs)
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
    inputs: StyleInputs

    def paint(self, frame: int, path: Path, count: int) -> None:
        """Optimize one frame and write it; the checkpoint goes when the painting is there."""
        job, inputs = self.job, self.inputs
        view = inputs.frame(frame, path)
        if view.bad_pixels:
            text = f"frame {frame}: {view.bad_pixels} pixels of the plate are NaN or Inf; filled from neighbors"
            self.emit({"event": "warning", "text": text})
        height, width = view.shown.shape[:2]
        digest = _digest(job, inputs, view)
        pictures = inputs.colored(view.shown)
        content = inputs.tensor(inputs.target(view.shown))
        x, place = self._start(content, frame, digest)
        sizes = pyramid_sizes(height, width)
        pixels = [high * wide for high, wide in sizes]
        for scale in range(place.scale, len(sizes)):
            size = sizes[scale]
            mask = None if view.matte is None else resized(inputs.tensor(view.matte[..., None]), size)
            here = resized(content, size)
            scaled = inputs.scaled_styles(pictures, size)
            thrifty = min(size) >= 256
            loss = StyleLoss(inputs.maps, here, scaled, mask, job.strength, thrifty=thrifty, layers=job.layers)
            x = resized(x, size)
            if mask is not None:
                x = here + (x - here) * (mask > 0)
            done = place.iteration if scale == place.scale else 0
            report = _Report(
                self, frame, count, scale, sizes, done, sum(pixels[:scale]) / sum(pixels), sum(pixels), digest
            )
            try:
                x, _ = optimize(
                    loss, x, job.iterations - done, weight=mask, report=report.chunk, check=report.check_stop
                )
            except _Stopped:
                report.keep(report.latest if report.latest is not None else x, report.done)
                message = f"stopped at frame {frame}, {report.done} of {job.iterations} iterations of scale {scale + 1}"
                raise Interrupted(message, exit_code=self.stop.exit_code, remedy="--resume goes on") from None
        inputs.write(path, x, view)
        (job.folder / CHECKPOINT).unlink(missing_ok=True)
        self.emit({"event": "progress", "fraction": (count + 1) / len(job.frames), "frame": frame, "path": str(path)})

    def _start(self, content: Tensor, frame: int, digest: str) -> tuple[Tensor, _Place]:
        """The plate with a little noise, else what a checkpoint of this frame holds."""
        found = load_checkpoint(self.job.folder, frame, digest) if self.job.resume else None
        if found is not None:
            x, place = found
            text = f"resumed frame {frame} at scale {place.scale + 1}, after {place.iteration} iterations"
            self.emit({"event": "note", "text": text})
            return x.to(self.inputs.machine.device), place
        generator = torch.Generator().manual_seed(self.job.seed)
        noise = torch.randn(content.shape, generator=generator).to(content)
        return content + NOISE * noise, _Place(frame, 0, 0)


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
    digest: str

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
            images.write(preview, self.run.inputs.picture(x), bit_depth="uint8")
            event["preview"] = str(preview)
            self._next_s = time.monotonic() + KEEP_EVERY_S
        self.run.emit(event)

    def keep(self, x: Tensor, done: int) -> None:
        """Leave a checkpoint."""
        # One iteration is left to do, so that a run that goes on has a scale to finish.
        place = _Place(self.frame, self.scale, min(done, self.run.job.iterations - 1))
        save_checkpoint(self.run.job.folder, x, place, self.digest)


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


def _digest(job: StyleJob, inputs: StyleInputs, view: ShownFrame) -> str:
    """SHA-256 over what makes two runs the same painting."""
    facts = [job.iterations, job.style_scale, job.strength, job.layers, job.color, job.seed, view.frame]
    features = Path(job.features)
    facts.append(file_sha256(features) if features.is_file() else job.features)
    digest = hashlib.sha256(json.dumps(facts).encode())
    for picture, share in inputs.styles:
        digest.update(f"{share} {picture.shape}".encode() + picture.tobytes())
    digest.update(f"{view.shown.shape}".encode() + view.shown.tobytes())
    digest.update(b"" if view.matte is None else view.matte.tobytes())
    return digest.hexdigest()


def main(arguments: list[str] | None = None) -> int:
    """Run a job file; events go to stdout, one JSON object a line. Returns the exit code."""

    def paint(path: Path, emit: Emit, stop: StopFlag) -> list[Path]:
        return stylize(StyleJob.load(path), emit, stop)

    return run_job(arguments, "engine.optimize.stylize", "Paint from style images.", paint)


if __name__ == "__main__":
    leave(main())
