"""Inference: seconds per frame, work per pixel and memory of our look and of the reference's, alternating."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from engine.base.runtime import ort
from engine.bench.memory import peak_gib
from engine.bench.plan import REFERENCE, BenchPlan
from engine.bench.shots import texture
from engine.bench.table import Cell, Need, Table, TableRow
from engine.bench.timing import alternate, seconds_of
from engine.look.session import Look

__all__ = ["macs_per_pixel", "measure"]

SIZES = ((960, 540, 5), (1920, 1080, 2), (3840, 2160, 3))
"""Width, height, rounds."""
QUICK_SIZES = ((160, 90, 3),)
NEEDED = Need("times faster", 10.0, at_least=True)
REFERENCE_LIMIT_S = 60.0
"""The reference is left out where one frame is forecast to take longer."""
_PROBE = 64


def measure(plan: BenchPlan, looks: dict[str, Path]) -> list[Table]:
    """Time both looks at each size through :class:`engine.look.session.Look`."""
    loaded = {name: Look.load(path, device=plan.device) for name, path in looks.items()}
    macs = {name: macs_per_pixel(path) for name, path in looks.items()}
    rows, notes = [], []
    forecast_s = 0.0  # the reference's seconds per pixel at the size before
    try:
        for width, height, rounds in QUICK_SIZES if plan.quick else SIZES:
            rgb = texture(height, width, 0)
            names = list(loaded)
            if forecast_s * width * height > REFERENCE_LIMIT_S:
                names.remove(REFERENCE)
                left_out = f"{forecast_s * width * height:.0f} s a frame forecast"
                notes.append(f"{width}x{height}: {REFERENCE} is left out, {left_out}")
            cases = {name: seconds_of(lambda look=loaded[name], rgb=rgb: look.stylize(rgb)) for name in names}  # type: ignore[misc]
            taken = alternate(cases, plan.rounds(rounds, rounds))
            cells: dict[str, Cell] = {f"{name} s/frame": samples for name, samples in taken.items()}
            need = None
            if REFERENCE in taken:
                cells["times faster"] = taken[REFERENCE].over(taken["ours"])
                forecast_s = taken[REFERENCE].median / (width * height)
                need = NEEDED if (width, height) == SIZES[0][:2] else None
            for name in names:
                cells[f"{name} peak GiB"] = peak_gib(looks[name], width, height, plan.device)
            rows.append(TableRow(f"{width}x{height}", cells, need))
    finally:
        for look in loaded.values():
            look.close()
    ours, theirs = macs["ours"], macs[REFERENCE]
    threads = loaded["ours"].threads
    notes.append(
        f"multiply-adds per pixel: ours {ours:,.0f}, {REFERENCE} {theirs:,.0f}, {theirs / ours:.2f} times ours"
    )
    notes.append(f"on {loaded['ours'].device}; up to {threads} tiles side by side, a frame under the tile size is one")
    return [Table("Inference, one frame at a time", tuple(rows), tuple(notes))]


def macs_per_pixel(path: Path) -> float:
    """Multiply-adds of all convolutions for each pixel that the network sees, by running the graph once."""
    model = onnx.load(path)
    graph = model.graph
    weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    padded = next(node.output[0] for node in graph.node if node.op_type == "Pad")
    names = [padded, *(node.output[0] for node in convolutions)]
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feeds = {value.name: np.zeros((1, value.shape[1], _PROBE, _PROBE), np.float32) for value in session.get_inputs()}
    shapes = [value.shape for value in session.run(names, feeds)]
    total = 0
    for node, shape in zip(convolutions, shapes[1:], strict=True):
        total += int(np.prod(weights[node.input[1]])) * shape[2] * shape[3]
    return total / (shapes[0][2] * shapes[0][3])
