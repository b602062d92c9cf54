"""Style looks: what ``train --style IMAGE`` asks of the training's process, and what is checked before it starts."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from engine.base.choices import PAINT_STYLES
from engine.base.errors import InputError
from engine.color.config import ColorConfig
from engine.optimize.feedforward.job import StyleLookJob
from engine.optimize.job import StyleImage
from engine.shot.shot import Plate, Shot
from plugin.arguments.ocio_variable import active_config
from plugin.arguments.options import Options
from plugin.arguments.preflight import check_device, check_look_output, check_plate, check_spaces, prepare_folder
from plugin.arguments.request import length_from, look_from, plate_from, work_from
from plugin.phases.training import features_from, say_trained
from plugin.progress.protocol import Progress
from plugin.progress.stop import StopRequest
from plugin.training import process as training_process
from plugin.training.process import TrainedLook
from plugin.training.record import forget, remember

__all__ = ["asks_for_style", "check_style_training", "make_style_look", "style_look_job"]

_OF_PAINTINGS = {
    "keyframes": "--keyframe",
    "fit_paintings": "--fit-paintings",
    "unpainted": "--unpainted",
    "recipe": "--recipe",
    "augment": "--augment",
    "settings": "--settings",
    "crisp": "--crisp",
    "start": "--from",
    "denoise": "--denoise",
    "guides": "--guides",
    "paint_colorspace": "--paint-colorspace",
}
_OF_STYLE = ("style_scale", "style_strength", "steadiness", "colors")


def asks_for_style(options: Options) -> bool:
    """Whether a look from style images is asked for.

    Raises:
        InputError: options of style images without one.
    """
    if options.style:
        return True
    for field in _OF_STYLE:
        if getattr(options, field) is not None:
            flag = "--" + field.replace("_", "-")
            raise InputError(f"{flag} is for style images", remedy="give --style IMAGE, or leave it out")
    return False


def check_style_training(options: Options) -> tuple[Plate, ColorConfig]:
    """Find out what is wrong before anything is started; returns the plate and the color config.

    Raises:
        PaintoverError: see :mod:`plugin.arguments.preflight`; each case has its own message.
    """
    for field, flag in _OF_PAINTINGS.items():
        if getattr(options, field):
            remedy = f"drop {flag}, or drop --style and train from paintings"
            raise InputError(f"a look from a style image takes no {flag}", remedy=remedy)
    file = None if options.shot is None else Shot.load(options.shot)
    plate = plate_from(options, file)
    config = ColorConfig.active(options.ocio)
    check_spaces(config, [plate.colorspace])
    check_plate(plate)
    check_look_output(look_from(options, file))
    prepare_folder(work_from(options, file))
    check_device(options.device or (file.device if file else "auto"))
    training_process.require_training()
    return plate, config


def style_look_job(options: Options, plate: Plate) -> StyleLookJob:
    """The job of the training's process, with absolute paths.

    Raises:
        InputError: no features, a missing file, or a value out of range.
    """
    file = None if options.shot is None else Shot.load(options.shot)
    if options.features is None:
        remedy = "give --features FILE with the weights of VGG-19 or VGG-16, or --features vgg19 to fetch them"
        raise InputError("a style image needs deep features to be compared by", remedy=remedy)
    budget_s, steps = length_from(options, file)
    return StyleLookJob(
        plate=_absolute(plate.path.text),
        plate_layer=plate.path.layer,
        frames=str(plate.frames),
        plate_colorspace=plate.colorspace,
        ocio=active_config(options.ocio),
        work=Path(_absolute(work_from(options, file))),
        look=Path(_absolute(look_from(options, file))),
        styles=tuple(map(_style_image, options.style or ())),
        features=features_from(options.features) or "",
        budget_s=budget_s,
        steps=steps,
        style_scale=1.0 if options.style_scale is None else options.style_scale,
        strength=1.0 if options.style_strength is None else options.style_strength,
        steadiness=1.0 if options.steadiness is None else options.steadiness,
        color=options.colors or "style",
        seed=(file.seed if file else 0) if options.seed is None else options.seed,
        device=options.device or (file.device if file else "auto"),
        threads=options.threads,
        resume=options.resume,
    )


def make_style_look(job: StyleLookJob, progress: Progress, stop: StopRequest, *, debug: bool) -> TrainedLook:
    """Train in the phase ``train`` of the plan, and record that the look on disk is this job's."""
    progress.begin("train")
    forget(job)
    look = training_process.train(job, progress, stop, debug=debug)
    remember(job, hashlib.sha256(json.dumps(job.facts(), sort_keys=True).encode()).hexdigest())
    say_trained(look, progress)
    return look


def _style_image(word: str) -> StyleImage:
    if word in PAINT_STYLES:
        remedy = "give a picture; paint --style has these, as a painting to train from"
        raise InputError(f"{word} is a style of the painter, not a style image", remedy=remedy)
    image = StyleImage.parse(word)
    if not image.path.is_file():
        raise InputError("the style image is missing", path=image.path, remedy="check --style")
    return StyleImage(Path(_absolute(image.path)), image.weight)


def _absolute(path: Path | str) -> str:
    # Not resolve(): a link in a path is the artist's choice, and a pattern is no file.
    return os.path.abspath(path)  # noqa: PTH100
