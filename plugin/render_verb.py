"""``paintover render``: look and plate to frames."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from engine.color import ColorConfig
from engine.errors import ImageError, InputError, LookError
from engine.frames import FrameRange, SequencePath
from engine.provenance import file_sha256
from engine.render import RenderEvent, RenderReport, RenderSettings, read_card, render
from engine.shot import Plate, Shot
from engine.sidecar import find_sidecars, sidecar_path
from plugin.farm.arguments import add_expectations, add_resident, add_task
from plugin.farm.resident import render_resident
from plugin.options import (
    Options,
    Parser,
    add_color,
    add_frames_out,
    add_look,
    add_machine,
    add_plate,
    add_rendering,
    add_reporting,
    add_work,
)
from plugin.preflight import check_device, check_out, check_spaces
from plugin.prepare_options import add_denoise
from plugin.progress import Phase, Progress, counted_frames, duration
from plugin.request import carried_from, look_from, out_from, shot_from, sidecars_from, work_from
from plugin.stop import StopRequest
from plugin.training_record import trained_look

__all__ = ["parser", "render_frames", "render_phase", "run", "settings_of"]


def parser() -> Parser:
    """The options of ``paintover render``."""
    made = Parser(
        "render",
        "Renders any frames of a plate through a look, in any order, on any machine. Frames that are on disk, whole\n"
        "and made by the same look, settings and plate are skipped, so running it again completes a job.",
        examples=[
            "paintover render --look hero.onnx --plate plate.%04d.exr --frames 1001-1100x2 --work work \\",
            "    --out out.%04d.exr",
            "paintover render shot.toml --frames 1040-1060 --device cuda:1",
            "paintover render --look hero.onnx --plate plate.mov --out out.%04d.png --progress json",
            "paintover render shot.toml --shard 3/8 --timeout 120 --progress lines",
        ],
        shot_file=True,
    )
    add_look(made, "look.onnx in the work folder")
    add_plate(made)
    add_frames_out(made, "rendered frames: out.%%04d.exr, .png, .tif, .jpg or .dpx")
    add_work(made)
    add_rendering(made)
    add_denoise(made, "render the frames that prepare --denoise made; a look that was trained so does it by itself")
    add_color(made)
    add_machine(made)
    add_task(made, timeout=True)
    add_expectations(made)
    add_resident(made)
    add_reporting(made)
    return made


def run(options: Options, progress: Progress, stop: StopRequest) -> int:
    """Render what is not there yet."""
    if options.look is None and options.work is None and options.shot is None:
        raise InputError("--look is missing", remedy="name the .onnx to render with, or train one first")
    shot = shot_from(options, paintings=False)
    if options.shard is not None:
        part = options.shard.of(shot.plate.frames.frames)
        if not part:
            progress.note(f"shard {options.shard.index} of {options.shard.count}: no frame is left for it")
            return 0
        shot = replace(shot, plate=replace(shot.plate, frames=FrameRange(part)))
    _check_expected(shot, options)
    check_spaces(ColorConfig.active(), [shot.plate.colorspace, shot.out_colorspace])
    check_device(shot.device)
    _check_any_frame(shot.plate)
    check_out(out_from(options, shot), shot.plate)
    settings_of(shot, options)
    progress.plan([render_phase(shot, options)])
    render_frames(shot, options, progress, stop)
    progress.finish()
    return 0


def render_phase(shot: Shot, options: Options) -> Phase:
    """The part that rendering has in a plan."""
    frames = counted_frames(len(shot.plate.frames))
    return Phase("render", f"Rendering {frames} through {look_from(options, shot).name}", 3.0)


def settings_of(shot: Shot, options: Options) -> RenderSettings:
    """How to render.

    Raises:
        InputError: ``--carried`` with frames in a format without layers.
    """
    return RenderSettings(
        tile=shot.tile,
        device=shot.device,
        out_colorspace=shot.out_colorspace,
        carried_layer=carried_from(options, out_from(options, shot)),
        tensorrt=options.tensorrt,
        denoise=shot.denoise,
        threads=options.threads,
    )


def render_frames(shot: Shot, options: Options, progress: Progress, stop: StopRequest) -> RenderReport:
    """Render in the phase ``render`` of the plan.

    Raises:
        FrameFailures: some frames failed; the others are done.
        Interrupted: a stop was asked for; finished frames stay.
    """
    progress.begin("render")
    look = look_from(options, shot)
    watch = _Watch(progress, file_sha256(look))
    out = out_from(options, shot)
    if options.resident is not None:
        report = _through_worker(shot, options, Path(options.resident), watch)
        progress.note(_summary(out, report), {"rendered": len(report.done), "skipped": len(report.skipped)})
        return report
    with stop.cooperative():
        report = render(
            look,
            shot.plate,
            out,
            settings_of(shot, options),
            work=sidecars_from(options, shot),
            prepared=work_from(options, shot),
            recorded=options.expect_prepared,
            workers=0 if options.workers == 0 else shot.workers,
            timeout_s=options.timeout,
            overwrite=options.overwrite,
            progress=watch,
            stop=stop,
        )
    progress.note(_summary(out, report), {"rendered": len(report.done), "skipped": len(report.skipped)})
    return report


def _through_worker(shot: Shot, options: Options, address: Path, watch: _Watch) -> RenderReport:
    """Render by a resident worker; a signal leaves at once, and the worker stops when the connection ends.

    Raises:
        InputError: an option that has no meaning there.
        PaintoverError: see :func:`plugin.farm.resident.render_resident`.
    """
    if options.timeout is not None or options.workers is not None:
        remedy = "leave them out, or render without --resident"
        raise InputError("a resident worker takes no --timeout and no --workers", remedy=remedy)
    look = look_from(options, shot)
    return render_resident(
        address,
        look,
        read_card(look),
        shot.plate,
        out_from(options, shot),
        settings_of(shot, options),
        ocio=options.ocio,
        work=sidecars_from(options, shot),
        prepared=work_from(options, shot),
        recorded=options.expect_prepared,
        overwrite=options.overwrite,
        progress=watch,
    )


class _Watch:
    """Turns the renderer's events into progress: frames a second and time left count rendered frames only."""

    def __init__(self, progress: Progress, look_sha256: str) -> None:
        self._progress = progress
        self._look = look_sha256[:12]
        self._started_s = time.monotonic()
        self._rendered = 0

    def __call__(self, event: RenderEvent) -> None:
        if event.kind == "warning":
            self._progress.warn(event.message)
            return
        facts: dict[str, object] = {
            "frame": event.frame,
            "state": event.kind,
            "message": event.message,
            "path": str(event.path),
            "look": self._look,
            "count": event.count,
            "total": event.total,
        }
        what = f"{event.kind}, {event.message}" if event.message else event.kind
        self._progress.log(f"frame {event.frame}: {what} (look {self._look})")
        text = f"{event.count} of {event.total}"
        if event.kind == "done":
            self._rendered += 1
        elapsed_s = time.monotonic() - self._started_s
        if self._rendered and elapsed_s > 0:
            rate = self._rendered / elapsed_s
            left_s = (event.total - event.count) / rate
            facts |= {"frames_per_s": rate, "left_s": left_s}
            text += f", {rate:.2f} frames/s, {duration(left_s)} left"
        self._progress.update(event.count / event.total, text, facts)


def _summary(out: SequencePath, report: RenderReport) -> str:
    parts = [f"{len(report.done)} rendered in {duration(report.wall_s)}"]
    if report.skipped:
        parts.append(f"{len(report.skipped)} were already right")
    return f"{out}: {', '.join(parts)}"


def _check_expected(shot: Shot, options: Options) -> None:
    """What the frames are rendered with is what the job was planned with.

    On a shared disk a machine may see an earlier state for a while, and a copy may not be done: hence a retry may help.
    """
    look = look_from(options, shot)
    if options.expect_look is not None:
        expected = trained_look(work_from(options, shot)) if options.expect_look == "trained" else options.expect_look
        if expected is None or not look.is_file() or file_sha256(look) != expected.lower():
            known = "no training is on record" if expected is None else f"{expected[:12]} is expected"
            error = LookError(
                f"this is not the look of the job: {known}", path=look, remedy="train first, or wait for the copy"
            )
            error.exit_code = 1
            raise error
    keys = [keyframe.frame for keyframe in read_card(look).keyframes]
    work = sidecars_from(options, shot)
    if options.expect_stmaps and work is not None:
        for frame in shot.plate.frames:
            for key, path in zip(keys, find_sidecars(work, keys, frame), strict=True):
                if path is None:
                    raise _without_stmap(frame, key, work)


def _without_stmap(frame: int, key: int, work: Path) -> ImageError:
    error = ImageError(
        f"the STMap of keyframe {key} is missing", frame=frame, path=sidecar_path(work, key, frame), remedy="prepare it"
    )
    error.exit_code = 1
    return error


def _check_any_frame(plate: Plate) -> None:
    """A wrong pattern is one error; a missing frame among others fails alone, and the others render."""
    if plate.path.is_movie or any(plate.path.path(frame).is_file() for frame in plate.frames):
        return
    path = plate.path.path(plate.frames.first)
    found = plate.path.existing()
    remedy = f"on disk are frames {found}; check --frames" if found else "check --plate"
    raise ImageError(f"no frame of the plate is on disk for {plate.frames}", path=path, remedy=remedy)
