"""Machine: how many cores this process may use, and how much memory it may still take."""

from __future__ import annotations

import math
import os
from pathlib import Path

import psutil

__all__ = ["cpu_count", "free_bytes"]


_CGROUP = Path("/sys/fs/cgroup")


def free_bytes() -> int:
    """Memory that this process may still take: what the machine has available, or less where a container says so."""
    free = int(psutil.virtual_memory().available)
    limits = [left for left in map(_cgroup_left, _cgroup_folders()) if left is not None]
    return max(0, min([free, *limits]))


def cpu_count() -> int:
    """Cores that this process may use: physical ones, within its affinity and its container's quota."""
    allowed = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    quota = math.inf
    for folder in _cgroup_folders():
        words = (_read(folder / "cpu.max") or "max").split()
        if len(words) == 2 and words[0].isdigit() and int(words[1]) > 0:
            quota = min(quota, int(words[0]) / int(words[1]))
    # Two threads of one core share its multipliers: convolutions gain nothing from them.
    physical = psutil.cpu_count(logical=False) or allowed
    return max(1, int(min(allowed, physical, math.ceil(quota) if quota < math.inf else allowed)))


def _cgroup_folders() -> list[Path]:
    """This process's control groups, innermost first; a batch scheduler limits the inner ones."""
    own = _read(Path("/proc/self/cgroup")) or ""
    inner = next((line[3:].strip("/") for line in own.splitlines() if line.startswith("0::")), "")
    folder = _CGROUP / inner
    if not folder.is_dir():
        folder = _CGROUP
    parents = [parent for parent in (folder, *folder.parents) if parent.is_relative_to(_CGROUP)]
    return [*parents, _CGROUP / "memory"]


def _cgroup_left(folder: Path) -> int | None:
    limit = _read(folder / "memory.max") or _read(folder / "memory.limit_in_bytes")
    used = _read(folder / "memory.current") or _read(folder / "memory.usage_in_bytes")
    if limit is None or used is None or not limit.isdigit() or not used.isdigit():
        return None
    # Pages of files that were read count as used but are given up on demand.
    cached = 0
    for line in (_read(folder / "memory.stat") or "").splitlines():
        name, _, value = line.partition(" ")
        if name in ("inactive_file", "total_inactive_file"):
            cached = max(cached, int(value))
    return int(limit) - int(used) + cached


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
