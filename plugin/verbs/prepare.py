"""``paintover prepare``: what a rendered frame needs to know of its neighbors, as files of its own.

That is STMap sidecars, by which it carries the painted strokes; and where asked for, denoised frames and guide images.
"""

from __future__ import annotations

from dataclasses import replace

from engine.base.errors import InputError
from engine.color.config import ColorConfig
from engine.shot.shot import Keyframe, Shot
from plugin.arguments.farm_options import add_task
from plugin.arguments.options import Options, Parser, add_color, add_plate, add_reporting, add_threads, add_work
from plugin.arguments.preflight import check_plate, check_spaces, prepare_folder
from plugin.arguments.prepare_options import add_denoise, add_guides, add_preparation, add_vectors
from plugin.arguments.request import plate_from, work_from
from plugin.phases.color import say_color
from plugin.phases.prepared_files import Extras, extra_phases, prepare_extras
from plugin.phases.sidecars import chains, prepare_frames, prepare_phase, vectors_from
from plugin.progress.stop import StopRequest
from plugin.progress.terminals import Progress

__all__ = ["parser", "run"]


def parser() -> Parser:
    """The options of ``paintover prepare``."""
    made = Parser(
        "prepare",
        "Follows keyframes through a shot and writes, for every frame, where each pixel was in the keyframe: STMaps\n"
        "as in Nuke, with a confidence. A look trained from these keyframes then carries their strokes along. The\n"
        "paintings need not exist yet. What is done stays done, and STMaps of your own are never touched.\n"
        "--denoise also averages grain away along the motion, and needs no keyframe where that is all; --guides also\n"
        "writes images that tell places apart. Training and rendering take them where they are asked to.",
        examples=[
            "paintover prepare --plate plate.%04d.exr --frames 1001-1100 --keyframe 1001 --keyframe 1080 --work work",
            "paintover prepare --plate plate.%04d.exr --keyframe 1001 --vectors motion.%04d.exr",
            "paintover prepare shot.toml --overwrite",
            "paintover prepare shot.toml --denoise --guides points",
        ],
        shot_file=True,
    )
    add_plate(made)
    add_preparation(made)
    add_vectors(made)
    add_denoise(made, "also write the plate with its grain averaged away, into work/denoised")
    add_guides(made, "also write guide images, into work/guide")
    add_work(made)
    add_color(made)
    add_threads(made)
    add_task(made)
    add_reporting(made)
    return made


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
    config = ColorConfig.active(options.ocio)
    check_spaces(config, [plate.colorspace])
    check_plate(plate)
    prepare_folder(work)
    if options.shard is None:
        progress.plan([*([prepare_phase(plate, keys)] if keys else []), *extra_phases(plate, extras)])
        say_color(progress, config, plate)
        threads, overwrite = options.threads, options.overwrite
        if keys:
            prepare_frames(plate, keys, work, vectors, progress, stop, threads=threads, overwrite=overwrite)
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
    say_color(progress, config, plate)
    for name, (key, part) in zip(names, parts, strict=True):
        prepare_frames(
            replace(plate, frames=part),
            (key,),
            work,
            vectors,
            progress,
            stop,
            threads=options.threads,
            overwrite=options.overwrite,
            phase=name,
        )
    prepare_extras(plate, keys, work, extras, progress, stop, threads=options.threads, overwrite=options.overwrite)
    if not parts:
        progress.note(f"shard {options.shard.index} of {options.shard.count}: no keyframe is left for it")
    progress.finish()
    return 0


def _keys(options: Options, shot: Shot | None, *, needed: bool) -> tuple[int, ...]:
    if options.keyframes:
        keys = [_key(text) for text in options.keyframes]
    else:
        keys = [] if shot is None else [keyframe.frame for keyframe in shot.keyframes]
    if needed and not keys:
        raise InputError("no keyframe given", remedy="say which frames are painted, such as --keyframe 1001")
    return tuple(sorted(set(keys)))


def _key(text: str) -> int:
    """``1001``, or ``1001=painting.png`` as the other verbs take it."""
    try:
        return int(text)
    except ValueError:
        return Keyframe.parse(text).frame
