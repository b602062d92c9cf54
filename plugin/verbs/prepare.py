"""``paintover prepare``: what a rendered frame needs to know of its neighbors, as files of its own.

That is STMap sidecars, by which it carries the painted strokes; and where asked for, denoised frames and guide images.
"""

from __future__ import annotations

from dataclasses import replace

from engine.base.errors import InputError
from engine.color.config import ColorConfig
from engine.shot.shot import Shot
from plugin.arguments.commands import COMMANDS
from plugin.arguments.options import Options
from plugin.arguments.parser import Parser
from plugin.arguments.preflight import check_mattes, check_plate, check_spaces, prepare_folder
from plugin.arguments.request import matte_from, plate_from, repaint_from, work_from
from plugin.phases.color import say_color
from plugin.phases.prepared_files import Extras, extra_phases, prepare_extras
from plugin.phases.sidecars import chains, prepare_frames, prepare_phase, vectors_from
from plugin.progress.protocol import Progress
from plugin.progress.stop import StopRequest

__all__ = ["parser", "run"]


def parser() -> Parser:
    """The options of ``paintover prepare``."""
    return Parser(COMMANDS["prepare"])


def run(options: Options, progress: Progress, stop: StopRequest) -> int:
    """Make the sidecars that are missing or no longer right."""
    file = None if options.shot is None else Shot.load(options.shot)
    plate = plate_from(options, file)
    extras = Extras.of(options, file)
    only_denoised = extras.denoise is not None and extras.guides is None
    keys = _keys(options, file, needed=not only_denoised)
    for key in keys:
        if key not in plate.frames:
            raise InputError(f"keyframe {key} is outside the frame range {plate.frames}", remedy="widen --frames")
    work = work_from(options, file)
    vectors = vectors_from(options, plate.frames)
    repaint = repaint_from(options, file)
    # A shot file names paintings too, whose marks are not shown twice.
    named = {} if file is None else {keyframe.frame: keyframe for keyframe in file.keyframes}
    config = ColorConfig.active(options.ocio)
    check_spaces(config, [plate.colorspace])
    check_plate(plate)
    matte = matte_from(options, file)
    check_mattes(matte, plate)
    prepare_folder(work)
    if options.shard is None:
        progress.plan([*([prepare_phase(plate, keys)] if keys else []), *extra_phases(plate, extras)])
        say_color(progress, config, plate, matte=matte)
        threads, overwrite = options.threads, options.overwrite
        if keys:
            prepare_frames(
                plate, [named.get(key, key) for key in keys], work, vectors, progress, stop,
                threads=threads, repaint=repaint, matte=matte, overwrite=overwrite,
            )  # fmt: skip
        prepare_extras(plate, keys, work, extras, progress, stop, threads=threads, overwrite=overwrite)
        progress.finish()
        return 0
    parts = options.shard.of(chains(plate.frames, keys))
    names = [f"prepare {number}" for number in range(1, len(parts) + 1)]
    progress.plan(
        [
            prepare_phase(replace(plate, frames=part), (key,), name)
            for name, (key, part) in zip(names, parts, strict=True)
        ]
        + extra_phases(plate, extras)
    )
    say_color(progress, config, plate, matte=matte)
    for name, (key, part) in zip(names, parts, strict=True):
        prepare_frames(
            replace(plate, frames=part),
            (named.get(key, key),),
            work,
            vectors,
            progress,
            stop,
            threads=options.threads,
            repaint=repaint,
            matte=matte,
            overwrite=options.overwrite,
            phase=name,
        )
    prepare_extras(plate, keys, work, extras, progress, stop, threads=options.threads, overwrite=options.overwrite)
    if not parts:
        progress.note(f"shard {options.shard.index} of {options.shard.count}: no keyframe is left for it")
    progress.finish()
    return 0


def _keys(options: Options, shot: Shot | None, *, needed: bool) -> tuple[int, ...]:
    keys = options.keyframe_numbers or [keyframe.frame for keyframe in (shot.keyframes if shot else ())]
    if needed and not keys:
        raise InputError("no keyframe given", remedy="say which frames are painted, such as --keyframe 1001")
    return tuple(sorted(set(keys)))
