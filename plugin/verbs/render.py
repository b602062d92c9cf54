"""``paintover render``: look and plate to frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from engine.base.errors import ImageError, InputError, LookError
from engine.base.frames import FrameRange
from engine.color.config import ColorConfig
from engine.images.provenance import file_sha256
from engine.motion.stmap import find_sidecars, sidecar_path
from engine.rendering.render import read_card
from engine.shot.shot import Plate, Shot
from plugin.arguments.commands import COMMANDS
from plugin.arguments.options import Options
from plugin.arguments.parser import Parser
from plugin.arguments.preflight import check_device, check_out, check_spaces
from plugin.arguments.request import look_from, out_from, shot_from, sidecars_from, work_from
from plugin.phases.color import say_color, say_losses
from plugin.phases.rendering import render_frames, render_phase, settings_of
from plugin.progress.protocol import Progress
from plugin.progress.stop import StopRequest
from plugin.training.record import trained_look

__all__ = ["parser", "run"]


def parser() -> Parser:
    """The options of ``paintover render``."""
    return Parser(COMMANDS["render"])


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
    config = ColorConfig.active()
    check_spaces(config, [shot.plate.colorspace, shot.out_colorspace])
    check_device(shot.device)
    _check_any_frame(shot.plate)
    check_out(out_from(options, shot), shot.plate, matte=shot.matte)
    settings = settings_of(shot, options)
    progress.plan([render_phase(shot, options)])
    say_color(progress, config, shot.plate, matte=shot.matte)
    say_losses(progress, shot.plate, out_from(options, shot), settings.bit_depth)
    render_frames(shot, options, progress, stop)
    progress.finish()
    return 0


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
    remedy = f"on disk are frames {found}; check --frames" if found else plate.path.meant
    raise ImageError(f"no frame of the plate is on disk for {plate.frames}", path=path, remedy=remedy)
