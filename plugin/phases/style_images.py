"""Style images: what ``paint --style IMAGE`` asks of the optimization's process, and how that is followed."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from engine.base.choices import PAINT_STYLES
from engine.base.errors import ImageError, InputError, Interrupted
from engine.base.frames import SequencePath
from engine.optimize.job import ITERATIONS_OF_SCALE, STYLE_LAYER_COUNT, StyleImage, StyleJob, layer_weights
from engine.shot.shot import Plate
from plugin.arguments.ocio_variable import active_config
from plugin.arguments.options import Options
from plugin.arguments.preflight import prepare_folder
from plugin.arguments.request import work_from
from plugin.progress.child import follow
from plugin.progress.protocol import Progress
from plugin.progress.stop import StopRequest

__all__ = ["COMMAND", "check_source_kept", "optimize_frames", "style_fields", "style_images", "style_job"]

COMMAND: tuple[str, ...] = (sys.executable, "-m", "engine.optimize.stylize")
"""What is started, before ``--job FILE``."""

_ONLY_HERE = (
    "features", "iterations", "style_scale", "style_strength", "style_layers", "colors", "matte", "resume",
)  # fmt: skip


def style_images(options: Options) -> tuple[StyleImage, ...]:
    """The style images that are asked for; none where the style is one of the painter's own.

    Raises:
        InputError: neither a style's name nor an image; both; or options for images beside a name.
    """
    words = options.style or [PAINT_STYLES[0]]
    own = [word for word in words if word in PAINT_STYLES]
    if not own:
        return tuple(map(_style_image, words))
    if len(words) > 1:
        raise InputError(
            f"--style {own[0]} goes with no other style", remedy="give one name, or one or more style images"
        )
    for field in _ONLY_HERE:
        if getattr(options, field):
            flag = "--" + field.replace("_", "-")
            raise InputError(f"{flag} is for style images", remedy="give --style IMAGE, or leave it out")
    return ()


def _style_image(word: str) -> StyleImage:
    image = StyleImage.parse(word)
    if image.path.is_file():
        return image
    if not image.path.suffix and len(image.path.parts) == 1:
        names = ", ".join(PAINT_STYLES)
        raise InputError(f"no style {word!r}", remedy=f"use one of {names}, or the path of an image")
    raise InputError("the style image is missing", path=image.path, remedy="check --style")


def style_job(options: Options, plate: Plate, out: SequencePath, styles: tuple[StyleImage, ...]) -> StyleJob:
    """The job of the optimization's process, with absolute paths.

    Raises:
        InputError: as :func:`style_fields`, or a value out of range.
        ImageError: a format that holds light.
    """
    return StyleJob(**style_fields(options, plate, out, styles))


def style_fields(options: Options, plate: Plate, out: SequencePath, styles: tuple[StyleImage, ...]) -> dict[str, Any]:
    """What the jobs of all optimizations hold, with absolute paths; without style images there are no features.

    Raises:
        InputError: no features, a missing file, output onto a style image or the matte, or torch is not installed.
        ImageError: a format that holds light.
    """
    features = options.features if styles else ""
    if features is None:
        remedy = "give --features FILE with the weights of VGG-19 or VGG-16, or --features vgg19 to fetch them"
        raise InputError("a style image needs deep features to be compared by", remedy=remedy)
    matte = None if options.matte is None else SequencePath.parse(options.matte)
    for frame in plate.frames:
        _check_out(out.path(frame), styles, None if matte is None else matte.path(frame))
    is_word = not features or (not Path(features).suffix and not Path(features).exists())
    if not is_word and not Path(features).is_file():
        raise InputError("the features file is missing", path=features, remedy="check --features")
    if find_spec("torch") is None:
        what = "style images need" if styles else "strokes need"
        raise InputError(f"{what} torch, which is not installed", remedy='pip install "paintover[train]"')
    return {
        "plate": _absolute(plate.path.text),
        "plate_layer": plate.path.layer,
        "frames": tuple(plate.frames),
        "plate_colorspace": plate.colorspace,
        "ocio": active_config(options.ocio),
        "out": _absolute(out.text),
        "work": Path(_absolute(work_from(options, None))),
        "styles": tuple(StyleImage(Path(_absolute(style.path)), style.weight) for style in styles),
        "features": features if is_word else _absolute(features),
        "iterations": options.iterations or ITERATIONS_OF_SCALE,
        "style_scale": options.style_scale or 1.0,
        "strength": options.style_strength or 1.0,
        "layers": layer_weights(options.style_layers) if options.style_layers else (1.0,) * STYLE_LAYER_COUNT,
        "color": options.colors or "style",
        "matte": None if matte is None else _absolute(matte.text),
        "seed": options.seed or 0,
        "device": options.device or "auto",
        "threads": options.threads,
        "resume": options.resume,
    }


def _check_out(path: Path, styles: tuple[StyleImage, ...], matte: Path | None) -> None:
    if path.suffix.lower() == ".exr":
        raise ImageError("a painting is codes of a display", path=path, remedy="write .png, .tif or .jpg")
    sources = [(style.path, "style image") for style in styles] + ([] if matte is None else [(matte, "matte")])
    for source, what in sources:
        check_source_kept(path, source, what)


def check_source_kept(path: Path, source: Path, what: str) -> None:
    """An output is not one of the files that it is made from.

    Raises:
        InputError: it is.
    """
    if _absolute(source) == _absolute(path) or (path.exists() and source.exists() and path.samefile(source)):
        raise InputError(f"output onto the {what}", path=path, remedy="choose another --out")


def optimize_frames(
    job: StyleJob, progress: Progress, stop: StopRequest, *, debug: bool, command: tuple[str, ...] = COMMAND
) -> None:
    """Run the process to its end, in the phase that has begun.

    Args:
        command: what is started, before ``--job FILE``.

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
        text = f"frame {event.get('frame')}"
        if int(event.get("passes") or 1) > 1:
            text = f"pass {event['pass']} of {event['passes']}, {text}"
        if "loss" in event:
            text += f", {event['scale']}, {event['iteration']} of {event['iterations']}, loss {event['loss']:.4g}"
        progress.update(float(event.get("fraction") or 0.0), text, facts)

    called = "the optimization's process"
    follow([*command, "--job", str(path)], progress, stop, on_event, called=called, debug=debug)
    if stop():
        raise Interrupted("painting stopped on request", exit_code=stop.exit_code, remedy="--resume goes on")


def _absolute(path: Path | str) -> str:
    # Not resolve(): a link in a path is the artist's choice, and a pattern is no file.
    return os.path.abspath(path)  # noqa: PTH100
