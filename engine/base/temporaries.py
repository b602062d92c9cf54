"""Temporary files, and atomic replacement: a reader sees the whole new file or the old one, never a part.

A temporary is named ``.<stem>.<host>-<pid>-<random>.tmp<ext>`` and lies in the folder of the file it will become, so
that the final rename stays on one file system. The host tag keeps one farm machine from judging another's process ids.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import platform
import re
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from engine.base.errors import NoPermissionError, OutputError

__all__ = ["STALE_AFTER_S", "clean_temporaries", "output_error", "replacing", "stale_temporaries"]

log = logging.getLogger(__name__)

STALE_AFTER_S = 3600.0
"""Age in seconds after which a temporary is stale whatever its process does."""

_TEMPORARY = re.compile(r"^\..*\.(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-[0-9a-f]{8}\.tmp(?:\.\w+)?$")
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_REPLACE_TRIES = 5


def _host_tag() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def output_error(path: Path, error: OSError) -> OutputError:
    """The error of the tree that says what ``error`` means for writing ``path``."""
    if error.errno in _FULL:
        return OutputError("disk full while writing", path=path, remedy="free some space and run again")
    if error.errno in _FORBIDDEN:
        return NoPermissionError(
            f"no permission to write here: {error.strerror}", path=path, remedy="choose another output folder"
        )
    if error.errno == errno.EISDIR:
        remedy = "remove it, or choose another output"
        return NoPermissionError("a folder stands where the file should go", path=path, remedy=remedy)
    if error.errno == errno.ENAMETOOLONG:
        return NoPermissionError("the name is too long for this disk", path=path, remedy="shorten it")
    if error.errno == errno.ENOENT:
        return OutputError("the output folder does not exist", path=path, remedy="create it first")
    return OutputError(f"cannot write: {error.strerror or error}", path=path)


@contextmanager
def replacing(path: Path | str, *, flush: bool = True) -> Iterator[Path]:
    """Yields an empty temporary to fill; on success flushes it to disk and renames it to ``path``.

    On any failure, an interrupt included, the temporary is removed and ``path`` is as it was.

    Args:
        flush: whether to wait for the disk. Without, a loss of power may leave a damaged file: for what tells its own
            damage and can be made again.

    Raises:
        NoPermissionError: the folder or the file may not be written.
        OutputError: the disk is full, the folder is missing, or another failure of the file system.
    """
    path = Path(path)
    name = f".{path.stem[:100]}.{_host_tag()}-{os.getpid()}-{secrets.token_hex(4)}.tmp{path.suffix}"
    temporary = path.parent / name
    try:
        try:
            # Created here, not by an image library, because only Python reports the reason of a refusal.
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            yield temporary
            if flush:
                with temporary.open("r+b") as handle:
                    os.fsync(handle.fileno())
            _replace(temporary, path)
        except OSError as error:
            raise output_error(path, error) from error
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _replace(temporary: Path, path: Path) -> None:
    for attempt in range(_REPLACE_TRIES):
        try:
            temporary.replace(path)
            return
        except PermissionError:
            # Windows refuses while a viewer or a virus scanner holds the old file open; that passes within moments.
            if sys.platform != "win32" or attempt == _REPLACE_TRIES - 1:
                raise
            time.sleep(0.1 * (attempt + 1))


def clean_temporaries(folder: Path | str) -> list[Path]:
    """Removes the stale temporaries of ``folder`` and returns their paths."""
    removed = []
    for path in stale_temporaries(folder):
        with suppress(OSError):
            path.unlink()
            removed.append(path)
            log.info("removed the stale temporary %s", path)
    return removed


def stale_temporaries(folder: Path | str) -> list[Path]:
    """Temporaries of ours in ``folder`` that nobody is writing any more.

    Stale is one whose process ran on this host and is gone, or one that is older than an hour. A young temporary of
    another host is left alone, because its process cannot be seen from here.
    """
    stale = []
    with suppress(OSError):
        for path in sorted(Path(folder).iterdir()):
            match = _TEMPORARY.match(path.name)
            if match is None:
                continue
            with suppress(OSError):
                old = time.time() - path.stat().st_mtime > STALE_AFTER_S
                gone = match["host"] == _host_tag() and not psutil.pid_exists(int(match["pid"]))
                if old or gone:
                    stale.append(path)
    return stale
