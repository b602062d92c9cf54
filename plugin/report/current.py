"""Record of what contact sheet and report were made from, so that an unchanged run leaves them as they are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from engine.base.temporaries import replacing
from engine.base.whole_file import read_text

__all__ = ["are_current", "made_from", "remember"]

_NAME = "shown.json"


def made_from(facts: Iterable[object], files: Iterable[Path]) -> str:
    """SHA-256 of everything that they show.

    Args:
        facts: values whose text tells them apart.
        files: those that are read; they count by path, size and time of change, and may be missing.
    """
    digest = hashlib.sha256("\0".join(map(str, facts)).encode())
    for path in files:
        try:
            status = path.stat()
            found = f"{status.st_size} {status.st_mtime_ns}"
        except OSError:
            found = "missing"
        digest.update(f"{path}\0{found}\0".encode())
    return digest.hexdigest()


def are_current(work: Path, pages: Sequence[Path], inputs: str) -> bool:
    """Whether these files are as they were made, from the same inputs."""
    try:
        record = json.loads(read_text(work / _NAME))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(record, dict) and record == {"inputs": inputs, "files": made_from((), pages)}


def remember(work: Path, pages: Sequence[Path], inputs: str) -> None:
    """Record that these files are made from these inputs.

    Raises:
        OutputError: the record cannot be written.
    """
    record = {"inputs": inputs, "files": made_from((), pages)}
    with replacing(work / _NAME) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
