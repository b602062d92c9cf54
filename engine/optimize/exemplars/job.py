"""The exemplar job: what putting keyframes together from painted frames is asked to do, written and read as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from engine.base.errors import InputError
from engine.base.frames import SequencePath
from engine.base.temporaries import replacing
from engine.training.job.job import check_text, read_file

__all__ = ["MOST_EXEMPLARS", "ExemplarJob", "PaintedExemplar"]

MOST_EXEMPLARS = 16
"""Memory grows with each."""


class PaintedExemplar(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A frame, and what somebody painted on it."""

    plate: Path
    """The image that was painted on."""
    painting: Path
    """The painting."""

    def __post_init__(self) -> None:
        check_text(self)

    @classmethod
    def parse(cls, text: str) -> PaintedExemplar:
        """Parse ``PLATE=PAINTING``; of several equals signs the first one counts that has a file before it.

        Raises:
            InputError: no plate or no painting.
        """
        places = [place for place, letter in enumerate(text) if letter == "="]
        cuts = [(text[:place].strip(), text[place + 1 :].strip()) for place in places]
        cuts = [cut for cut in cuts if all(cut)]
        if not cuts:
            remedy = "write PLATE=PAINTING, such as plate.1001.exr=p1001.png"
            raise InputError(f'"{text}" is not an exemplar', remedy=remedy)
        plate, painting = next((cut for cut in cuts if Path(cut[0]).is_file()), cuts[0])
        return cls(Path(plate), Path(painting))


class ExemplarJob(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The job file of ``python -m engine.optimize.exemplars.assemble``.

    Raises:
        InputError: a value that makes no sense, wherever it is built.
    """

    plate: str
    """Pattern or movie of the plate."""
    plate_layer: str
    """Which layer or view of the plate's files is taken; empty for the one that is called the picture."""
    frames: tuple[int, ...]
    """The frames to put together, in order."""
    plate_colorspace: str | None
    """OCIO name, also of exemplars' plates of the same kind of file; None asks the file and the config's rules."""
    ocio: str | None
    """Path of an OCIO config; None takes the active one."""
    out: str
    """Pattern of the images."""
    work: Path
    """Folder for the pictures of which exemplar serves where."""
    exemplars: tuple[PaintedExemplar, ...]
    """At least one."""
    matte: str | None = None
    """Pattern or movie of mattes: where the painting goes; the plate stays elsewhere. None for everywhere."""
    seed: int = 0
    """Of where the blocks begin in which patches are looked for."""
    threads: int | None = None
    """To compute with; None takes the machine's cores."""
    resume: bool = False
    """Frames that are there stay."""

    def __post_init__(self) -> None:
        check_text(self)
        if not self.frames or not self.exemplars:
            raise InputError("nothing to put together", remedy="give frames and an exemplar")
        if len(self.exemplars) > MOST_EXEMPLARS:
            why = f"{len(self.exemplars)} exemplars are too many"
            raise InputError(why, remedy=f"give the {MOST_EXEMPLARS} that are most like the frame")
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
        """Where the pictures of which exemplar serves where lie."""
        return self.work / "exemplars"

    def labels_path(self, frame: int) -> Path:
        """The picture of which exemplar serves where in a frame."""
        return self.folder / f"labels.{frame:04d}.png"

    def colorspace_of(self, exemplar: PaintedExemplar) -> str | None:
        """What the exemplar's plate is stated to be in."""
        same = exemplar.plate.suffix.lower() == Path(self.plate).suffix.lower()
        return self.plate_colorspace if same else None

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
    def load(cls, path: Path) -> ExemplarJob:
        """Read a job file, which may hold anything; raises as :func:`engine.training.job.job.read_file`."""
        return read_file(path, cls, "the exemplar job")
