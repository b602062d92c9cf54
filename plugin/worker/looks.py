"""The looks that a resident worker keeps in memory."""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from engine.base.machine import free_bytes
from engine.images.provenance import file_sha256
from engine.look.session import Look

__all__ = ["LoadedLooks", "default_limit"]

log = logging.getLogger(__name__)

_FOOTPRINT = 4
"""A loaded look takes about its file, the weights that onnxruntime unpacks from it (half to float), and copies of both
in its arena."""
_SESSION_BYTES = 64 << 20
_SHARE = 0.25

_Stamp = tuple[int, int, int, int]
_Key = tuple[Path, str, float]


@dataclass
class _Loaded:
    look: Look
    stamp: _Stamp
    size: int


def default_limit() -> int:
    """Bytes for loaded looks where nothing else is said: a share of the memory that is free now."""
    return int(_SHARE * free_bytes())


class LoadedLooks:
    """Looks by path, device and softness; the one unused for longest goes when memory is short, the newest stays.

    For one thread.
    """

    def __init__(self, limit_bytes: int, *, threads: int | None = None) -> None:
        """``threads`` is what :meth:`Look.load` takes; None for the machine's cores."""
        self._limit = limit_bytes
        self._threads = threads
        self._loaded: OrderedDict[_Key, _Loaded] = OrderedDict()

    def __len__(self) -> int:
        return len(self._loaded)

    def get(self, path: Path, device: str, softness: float = 0.0) -> Look:
        """The look of a file as it is now: loaded again where the file's hash is another than that of the look kept.

        Raises:
            LookError: not a look, or missing.
            DeviceError: the device is not usable.
        """
        key = (path.absolute(), device, softness)
        held = self._loaded.get(key)
        stamp = _stamp(path)
        if held is not None and held.stamp != stamp and stamp is not None and file_sha256(path) == held.look.sha256:
            held.stamp = stamp
        if held is None or held.stamp != stamp:
            self.drop(path, device, softness)
            look = Look.load(path, device=device, threads=self._threads, softness=softness)
            # The stamp from before the load: a file that was replaced meanwhile is noticed next time.
            held = self._loaded[key] = _Loaded(look, stamp or (0, 0, 0, 0), stamp[0] if stamp else 0)
            log.debug("loaded %s, %s", path, look.sha256[:8])
        self._loaded.move_to_end(key)
        self._make_room()
        return held.look

    def drop(self, path: Path, device: str, softness: float = 0.0) -> None:
        """Forget a look, whatever it is doing."""
        held = self._loaded.pop((path.absolute(), device, softness), None)
        if held is not None:
            held.look.close()

    def close(self) -> None:
        """Forget all of them."""
        for held in self._loaded.values():
            held.look.close()
        self._loaded.clear()

    def _make_room(self) -> None:
        while len(self._loaded) > 1 and self._taken() > self._limit:
            _, oldest = self._loaded.popitem(last=False)
            log.debug("forgot %s", oldest.look.path)
            oldest.look.close()

    def _taken(self) -> int:
        return sum(_FOOTPRINT * held.size + _SESSION_BYTES for held in self._loaded.values())


def _stamp(path: Path) -> _Stamp | None:
    """Changes when a file is replaced or written to; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
