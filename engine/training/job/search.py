"""The search file: what ``paintover tune`` compares with what, beside a training job."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from engine.base.temporaries import replacing
from engine.training.job.job import check_text, read_file

__all__ = ["Search"]


class Search(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What settings are compared by."""

    reference: str
    """Pattern of the reference sequence."""
    reference_colorspace: str | None = None
    """OCIO name; None asks the files and the config's file rules."""
    grid: str | None = None
    """A TOML file with lists of values, see :mod:`engine.training.tune.grid`; None for the default grid."""
    full: bool = False
    """Every combination, rather than one parameter at a time around the middle."""
    guides: bool = True
    """Whether frames are rendered with the STMap sidecars of the work folder."""

    def __post_init__(self) -> None:
        check_text(self)

    def save(self, path: Path) -> None:
        """Write the search file.

        Raises:
            OutputError, NoPermissionError: it cannot be written.
        """
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(msgspec.to_builtins(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Search:
        """Read a search file.

        Raises:
            InputError: it cannot be read, or a field is missing, unknown or of another type.
        """
        return read_file(path, cls, "the search")
