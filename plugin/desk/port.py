"""Port of a desk: the one that it had last time, where it is free, so that tabs which are open still find it again."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from engine.base.errors import InputError
from plugin.desk.paintings import DESK_FOLDER
from plugin.desk.server import listen

__all__ = ["listen_again"]

_FILE = "port"
_LEAST, _MOST = 1024, 65535


def listen_again(asked: int | None, work: Path) -> socket.socket:
    """A socket of the loopback.

    A tab comes back at the same port alone, and then without the new token only in a browser that has it: the token is
    written nowhere.

    Args:
        asked: the port, 0 for any free one; None for the last one of this work folder, or else any.

    Raises:
        InputError: the port asked for is taken, or may not be used.
    """
    path = work / DESK_FOLDER / _FILE
    bound = _last(path) if asked is None else None
    bound = bound or listen(asked or 0)
    with contextlib.suppress(OSError):
        # It only saves an artist's strokes in a rare case: no reason not to open.
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{bound.getsockname()[1]}\n", encoding="ascii")
    return bound


def _last(path: Path) -> socket.socket | None:
    try:
        with path.open("rb") as file:
            port = int(file.read(16))
        return listen(port) if _LEAST <= port <= _MOST else None
    except (OSError, ValueError, InputError):
        return None
