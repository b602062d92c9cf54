"""The job of a style look: what training a look from style images is asked to do, written and read as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from engine.base.errors import InputError
from engine.base.frames import FrameRange, SequencePath
from engine.base.temporaries import replacing
from engine.optimize.job import COLOR_MODES, StyleImage
from engine.training.job.job import CHECKPOINT, check_text, read_file
from engine.training.job.limits import MINIMUM_BUDGET_S, MINIMUM_STEPS

__all__ = ["RECIPE", "StyleLookJob"]

RECIPE = "style"
"""What the card of such a look says it was trained by."""
_MOST = {"budget_s": 1e8, "steps": 10**9}


class StyleLookJob(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The job file of ``python -m engine.optimize.feedforward.train``.

    Raises:
        InputError: a value that makes no sense, wherever it is built.
    """

    plate: str
    """Pattern or movie of the plate."""
    plate_layer: str
    """Which layer or view of the plate's files is taken; empty for the one that is called the picture."""
    frames: str
    """The frames to learn from, in fileseq syntax."""
    plate_colorspace: str | None
    """OCIO name; None asks the file and the config's rules."""
    ocio: str | None
    """Path of an OCIO config; None takes the active one."""
    work: Path
    """Folder for checkpoint and preview."""
    look: Path
    """The .onnx to write."""
    styles: tuple[StyleImage, ...]
    """At least one."""
    features: str
    """Weights of a VGG: a path, ``vgg16`` or ``vgg19``."""
    budget_s: float | None
    """Seconds of training, if not counted in steps."""
    steps: int | None
    """Steps of training, if not counted in seconds."""
    style_scale: float = 1.0
    """Longer side of the style images in units of the frame's: above 1 for broader strokes."""
    strength: float = 1.0
    """Factor on the weight of the style."""
    steadiness: float = 1.0
    """Factor on the weight of the temporal loss; 0 for none."""
    color: str = "style"
    """One of :data:`engine.optimize.job.COLOR_MODES`."""
    seed: int = 0
    """Of everything random."""
    device: str = "auto"
    """``auto``, ``cpu`` or ``cuda:N``."""
    threads: int | None = None
    """To compute with; None takes the machine's cores."""
    resume: bool = False
    """Continue from the checkpoint in ``work``."""
    preview: bool = True
    """Refresh a preview strip in ``work``."""

    def __post_init__(self) -> None:
        check_text(self)
        FrameRange.parse(self.frames)
        if not self.styles:
            raise InputError("no style image to train from", remedy="give --style IMAGE")
        if self.color not in COLOR_MODES:
            raise InputError(f"{self.color!r} is unknown", remedy=f"use {', '.join(COLOR_MODES)}")
        if (self.budget_s is None) == (self.steps is None):
            raise InputError("training needs a budget or a number of steps", remedy="give --budget 60s or --steps 500")
        for name, value, least in (("budget", self.budget_s, MINIMUM_BUDGET_S), ("steps", self.steps, MINIMUM_STEPS)):
            most = _MOST["steps" if name == "steps" else "budget_s"]
            if value is not None and not least <= value <= most:
                raise InputError(f"a training's {name} of {value:g} is out of range", remedy=f"give {least:g} or more")
        if not 0.1 <= self.style_scale <= 4:
            raise InputError(f"a style scale of {self.style_scale:g} is out of range", remedy="give 0.1 to 4")
        if not 0 < self.strength <= 1e4:
            raise InputError(f"a strength of {self.strength:g} is out of range", remedy="give one above 0, up to 10000")
        if not 0 <= self.steadiness <= 1e4:
            raise InputError(f"a steadiness of {self.steadiness:g} is out of range", remedy="give 0 to 10000")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"seed is {self.seed}", remedy="give a whole number from 0 up, below 2^63")
        if self.threads is not None and not 1 <= self.threads <= 4096:
            raise InputError(f"threads is {self.threads}", remedy="give 1 to 4096")

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

    def save(self, path: Path) -> None:
        """Write the job file.

        Raises:
            OutputError, NoPermissionError: it cannot be written.
        """
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(self.facts(), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> StyleLookJob:
        """Read a job file, which may hold anything; raises as :func:`engine.training.job.job.read_file`."""
        return read_file(path, cls, "the style look's job")
