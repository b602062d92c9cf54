"""How long the warm worker takes beside inference and files: ``python -m plugin.worker.latency``.

One frame is asked for again and again. What is left of the round trip, from writing the request to reading the answer,
after inference and files, is the worker's own: the protocol, the queue, checking the job, colors, tiles put together.

*Files* are measured apart, in this process, on the same files: hashing and decoding the plate, encoding, flushing and
checking the result. So a conversion of colors or a copy inside the worker counts against it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import engine
from engine import images
from engine.base.machine import cpu_count
from engine.color.shaper import NAME as SHAPER
from engine.images.provenance import read_provenance
from engine.look.card import CARD_KEY, CARRYING_FORMAT
from engine.shot.plate import plate_sha256
from plugin.client.job import Job
from plugin.client.worker_client import WorkerClient
from plugin.worker.tasks import plate_of

__all__ = ["Latency", "main", "measure"]

_WARM_UP = 3


@dataclass(frozen=True)
class Latency:
    """Medians over the rounds, in milliseconds."""

    round_trip_ms: float
    inference_ms: float
    """Inside onnxruntime, on one thread."""
    files_ms: float
    """Reading and writing the same files in this process."""
    beyond_ms: float
    """Of each round, what is neither: the figure that is promised to be 15 at most at 1080p."""
    beyond_worst_ms: float
    """The largest of the rounds."""
    reported_ms: float
    """Round trip less what the worker itself reports as reading, inference and writing."""


def measure(folder: Path, height: int, width: int, rounds: int, look: Path | None = None) -> Latency:
    """Measure in ``folder``, which keeps a plate, a look and a result.

    Args:
        look: None for one that does nothing, whose inference does not blur the figure.
    """
    # Smooth, because compressing noise takes so long that what is looked for is lost in how long exactly.
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    plate = np.dstack([x / width, y / height, (x + y) / (height + width)])
    images.write(folder / "plate.0001.exr", plate, bit_depth="half")
    if look is None:
        look = _plain_look(folder / "plain.onnx")
    job = Job(
        plate=str(folder / "plate.%04d.exr"),
        frames="1",
        work=str(folder / "work"),
        look=str(look),
        out=str(folder / "out" / "out.%04d.exr"),
        colorspace="scene_linear",
        device="cpu",
    )
    trips, infers, reported, files = [], [], [], []
    command = [sys.executable, "-m", "plugin"]
    home = str(Path(str(engine.__file__)).resolve().parents[1])
    with WorkerClient(command, environment={**os.environ, "PYTHONPATH": home, "OMP_NUM_THREADS": "1"}) as client:
        for index in range(rounds + _WARM_UP):
            started = time.perf_counter()
            answer = client.render(job, overwrite=True)
            trip = time.perf_counter() - started
            bare = _files(job, folder)
            if index >= _WARM_UP:
                # Tiles run side by side: their sum over the cores is more than passes.
                infer = min(answer["infer_s"], answer["wall_s"])
                trips.append(trip)
                infers.append(infer)
                files.append(bare)
                reported.append(trip - answer["read_s"] - infer - answer["write_s"])
    beyond = [trip - infer - bare for trip, infer, bare in zip(trips, infers, files, strict=True)]
    return Latency(
        round_trip_ms=1e3 * statistics.median(trips),
        inference_ms=1e3 * statistics.median(infers),
        files_ms=1e3 * statistics.median(files),
        beyond_ms=1e3 * statistics.median(beyond),
        beyond_worst_ms=1e3 * max(beyond),
        reported_ms=1e3 * statistics.median(reported),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one JSON object; returns the exit code: 1 where the promise is not kept."""
    parser = argparse.ArgumentParser(prog="python -m plugin.worker.latency", description=__doc__)
    parser.add_argument("--look", type=Path, help="a look to render through (default: one that does nothing)")
    parser.add_argument("--size", default="1920x1080", help="of the plate (default: 1920x1080)")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args(arguments)
    width, height = (int(side) for side in options.size.split("x"))
    with tempfile.TemporaryDirectory(prefix="paintover-") as folder:
        latency = measure(Path(folder), height, width, options.rounds, options.look)
    facts = {name: round(value, 2) for name, value in vars(latency).items()}
    print(json.dumps({"size": options.size, "rounds": options.rounds, "cores": cpu_count(), **facts}))
    return 0 if latency.beyond_ms <= 15 else 1


def _files(job: Job, folder: Path) -> float:
    """Seconds that the files of one frame take: those that the worker has just read and written."""
    plate, out = plate_of(job, None), Path(str(job.out) % 1)
    facts, target = read_provenance(out), folder / "bare.exr"
    started = time.perf_counter()
    plate_sha256(plate.path, 1)
    image = images.read(plate.path.path(1), frame=1)
    reading = time.perf_counter() - started
    styled = images.read(out, frame=1).rgb
    started = time.perf_counter()
    images.write(target, styled, like=image.header, provenance=facts)
    return reading + time.perf_counter() - started


def _plain_look(path: Path) -> Path:
    """A look that returns the plate."""

    def value(name: str, channels: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", channels, "H", "W"])

    constants = [
        numpy_helper.from_array(np.array(0.0, np.float32), "zero"),
        *(numpy_helper.from_array(np.array([n], np.int64), name) for name, n in (("from", 2), ("to", 3), ("axis", 1))),
    ]
    nodes = [
        helper.make_node("Identity", ["plate"], ["styled"]),
        helper.make_node("Slice", ["stmap", "from", "to", "axis"], ["confidence"]),
        helper.make_node("Mul", ["confidence", "zero"], ["carried"]),
    ]
    inputs, outputs = [value("plate", 3), value("stmap", 3)], [value("styled", 3), value("carried", 1)]
    graph = helper.make_graph(nodes, "look", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    card = {
        "format": CARRYING_FORMAT,
        "name": "plain",
        "working_colorspace": "scene_linear",
        "ocio_config": "",
        "shaper": {"name": SHAPER},
        "keyframes": [{"frame": 1, "exemplar_sha256": "", "width": 1, "height": 1}],
        "halo": 0,
        "multiple": 1,
        "guide_channels": 0,
        "trained": {"recipe": "none", "steps": 0, "seconds": 0.0, "seed": 0, "loss": 0.0, "losses": {}},
        "plate_colorspace": "scene_linear",
        "paint_colorspace": "scene_linear",
        "versions": {"paintover": engine.__version__},
    }
    helper.set_model_props(model, {CARD_KEY: json.dumps(card)})
    path.write_bytes(model.SerializeToString())
    return path


if __name__ == "__main__":
    sys.exit(main())
