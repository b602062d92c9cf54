"""A file that someone else made, read whole: only a regular one, and only up to a size."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

__all__ = ["check_regular", "read_text", "read_whole"]


def check_regular(path: Path) -> os.stat_result:
    """What the file system says of a file that has an end: no folder, pipe, socket or device.

    Raises:
        OSError: it is not there, or is something else; links that go in a circle, and names that are too long.
        ValueError: the name holds a zero.
    """
    try:
        facts = path.stat()
    except ValueError as error:
        raise ValueError("the name holds a zero character") from error
    if stat.S_ISDIR(facts.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(facts.st_mode):
        raise OSError(errno.EINVAL, "not a regular file, but a pipe, socket or device", str(path))
    return facts


def read_whole(path: Path, max_bytes: int) -> bytes:
    """All bytes of a regular file.

    Raises:
        OSError: as :func:`check_regular`, or it cannot be read.
        ValueError: the name holds a zero, or the file is larger than ``max_bytes``.
    """
    facts = check_regular(path)
    if facts.st_size > max_bytes:
        raise ValueError(f"the file has {facts.st_size:,} bytes, over {max_bytes:,}")
    with path.open("rb") as handle:
        # Room is made for as many bytes as are asked for: for the file's own and one, not for the limit.
        data = handle.read(facts.st_size + 1)
    if len(data) > facts.st_size:
        raise OSError(errno.EAGAIN, "the file grew while it was read", str(path))
    return data


def read_text(path: Path, max_bytes: int = 2**24) -> str:
    """A regular file as UTF-8.

    Raises:
        OSError: as :func:`read_whole`.
        ValueError: as :func:`read_whole`, or it is not UTF-8.
    """
    return read_whole(path, max_bytes).decode("utf-8")
