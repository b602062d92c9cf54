"""Machine: its processor, the cores that this process may use, and the memory that it may take."""

from __future__ import annotations

import math
import os
import platform
from pathlib import Path

import psutil

__all__ = [
    "cpu_count",
    "cpu_name",
    "free_bytes",
    "memory_limit_bytes",
    "physical_cores",
    "total_bytes",
    "usable_threads",
]

_CGROUP = Path("/sys/fs/cgroup")


def free_bytes() -> int:
    """Memory that this process may still take: what the machine has available, or less where a container says so."""
    free = int(psutil.virtual_memory().available)
    limits = [left for left in map(_cgroup_left, _cgroup_folders()) if left is not None]
    return max(0, min([free, *limits]))


def total_bytes() -> int:
    """Memory of the machine."""
    return int(psutil.virtual_memory().total)


def memory_limit_bytes() -> int | None:
    """What a container or a scheduler allows this process; None where nothing does."""
    limits = [limit for limit in map(_cgroup_limit, _cgroup_folders()) if limit is not None]
    return min(limits, default=None)


def cpu_count() -> int:
    """Cores that this process may use: physical ones, within its affinity and its container's quota."""
    allowed = usable_threads()
    quota = math.inf
    for folder in _cgroup_folders():
        words = (_read(folder / "cpu.max") or "max").split()
        if len(words) == 2 and words[0].isdigit() and int(words[1]) > 0:
            quota = min(quota, int(words[0]) / int(words[1]))
    # Two threads of one core share its multipliers: convolutions gain nothing from them.
    return max(1, int(min(allowed, physical_cores(), math.ceil(quota) if quota < math.inf else allowed)))


def physical_cores() -> int:
    """Cores of the machine, whoever may use them; two threads of one core count as one."""
    return psutil.cpu_count(logical=False) or usable_threads()


def usable_threads() -> int:
    """Hardware threads that the system lets this process run on, whatever its container's quota."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_name() -> str:
    """The processor as its maker calls it, or at least its architecture."""
    for line in (_read(Path("/proc/cpuinfo")) or "").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cgroup_folders() -> list[Path]:
    """This process's control groups, innermost first; a batch scheduler limits the inner ones."""
    own = _read(Path("/proc/self/cgroup")) or ""
    inner = next((line[3:].strip("/") for line in own.splitlines() if line.startswith("0::")), "")
    folder = _CGROUP / inner
    if not folder.is_dir():
        folder = _CGROUP
    parents = [parent for parent in (folder, *folder.parents) if parent.is_relative_to(_CGROUP)]
    return [*parents, _CGROUP / "memory"]


def _cgroup_limit(folder: Path) -> int | None:
    limit = _read(folder / "memory.max") or _read(folder / "memory.limit_in_bytes")
    # An absent limit is a word, or a number near 2**63 in the first version of control groups.
    return int(limit) if limit is not None and limit.isdigit() and int(limit) < 1 << 60 else None


def _cgroup_left(folder: Path) -> int | None:
    limit = _cgroup_limit(folder)
    used = _read(folder / "memory.current") or _read(folder / "memory.usage_in_bytes")
    if limit is None or used is None or not used.isdigit():
        return None
    # Pages of files that were read count as used but are given up on demand.
    cached = 0
    for line in (_read(folder / "memory.stat") or "").splitlines():
        name, _, value = line.partition(" ")
        if name in ("inactive_file", "total_inactive_file"):
            cached = max(cached, int(value))
    return limit - int(used) + cached


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
