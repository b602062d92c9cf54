"""``python -m engine.optimize.sequence.sequence --job JOB.json``: a shot from style images, steady in time.

After Ruder, Dosovitskiy and Brox 2016. One pass sweeps through the shot: a frame starts from the painted ones, warped,
and its loss holds it to them where the flow is consistent. Several passes start from frames that were painted alone, go
forward and backward in turn, and let each frame meet its neighbor halfway before it is optimized again.

Every frame of every pass is a file that is replaced whole, so a stop at any moment costs the frame in work alone.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine import images
from engine.base.arrays import Bytes, Floats
from engine.base.errors import ImageError, Interrupted
from engine.base.events import Emit, leave
from engine.base.frames import SequencePath
from engine.base.stop_flag import StopFlag
from engine.base.temporaries import clean_temporaries
from engine.images.provenance import file_sha256
from engine.motion.flow import luma8
from engine.motion.flow_files import FlowFiles
from engine.optimize.gatys import StyleLoss, optimize, pyramid_sizes
from engine.optimize.process import run_job
from engine.optimize.sequence.job import PREVIEW_SHRINK, STROKE_ITERATIONS_OF_FRAME, SequenceJob
from engine.optimize.sequence.shot_motion import ShotMotion
from engine.optimize.sequence.stored_frames import StoredFrames, rounded
from engine.optimize.sequence.stored_strokes import StoredStrokes
from engine.optimize.sequence.stroke_stage import StrokeStage
from engine.optimize.sequence.temporal import (
    MULTI_PASS,
    SWEEP,
    CarriedFrame,
    TemporalLoss,
    blended,
    carry,
)
from engine.optimize.style_inputs import ShownFrame, StyleInputs, resized
from engine.optimize.stylize import NOISE
from engine.shot.matte_reader import MatteReader
from engine.shot.plate import PlateReader

__all__ = ["main", "paint_sequence"]

METHOD = "sequence-2"
"""Changes when the same job would give other frames."""
_PREVIEW_EVERY_S = 10.0


def paint_sequence(job: SequenceJob, emit: Emit, stop: StopFlag | None = None) -> list[Path]:
    """Paint every frame of the job; returns the files that are written.

    Raises:
        Interrupted: a stop was asked for; the frames of passes that are done are kept.
        InputError, ImageError, ColorError, DeviceError: wrong input.
        OutputError: disk full or no permission.
    """
    inputs = StyleInputs.load(job, PREVIEW_SHRINK if job.preview else 1)
    return _Run(job, emit, stop or StopFlag(), inputs).all()


class _Run:
    """The work on one job."""

    def __init__(self, job: SequenceJob, emit: Emit, stop: StopFlag, inputs: StyleInputs) -> None:
        self.job, self.emit, self.stop, self.inputs = job, emit, stop, inputs
        self.out = SequencePath.parse(job.out)
        self.motion = ShotMotion(self._gray, _vectors(job))
        digests = _digests(job, inputs)
        self.stored = StoredFrames(job.folder / "frames", digests)
        self.coherence = SWEEP if job.passes == 1 else MULTI_PASS
        first = self._view(job.frames[0])
        self.size = first.shown.shape[:2]
        # Once for all: colors that follow each frame would flicker with it.
        self.pictures = inputs.colored(first.shown)
        self.strokes: StrokeStage | None = None
        if job.strokes:
            laid = StoredStrokes(job.folder / "strokes", digests)
            self.strokes = StrokeStage(inputs, job, self.motion, laid, self.pictures, self.size)
        sizes = [high * wide for high, wide in self.scales(1)]
        self.share_of_first = sum(sizes) / (sum(sizes) + sizes[-1] * (job.passes - 1))
        """Of the passes' work, the first: it alone may begin with coarse scales."""
        strokes = self.strokes.small[0] * self.strokes.small[1] * STROKE_ITERATIONS_OF_FRAME if self.strokes else 0
        self.share_of_strokes = strokes / (strokes + job.iterations * (sum(sizes) + sizes[-1] * (job.passes - 1)))
        """Of all the work."""
        self.warned: set[int] = set()

    def all(self) -> list[Path]:
        """Every pass over every frame."""
        job, written = self.job, []
        for folder in {job.folder, self.out.path(job.frames[0]).parent}:
            clean_temporaries(folder)
        if job.resume:
            self.stored.find()
            self._say_found()
        else:
            self.stored.forget()
            if self.strokes is not None:
                self.strokes.stored.forget()
        # A damaged frame or an empty matte is found now, not after hours.
        for frame in job.frames:
            self.check_stop(f"frame {frame}, before any work")
            self.view(frame)
        self._lay_strokes()
        for number in range(1, job.passes + 1):
            places = range(len(job.frames))
            for count, place in enumerate(places if number % 2 else reversed(places)):
                frame = job.frames[place]
                path = self.out.path(frame)
                last, known = number == job.passes, self.stored.passes[frame] >= number
                if known and (not last or path.is_file()):
                    continue
                pixels = self.stored.read(frame) if known else _Painting(self, number, place, count).run()
                done = {"event": "progress", "fraction": self.fraction(number, count + 1, 0.0), "frame": frame}
                if last:
                    self._finish(frame, path, rounded(pixels))
                    written.append(path)
                    done["path"] = str(path)
                # Last: what is stored as painted is written as well, whatever was there before.
                if not known:
                    self.stored.write(frame, number, pixels)
                self.emit(done)
        return written

    def scales(self, number: int) -> list[tuple[int, int]]:
        """Height and width of what a pass goes through: coarse scales only where it begins from the plate."""
        sizes = pyramid_sizes(*self.size)
        return sizes if number == 1 and self.strokes is None else sizes[-1:]

    def fraction(self, number: int, count: int, of_frame: float) -> float:
        """How much of all the work is done."""
        before = 0.0 if number == 1 else self.share_of_first
        later = (1 - self.share_of_first) / max(self.job.passes - 1, 1)
        before += later * max(number - 2, 0)
        here = self.share_of_first if number == 1 else later
        of_passes = min(before + here * (count + of_frame) / len(self.job.frames), 1.0)
        return round(self.share_of_strokes + (1 - self.share_of_strokes) * of_passes, 4)

    def check_stop(self, place: str) -> None:
        """Raises where a stop was asked for; ``place`` is what is in work."""
        if self.stop.exit_code:
            raise Interrupted(f"stopped at {place}", exit_code=self.stop.exit_code, remedy="--resume goes on")

    def _lay_strokes(self) -> None:
        """The strokes of every frame, where the job asks for strokes."""
        stage, frames = self.strokes, self.job.frames
        for place, frame in enumerate(frames if stage is not None else ()):
            if stage is None or (stage.stored.has(frame) and stage.stored.read(frame)):
                continue
            preview = _Preview(self)

            def report(done: int, loss: float, x: Tensor, place: int = place, preview: _Preview = preview) -> None:
                of_frame = (place + done / STROKE_ITERATIONS_OF_FRAME) / len(frames)
                facts = {"frame": frames[place], "scale": f"strokes at {x.shape[3]}x{x.shape[2]}", "iteration": done}
                facts |= {"iterations": STROKE_ITERATIONS_OF_FRAME, "loss": loss}
                fraction = round(self.share_of_strokes * of_frame, 4)
                self.emit({"event": "progress", "fraction": fraction, **facts, **preview.facts(x)})

            def check(frame: int = frame) -> None:
                self.check_stop(f"the strokes of frame {frame}")

            stage.paint(place, self.view(frame), report, check)

    def _finish(self, frame: int, path: Path, pixels: Floats) -> None:
        """Write a frame as a painting, and its strokes beside it."""
        view = self.view(frame)
        self.inputs.write(path, self.inputs.tensor(pixels), view)
        if self.strokes is not None:
            self.strokes.write_drawing(path.with_suffix(".svg"), view)

    def view(self, frame: int) -> ShownFrame:
        """A frame of the plate, of the size that the first one has.

        Raises:
            ImageError: it is missing, damaged, or of another size.
        """
        view = self._view(frame)
        if view.shown.shape[:2] != self.size:
            here, others = (f"{size[1]}x{size[0]}" for size in (view.shown.shape[:2], self.size))
            why, path = f"this frame is {here}, the first one {others}", self.job.plate_path.path(frame)
            raise ImageError(why, frame=frame, path=path, remedy="one shot has one size; leave the frame out")
        if view.bad_pixels and frame not in self.warned:
            self.warned.add(frame)
            text = f"frame {frame}: {view.bad_pixels} pixels of the plate are NaN or Inf; filled from neighbors"
            self.emit({"event": "warning", "text": text})
        return view

    def carried(self, number: int, place: int) -> list[CarriedFrame]:
        """What painted frames show of a frame; nothing in a pass that paints them alone.

        First those that this pass came by. What enters at a border they don't show; from the third pass on the next
        frame does, which the pass before, coming from there, painted with more of that surface in view and agreeing.
        """
        if number == 1 and self.job.passes > 1:
            return []
        frames, step = self.job.frames, 1 if number % 2 else -1
        offsets = [1, *sorted(self.job.long_term), *([-1] if number > 2 else [])]
        places = [place - step * offset for offset in offsets]
        near = [frames[other] for other in places if 0 <= other < len(frames)]
        motions = [self.motion.between(frames[place], other) for other in near]
        painted = [self.stored.read(other) for other in near]
        flows, trusts = [flow for flow, _ in motions], [trust for _, trust in motions]
        return carry(painted, flows, trusts, self.inputs.tensor, self.coherence.filter_)

    def _view(self, frame: int) -> ShownFrame:
        return self.inputs.frame(frame, self.out.path(frame))

    def _gray(self, frame: int) -> Bytes:
        return luma8(self.view(frame).shown)

    def _say_found(self) -> None:
        passes = self.stored.passes.values()
        if any(passes):
            of = f"{sum(passes)} of {len(passes) * self.job.passes} frames of passes"
            self.emit({"event": "note", "text": f"resumed: {of} are painted already and stay"})


class _Preview:
    """The picture in the work folder, now and then."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._next_s = time.monotonic() + _PREVIEW_EVERY_S

    def facts(self, x: Tensor) -> dict[str, str]:
        """Write pixels (1, 3, h, w) if it is time; returns what a progress event says of that."""
        if time.monotonic() < self._next_s:
            return {}
        path = self._run.job.folder / "preview.png"
        images.write(path, self._run.inputs.picture(x), bit_depth="uint8")
        self._next_s = time.monotonic() + _PREVIEW_EVERY_S
        return {"preview": str(path)}


class _Painting:
    """One frame of one pass."""

    def __init__(self, run: _Run, number: int, place: int, count: int) -> None:
        self.run_, self.number, self.count = run, number, count
        self.frame = run.job.frames[place]
        self.view = run.view(self.frame)
        self.carried = run.carried(number, place)
        self.preview = _Preview(run)

    def run(self) -> Floats:
        """Optimize; returns (H, W, 3), not clipped."""
        run, job, inputs = self.run_, self.run_.job, self.run_.inputs
        # The strokes are the content, so that strokes stay strokes.
        content = (
            inputs.tensor(inputs.target(self.view.shown)) if run.strokes is None else run.strokes.picture(self.frame)
        )
        x, sizes = self._start(content), run.scales(self.number)
        pixels = [high * wide for high, wide in sizes]
        for scale, size in enumerate(sizes):
            here, carried = resized(content, size), [each.at(size) for each in self.carried]
            matte = self.view.matte
            mask = None if matte is None else resized(inputs.tensor(matte[..., None]), size)
            x = blended(resized(x, size), carried, share=self.number > 1)
            if mask is not None:
                x = here + (x - here) * (mask > 0)
            styles = inputs.scaled_styles(run.pictures, size)
            loss = StyleLoss(
                inputs.maps,
                here,
                styles,
                mask,
                job.strength,
                thrifty=min(size) >= 256,
                layers=job.layers,
                margin_px=run.coherence.margin_px,
            )
            held = carried if self._is_held() else []
            base, share = sum(pixels[:scale]) / sum(pixels), pixels[scale] / sum(pixels)

            def report(
                done: int,
                loss: float,
                x: Tensor,
                size: tuple[int, int] = size,
                base: float = base,
                share: float = share,
            ) -> None:
                self._report(done, loss, x, size, base + share * done / job.iterations)

            loss_here = TemporalLoss(loss, held, run.coherence.weight)
            x, _ = optimize(loss_here, x, job.iterations, weight=mask, report=report, check=self._check_stop)
        return np.ascontiguousarray(x[0].permute(1, 2, 0).cpu().numpy())

    def _start(self, content: Tensor) -> Tensor:
        """What the pass before made; else the strokes; else the plate with a little noise, the same in every frame."""
        if self.number > 1:
            return self.run_.inputs.tensor(self.run_.stored.read(self.frame))
        if self.run_.strokes is not None:
            return content
        generator = torch.Generator().manual_seed(self.run_.job.seed)
        return content + NOISE * torch.randn(content.shape, generator=generator).to(content)

    def _is_held(self) -> bool:
        """Whether the loss counts what is carried: of several passes the second half, when frames agree roughly."""
        passes = self.run_.job.passes
        return passes == 1 or self.number > passes // 2

    def _check_stop(self) -> None:
        many = self.run_.job.passes > 1
        self.run_.check_stop(f"frame {self.frame}" + (f" of pass {self.number}" if many else ""))

    def _report(self, done: int, loss: float, x: Tensor, size: tuple[int, int], of_frame: float) -> None:
        run, job = self.run_, self.run_.job
        event: dict[str, object] = {
            "event": "progress",
            "fraction": run.fraction(self.number, self.count, of_frame),
            "frame": self.frame,
            "pass": self.number,
            "passes": job.passes,
            "scale": f"{size[1]}x{size[0]}",
            "iteration": done,
            "iterations": job.iterations,
            "loss": loss,
        }
        run.emit({**event, **self.preview.facts(x)})


def _vectors(job: SequenceJob) -> FlowFiles | None:
    """The motion vectors; None where motion is estimated.

    Raises:
        InputError: files that hold no vectors.
    """
    if job.vectors is None:
        return None
    backward = None if job.backward_vectors is None else SequencePath.parse(job.backward_vectors)
    return FlowFiles(SequencePath.parse(job.vectors), backward)


def _digests(job: SequenceJob, inputs: StyleInputs) -> dict[int, str]:
    """Of each frame SHA-256 over what makes two runs the same painting.

    Raises:
        ImageError: a frame of the plate, or its matte, is missing.
    """
    features = Path(job.features)
    facts = [
        METHOD,
        job.frames,
        job.passes,
        job.long_term,
        job.iterations,
        job.style_scale,
        job.strength,
        job.layers,
        job.color,
        job.seed,
        inputs.shrink,
        job.strokes,
        file_sha256(features) if features.is_file() else job.features,
        [(file_sha256(style.path), style.weight) for style in job.styles],
    ]
    plate = PlateReader(job.plate_path, job.plate_colorspace, inputs.config)
    mattes = None if job.matte is None else MatteReader(SequencePath.parse(job.matte), job.plate_path)
    files = _vectors(job)
    vectors = [path for path in (files.forward_path, files.backward_path) if path is not None] if files else []
    digests = {}
    for frame in job.frames:
        digest = plate.begin_digest(json.dumps(facts))
        digest.update(plate.sha256(frame).encode() + (b"" if mattes is None else mattes.sha256(frame).encode()))
        for path in vectors:
            file = path.path(frame)
            # The last frame has no next one, hence no vectors to it.
            digest.update(file_sha256(file).encode() if file.is_file() else b"none")
        digests[frame] = digest.hexdigest()
    return digests


def main(arguments: list[str] | None = None) -> int:
    """Run a job file; events go to stdout, one JSON object a line. Returns the exit code."""

    def paint(path: Path, emit: Emit, stop: StopFlag) -> list[Path]:
        return paint_sequence(SequenceJob.load(path), emit, stop)

    return run_job(arguments, "engine.optimize.sequence.sequence", "Paint a shot from style images.", paint)


if __name__ == "__main__":
    leave(main())
