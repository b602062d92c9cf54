"""``paintover render``: look and plate to frames."""

from __future__ import annotations

import time

from engine.color import ColorConfig
from engine.errors import ImageError, InputError
from engine.frames import SequencePath
from engine.render import RenderEvent, RenderReport, RenderSettings, read_card, render
from engine.shot import Plate, Shot
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
from plugin.progress import Phase, Progress, counted_frames, duration
from plugin.request import carried_from, look_from, out_from, shot_from, sidecars_from
from plugin.stop import StopRequest

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
        ],
        shot_file=True,
    )
    add_look(made, "look.onnx in the work folder")
    add_plate(made)
    add_frames_out(made, "rendered frames: out.%%04d.exr, .png, .tif, .jpg or .dpx")
    add_work(made)
    add_rendering(made)
    add_color(made)
    add_machine(made)
    add_reporting(made)
    return made


def run(options: Options, progress: Progress, stop: StopRequest) -> int:
    """Render what is not there yet."""
    if options.look is None and options.work is None and options.shot is None:
        raise InputError("--look is missing", remedy="name the .onnx to render with, or train one first")
    shot = shot_from(options, paintings=False)
    read_card(look_from(options, shot))
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
        threads=options.threads,
    )


def render_frames(shot: Shot, options: Options, progress: Progress, stop: StopRequest) -> RenderReport:
    """Render in the phase ``render`` of the plan.

    Raises:
        FrameFailures: some frames failed; the others are done.
        Interrupted: a stop was asked for; finished frames stay.
    """
    progress.begin("render")
    watch = _Watch(progress)
    out = out_from(options, shot)
    with stop.cooperative():
        report = render(
            look_from(options, shot),
            shot.plate,
            out,
            settings_of(shot, options),
            work=sidecars_from(options, shot),
            workers=shot.workers,
            overwrite=options.overwrite,
            progress=watch,
            stop=stop,
        )
    progress.note(_summary(out, report), {"rendered": len(report.done), "skipped": len(report.skipped)})
    return report


class _Watch:
    """Turns the renderer's events into progress: frames a second and time left count rendered frames only."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
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
            "count": event.count,
            "total": event.total,
        }
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


def _check_any_frame(plate: Plate) -> None:
    """A wrong pattern is one error; a missing frame among others fails alone, and the others render."""
    if plate.path.is_movie or any(plate.path.path(frame).is_file() for frame in plate.frames):
        return
    path = plate.path.path(plate.frames.first)
    found = plate.path.existing()
    remedy = f"on disk are frames {found}; check --frames" if found else "check --plate"
    raise ImageError(f"no frame of the plate is on disk for {plate.frames}", path=path, remedy=remedy)
