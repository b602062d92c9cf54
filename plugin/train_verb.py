"""``paintover train``: painted keyframes to a look."""

from __future__ import annotations

import os
from pathlib import Path

from engine.color import ColorConfig
from engine.errors import InputError
from engine.recipe_settings import read_settings
from engine.shot import Shot
from plugin import training_process
from plugin.farm.arguments import add_task
from plugin.options import (
    Options,
    Parser,
    add_color,
    add_keyframes,
    add_look,
    add_machine,
    add_plate,
    add_reporting,
    add_training,
    add_work,
)
from plugin.preflight import (
    check_device,
    check_keyframes,
    check_look_output,
    check_plate,
    check_spaces,
    prepare_folder,
)
from plugin.prepare_options import add_denoise, add_guides
from plugin.prepared_files import Extras, check_prepared
from plugin.progress import Phase, Progress, duration
from plugin.request import look_from, shot_from, work_from
from plugin.stop import StopRequest
from plugin.training_process import TrainedLook, TrainingJob, TrainingKeyframe
from plugin.training_record import fingerprint, forget, remember

__all__ = ["check_recipe", "check_training", "job_from", "make_look", "parser", "run"]


def parser() -> Parser:
    """The options of ``paintover train``."""
    made = Parser(
        "train",
        "Trains a look from painted keyframes. Ctrl-C stops with the best look so far; --resume continues.\n"
        "While it trains, a preview strip in the work folder shows plate, painting and current result.",
        examples=[
            "paintover train --plate plate.%04d.exr --frames 1001-1100 --keyframe 1001=p1001.png \\",
            "    --keyframe 1080=p1080.png --work work --look hero.onnx",
            "paintover train shot.toml --budget 5m",
            "paintover train shot.toml --steps 2000 --seed 7 --resume",
            "paintover train shot.toml --settings work/tune/best.toml --budget 5m",
        ],
        shot_file=True,
    )
    add_plate(made)
    add_keyframes(made)
    add_look(made, "look.onnx in the work folder")
    add_work(made)
    add_training(made)
    add_denoise(made, "train on the denoised plate that prepare --denoise made; render then takes it too")
    add_guides(made, "train with the guide images that prepare --guides made; render then needs them too")
    add_color(made, paintings=True)
    add_machine(made)
    add_task(made, shard=False)
    add_reporting(made)
    return made


def run(options: Options, progress: Progress, stop: StopRequest) -> int:
    """Train; the look is written when this returns."""
    shot = shot_from(options, paintings=True, frames_out=False)
    check_training(shot, options)
    keys = [keyframe.frame for keyframe in shot.keyframes]
    check_prepared(shot.plate, keys, work_from(options, shot), Extras.of(options, shot))
    job = job_from(shot, options)
    progress.plan([training_phase(job)])
    make_look(job, progress, stop, debug=options.debug)
    progress.finish()
    return 0


def check_training(shot: Shot, options: Options) -> ColorConfig:
    """Find out what is wrong before anything is started; returns the color config.

    Raises:
        PaintoverError: see :mod:`plugin.preflight`; each case has its own message.
    """
    config = ColorConfig.active(options.ocio)
    check_recipe(shot, options)
    check_spaces(config, [shot.plate.colorspace, shot.out_colorspace])
    check_spaces(config, [keyframe.colorspace for keyframe in shot.keyframes])
    check_keyframes(shot.keyframes)
    check_plate(shot.plate)
    check_look_output(look_from(options, shot))
    prepare_folder(work_from(options, shot))
    check_device(shot.device)
    training_process.require_training()
    return config


def check_recipe(shot: Shot, options: Options) -> None:
    """The recipe takes what is asked of it.

    Raises:
        InputError: guide images, settings or crisp strokes for a recipe that is not ours.
    """
    if options.recipe in (None, "paintover"):
        return
    ours = {
        "guides": (shot.guides, "guide"),
        "settings": (options.settings, "settings"),
        "crisp": (options.crisp or None, "crisp strokes"),
    }
    for option, (value, what) in ours.items():
        if value is not None:
            raise InputError(f"the recipe {options.recipe} takes no {what}", remedy=f"drop --{option} or --recipe")


def training_phase(job: TrainingJob) -> Phase:
    """The part that training has in a plan."""
    length = f"{job.steps} steps" if job.budget_s is None else duration(job.budget_s)
    return Phase("train", f"Training {Path(job.look).name}, {length}", 6.0)


def job_from(shot: Shot, options: Options) -> TrainingJob:
    """The job of the training process, with absolute paths.

    Raises:
        InputError: the features or the settings file is missing, or names what cannot be trained with.
    """
    return TrainingJob(
        plate=_absolute(shot.plate.path.text),
        frames=str(shot.plate.frames),
        plate_colorspace=shot.plate.colorspace,
        keyframes=tuple(
            TrainingKeyframe(
                keyframe.frame,
                _absolute(keyframe.painting),
                None if keyframe.matte is None else _absolute(keyframe.matte),
                keyframe.colorspace,
            )
            for keyframe in shot.keyframes
        ),
        work=_absolute(work_from(options, shot)),
        look=_absolute(look_from(options, shot)),
        budget_s=shot.budget_s,
        steps=shot.steps,
        seed=shot.seed,
        device=shot.device,
        recipe=options.recipe or "paintover",
        features=_features(options.features),
        resume=options.resume,
        ocio=options.ocio if options.ocio is None or "://" in options.ocio else _absolute(options.ocio),
        threads=options.threads,
        preview=True,
        fit_paintings=options.fit_paintings,
        guides=shot.guides,
        denoise=shot.denoise,
        crisp=options.crisp,
        settings=_settings(options),
    )


def make_look(job: TrainingJob, progress: Progress, stop: StopRequest, *, debug: bool) -> TrainedLook:
    """Train in the phase ``train`` of the plan, and record what the look was made from."""
    inputs = fingerprint(job)
    progress.begin("train")
    forget(job)
    look = training_process.train(job, progress, stop, debug=debug)
    remember(job, inputs)
    loss = "" if look.loss is None else f", loss {look.loss:.4f}"
    facts = {"look": str(look.look), "steps": look.steps, "seconds": look.seconds, "check_error": look.check_error}
    progress.note(f"{look.look}: {look.steps} steps in {duration(look.seconds)}{loss}", facts)
    return look


def _settings(options: Options) -> dict[str, float] | None:
    """The values of the settings file, and not its path: the same values are the same training."""
    if options.settings is None:
        return None
    path = Path(options.settings)
    if not path.is_file():
        raise InputError("the settings file is missing", path=path, remedy="check --settings")
    return read_settings(path)


def _features(text: str | None) -> str | None:
    """A word that training knows stays one; anything that looks like a file must be one."""
    if text is None or (not Path(text).suffix and not Path(text).exists()):
        return text
    if not Path(text).is_file():
        raise InputError("the features file is missing", path=text, remedy="check --features")
    return _absolute(text)


def _absolute(path: Path | str) -> str:
    # Not resolve(): a link in a path is the artist's choice, and a pattern is no file.
    return os.path.abspath(path)  # noqa: PTH100
