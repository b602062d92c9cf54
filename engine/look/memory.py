"""Memory that a look takes while it runs, for each pixel of its input."""

from __future__ import annotations

import logging

import numpy as np
import onnx

from engine.base.runtime import ort

__all__ = ["bytes_per_pixel"]

log = logging.getLogger(__name__)

# Blocked layouts are copies, and the arena keeps blocks between tensors: a network with 32 to 96 channels peaked at 1.6
# times the sum of its tensors (868 bytes a pixel against 536).
_ARENA = 1.7
_PROBES = (32, 64)
"""Sides in pixels of the two images that sizes are taken from."""
_TYPICAL_PIXELS = 2**20
"""Of a tile, for what does not grow with it."""


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
