"""The strokes job: what painting frames with brushstrokes is asked to do, written and read as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from engine.base.errors import InputError
from engine.base.frames import SequencePath
from engine.optimize.job import StyleJob
from engine.training.job.job import read_file

__all__ = ["MOST_STROKES", "PIXEL_ITERATIONS", "STROKES", "STROKE_ITERATIONS", "StrokesJob"]

STROKES = 5000
"""Strokes of a frame, where no number is given."""
STROKE_ITERATIONS = 100
"""Steps that move the strokes, where no number is given."""
PIXEL_ITERATIONS = 40
"""L-BFGS iterations on the pixels afterwards, where a style image is given and no number."""
MOST_STROKES = 200_000
_MOST_ITERATIONS = 100_000


class StrokesJob(StyleJob, frozen=True, forbid_unknown_fields=True):
    """The job file of ``python -m engine.optimize.brushstrokes.paint``.

    ``iterations`` are steps that move the strokes. Without style images they follow the plate's own pixels.

    Raises:
        InputError: a value that makes no sense, wherever it is built.
    """

    needs_style: ClassVar[bool] = False

    strokes: int = STROKES
    """How many, at most; fewer where a small frame or matte has no room."""
    pixel_iterations: int = 0
    """L-BFGS iterations on the pixels when the strokes are done; 0 leaves the strokes as they are."""
    directions: str | None = None
    """Image of directions, or a drawing of them: one path, or a pattern with a frame number. None for none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 10 <= self.strokes <= MOST_STROKES:
            remedy = f"give 10 to {MOST_STROKES:,}; {STROKES} is a good start"
            raise InputError(f"{self.strokes} strokes are out of range", remedy=remedy)
        if not 0 <= self.pixel_iterations <= _MOST_ITERATIONS:
            remedy = f"give 0 to {_MOST_ITERATIONS:,}; {PIXEL_ITERATIONS} is a good start"
            raise InputError(f"{self.pixel_iterations} pixel iterations are out of range", remedy=remedy)
        if not self.styles and (self.pixel_iterations or self.color != "style"):
            raise InputError("without a style image, pixels and colors are the plate's", remedy="give a style image")

    @property
    def folder(self) -> Path:
        """Where checkpoint and preview lie."""
        return self.work / "strokes"

    def svg(self, frame: int) -> Path:
        """Where the strokes of a frame go, beside its painting."""
        return SequencePath.parse(self.out).path(frame).with_suffix(".svg")

    def directions_of(self, frame: int) -> Path | None:
        """The file of directions of a frame.

        Raises:
            InputError: there is no such file, and no pattern.
        """
        if self.directions is None:
            return None
        path = Path(self.directions)
        return path if path.is_file() else SequencePath.parse(self.directions).path(frame)

    @classmethod
    def load(cls, path: Path) -> StrokesJob:
        """Read a job file, which may hold anything; raises as :func:`engine.training.job.job.read_file`."""
        return read_file(path, cls, "the strokes job")
