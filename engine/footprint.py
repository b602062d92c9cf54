"""How much memory a look takes, and how much there is."""

from __future__ import annotations

import logging
import math
import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import psutil

__all__ = ["bytes_per_pixel", "cpu_count", "free_bytes"]

log = logging.getLogger(__name__)

# Blocked layouts are copies, and the arena keeps blocks between tensors: a network with 32 to 96 channels peaked at 1.6
# times the sum of its tensors (868 bytes a pixel against 536).
_ARENA = 1.7
_PROBES = (32, 64)
"""Sides in pixels of the two images that sizes are taken from."""
_TYPICAL_PIXELS = 2**20
"""Of a tile, for what does not grow with it."""
_CGROUP = Path("/sys/fs/cgroup")


def bytes_per_pixel(model: onnx.ModelProto) -> float:
    """Memory that a run of a look takes for each pixel of its input: the peak of the tensors alive at once.

    The shapes come from running the graph on a small image, because shape inference stops at padding that depends on
    the image's size; two images tell what grows with them.

    Args:
        model: a look; it is changed.
    """
    graph = model.graph
    final = {value.name for value in graph.output}
    names = list(dict.fromkeys(name for node in graph.node for name in node.output if name))
    for name in names:
        if name not in final:
            graph.output.append(onnx.ValueInfoProto(name=name))
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    small, large = (_sizes(session, names, side) for side in _PROBES)
    # Exemplars are as large as they are: only what grows with the image counts for each of its pixels.
    pixels = [side**2 for side in _PROBES]
    growth = {name: (large[name] - small[name]) / (pixels[1] - pixels[0]) for name in small}
    size = {name: small[name] + growth[name] * (_TYPICAL_PIXELS - pixels[0]) for name in small}
    last_use = {name: i for i, node in enumerate(graph.node) for name in node.input}
    alive = peak = sum(size[value.name] for value in session.get_inputs())
    for i, node in enumerate(graph.node):
        alive += sum(size[name] for name in node.output if name)
        peak = max(peak, alive)
        alive -= sum(size.get(name, 0.0) for name in set(node.input) if last_use[name] == i)
    return _ARENA * peak / _TYPICAL_PIXELS


def _sizes(session: ort.InferenceSession, names: list[str], side: int) -> dict[str, float]:
    """Bytes of every input and of the named values, for a square image."""
    feeds = {value.name: np.zeros((1, value.shape[1], side, side), np.float32) for value in session.get_inputs()}
    values = session.run(names, feeds)
    arrays = [*feeds.items(), *zip(names, values, strict=True)]
    return {name: float(np.asarray(array).nbytes) for name, array in arrays}


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
