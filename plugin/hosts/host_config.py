"""The host configuration, ``host.json``: how hosts find this paintover, and where its parts of them were installed.

Hosts read it by :mod:`plugin.client.command`; they know the command alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from plugin.client.command import config_file, write_config

__all__ = ["forget_place", "remember_place"]


def remember_place(command: Sequence[str], host: str, folder: Path) -> Path:
    """Write down how to start ``paintover``, and that a host's part is in a folder; returns the file.

    Raises:
        OSError: it cannot be written.
    """
    path = config_file()
    places = _places(path) if path.exists() else []
    if places is None:
        # Of an earlier version, which did not say what else it had installed: that must not be forgotten.
        return write_config(command)
    place = [host, str(folder)]
    return write_config(command, installed=places if place in places else [*places, place])


def forget_place(host: str, folder: Path) -> Path | None:
    """A host's part is gone from a folder; returns the file if it went too, because no part is left.

    A file of an earlier version, which does not say where parts were installed, stays.

    Raises:
        OSError: it cannot be written or removed.
    """
    path = config_file()
    places = _places(path)
    if places is None:
        return None
    left = [place for place in places if place != [host, str(folder)]]
    if not left:
        path.unlink()
        with suppress(OSError):
            # Somebody's own file keeps the folder.
            path.parent.rmdir()
        return path
    if left != places:
        write_config(json.loads(path.read_text(encoding="utf-8"))["command"], installed=left)
    return None


def _places(path: Path) -> list[list[str]] | None:
    """Pairs of host and folder; None where the file does not say that or how to start, or there is none."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if not all(isinstance(word, str) for word in facts["command"]):
            return None
        return [[str(host), str(folder)] for host, folder in facts["installed"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
