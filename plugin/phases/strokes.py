"""Strokes: what ``paint --strokes`` asks of its process."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from engine.base.choices import PAINT_STYLES
from engine.base.errors import InputError
from engine.base.frames import SequencePath
from engine.optimize.brushstrokes.job import PIXEL_ITERATIONS, STROKE_ITERATIONS, STROKES, StrokesJob
from engine.shot.shot import Plate
from plugin.arguments.options import Options
from plugin.phases.style_images import check_source_kept, style_fields, style_images

__all__ = ["COMMAND", "refuse_strokes_options", "strokes_job"]

COMMAND: tuple[str, ...] = (sys.executable, "-m", "engine.optimize.brushstrokes.paint")
"""What is started, before ``--job FILE``."""

_OF_STROKES = ("stroke_count", "pixel_iterations", "directions")
_OF_STYLES = ("features", "style_scale", "style_strength", "style_layers", "colors", "pixel_iterations")


def strokes_job(options: Options, plate: Plate, out: SequencePath) -> StrokesJob:
    """The job, with absolute paths.

    Raises:
        InputError: as for style images; a style that is the painter's; options for style images without one; no file
            of directions; or a value out of range.
        ImageError: a format that holds light.
    """
    own = [word for word in options.style or () if word in PAINT_STYLES]
    if own:
        why = f"--strokes does not paint in the style {own[0]}"
        raise InputError(why, remedy="give --style IMAGE, or leave --style out for the plate's own colors")
    images = style_images(options) if options.style else ()
    if not images:
        _refuse(options, _OF_STYLES, "style images", "give --style IMAGE")
    pixels = PIXEL_ITERATIONS if options.pixel_iterations is None else options.pixel_iterations
    fields = style_fields(options, plate, out, images) | {
        "iterations": options.iterations or STROKE_ITERATIONS,
        "strokes": options.stroke_count or STROKES,
        "pixel_iterations": pixels if images else 0,
        # Not resolve(): a link in a path is the artist's choice, and a pattern is no file.
        "directions": None if options.directions is None else os.path.abspath(options.directions),  # noqa: PTH100
    }
    job = StrokesJob(**fields)
    for frame in plate.frames:
        directions = job.directions_of(frame)
        if directions is None:
            continue
        if not directions.is_file():
            shown = Path(os.path.relpath(directions)) if not Path(str(options.directions)).is_absolute() else directions
            raise InputError("the directions are missing", frame=frame, path=shown, remedy="check --directions")
        check_source_kept(out.path(frame), directions, "directions")
    return job


def refuse_strokes_options(options: Options) -> None:
    """Options for strokes go with ``--strokes``.

    Raises:
        InputError: one was given.
    """
    _refuse(options, _OF_STROKES, "strokes", "give --strokes")


def _refuse(options: Options, fields: tuple[str, ...], what: str, remedy: str) -> None:
    for field in fields:
        if getattr(options, field) is not None:
            flag = "--" + field.replace("_", "-")
            raise InputError(f"{flag} is for {what}", remedy=f"{remedy}, or leave it out")
