"""What a resident worker does on request: a host's job turned into the engine's values, and the engine's answers back.

A render goes through :func:`engine.rendering.render.render` with the checks of ``paintover render``, so its frames
have the same bytes and hashes as the command line's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine.base.compression import read_compression
from engine.base.errors import InputError, Interrupted, LookError
from engine.base.frames import FrameRange, SequencePath
from engine.color.config import ColorConfig
from engine.images.encoding import check_encoding
from engine.look.session import Look
from engine.rendering.frame_inputs import FrameInputs
from engine.rendering.render import RenderEvent, RenderSettings, render
from engine.shot.remarks import losses, plate_remarks
from engine.shot.shot import Plate
from plugin.arguments.image_limit import image_limit
from plugin.arguments.ocio_variable import color_config
from plugin.arguments.preflight import check_out, check_spaces
from plugin.client.job import FARM, Job
from plugin.worker.looks import LoadedLooks
from plugin.worker.result_state import LookFacts, MadeFrom, result_states

__all__ = ["Tell", "load", "render_frames", "states"]

MOST_STATES = 100_000
"""Frames of one answer, over an hour of film: each takes two hundred bytes of it and ten times as many until then."""

Tell = Callable[[str, Mapping[str, Any]], None]
"""Sends an event of the request at work: its name, and what it says."""


def load(job: Job, looks: LoadedLooks) -> dict[str, Any]:
    """Load the job's look; the answer is what a host needs to know of it."""
    look = _look(job, looks)
    card = look.card
    return {
        "look": str(look.path),
        "look_sha256": look.sha256,
        "device": look.device,
        "keyframes": [keyframe.frame for keyframe in card.keyframes],
        "working_colorspace": card.working_colorspace,
        "halo": card.halo,
    }


def render_frames(
    job: Job,
    frames: str | None,
    overwrite: bool,
    looks: LoadedLooks,
    tell: Tell,
    stop: Callable[[], bool],
    threads: int | None,
) -> dict[str, Any]:
    """Render frames of the job that are not right yet.

    Args:
        frames: a frame range; None for the job's.
        overwrite: also those that are right.
        tell: gets ``progress`` with frame, state, path, count and total, and ``warning``.
        stop: asked often.

    Raises:
        InputError: the job names no output, or what :mod:`plugin.arguments.preflight` refuses.
        FrameFailures: some frames failed and the others are done.
        Interrupted: ``stop`` said so.
    """
    plate, out = plate_of(job, frames), out_of(job)
    with color_config(job.ocio), image_limit(job.max_image_gib):
        settings = settings_of(job, out, threads)
        check_spaces(ColorConfig.active(), [plate.colorspace, settings.out_colorspace])
        check_out(out, plate)
        look = _look(job, looks)
        if job.host != FARM:
            # A farm's own command has said it.
            for line in (*plate_remarks(plate), *losses(plate, out, settings.bit_depth)):
                tell("warning", {"frame": None, "message": line})

        def progress(event: RenderEvent) -> None:
            if event.kind == "warning":
                tell("warning", {"frame": event.frame, "message": event.message})
                return
            facts = {"frame": event.frame, "state": event.kind, "message": event.message, "path": str(event.path)}
            counted = {"fraction": event.count / event.total, "count": event.count, "total": event.total}
            tell("progress", {**facts, **counted})

        try:
            report = render(
                look,
                plate,
                out,
                settings,
                work=work_of(job),
                prepared=Path(job.work),
                overwrite=overwrite,
                progress=progress,
                stop=stop,
            )
        finally:
            # What ends a job early cancels the look, and by now nothing runs in it any more.
            look.revive()
    return {
        "done": sorted(report.done),
        "skipped": sorted(report.skipped),
        "look_sha256": report.look_sha256,
        "settings_hash": report.settings_hash,
        "read_s": report.read_s,
        "infer_s": report.infer_s,
        "write_s": report.write_s,
        "wall_s": report.wall_s,
    }


def states(job: Job, frames: str | None, looks: LoadedLooks, stop: Callable[[], bool]) -> dict[str, Any]:
    """Whether each frame on disk is the one that the job would render now.

    Raises:
        InputError: the job names no output, or more frames than one answer holds.
        Interrupted: ``stop`` said so.
    """
    plate, out = plate_of(job, frames), out_of(job)
    if len(plate.frames) > MOST_STATES:
        what = f"the states of {len(plate.frames):,} frames are too many for one answer"
        raise InputError(what, remedy=f"ask for up to {MOST_STATES:,}")
    with color_config(job.ocio), image_limit(job.max_image_gib):
        settings = settings_of(job, out, None)
        config = ColorConfig.active()
        check_spaces(config, [plate.colorspace, settings.out_colorspace])
        facts: LookFacts | LookError
        try:
            look = _look(job, looks)
            inputs = FrameInputs.of(
                look.card, plate.path, work_of(job), Path(job.work), settings.denoise, matte=settings.matte
            )
            facts = LookFacts(look.sha256, inputs)
            settings = settings.without_own_denoise(look.card.denoise)
        except LookError as error:
            facts = error
        settings_hash = settings.hash(plate_colorspace=plate.colorspace, config=config.name)
        found = []
        for state in result_states(out, MadeFrom(facts, settings_hash, plate, config)):
            if stop():
                raise Interrupted("stopped on request")
            found.append({"frame": state.frame, "state": state.state, "reason": state.reason, "path": str(state.path)})
    return {"states": found, "look_sha256": None if isinstance(facts, LookError) else facts.sha256}


def plate_of(job: Job, frames: str | None) -> Plate:
    """The job's plate, for ``frames`` or all of it.

    Raises:
        InputError: the pattern names no frame number, or the range is none.
    """
    path = SequencePath.parse(job.plate).with_layer(job.layer)
    return Plate(path, FrameRange.parse(frames or job.frames), job.colorspace)


def out_of(job: Job) -> SequencePath:
    """Where frames go.

    Raises:
        InputError: the job does not say, or without a frame number.
    """
    if job.out is None:
        raise InputError("the job names no output", remedy="say where frames go")
    return SequencePath.parse(job.out)


def work_of(job: Job) -> Path | None:
    """The folder to look for STMap sidecars in; None for the plain translator."""
    return Path(job.work) if job.guides else None


def settings_of(job: Job, out: SequencePath, threads: int | None) -> RenderSettings:
    """The settings that ``paintover render`` would have for this job.

    Raises:
        InputError: the layer of carried shares in a format without layers, a depth or compression that the format does
            not have, or a tile that is too small.
    """
    if job.carried and Path(out.text).suffix.lower() != ".exr":
        raise InputError(f'"{out}" cannot hold the layer of carried shares', remedy="write .exr frames")
    compression = None if job.compression is None else read_compression(job.compression)
    check_encoding(out.text, job.depth, compression)
    return RenderSettings(
        tile=job.tile,
        device=job.device,
        out_colorspace=job.out_colorspace,
        bit_depth=job.depth,
        compression=compression,
        softness=job.softness,
        carried_layer=job.carried,
        matte=None if job.matte_use == "track" else job.matte,
        threads=threads,
    )


def _look(job: Job, looks: LoadedLooks) -> Look:
    return looks.get(Path(job.look_path), job.device, job.softness)
