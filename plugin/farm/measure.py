"""``python -m plugin.farm.measure``: what several workers gain on this machine, and what scheduling and starting cost.

Scaling: the same frames through ``render --workers 1`` and ``--workers 2``, one thread each, in turns; throughput is
counted from the first finished frame to the last, so that starting processes does not count.

Scheduling: a job of stand-in frames that only sleep, through Dask's local cluster; what the job takes beyond the sleep
is what scheduling costs. Reported as a share of the frames' time, once with all that a chunk's process costs and once
without the starting of Python itself, which a real renderer pays as well and which chunks are sized for.

Engines: the same frames once more with several workers, starting included, by the crew of ``render --workers`` and by
Dask's local cluster, in turns.

Chunk: the frames of one chunk by a process of their own, as a farm's task is, and by a resident worker that has loaded
the look before, in turns; and what loading the look takes alone.

A number from a machine that does something else at the same time says little: run it on an idle one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from engine import __version__
from engine.base.errors import PaintoverError
from engine.base.frames import FrameRange, SequencePath
from engine.base.machine import cpu_count
from engine.look.session import Look
from engine.rendering.render import RenderSettings, render
from engine.shot.shot import Plate
from plugin.arguments.command_line import command_line
from plugin.arguments.options import Options
from plugin.client.job import Job
from plugin.client.worker_client import WorkerClient
from plugin.farm import dask as dask_engine
from plugin.farm.dask_run import run_plan
from plugin.farm.plan import FarmPlan, FarmStep, chunked, frames_per_chunk, program
from plugin.progress.child import Child, child_environment
from plugin.progress.protocol import NoProgress
from plugin.progress.stop import StopRequest

__all__ = [
    "Chunk",
    "Engines",
    "Scaling",
    "Scheduling",
    "main",
    "measure_chunk",
    "measure_engines",
    "measure_scaling",
    "measure_scheduling",
]

_STAND_IN = """
import json, sys, time
frames = next(word.partition("=")[2] for word in sys.argv if word.startswith("--frames="))
first, _, last = frames.partition("-")
print(json.dumps({"event": "phase", "phase": "render"}), flush=True)
for frame in range(int(first), int(last or first) + 1):
    time.sleep(FRAME_S)
    print(json.dumps({"event": "progress", "frame": frame, "state": "done"}), flush=True)
"""


@dataclass(frozen=True)
class Scaling:
    """Throughput of several processes against one's, all with one thread each."""

    workers: int
    frames: int
    one_frames_per_s: tuple[float, ...]
    """Of each round."""
    many_frames_per_s: tuple[float, ...]

    @property
    def gain(self) -> float:
        """Median against median."""
        return statistics.median(self.many_frames_per_s) / statistics.median(self.one_frames_per_s)


@dataclass(frozen=True)
class Scheduling:
    """What a job of stand-in frames took."""

    frames: int
    frame_s: float
    workers: int
    chunk: int
    tasks: int
    wall_s: float
    """From the first task handed over to the last one back."""
    start_s: float
    """Of all tasks together: from starting a process to its first line."""

    @property
    def ideal_s(self) -> float:
        """The sleeping alone, shared by the workers without a remainder."""
        return self.frames * self.frame_s / self.workers

    @property
    def cost(self) -> float:
        """Everything beyond the sleeping, as a share of it."""
        return self.wall_s / self.ideal_s - 1

    @property
    def cost_without_starts(self) -> float:
        """The same without the starting of processes."""
        return (self.wall_s - self.start_s / self.workers) / self.ideal_s - 1


@dataclass(frozen=True)
class Engines:
    """A whole render with several workers, by who starts them."""

    workers: int
    frames: int
    crew_s: tuple[float, ...]
    """Of each round, from the call to the last frame."""
    dask_s: tuple[float, ...]

    @property
    def dask_to_crew(self) -> float:
        """Median against median."""
        return statistics.median(self.dask_s) / statistics.median(self.crew_s)


@dataclass(frozen=True)
class Chunk:
    """The frames of one chunk, by a new process and by one that is there."""

    frames: int
    process_s: tuple[float, ...]
    """Of each round: starting, loading the look, rendering, ending."""
    resident_s: tuple[float, ...]
    """The same frames, asked of a worker that has the look loaded."""
    look_s: tuple[float, ...]
    """Loading the look, alone."""

    @property
    def saved_s(self) -> float:
        """What a chunk gains from a resident worker, median against median."""
        return statistics.median(self.process_s) - statistics.median(self.resident_s)

    @property
    def look_share(self) -> float:
        """0..1: loading the look, of a chunk by a process of its own."""
        return statistics.median(self.look_s) / statistics.median(self.process_s)


def measure_scaling(
    look: Path, plate: SequencePath, frames: FrameRange, *, workers: int = 2, rounds: int = 3
) -> Scaling:
    """Render the same frames with one worker and with several, in turns.

    Raises:
        PaintoverError: a render failed.
    """
    one: list[float] = []
    many: list[float] = []
    with TemporaryDirectory(prefix="paintover-measure-") as folder:
        for _ in range(rounds):
            one.append(_throughput(look, plate, frames, Path(folder), 1))
            many.append(_throughput(look, plate, frames, Path(folder), workers))
    return Scaling(workers, len(frames), tuple(one), tuple(many))


def measure_scheduling(frames: int, frame_s: float, *, workers: int = 2) -> Scheduling:
    """Run stand-in frames through a local cluster, in the chunks that a measured frame time gives.

    Raises:
        PaintoverError: the job failed.
    """
    numbers = FrameRange(tuple(range(1, frames + 1)))
    size = frames_per_chunk(frames, frame_s, workers=workers)
    step = FarmStep("render", ("render",), str(numbers), chunked(numbers, size))
    nowhere = Path("unused")
    plan = FarmPlan("measure", (step,), numbers, nowhere, nowhere, SequencePath.parse("unused.%04d.exr"), ())
    program = (sys.executable, "-S", "-c", _STAND_IN.replace("FRAME_S", repr(frame_s)))
    options = Options(chunk=size)
    with dask_engine.local_cluster(workers) as cluster, dask_engine.connected(cluster, None) as client:
        client.wait_for_workers(workers, timeout=60)
        report = run_plan(plan, client, options, NoProgress(), StopRequest(), program=program)
    starts_s = sum(outcome.start_s for outcome in report.outcomes)
    return Scheduling(frames, frame_s, workers, size, step.tasks, report.render_s, starts_s)


def measure_engines(
    look: Path, plate: SequencePath, frames: FrameRange, *, workers: int = 2, rounds: int = 3
) -> Engines:
    """Render the same frames by the crew and through a local cluster, in turns.

    Raises:
        PaintoverError: a render failed.
    """
    crew: list[float] = []
    cluster: list[float] = []
    with TemporaryDirectory(prefix="paintover-measure-") as name:
        folder = Path(name)
        out = SequencePath.parse(folder / "out.%04d.exr")
        words = tuple(_words(look, plate, folder, progress="none"))
        step = FarmStep("render", words, str(frames), (str(frames),))
        plan = FarmPlan("measure", (step,), frames, folder / "work", look, out, ())
        for _ in range(rounds):
            started = time.monotonic()
            settings = RenderSettings(device="cpu")
            render(look, Plate(plate, frames), out, settings, workers=workers, overwrite=True)
            crew.append(time.monotonic() - started)
            started = time.monotonic()
            dask_engine.render_here(plan, Options(), NoProgress(), StopRequest(), workers=workers)
            cluster.append(time.monotonic() - started)
    return Engines(workers, len(frames), tuple(crew), tuple(cluster))


def measure_chunk(look: Path, plate: SequencePath, frames: FrameRange, *, rounds: int = 3) -> Chunk:
    """Render a chunk by a process of its own and by a resident worker, in turns.

    Raises:
        PaintoverError: a render failed.
        HostError: the worker cannot be started, or failed.
    """
    process: list[float] = []
    resident: list[float] = []
    loading: list[float] = []
    with TemporaryDirectory(prefix="paintover-measure-") as name:
        folder = Path(name)
        job = Job(
            plate=os.path.abspath(plate.text),  # noqa: PTH100 (a pattern is no file)
            frames=str(frames),
            work=str(folder / "work"),
            look=str(look.absolute()),
            out=str(folder / "out.%04d.exr"),
            device="cpu",
        )
        words = [*program(), *_words(look, plate, folder, frames=str(frames), progress="none")]
        with WorkerClient([sys.executable, "-m", "plugin"], environment=child_environment()) as client:
            # The first one loads the look.
            client.render(job, overwrite=True)
            for _ in range(rounds):
                started = time.monotonic()
                subprocess.run(words, check=True)
                process.append(time.monotonic() - started)
                started = time.monotonic()
                client.render(job, overwrite=True)
                resident.append(time.monotonic() - started)
                started = time.monotonic()
                Look.load(look, device="cpu").close()
                loading.append(time.monotonic() - started)
    return Chunk(len(frames), tuple(process), tuple(resident), tuple(loading))


def _words(look: Path, plate: SequencePath, folder: Path, **more: object) -> list[str]:
    values = {
        "look": str(look.absolute()),
        "plate": os.path.abspath(plate.text),  # noqa: PTH100
        "out": str(folder / "out.%04d.exr"),
        "work": str(folder / "work"),
        "device": "cpu",
        "overwrite": True,
    }
    return command_line("render", {**values, **more})


def _throughput(look: Path, plate: SequencePath, frames: FrameRange, folder: Path, workers: int) -> float:
    """Frames a second between the first finished frame and the last."""
    words = _words(look, plate, folder, frames=str(frames), workers=workers, threads=workers, progress="json")
    child = Child([*program(), *words], called="the measured render", own_group=False)
    times = [time.monotonic() for event in child.events() if event.get("state") == "done"]
    code = child.wait()
    if code:
        raise child.crash(code)
    if len(times) < 2 * workers + 1:
        raise PaintoverError(f"the measured render ended after {len(times)} frames", remedy="give more --frames")
    # Until every worker has delivered once, they are starting; the last ones find no company.
    first, last = workers, len(times) - workers
    return (last - first) / (times[last] - times[first])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print JSON."""
    parser = argparse.ArgumentParser(prog="python -m plugin.farm.measure", description=__doc__)
    parser.add_argument("--look", type=Path, help="an .onnx; without it only scheduling is measured")
    parser.add_argument("--plate", help="its source frames, plate.%%04d.exr")
    parser.add_argument("--frames", default="1-24", help="to render, as a chunk too (default: 1-24)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3, help="of what is measured in turns (default: 3)")
    parser.add_argument("--job", type=int, default=1000, help="stand-in frames, 0 for none (default: 1000)")
    parser.add_argument("--frame-time", type=float, default=0.2, help="seconds of a stand-in frame (default: 0.2)")
    options = parser.parse_args(arguments)
    report: dict[str, object] = {
        "version": __version__,
        "machine": platform.machine(),
        "cores": cpu_count(),
        "load": os.getloadavg() if hasattr(os, "getloadavg") else None,
    }
    if options.look is not None and options.plate is not None:
        frames = FrameRange.parse(options.frames)
        plate = SequencePath.parse(options.plate)
        scaling = measure_scaling(options.look, plate, frames, workers=options.workers, rounds=options.rounds)
        report["scaling"] = {**asdict(scaling), "gain": scaling.gain}
        engines = measure_engines(options.look, plate, frames, workers=options.workers, rounds=options.rounds)
        report["engines"] = {**asdict(engines), "dask_to_crew": engines.dask_to_crew}
        chunk = measure_chunk(options.look, plate, frames, rounds=options.rounds)
        report["chunk"] = {**asdict(chunk), "saved_s": chunk.saved_s, "look_share": chunk.look_share}
    if options.job:
        scheduling = measure_scheduling(options.job, options.frame_time, workers=options.workers)
        costs = {"cost": scheduling.cost, "cost_without_starts": scheduling.cost_without_starts}
        report["scheduling"] = {**asdict(scheduling), **costs}
    print(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
