"""``paintover sequence``: a shot painted from style images, steady in time."""

from __future__ import annotations

import os
import sys

from engine.base.choices import PAINT_STYLES
from engine.base.errors import InputError
from engine.base.frames import SequencePath
from engine.color.config import ColorConfig
from engine.optimize.brushstrokes.job import STROKES
from engine.optimize.job import ITERATIONS_OF_SCALE, StyleImage
from engine.optimize.sequence.job import (
    ITERATIONS_OF_PASS,
    LONG_TERM,
    LONG_TERM_OF_STROKES,
    SequenceJob,
    parse_offsets,
)
from engine.shot.matte_sequence import MatteSequence
from engine.shot.shot import Plate
from plugin.arguments.commands import COMMANDS
from plugin.arguments.options import Options
from plugin.arguments.parser import Parser
from plugin.arguments.preflight import (
    check_mattes,
    check_out,
    check_paintings_fit,
    check_paintings_kept,
    check_plate,
    check_spaces,
)
from plugin.arguments.request import out_from, plate_from
from plugin.phases.color import say_color, say_losses
from plugin.phases.sidecars import vectors_from
from plugin.phases.style_images import optimize_frames, style_fields, style_images
from plugin.progress.protocol import Phase, Progress, counted_frames
from plugin.progress.stop import StopRequest

__all__ = ["COMMAND", "parser", "run"]

COMMAND: tuple[str, ...] = (sys.executable, "-m", "engine.optimize.sequence.sequence")
"""What is started, before ``--job FILE``."""


def parser() -> Parser:
    """The options of ``paintover sequence``."""
    return Parser(COMMANDS["sequence"])


def run(options: Options, progress: Progress, stop: StopRequest) -> int:
    """Paint every frame of the range."""
    plate = plate_from(options, None)
    out = out_from(options, None)
    config = ColorConfig.active(options.ocio)
    check_spaces(config, [options.colorspace])
    check_plate(plate)
    check_out(out, plate)
    images = _images(options)
    job = _job(options, plate, out, images)
    check_mattes(None if options.matte is None else MatteSequence(SequencePath.parse(options.matte)), plate)
    # Before any work: that there are vectors, and of a kind that is known.
    vectors_from(options, plate.frames)
    paths = [out.path(frame) for frame in plate.frames]
    paths += [path.with_suffix(".svg") for path in paths if job.strokes]
    check_paintings_fit(paths)
    if not options.overwrite and not job.resume:
        check_paintings_kept(paths)
    style = ", ".join(image.path.name for image in images)
    size = " at a quarter of the size" if job.preview else ""
    frames, strokes = counted_frames(len(plate.frames)), " with strokes" if job.strokes else ""
    passes = f" in {job.passes} passes" if job.passes > 1 else ""
    progress.plan([Phase("sequence", f"Painting {frames}{size}{strokes}{passes}, style {style}")])
    progress.begin("sequence")
    say_color(progress, config, plate)
    say_losses(progress, plate, out, for_painting=True)
    optimize_frames(job, progress, stop, debug=options.debug, command=COMMAND)
    progress.note(f"{out}: {counted_frames(len(plate.frames))} painted", {"out": out.text})
    progress.finish()
    return 0


def _images(options: Options) -> tuple[StyleImage, ...]:
    """The style images.

    Raises:
        InputError: none, a preset of the painter, or a missing file.
    """
    own = [word for word in options.style or () if word in PAINT_STYLES]
    if own or not options.style:
        why = f"a sequence is painted from an image, not in the style {own[0]}" if own else "--style is missing"
        raise InputError(why, remedy="give --style IMAGE, a picture whose manner is taken")
    return style_images(options)


def _job(options: Options, plate: Plate, out: SequencePath, images: tuple[StyleImage, ...]) -> SequenceJob:
    """The job of the sequence's process.

    Raises:
        InputError: as :func:`style_fields`, or values out of range.
        ImageError: a format that holds light.
    """
    if options.stroke_count is not None and not options.strokes:
        raise InputError("--stroke-count goes with --strokes", remedy="give --strokes as well, or leave it out")
    fields, passes = style_fields(options, plate, out, images), options.passes or 1
    if options.iterations is None:
        fields["iterations"] = ITERATIONS_OF_SCALE if passes == 1 else ITERATIONS_OF_PASS
    offsets = LONG_TERM_OF_STROKES if options.strokes else LONG_TERM
    return SequenceJob(
        **fields,
        passes=passes,
        long_term=offsets if options.long_term is None else parse_offsets(options.long_term),
        strokes=(options.stroke_count or STROKES) if options.strokes else 0,
        preview=options.preview,
        vectors=_absolute(options.vectors),
        backward_vectors=_absolute(options.backward_vectors),
    )


def _absolute(path: str | None) -> str | None:
    # Not resolve(): a link in a path is the artist's choice, and a pattern is no file.
    return None if path is None else os.path.abspath(path)  # noqa: PTH100
