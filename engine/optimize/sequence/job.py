"""The sequence job: what an optimization of a shot from style images is asked to do, written and read as JSON."""

from __future__ import annotations

from pathlib import Path

from engine.base.errors import InputError
from engine.optimize.brushstrokes.job import MOST_STROKES, STROKES
from engine.optimize.job import StyleJob
from engine.training.job.job import read_file

__all__ = [
    "ITERATIONS_OF_PASS",
    "LONG_TERM",
    "LONG_TERM_OF_STROKES",
    "PREVIEW_SHRINK",
    "STROKE_ITERATIONS_OF_FRAME",
    "SequenceJob",
    "parse_offsets",
]

ITERATIONS_OF_PASS = 100
"""L-BFGS iterations of a frame in each of several passes, where no number is given."""

LONG_TERM = (10, 20, 40)
"""How many frames back a frame is compared as well, beside its neighbor."""

LONG_TERM_OF_STROKES = (8, 16, 32)
"""The same for frames that are painted with strokes first."""

STROKE_ITERATIONS_OF_FRAME = 50
"""Steps that move the strokes of a frame."""

PREVIEW_SHRINK = 4
"""Width and height of a frame by those of its preview."""

_MOST_PASSES = 1000
_MOST_OFFSETS = 16
_FARTHEST = 10_000


def parse_offsets(text: str) -> tuple[int, ...]:
    """Parse ``10,20,40``, or ``none``.

    Raises:
        InputError: something else than whole numbers above 1.
    """
    if text.strip().lower() == "none":
        return ()
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdigit() and len(word) < 9 for word in words):
        raise InputError(f'"{text}" is no list of frame offsets', remedy="write 10,20,40, or none")
    return tuple(sorted({int(word) for word in words}))


class SequenceJob(StyleJob, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The job file of ``python -m engine.optimize.sequence.sequence``.

    Raises:
        InputError: a value that makes no sense, wherever it is built.
    """

    passes: int = 1
    """1 goes through the shot once, each frame from the one before; more start from frames of their own, and go
    forward and backward in turn."""
    long_term: tuple[int, ...] = LONG_TERM
    """How many frames away a frame is compared as well, beside its neighbor; each at least 2."""
    strokes: int = 0
    """How many brushstrokes each frame is painted with before its pixels; 0 for none."""
    preview: bool = False
    """All of it at a quarter of the width and height."""
    vectors: str | None = None
    """Pattern of motion vectors between neighbors; None to estimate them."""
    backward_vectors: str | None = None
    """Those to the frame before, where they lie apart."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.passes <= _MOST_PASSES:
            raise InputError(f"{self.passes} passes are out of range", remedy=f"give 1 to {_MOST_PASSES}")
        if len(set(self.frames)) != len(self.frames):
            raise InputError("a frame is named twice", remedy="give each frame once")
        if self.strokes and not 10 <= self.strokes <= MOST_STROKES:
            remedy = f"give 10 to {MOST_STROKES:,}; {STROKES} is a good start"
            raise InputError(f"{self.strokes} strokes are out of range", remedy=remedy)
        offsets = self.long_term
        if not all(2 <= offset <= _FARTHEST for offset in offsets) or len(offsets) > _MOST_OFFSETS:
            remedy = f"give up to {_MOST_OFFSETS} numbers from 2 to {_FARTHEST:,}, such as 10,20,40, or none"
            raise InputError(f"frame offsets {','.join(map(str, offsets))} are out of range", remedy=remedy)

    @property
    def folder(self) -> Path:
        """Where the frames of passes lie, and the preview."""
        return self.work / "sequence" / "quarter" if self.preview else self.work / "sequence"

    @classmethod
    def load(cls, path: Path) -> SequenceJob:
        """Read a job file, which may hold anything; raises as :func:`engine.training.job.job.read_file`."""
        return read_file(path, cls, "the sequence job")
