"""Render and verify: a plate through a look, frames in, frames out; what is already right is skipped.

Neither the order of frames, nor the number of workers, threads or frames in flight changes a byte.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from engine import images
from engine.base.errors import ColorError, FrameFailures, InputError, Interrupted, NoPermissionError, OutputError
from engine.base.frames import FrameRange, SequencePath
from engine.base.machine import cpu_count
from engine.base.temporaries import output_error
from engine.color.config import ColorConfig
from engine.look.card import open_look
from engine.look.session import Look, read_card
from engine.motion.stmap import sidecar_path
from engine.rendering.expected_provenance import ExpectedProvenance
from engine.rendering.frame_inputs import FrameInputs
from engine.rendering.pipeline import FrameResult, Pipeline, RenderJob
from engine.rendering.settings import RenderSettings
from engine.rendering.verify import VerifyReport, verify_frames
from engine.rendering.workers import WorkerPool, workers_for
from engine.shot.shot import Plate, refuse_overwriting

__all__ = [
    "RenderEvent",
    "RenderReport",
    "RenderSettings",
    "Stop",
    "VerifyReport",
    "read_card",
    "render",
    "sidecar_path",
    "verify",
]

log = logging.getLogger(__name__)

Stop = threading.Event | Callable[[], bool]
"""Asked often; once set or true, work ends within moments and finished frames stay."""


@dataclass(frozen=True)
class RenderEvent:
    """One thing that happened, reported from the thread that called :func:`render`."""

    kind: str
    """done, skipped, failed or warning."""
    frame: int | None
    message: str
    """What failed or is remarkable; empty for done and skipped."""
    path: Path | None
    """The output file."""
    count: int
    """Frames that are settled so far, in whatever way."""
    total: int
    """Frames of the whole job."""


@dataclass
class RenderReport:
    """What a job did; complete when :func:`render` returns."""

    look_sha256: str
    settings_hash: str
    done: list[int] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    """Frames that were already right."""
    failed: dict[int, str] = field(default_factory=dict)
    bad_pixels: dict[int, int] = field(default_factory=dict)
    """NaN and Inf pixels of the plate, for frames that have any."""
    warnings: list[str] = field(default_factory=list)
    read_s: float = 0.0
    """Seconds of reading, summed over frames; frames overlap, so the sum may exceed ``wall_s``."""
    infer_s: float = 0.0
    """Seconds inside the session, summed over threads."""
    write_s: float = 0.0
    wall_s: float = 0.0


def render(
    look: str | Path | Look,
    plate: Plate,
    out: SequencePath | str | Path,
    settings: RenderSettings | None = None,
    *,
    work: str | Path | None = None,
    prepared: str | Path | None = None,
    recorded: bool = False,
    workers: int = 1,
    timeout_s: float | None = None,
    overwrite: bool = False,
    progress: Callable[[RenderEvent], None] | None = None,
    stop: Stop | None = None,
) -> RenderReport:
    """Render every frame of a plate; frames that are right already are skipped.

    Args:
        look: the ``.onnx`` file; or a look that somebody keeps loaded, for one process. After :class:`Interrupted` its
            owner must :meth:`~engine.look.session.Look.revive` it.
        plate: which frames, and in what colorspace; :meth:`~engine.shot.shot.Plate.of` makes one.
        out: where to, as a pattern such as ``out.%04d.exr``; its folder is created.
        settings: None for the defaults.
        work: folder with STMap sidecars; frames without one render as well.
        prepared: folder with guide images and denoised frames, for a look or settings that need them; None for
            ``work``.
        recorded: fail a frame whose STMaps, guide image or denoised frame are not as they were prepared, with exit
            code 1; see :mod:`engine.preparation.hash_records`.
        workers: processes. One uses every core already; more are for several GPUs, or to survive crashes. 0 is one
            for each GPU, else as many as cores and memory serve.
        timeout_s: seconds after which a frame fails, where frames in flight share their process's time; see
            :class:`engine.rendering.frame_clock.FrameClock`. The process is ended, and another one goes on. None for
            no limit.
        overwrite: render again what is already right.
        progress: called with each event, from this thread.
        stop: asked often.

    Raises:
        InputError: an argument of the wrong kind, output onto the plate, a movie as output, the look needs a work
            folder, or a loaded look together with more workers or a time limit.
        ImageError: no frame has the guide image or the denoised frame that it needs.
        LookError: not a look, or it changed while rendering.
        ColorError: a colorspace is not in the active OCIO config.
        DeviceError: the device is not usable or out of memory.
        OutputError: disk full, or no permission; the rest is not tried.
        FrameFailures: some frames failed and the others are done. Exit code 2 where every cause is a wrong input.
        Interrupted: stopped; finished frames stay.
    """
    started = time.perf_counter()
    loaded = look if isinstance(look, Look) else None
    _check_kinds(look, plate, settings, plate_needed=True)
    if loaded is not None and loaded.closed:
        raise InputError("the look is closed", path=loaded.path, remedy="load it again")
    if loaded is not None and (workers != 1 or timeout_s is not None):
        remedy = "name its file to render in other processes"
        raise InputError("a loaded look renders in this process, without a time limit", path=loaded.path, remedy=remedy)
    if workers < 0 or (timeout_s is not None and timeout_s <= 0):
        remedy = "use 0 or more workers, and a limit over 0 s or None"
        raise InputError(f"nothing renders with {workers} workers and a limit of {timeout_s} s", remedy=remedy)
    settings = settings or RenderSettings()
    path = look.path if isinstance(look, Look) else Path(look)
    out = SequencePath.of(out)
    job = _job(path, plate, out, settings, _folder(work), _folder(prepared), recorded, overwrite, loaded)
    matte = job.settings.matte
    refuse_overwriting(job.out, job.plate, matte=None if matte is None else SequencePath.parse(matte))
    _prepare_folder(job.out.folder)
    images.clean_temporaries(job.out.folder)
    tally = _Tally(RenderReport(job.look_sha256, job.settings_hash), job, progress)
    asked = _asking(stop)
    threads = settings.threads or cpu_count()
    workers = min(workers or workers_for(job, threads), len(plate.frames))
    try:
        if workers > 1 or timeout_s is not None:
            WorkerPool(job, workers=workers, threads=threads, timeout_s=timeout_s).run(tally.add, asked)
        else:
            _in_this_process(job, threads, tally.add, asked, loaded)
    except Interrupted as error:
        settled = len(tally.report.done) + len(tally.report.skipped)
        raise Interrupted(
            f"stopped with {settled} of {len(plate.frames)} frames done",
            exit_code=error.exit_code,
            remedy="run again to render the rest",
        ) from error
    finally:
        tally.report.wall_s = time.perf_counter() - started
        log.debug("%s", tally.report)
    if tally.report.failed:
        raise tally.failures()
    return tally.report


def verify(
    look: str | Path | Look,
    frames: FrameRange | str | int | Iterable[int],
    out: SequencePath | str | Path,
    settings: RenderSettings | None = None,
    *,
    plate: Plate | None = None,
    work: str | Path | None = None,
    prepared: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    stop: Stop | None = None,
) -> VerifyReport:
    """Check that every frame exists, decodes in full and was made by this look.

    Args:
        look: the ``.onnx`` file, or a look that is loaded.
        frames: those to check, such as ``"1001-1100"``.
        out: where they are, as a pattern.
        settings: compared too where given; the plate's colorspace is part of them.
        plate: where given, each frame must come from the plate as it is now, from the sidecars in ``work``, and from
            the guide images and denoised frames in ``prepared`` where the look needs them.
        progress: called with how many frames are checked, and of how many.
        stop: asked often.

    Raises:
        InputError: an argument of the wrong kind, or the look needs a work folder.
        LookError: not a look.
        VerifyError: names what is missing, damaged and foreign as compact ranges.
        Interrupted: stopped.
    """
    _check_kinds(look, plate, settings, plate_needed=False)
    file = look if isinstance(look, Look) else open_look(look)
    wanted = FrameRange.of(frames)
    expected = ExpectedProvenance.of(file, settings, plate, _folder(work), _folder(prepared), ColorConfig.active())
    verify_frames(SequencePath.of(out), wanted, expected, color=expected.color, progress=progress, stop=_asking(stop))
    return VerifyReport(wanted, file.sha256, expected.common.get("settings"))


class _Tally:
    """Counts what happened and passes it on."""

    def __init__(self, report: RenderReport, job: RenderJob, progress: Callable[[RenderEvent], None] | None) -> None:
        self.report = report
        self._job = job
        self._progress = progress
        self._exit_codes: set[int] = set()

    def add(self, result: FrameResult) -> None:
        report = self.report
        if result.state == "failed":
            report.failed[result.frame] = result.message
            self._exit_codes.add(result.exit_code)
        else:
            (report.done if result.state == "done" else report.skipped).append(result.frame)
        report.read_s += result.read_s
        report.infer_s += result.infer_s
        report.write_s += result.write_s
        if result.bad_pixels:
            report.bad_pixels[result.frame] = result.bad_pixels
        for warning in result.warnings:
            report.warnings.append(warning)
            self._tell("warning", result.frame, warning)
        self._tell(result.state, result.frame, result.message)

    def failures(self) -> FrameFailures:
        failed = self.report.failed
        frames = FrameRange(tuple(failed))
        first = failed[frames.first]
        return FrameFailures(
            f"{len(failed)} of {len(self._job.plate.frames)} frames failed ({frames}); {first}",
            dict(sorted(failed.items())),
            exit_code=2 if self._exit_codes == {2} else 1,
        )

    def _tell(self, kind: str, frame: int, message: str) -> None:
        if self._progress is not None:
            report = self.report
            count = len(report.done) + len(report.skipped) + len(report.failed)
            total = len(self._job.plate.frames)
            self._progress(RenderEvent(kind, frame, message, self._job.out.path(frame), count, total))


def _job(
    look: Path,
    plate: Plate,
    out: SequencePath,
    settings: RenderSettings,
    work: Path | None,
    prepared: Path | None,
    recorded: bool,
    overwrite: bool,
    loaded: Look | None,
) -> RenderJob:
    file = loaded or open_look(look)
    config = ColorConfig.active()
    try:
        config.resolve(file.card.working_colorspace)
    except ColorError as error:
        raise ColorError(
            f'the look works in "{file.card.working_colorspace}", which the OCIO config {config.name} does not have',
            path=look,
            remedy=f"set $OCIO to the config it was trained with ({file.card.ocio_config or 'not recorded'})",
        ) from error
    FrameInputs.of(file.card, plate.path, work, prepared, settings.denoise).require_any(plate.frames)
    settings = settings.without_own_denoise(file.card.denoise)
    if settings.matte is not None:
        settings = replace(settings, matte=_absolute(SequencePath.parse(settings.matte)).text)
    return RenderJob(
        look=look.absolute(),
        look_sha256=file.sha256,
        plate=Plate(_absolute(plate.path), plate.frames, plate.colorspace),
        out=_absolute(out),
        settings=settings,
        settings_hash=settings.hash(plate_colorspace=plate.colorspace, config=config.name),
        work=None if work is None else Path(work).absolute(),
        overwrite=overwrite,
        prepared=None if prepared is None else Path(prepared).absolute(),
        recorded=recorded,
    )


def _check_kinds(look: object, plate: object, settings: object, *, plate_needed: bool) -> None:
    """Name the argument that is something else than it should be, before anything fails inside.

    Raises:
        InputError: one is.
    """
    remedies = {
        "look": (look, str | Path | Look, "name an .onnx file, or give a loaded look"),
        "plate": (plate, Plate if plate_needed else Plate | None, 'use Plate.of("plate.%04d.exr", "1001-1100")'),
        "settings": (settings, RenderSettings | None, "use RenderSettings(...)"),
    }
    for name, (given, kinds, remedy) in remedies.items():
        if not isinstance(given, kinds):
            raise InputError(f"the {name} given is a {type(given).__name__}", remedy=remedy)


def _folder(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)


def _in_this_process(
    job: RenderJob, threads: int, report: Callable[[FrameResult], None], stop: Callable[[], bool], loaded: Look | None
) -> None:
    pipeline = Pipeline(job, threads=threads, look=loaded)
    frames: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    for frame in (*job.plate.frames, None):
        frames.put(frame)
    try:
        pipeline.run(frames, report, stop)
    finally:
        pipeline.close()


def _prepare_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if isinstance(error, FileExistsError | NotADirectoryError):
            raise OutputError("the output folder is a file", path=folder, remedy="choose another --out") from error
        raise output_error(folder, error) from error
    if not os.access(folder, os.W_OK):
        raise NoPermissionError("no permission to write here", path=folder, remedy="choose another output folder")


def _absolute(path: SequencePath) -> SequencePath:
    return SequencePath.parse(Path(path.text).absolute()).with_layer(path.layer)


def _asking(stop: Stop | None) -> Callable[[], bool]:
    if stop is None:
        return lambda: False
    return stop.is_set if isinstance(stop, threading.Event) else stop
