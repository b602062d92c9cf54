"""The training job: what a training run is asked to do, written and read as JSON; and what a recipe's settings are."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from engine.base.choices import DENOISE_MODES, GUIDE_KINDS, UNPAINTED_MODES
from engine.base.errors import InputError
from engine.base.frames import SequencePath
from engine.base.temporaries import replacing
from engine.base.whole_file import read_text
from engine.training.job.limits import MINIMUM_BUDGET_S, MINIMUM_STEPS, check_augmentation, check_recipe
from engine.training.job.recipe_settings import checked_settings

__all__ = ["CHECKPOINT", "PaintedFrame", "Settings", "TrainingJob", "check_text", "read_file"]

_Model = TypeVar("_Model")

CHECKPOINT = Path("train") / "checkpoint.safetensors"
"""What training leaves in the work folder to continue from."""

_INDIFFERENT = ("work", "look", "resume", "preview", "threads")
"""Fields that change the way to a look, but not the look."""

_MOST_SECONDS = 1e8
_BOUNDS = {
    "steps": (MINIMUM_STEPS, 10**9),
    "seed": (0, 2**64 - 1),
    "threads": (1, 4096),
    "frame": (-(2**31), 2**31 - 1),
}
"""Whole numbers, both ends included. The seed is what both random generators take."""


class PaintedFrame(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One painted frame of a job."""

    frame: int
    """The keyframe's number."""
    painting: Path
    """The painted image."""
    matte: Path | None = None
    """Coverage of the painting; None where its alpha, or nothing, limits it."""
    colorspace: str | None = None
    """OCIO name; None asks the key's sidecar, then the config's file rules."""

    def __post_init__(self) -> None:
        check_text(self)
        _check_bounds(self, "frame")


class TrainingJob(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The job file of ``python -m engine.training.train``: what is built in one process is what the other reads.

    Raises:
        InputError: a value that makes no sense, wherever it is built.
    """

    plate: str
    """Pattern or movie of the plate."""
    frames: str
    """Frame range in fileseq syntax."""
    plate_colorspace: str | None
    """OCIO name; None asks the config's file rules."""
    keyframes: tuple[PaintedFrame, ...]
    """At least one."""
    work: Path
    """Folder for checkpoints and previews."""
    look: Path
    """The .onnx to write."""
    budget_s: float | None
    """Seconds of training, if not counted in steps."""
    steps: int | None
    """Steps of training, if not counted in seconds."""
    seed: int = 0
    """Of everything random."""
    device: str = "auto"
    """``auto``, ``cpu`` or ``cuda:N``."""
    recipe: str = "paintover"
    """One of :data:`engine.training.job.limits.RECIPES`."""
    features: str | None = None
    """Weights of a VGG for the losses: a path, ``vgg16`` or ``vgg19``."""
    resume: bool = False
    """Continue from the checkpoint in ``work``."""
    ocio: str | None = None
    """Path of an OCIO config; None takes the active one."""
    threads: int | None = None
    """To compute with; None takes the machine's cores."""
    preview: bool = True
    """Refresh a preview strip in ``work``."""
    fit_paintings: bool = False
    """Resample a painting whose size differs from its plate frame."""
    crisp: bool = False
    """As in :class:`Settings`."""
    unpainted: str | None = None
    """What becomes of what is not painted, one of ``UNPAINTED_MODES``; None keeps the plate where a painting has an
    alpha, and translates where only a matte limits it."""
    guides: str | None = None
    """Which guide images in ``work`` the look takes, one of ``GUIDE_KINDS``; None for none."""
    denoise: str | None = None
    """How the frames in ``work`` that stand for the plate were denoised, one of ``DENOISE_MODES``; None for none."""
    settings: dict[str, int | float] | None = None
    """Values for some of ``recipe_settings.PARAMETERS`` in the place of our recipe's own; None for none."""
    start: Path | None = None
    """A look or a checkpoint of other paintings to go on from; None to begin with nothing learnt."""
    plate_layer: str = ""
    """Which layer or view of the plate's files is taken; empty for the one that is called the picture."""
    augment: str | None = None
    """One of :data:`engine.training.job.limits.AUGMENTATIONS`, for the recipe that takes them; None for none."""

    def __post_init__(self) -> None:
        check_text(self)
        words = ((self.guides, GUIDE_KINDS), (self.denoise, DENOISE_MODES), (self.unpainted, UNPAINTED_MODES))
        for word, known in words:
            if word is not None and word not in known:
                raise InputError(f"{word!r} is unknown", remedy=f"use {', '.join(known)}")
        check_recipe(self.recipe, guides=self.guides, settings=self.settings, crisp=self.crisp)
        check_augmentation(self.recipe, self.augment)
        if self.settings is not None:
            checked_settings(self.settings)
        if not self.keyframes:
            raise InputError("no keyframe to train from", remedy="give --keyframe FRAME=PAINTING")
        if (self.budget_s is None) == (self.steps is None):
            raise InputError("training needs a budget or a number of steps", remedy="give --budget 60s or --steps 500")
        if self.budget_s is not None and not MINIMUM_BUDGET_S <= self.budget_s <= _MOST_SECONDS:
            size = "large" if self.budget_s > _MOST_SECONDS else "small"
            remedy = f"give {MINIMUM_BUDGET_S:g} s or more"
            raise InputError(f"a budget of {self.budget_s:g} s is too {size} to train", remedy=remedy)
        if self.steps is not None and self.steps < MINIMUM_STEPS:
            raise InputError(f"{_shown(self.steps)} steps are too few to train", remedy="give 1 step or more")
        _check_bounds(self, "steps", "seed", "threads")

    @property
    def plate_path(self) -> SequencePath:
        """The plate's files, and which layer of them is taken."""
        return SequencePath.parse(self.plate).with_layer(self.plate_layer)

    @property
    def checkpoint(self) -> Path:
        """Where training leaves what it can continue from."""
        return self.work / CHECKPOINT

    def facts(self) -> dict[str, Any]:
        """Every field as a JSON value."""
        values: dict[str, Any] = msgspec.to_builtins(self, enc_hook=str)
        return values

    def facts_of_look(self) -> dict[str, Any]:
        """The fields that a look depends on, as JSON values; what their files hold is not among them."""
        facts = {name: value for name, value in self.facts().items() if name not in _INDIFFERENT}
        if self.start is None:
            # Looks from before one could go on from another are known by their facts without it.
            del facts["start"]
        if not self.plate_layer:
            # So that looks from before there was a choice stay current.
            del facts["plate_layer"]
        if self.augment is None:
            del facts["augment"]
        return facts

    def save(self, path: Path) -> None:
        """Write the job file.

        Raises:
            OutputError, NoPermissionError: it cannot be written.
        """
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(self.facts(), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> TrainingJob:
        """Read a job file, which may hold anything.

        Raises:
            InputError: it cannot be read, a field is missing, unknown or of another type, or a value makes no sense;
                one line that names the field and the file.
        """
        return read_file(path, cls, "the training job")


def read_file(path: Path, cls: type[_Model], what: str) -> _Model:
    """A JSON file, which may hold anything, as the one object that it should be.

    Args:
        cls: a ``msgspec.Struct``.
        what: the file, for people: ``the training job``.

    Raises:
        InputError: it cannot be read, a field is missing, unknown or of another type, or a value makes no sense; one
            line that names the field and the file.
    """
    try:
        # Not msgspec's own JSON: it refuses the surrogates by which Python keeps file names that are no UTF-8.
        return msgspec.convert(json.loads(read_text(path)), cls, dec_hook=_decoded)
    except InputError as error:
        error.path = path
        raise
    except RecursionError as error:
        raise InputError(f"cannot read {what}: it is nested too deeply", path=path) from error
    except (OSError, ValueError, OverflowError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"cannot read {what}: {why[:300]}", path=path) from error


def _decoded(kind: type, value: object) -> Any:
    """Paths, which JSON has as text."""
    if kind is Path and isinstance(value, str) and value:
        return Path(value)
    raise ValueError("Expected a path")


def check_text(of: msgspec.Struct) -> None:
    """No text or path has a zero character, which no file system takes.

    Raises:
        InputError: one has.
    """
    for name in of.__struct_fields__:
        value = getattr(of, name)
        if isinstance(value, (str, Path)) and "\0" in str(value):
            raise InputError(f"{name} has a zero character", remedy="write another name")


def _check_bounds(of: object, *names: str) -> None:
    for name in names:
        value, (least, most) = getattr(of, name), _BOUNDS[name]
        if value is not None and not least <= value <= most:
            raise InputError(f"{name} is {_shown(value)}", remedy=f"give a whole number from {least} to {most}")


def _shown(number: int) -> str:
    """A number as people can read it, however many digits it has."""
    return str(number) if number == 0 or math.log10(abs(number)) < 20 else "a number of more than 20 digits"


@dataclass(frozen=True)
class Settings:
    """Our recipe's settings. One set for every shot; the figures behind each are in docs/decisions/."""

    width: int = 96
    blocks: int = 6
    crop: int = 192
    """Side of a training crop, pixels, context included."""
    context: int = 16
    """Pixels along a crop's artificial borders that are seen and not judged; fewer where a network looks less far."""
    batch: int = 3
    learning_rate: float = 1e-3
    discriminator_rate: float = 4e-4
    discriminator_width: int = 24
    orthogonal: float = 4.0
    """Size of the steps of the hidden layers (docs/decisions/031-orthogonal-steps.md)."""
    warmup_steps: int = 30
    l1: float = 4.0
    feature_matching: float = 16.0
    adversarial: float = 1.0
    grid: float = 24.0
    """Of the penalty on patterns with the network's own sampling grid."""
    deep: float = 0.0
    """Weight of deep features, when weights are given."""
    crisp: bool = False
    """Carried strokes keep their finest detail and are trusted more, for shots that track well."""
    averaging: float = 0.99
    """Decay of the averaged weights per step."""

    def with_values(self, values: Mapping[str, float]) -> Settings:
        """These settings with the values of some of ``recipe_settings.PARAMETERS``.

        Raises:
            InputError: see :func:`engine.training.job.recipe_settings.checked_settings`.
        """
        # The paper's patch is our crop.
        names = {"patch": "crop"}
        found: dict[str, Any] = {names.get(name, name): value for name, value in checked_settings(values).items()}
        return replace(self, **found)
