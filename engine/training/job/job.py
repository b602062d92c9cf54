"""What a training run is asked to do, and what a recipe's settings are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from engine.base.choices import DENOISE_MODES, GUIDE_KINDS
from engine.base.errors import InputError
from engine.training.job.recipe_settings import checked_settings

__all__ = ["RECIPES", "KeyframeJob", "Settings", "TrainingJob"]

RECIPES = ("paintover", "texler2020", "texler2020-fullframe")

MINIMUM_BUDGET_S = 5.0
MINIMUM_STEPS = 1


@dataclass(frozen=True)
class KeyframeJob:
    """One painted frame."""

    frame: int
    """The keyframe's number."""
    painting: Path
    """The painted image."""
    matte: Path | None
    """Coverage of the painting; None where its alpha, or nothing, limits it."""
    colorspace: str | None
    """OCIO name; None asks the key's sidecar, then the config's file rules."""


@dataclass(frozen=True)
class TrainingJob:
    """The job file of ``python -m engine.training.train``."""

    plate: str
    """Pattern or movie of the plate."""
    frames: str
    """Frame range in fileseq syntax."""
    plate_colorspace: str | None
    """OCIO name; None asks the config's file rules."""
    keyframes: tuple[KeyframeJob, ...]
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
    device: str = "auto"
    """``auto``, ``cpu`` or ``cuda:N``."""
    recipe: str = "paintover"
    """One of ``RECIPES``."""
    features: str | None = None
    """Weights of a VGG for the losses: a path, ``vgg16`` or ``vgg19``."""
    resume: bool = False
    """Continue from the checkpoint in ``work``."""
    ocio: str | None = None
    """Path of an OCIO config; None takes the active one."""
    threads: int | None = None
    preview: bool = True
    """Refresh a preview strip in ``work``."""
    fit_paintings: bool = False
    """Resample a painting whose size differs from its plate frame."""
    crisp: bool = False
    """As in :class:`Settings`."""
    guides: str | None = None
    """Which guide images in ``work`` the look takes, one of ``GUIDE_KINDS``; None for none."""
    denoise: str | None = None
    """How the frames in ``work`` that stand for the plate were denoised, one of ``DENOISE_MODES``; None for none."""
    settings: Mapping[str, float] | None = None
    """Values for some of ``recipe_settings.PARAMETERS`` in the place of our recipe's own; None for none."""

    def __post_init__(self) -> None:
        if self.recipe not in RECIPES:
            raise InputError(f"unknown recipe {self.recipe!r}", remedy=f"known are {', '.join(RECIPES)}")
        for word, known in ((self.guides, GUIDE_KINDS), (self.denoise, DENOISE_MODES)):
            if word is not None and word not in known:
                raise InputError(f"{word!r} is unknown", remedy=f"use {', '.join(known)}")
        if self.guides is not None and self.recipe != RECIPES[0]:
            raise InputError(f"the recipe {self.recipe} takes no guide", remedy="drop --guides or --recipe")
        if self.settings is not None:
            checked_settings(self.settings)
            if self.recipe != RECIPES[0]:
                raise InputError(f"the recipe {self.recipe} takes no settings", remedy="drop --settings or --recipe")
        if not self.keyframes:
            raise InputError("no keyframe to train from", remedy="give --keyframe FRAME=PAINTING")
        if (self.budget_s is None) == (self.steps is None):
            raise InputError("training needs a budget or a number of steps", remedy="give --budget 60s or --steps 500")
        if self.budget_s is not None and not self.budget_s >= MINIMUM_BUDGET_S:
            raise InputError(
                f"a budget of {self.budget_s:g} s is too small to train", remedy=f"give {MINIMUM_BUDGET_S:g} s or more"
            )
        if self.steps is not None and self.steps < MINIMUM_STEPS:
            raise InputError(f"{self.steps} steps are too few to train", remedy="give 1 step or more")

    @classmethod
    def load(cls, path: Path) -> TrainingJob:
        """Read a job file (JSON).

        Raises:
            InputError: the file cannot be read, a field is missing or unknown, or a value makes no sense.
        """
        try:
            data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            keyframes = tuple(
                KeyframeJob(
                    frame=int(k["frame"]),
                    painting=Path(k["painting"]),
                    matte=Path(k["matte"]) if k.get("matte") else None,
                    colorspace=k.get("colorspace"),
                )
                for k in data.pop("keyframes")
            )
            unknown = set(data) - {f.name for f in fields(cls)}
            if unknown:
                raise ValueError(f"unknown fields {', '.join(sorted(unknown))}")
            work, look = Path(data.pop("work")), Path(data.pop("look"))
            return cls(keyframes=keyframes, work=work, look=look, **data)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"cannot read the training job: {error}", path=path) from error


@dataclass(frozen=True)
class Settings:
    """Our recipe's settings. One set for every shot; the figures behind each are in docs/decisions/."""

    width: int = 96
    blocks: int = 6
    crop: int = 192
    """Side of a training crop, pixels, context included."""
    batch: int = 3
    learning_rate: float = 1e-3
    discriminator_rate: float = 4e-4
    discriminator_width: int = 24
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
