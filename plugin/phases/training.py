"""Training as a phase of a job: what is checked before, the training job that a shot means, and the look from it."""

from __future__ import annotations

import os
from pathlib import Path

from engine.base.errors import InputError
from engine.color.config import ColorConfig
from engine.color.paintings import check_painting_space
from engine.optimize.feedforward.job import StyleLookJob
from engine.shot.shot import Shot
from engine.training.job.job import CHECKPOINT, PaintedFrame, TrainingJob
from engine.training.job.limits import OWN_RECIPE, check_augmentation, check_recipe
from engine.training.job.recipe_settings import read_settings
from plugin.arguments.ocio_variable import active_config
from plugin.arguments.options import Options
from plugin.arguments.preflight import (
    check_device,
    check_keyframes,
    check_look_output,
    check_mattes,
    check_painting_sizes,
    check_plate,
    check_spaces,
    prepare_folder,
)
from plugin.arguments.request import look_from, work_from
from plugin.progress.protocol import Phase, Progress, duration
from plugin.progress.stop import StopRequest
from plugin.training import process as training_process
from plugin.training.process import EXPORT, TrainedLook
from plugin.training.record import fingerprint, forget, remember

__all__ = [
    "check_asked_recipe",
    "check_training",
    "features_from",
    "job_from",
    "make_look",
    "say_trained",
    "training_phases",
]

_START_S, _STEP_S, _EXPORT_S = 5.0, 0.3, 4.0
"""What loading, a step and the export take on a few cores: no more than the shares of a bar."""


def check_training(shot: Shot, options: Options) -> ColorConfig:
    """Find out what is wrong before anything is started; returns the color config.

    Raises:
        PaintoverError: see :mod:`plugin.arguments.preflight`; each case has its own message.
    """
    config = ColorConfig.active(options.ocio)
    check_asked_recipe(shot, options)
    check_spaces(config, [shot.plate.colorspace, shot.out_colorspace])
    for keyframe in shot.keyframes:
        if keyframe.colorspace is not None:
            check_painting_space(config, keyframe.colorspace)
    check_keyframes(shot.keyframes)
    check_plate(shot.plate)
    check_painting_sizes(shot.plate, shot.keyframes, fit=options.fit_paintings)
    check_mattes(shot.matte, shot.plate)
    check_look_output(look_from(options, shot))
    prepare_folder(work_from(options, shot))
    check_device(shot.device)
    training_process.require_training()
    return config


def check_asked_recipe(shot: Shot, options: Options) -> None:
    """The recipe takes what is asked of it.

    Raises:
        InputError: see :func:`engine.training.job.limits.check_recipe`.
    """
    recipe = options.recipe or OWN_RECIPE
    check_recipe(recipe, guides=shot.guides, settings=options.settings, crisp=options.crisp)
    check_augmentation(recipe, options.augment)


def training_phases(job: TrainingJob | StyleLookJob) -> list[Phase]:
    """The parts that training has in a plan: its steps, and writing the look."""
    length = f"{job.steps} steps" if job.budget_s is None else duration(job.budget_s)
    seconds = job.budget_s or _START_S + _STEP_S * (job.steps or 0)
    return [
        Phase("train", f"Training {job.look.name}, {length}", seconds),
        Phase(EXPORT, f"Exporting {job.look.name} and checking it", _EXPORT_S),
    ]


def job_from(shot: Shot, options: Options) -> TrainingJob:
    """The job of the training process, with absolute paths.

    Raises:
        InputError: the features or the settings file is missing, or names what cannot be trained with; or see
            :class:`engine.training.job.job.TrainingJob`.
    """
    return TrainingJob(
        plate=_absolute(shot.plate.path.text),
        frames=str(shot.plate.frames),
        plate_colorspace=shot.plate.colorspace,
        keyframes=tuple(
            PaintedFrame(
                keyframe.frame,
                Path(_absolute(keyframe.painting)),
                None if keyframe.matte is None else Path(_absolute(keyframe.matte)),
                keyframe.colorspace,
            )
            for keyframe in shot.keyframes
        ),
        work=Path(_absolute(work_from(options, shot))),
        look=Path(_absolute(look_from(options, shot))),
        budget_s=shot.budget_s,
        steps=shot.steps,
        seed=shot.seed,
        device=shot.device,
        recipe=options.recipe or OWN_RECIPE,
        features=features_from(options.features),
        resume=options.resume,
        ocio=active_config(options.ocio),
        threads=options.threads,
        preview=True,
        fit_paintings=options.fit_paintings,
        guides=shot.guides,
        denoise=shot.denoise,
        unpainted=shot.unpainted,
        crisp=options.crisp,
        settings=_settings(options),
        start=_start(options.start),
        plate_layer=shot.plate.path.layer,
        augment=options.augment,
    )


def make_look(job: TrainingJob, progress: Progress, stop: StopRequest, *, debug: bool) -> TrainedLook:
    """Train in the phase ``train`` of the plan, and record what the look was made from."""
    inputs = fingerprint(job)
    progress.begin("train")
    forget(job)
    look = training_process.train(job, progress, stop, debug=debug)
    remember(job, inputs)
    say_trained(look, progress)
    return look


def say_trained(look: TrainedLook, progress: Progress) -> None:
    """One line about a look that was written."""
    loss = "" if look.loss is None else f", loss {look.loss:.4f}"
    facts = {"look": str(look.look), "steps": look.steps, "seconds": look.seconds, "check_error": look.check_error}
    steps = f"{look.steps} step{'' if look.steps == 1 else 's'}"
    progress.note(f"{look.look}: {steps} in {duration(look.seconds)}{loss}", facts)


def _settings(options: Options) -> dict[str, float] | None:
    """The values of the settings file, and not its path: the same values are the same training."""
    if options.settings is None:
        return None
    path = Path(options.settings)
    if not path.is_file():
        raise InputError("the settings file is missing", path=path, remedy="check --settings")
    return read_settings(path)


def _start(text: str | None) -> Path | None:
    if text is None:
        return None
    path = Path(text)
    if path.suffix.lower() not in (".onnx", CHECKPOINT.suffix):
        remedy = f"name a look (.onnx) or a checkpoint, such as work/{CHECKPOINT.as_posix()}"
        raise InputError("training goes on from a look or a checkpoint", path=path, remedy=remedy)
    if not path.is_file():
        raise InputError("what to go on from is missing", path=path, remedy="check --from")
    return Path(_absolute(path))


def features_from(text: str | None) -> str | None:
    """A word that training knows stays one; anything that looks like a file must be one."""
    if text is None or (not Path(text).suffix and not Path(text).exists()):
        return text
    if not Path(text).is_file():
        raise InputError("the features file is missing", path=text, remedy="check --features")
    return _absolute(text)


def _absolute(path: Path | str) -> str:
    # Not resolve(): a link in a path is the artist's choice, and a pattern is no file.
    return os.path.abspath(path)  # noqa: PTH100
