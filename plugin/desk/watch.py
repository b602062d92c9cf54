"""Watch on files that painting programs save: whoever saves one is heard of once it is whole."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

__all__ = ["FileWatch"]

POLL_S = 0.4

_Stamp = tuple[int, int] | None


class FileWatch:
    """Looks at files again and again: it works on every file system, and for programs that replace their file."""

    def __init__(self, on_saved: Callable[[Path, int], None]) -> None:
        """
        Args:
            on_saved: called with a file, and the number that it was given, once it changed and then stayed the same.
        """
        self._on_saved = on_saved
        self._lock = threading.Lock()
        self._files: dict[Path, tuple[int, _Stamp, _Stamp]] = {}
        self._closed = threading.Event()

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._loop, name="watch", daemon=True).start()

    def close(self) -> None:
        """Look no longer."""
        self._closed.set()

    def add(self, path: Path, number: int) -> None:
        """Watch a file as it is now."""
        stamp = _stamp(path)
        with self._lock:
            self._files[path] = (number, stamp, stamp)

    def forget(self, path: Path) -> None:
        """Watch it no longer."""
        with self._lock:
            self._files.pop(path, None)

    def look(self) -> None:
        """Look once."""
        saved = []
        with self._lock:
            for path, (number, known, last) in self._files.items():
                now = _stamp(path)
                # Not in the middle of being written: as it was at the look before.
                if now is not None and now != known and now == last:
                    saved.append((path, number))
                    known = now
                self._files[path] = (number, known, now)
        for path, number in saved:
            self._on_saved(path, number)

    def _loop(self) -> None:
        while not self._closed.wait(POLL_S):
            self.look()


def _stamp(path: Path) -> _Stamp:
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size) if status.st_size else None
