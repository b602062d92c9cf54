"""Files of a job: what an engine writes before it submits, and ``--dry-run``, which shows them instead."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from engine.base.temporaries import output_error, replacing
from plugin.progress.protocol import visible

__all__ = ["show", "write"]


def show(files: Mapping[Path, str]) -> None:
    """Print what would be written, each file under its path."""
    for path, text in files.items():
        print(f"# {visible(str(path))}\n{text}")


def write(files: Mapping[Path, str]) -> None:
    """Write them, with line feeds alone, each whole or not at all.

    Raises:
        OutputError, NoPermissionError: one cannot be written.
    """
    for path, text in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(path.parent, error) from error
        with replacing(path) as temporary:
            # A name that is no text keeps its bytes, for the formats that can hold it.
            temporary.write_bytes(text.encode("utf-8", "surrogateescape"))
