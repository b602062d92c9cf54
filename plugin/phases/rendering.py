"""Rendering as a phase of a job, by this machine or by a resident worker."""

from __future__ import annotations

import time
from pathlib import Path

from engine.base.errors import InputError
from engine.base.frames import SequencePath
from engine.images.provenance import file_sha256
from engine.rendering.render import RenderEvent, RenderReport, RenderSettings, read_card, render
from engine.shot.shot import Shot
from plugin.arguments.image_limit import active_limit
from plugin.arguments.ocio_variable import active_config
from plugin.arguments.options import (
    Options,
)
from plugin.arguments.request import (
    carried_from,
    encoding_from,
    look_from,
    out_from,
    sidecars_from,
    stylized_by,
    work_from,
)
from plugin.progress.protocol import Phase, Progress, counted_frames, duration
from plugin.progress.stop import StopRequest
from plugin.worker.resident import render_resident

__all__ = ["render_frames", "render_phase", "settings_of"]


def render_phase(shot: Shot, options: Options) -> Phase:
    """The part that rendering has in a plan."""
    count = len(shot.plate.frames)
    title = f"Rendering {counted_frames(count)} through {look_from(options, shot).name}"
    return Phase("render", title, 3.0 + 1.0 * count)


def settings_of(shot: Shot, options: Options) -> RenderSettings:
    """How to render.

    Raises:
        InputError: ``--carried``, ``--depth`` or ``--compression`` with frames in a format that has none such.
    """
    out = out_from(options, shot)
    depth, compression = encoding_from(options, shot, out)
    return RenderSettings(
        tile=shot.tile,
        device=shot.device,
        out_colorspace=shot.out_colorspace,
        bit_depth=depth,
        compression=compression,
        softness=options.softness or 0.0,
        carried_layer=carried_from(options, out),
        tensorrt=options.tensorrt,
        denoise=shot.denoise,
        matte=stylized_by(shot.matte),
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
        PaintoverError: see :func:`plugin.worker.resident.render_resident`.
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
        ocio=active_config(options.ocio),
        max_image_gib=active_limit(options.max_image_gib),
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
