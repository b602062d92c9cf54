"""Exemplars: what ``paint --exemplar PLATE=PAINTING`` asks of the process that does it, and how that is followed."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from engine.base.errors import ImageError, InputError, Interrupted
from engine.base.frames import MOVIE_SUFFIXES, SequencePath
from engine.optimize.exemplars.job import ExemplarJob, PaintedExemplar
from engine.shot.shot import Plate
from plugin.arguments.ocio_variable import active_config
from plugin.arguments.options import Options
from plugin.arguments.preflight import prepare_folder
from plugin.arguments.request import work_from
from plugin.progress.child import follow
from plugin.progress.protocol import Progress
from plugin.progress.stop import StopRequest

__all__ = ["COMMAND", "assemble_frames", "exemplar_job", "painted_exemplars"]

COMMAND: tuple[str, ...] = (sys.executable, "-m", "engine.optimize.exemplars.assemble")
"""What is started, before ``--job FILE``."""

_OF_STYLES = (
    "style",
    "features",
    "iterations",
    "style_scale",
    "style_strength",
    "style_layers",
    "colors",
    "device",
    "strokes",
)


def painted_exemplars(options: Options, plate: Plate) -> tuple[PaintedExemplar, ...]:
    """The exemplars that are asked for; a number in the place of their plate is a frame of ``plate``.

    Raises:
        InputError: not PLATE=PAINTING, a file is missing, a movie, or an option beside them that is for styles.
    """
    found = tuple(_numbered(PaintedExemplar.parse(text), plate) for text in options.exemplars or ())
    for exemplar in found:
        if exemplar.plate.suffix.lower() in MOVIE_SUFFIXES:
            remedy = "export the frame that was painted with paintover key, and name that"
            raise InputError("the exemplar's plate is a movie", path=exemplar.plate, remedy=remedy)
        for path, what in ((exemplar.plate, "plate"), (exemplar.painting, "painting")):
            if not path.is_file():
                raise InputError(f"the exemplar's {what} is missing", path=path, remedy="check --exemplar")
    if found:
        for field in _OF_STYLES:
            if getattr(options, field):
                flag = "--" + field.replace("_", "-")
                raise InputError(f"{flag} does not go with --exemplar", remedy="leave one of both out")
    return found


def _numbered(exemplar: PaintedExemplar, plate: Plate) -> PaintedExemplar:
    number = exemplar.plate.name
    if exemplar.plate.exists() or not number.lstrip("-").isdecimal() or number != str(exemplar.plate):
        return exemplar
    return PaintedExemplar(plate.path.path(int(number)), exemplar.painting)


def exemplar_job(
    options: Options, plate: Plate, out: SequencePath, exemplars: tuple[PaintedExemplar, ...]
) -> ExemplarJob:
    """The job of the process, with absolute paths.

    Raises:
        InputError: a value out of range, output onto an exemplar or the matte, or scipy is not installed.
        ImageError: a format that holds light.
    """
    matte = None if options.matte is None else SequencePath.parse(options.matte)
    sources = [path for exemplar in exemplars for path in (exemplar.plate, exemplar.painting)]
    for frame in plate.frames:
        path = out.path(frame)
        if path.suffix.lower() == ".exr":
            raise ImageError("a painting is codes of a display", path=path, remedy="write .png, .tif or .jpg")
        for source in sources if matte is None else [*sources, matte.path(frame)]:
            if _absolute(source) == _absolute(path) or (path.exists() and source.exists() and path.samefile(source)):
                raise InputError("output onto what it is made from", path=path, remedy="choose another --out")
    if find_spec("scipy") is None:
        raise InputError("exemplars need scipy, which is not installed", remedy='pip install "paintover[train]"')
    return ExemplarJob(
        plate=_absolute(plate.path.text),
        plate_layer=plate.path.layer,
        frames=tuple(plate.frames),
        plate_colorspace=plate.colorspace,
        ocio=active_config(options.ocio),
        out=_absolute(out.text),
        work=Path(_absolute(work_from(options, None))),
        exemplars=tuple(
            PaintedExemplar(Path(_absolute(each.plate)), Path(_absolute(each.painting))) for each in exemplars
        ),
        matte=None if matte is None else _absolute(matte.text),
        seed=options.seed or 0,
        threads=options.threads,
        resume=options.resume,
    )


def assemble_frames(job: ExemplarJob, progress: Progress, stop: StopRequest, *, debug: bool) -> None:
    """Run the process to its end, in the phase that has begun.

    Raises:
        ChildFailed: it reported an error, crashed, or could not be started.
        Interrupted: it was stopped; ``--resume`` goes on.
    """
    prepare_folder(job.folder)
    path = job.folder / "job.json"
    job.save(path)

    def on_event(event: Mapping[str, Any]) -> None:
        if event["event"] != "progress":
            return
        facts = {name: value for name, value in event.items() if name not in ("event", "fraction")}
        what = f": {event['what']}" if "what" in event else ""
        progress.update(float(event.get("fraction") or 0.0), f"frame {event.get('frame')}{what}", facts)

    follow([*COMMAND, "--job", str(path)], progress, stop, on_event, called="the exemplars' process", debug=debug)
    if stop():
        raise Interrupted("painting stopped on request", exit_code=stop.exit_code, remedy="--resume goes on")


def _absolute(path: Path | str) -> str:
    # Not resolve(): a link in a path is the artist's choice, and a pattern is no file.
    return os.path.abspath(path)  # noqa: PTH100
