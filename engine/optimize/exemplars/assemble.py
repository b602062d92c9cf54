"""``python -m engine.optimize.exemplars.assemble --job JOB.json``: keyframes from several painted frames.

One JSON event a line on stdout. Ctrl-C or SIGTERM ends between two steps of a frame; the second one at once. A frame
is written whole or not at all, and takes seconds: to go on is to leave alone the frames that are there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from engine.base.arrays import Floats
from engine.base.errors import ImageError, Interrupted
from engine.base.events import Emit, leave
from engine.base.frames import SequencePath
from engine.base.machine import cpu_count
from engine.base.stop_flag import StopFlag
from engine.base.temporaries import clean_temporaries
from engine.color.config import ColorConfig
from engine.color.keys import key_transform, write_key
from engine.images.header import Header
from engine.optimize.exemplars.assembly import Assembled, assemble
from engine.optimize.exemplars.job import ExemplarJob
from engine.optimize.exemplars.labels_sheet import misfit_words, write_labels_sheet
from engine.optimize.exemplars.pictures import LEAST_SIDE_PX, ExemplarPicture, load_exemplar
from engine.optimize.process import run_job
from engine.shot.matte_reader import MatteReader
from engine.shot.plate import PlateReader

__all__ = ["main", "paint_from_exemplars"]

_WORTH_SAYING = 0.005
"""Share of the frame that no exemplar fits, from which it is said."""


def paint_from_exemplars(job: ExemplarJob, emit: Emit, stop: StopFlag | None = None) -> list[Path]:
    """Put together every frame of the job; returns the files that are written.

    Raises:
        Interrupted: a stop was asked for.
        InputError, ImageError, ColorError: wrong input.
        OutputError: disk full or no permission.
    """
    stop = stop or StopFlag()
    config = ColorConfig.active(job.ocio)
    out = SequencePath.parse(job.out)
    for folder in {job.folder, out.path(job.frames[0]).parent}:
        clean_temporaries(folder)
    written = []
    exemplars: list[ExemplarPicture] = []
    for count, frame in enumerate(job.frames):
        path = out.path(frame)
        if job.resume and path.is_file():
            emit({"event": "note", "text": f"{path}: frame {frame} is painted already and stays"})
            continue
        exemplars = _paint(job, frame, path, exemplars, config, emit, stop, count)
        written.append(path)
        done = {"fraction": (count + 1) / len(job.frames), "frame": frame, "path": str(path)}
        emit({"event": "progress", **done, "labels": str(job.labels_path(frame))})
    return written


def _paint(
    job: ExemplarJob,
    frame: int,
    path: Path,
    exemplars: list[ExemplarPicture],
    config: ColorConfig,
    emit: Emit,
    stop: StopFlag,
    count: int,
) -> list[ExemplarPicture]:
    """Write one frame and its labels; returns the exemplars, which the next frame takes where its size is the same."""
    plate = PlateReader(job.plate_path, job.plate_colorspace, config).read(frame)
    if plate.image.bad_pixels:
        why = f"{plate.image.bad_pixels} pixels of the plate are NaN or Inf"
        emit({"event": "warning", "text": f"frame {frame}: {why}; filled from neighbors"})
    transform = replace(key_transform(plate.image, plate.path, frame, config, plate.space, path), bit_depth="uint8")
    shown = np.ascontiguousarray(transform.shown(plate.image, config), np.float32)
    height, width = shown.shape[:2]
    if min(height, width) < LEAST_SIDE_PX:
        why = f"the plate is {width}x{height}, too small to be put together from patches"
        raise ImageError(why, frame=frame, path=plate.path, remedy=f"its least side is {LEAST_SIDE_PX} pixels")
    matte = _matte(job, frame, plate.image.header)
    if not exemplars or max(exemplars[0].plate.shape[:2]) != max(height, width):
        exemplars = [load_exemplar(each, max(height, width), config, job.colorspace_of(each)) for each in job.exemplars]

    def check() -> None:
        if stop.exit_code:
            raise Interrupted(f"stopped at frame {frame}", exit_code=stop.exit_code, remedy="--resume goes on")

    def report(done: float, what: str) -> None:
        fraction = round((count + done) / len(job.frames), 4)
        emit({"event": "progress", "fraction": fraction, "frame": frame, "what": what})

    found = assemble(shown, exemplars, seed=job.seed, threads=job.threads or cpu_count(), check=check, report=report)
    painted = found.painting if matte is None else shown + (found.painting - shown) * matte[..., None]
    _say(found, matte, frame, exemplars, emit)
    check()
    write_labels_sheet(job.labels_path(frame), shown, replace(found, painting=painted), exemplars, frame)
    write_key(path, painted, transform, config)
    return exemplars


def _say(
    found: Assembled, matte: Floats | None, frame: int, exemplars: list[ExemplarPicture], emit: Callable[..., None]
) -> None:
    """Which exemplars served, and where none fits; of what the matte shows."""
    counts = np.ones(found.misfit.shape, bool) if matte is None else matte > 0.5
    total = max(int(counts.sum()), 1)
    shares = [int((counts & (found.numbers == number)).sum()) / total for number in range(len(exemplars))]
    parts = ", ".join(f"{each.name} {share:.0%}" for each, share in zip(exemplars, shares, strict=True))
    emit({"event": "note", "text": f"frame {frame}: {parts}", "energy": found.energy, "greedy": found.greedy})
    misfit = found.misfit & counts
    share = int(misfit.sum()) / total
    if share >= _WORTH_SAYING:
        what = f"no exemplar shows what {share:.1%} of it shows, mostly {misfit_words(misfit)}"
        emit({"event": "warning", "text": f"frame {frame}: {what}; give an exemplar that does", "share": share})


def _matte(job: ExemplarJob, frame: int, header: Header) -> Floats | None:
    if job.matte is None:
        return None
    reader = MatteReader(SequencePath.parse(job.matte), job.plate_path)
    matte = reader.fitted(frame, header, header.display)
    if float(matte.max()) < 0.5 / 255:
        path = reader.path.path(frame)
        raise ImageError("empty matte", frame=frame, path=path, remedy="paint some of it")
    return matte


def main(arguments: list[str] | None = None) -> int:
    """Run a job file; events go to stdout, one JSON object a line. Returns the exit code."""
    return run_job(
        arguments,
        "engine.optimize.exemplars.assemble",
        "Paint from several exemplars.",
        lambda path, emit, stop: paint_from_exemplars(ExemplarJob.load(path), emit, stop),
    )


if __name__ == "__main__":
    leave(main())
