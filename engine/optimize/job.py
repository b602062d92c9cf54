"""The style job: what an optimization of keyframes from style images is asked to do, written and read as JSON."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from engine.base.errors import InputError
from engine.base.frames import SequencePath
from engine.base.temporaries import replacing
from engine.training.job.job import check_text, read_file

__all__ = ["COLOR_MODES", "ITERATIONS_OF_SCALE", "STYLE_LAYER_COUNT", "StyleImage", "StyleJob", "layer_weights"]

COLOR_MODES = ("style", "luminance", "histogram")
"""The painting's colors: the style image's; the plate's, with the style in its lightness alone; or the style
image's with their mean and covariance brought to the plate's first."""

STYLE_LAYER_COUNT = 5
"""Layers whose statistics are the style: relu1_1, relu2_1, relu3_1, relu4_1, relu5_1."""

ITERATIONS_OF_SCALE = 150
"""L-BFGS iterations at each scale, where no number is given."""

_WEIGHT = re.compile(r",weight=([^,=]*)$")
_MOST_ITERATIONS = 100_000
_MOST_STRENGTH = 1e4


class StyleImage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One style image, and how much it counts beside the others."""

    path: Path
    """The image."""
    weight: float = 1.0
    """Above 0; only the ratio to the others' counts."""

    def __post_init__(self) -> None:
        check_text(self)
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise InputError(f"a weight of {self.weight:g} is none", path=self.path, remedy="give one above 0")

    @classmethod
    def parse(cls, text: str) -> StyleImage:
        """Parse ``PATH[,weight=W]``.

        Raises:
            InputError: no path, or a weight that is no number above 0.
        """
        found = _WEIGHT.search(text)
        path = text[: found.start()] if found else text
        try:
            weight = float(found[1]) if found else 1.0
        except ValueError:
            weight = 0.0
        if not path.strip() or not (math.isfinite(weight) and weight > 0):
            raise InputError(f'"{text}" is not a style image', remedy="write PATH or PATH,weight=2")
        return cls(Path(path), weight)


def layer_weights(text: str) -> tuple[float, ...]:
    """Parse ``1,1,0.5,0,0``: what each of the style's layers counts.

    Raises:
        InputError: not five numbers from 0 up, or none above 0.
    """
    try:
        found = tuple(float(word) for word in text.split(","))
    except ValueError:
        found = ()
    _check_layers(found, text)
    return found


def _check_layers(layers: tuple[float, ...], text: str) -> None:
    sound = all(math.isfinite(each) and 0 <= each <= _MOST_STRENGTH for each in layers)
    if len(layers) != STYLE_LAYER_COUNT or not sound or not any(layers):
        remedy = f"give {STYLE_LAYER_COUNT} numbers from 0 up, fine texture first: 1,1,1,1,0.2"
        raise InputError(f'"{text}" are no weights of the style\'s layers', remedy=remedy)


class StyleJob(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The job file of ``python -m engine.optimize.stylize``.

    Raises:
        InputError: a value that makes no sense, wherever it is built.
    """

    needs_style: ClassVar[bool] = True

    plate: str
    """Pattern or movie of the plate."""
    plate_layer: str
    """Which layer or view of the plate's files is taken; empty for the one that is called the picture."""
    frames: tuple[int, ...]
    """The frames to paint, in order."""
    plate_colorspace: str | None
    """OCIO name; None asks the file and the config's rules."""
    ocio: str | None
    """Path of an OCIO config; None takes the active one."""
    out: str
    """Pattern of the painted images."""
    work: Path
    """Folder for checkpoint and preview."""
    styles: tuple[StyleImage, ...]
    """At least one."""
    features: str
    """Weights of a VGG: a path, ``vgg16`` or ``vgg19``."""
    iterations: int = ITERATIONS_OF_SCALE
    """L-BFGS iterations at each scale."""
    style_scale: float = 1.0
    """Longer side of the style images in units of the frame's: above 1 for broader strokes."""
    strength: float = 1.0
    """Factor on the weight of the style."""
    layers: tuple[float, ...] = (1.0,) * STYLE_LAYER_COUNT
    """Factors on the weights of the style's layers, from the finest texture to the largest forms."""
    color: str = "style"
    """One of :data:`COLOR_MODES`."""
    matte: str | None = None
    """Pattern or movie of mattes: where the style goes; the plate stays elsewhere. None for everywhere."""
    seed: int = 0
    """Of the noise that the start has."""
    device: str = "auto"
    """``auto``, ``cpu`` or ``cuda:N``."""
    threads: int | None = None
    """To compute with; None takes the machine's cores."""
    resume: bool = False
    """Go on from the checkpoint in ``work``; frames that are painted stay."""

    def __post_init__(self) -> None:
        check_text(self)
        if not self.frames or (self.needs_style and not self.styles):
            raise InputError("nothing to paint", remedy="give frames and a style image")
        if self.color not in COLOR_MODES:
            raise InputError(f"{self.color!r} is unknown", remedy=f"use {', '.join(COLOR_MODES)}")
        if not 1 <= self.iterations <= _MOST_ITERATIONS:
            remedy = f"give 1 to {_MOST_ITERATIONS:,}; 150 is a good start"
            raise InputError(f"{self.iterations} iterations are out of range", remedy=remedy)
        if not 0.1 <= self.style_scale <= 4:
            raise InputError(f"a style scale of {self.style_scale:g} is out of range", remedy="give 0.1 to 4")
        _check_layers(self.layers, ",".join(f"{each:g}" for each in self.layers))
        if not 0 < self.strength <= _MOST_STRENGTH:
            raise InputError(f"a strength of {self.strength:g} is out of range", remedy="give one above 0, up to 10000")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"seed is {self.seed}", remedy="give a whole number from 0 up, below 2^63")
        if self.threads is not None and not 1 <= self.threads <= 4096:
            raise InputError(f"threads is {self.threads}", remedy="give 1 to 4096")

    @property
    def plate_path(self) -> SequencePath:
        """The plate's files, and which layer of them is taken."""
        return SequencePath.parse(self.plate).with_layer(self.plate_layer)

    @property
    def folder(self) -> Path:
        """Where checkpoint and preview lie."""
        return self.work / "style"

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
    def load(cls, path: Path) -> StyleJob:
        """Read a job file, which may hold anything; raises as :func:`engine.training.job.job.read_file`."""
        return read_file(path, cls, "the style job")
