"""What installers of every host share: files written only where they differ, and taken away with their folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.base.errors import InputError, NoPermissionError
from engine.base.temporaries import replacing
from plugin.client.command import CLIENT_FILES

__all__ = ["check_place", "check_sources", "client_sources", "remove_empty", "write"]


def check_place(folder: Path, remedy: str) -> None:
    """Refuse a place that is a file.

    Raises:
        InputError: it is.
        NoPermissionError: it cannot be looked at: a name that is too long, say.
    """
    try:
        is_file = folder.exists() and not folder.is_dir()
    except OSError as error:
        raise _unusable(folder, error) from error
    if is_file:
        raise InputError("this is a file", path=folder, remedy=remedy)


def client_sources(head: Path) -> dict[str, Path]:
    """The client of the worker, which every host gets a copy of: file names and where they come from.

    Args:
        head: what becomes the package's ``__init__.py``; an empty one would do, this one says what the folder is.
    """
    client = Path(__file__).resolve().parents[1] / "client"
    return {**{name: client / name for name in CLIENT_FILES}, "__init__.py": head}


def check_sources(paths: Mapping[Any, Path]) -> None:
    """Refuse to install half of ourselves.

    Raises:
        InputError: one of our own files is missing.
    """
    for path in paths.values():
        if not path.is_file():
            raise InputError("Paintover's own file is missing", path=path, remedy="install Paintover again")


def write(path: Path, data: bytes) -> None:
    """Write a file that is not like that already.

    Raises:
        OutputError, NoPermissionError: it cannot be written, or its folder cannot be made.
    """
    if path.is_file() and path.read_bytes() == data:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(path.parent, error) from error
    # A link to a shared file stays one.
    with replacing(path.resolve()) as temporary:
        temporary.write_bytes(data)


def remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders, the innermost first, that held nothing but ours and what Python compiled of it."""
    for folder in folders:
        for compiled in folder.glob("__pycache__/*.pyc"):
            compiled.unlink()
        for one in (folder / "__pycache__", folder):
            if one.is_dir() and not any(one.iterdir()):
                one.rmdir()


def _unusable(folder: Path, error: OSError) -> NoPermissionError:
    why = error.strerror or str(error)
    return NoPermissionError(f"cannot make the folder: {why}", path=folder, remedy="choose another place")
