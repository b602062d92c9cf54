"""Motion vectors by RAFT (Teed and Deng 2020), an option beside OpenCV's DIS and never required.

``python -m engine.training.raft.vectors --weights W --plate P --frames R --out FOLDER`` writes ``forward.%04d.flo`` and
``backward.%04d.flo`` (or ``flow.%04d.exr`` with both layers), which ``engine.motion.flow_files`` reads; one JSON event
a line on stdout. Run again, it writes only what is missing, damaged, or older than its plate; what was made from other
weights or settings is replaced. The network, and what of it was tested, is in ``engine.training.raft.network``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.base.arrays import Floats
from engine.base.errors import ImageError, InputError, Interrupted, PaintoverError
from engine.base.events import Emit, failed_event, open_events
from engine.base.foreign_json import parse_json
from engine.base.frames import FrameRange, SequencePath
from engine.base.stop_flag import StopFlag
from engine.base.temporaries import clean_temporaries, output_error, replacing
from engine.base.whole_file import read_text
from engine.color.config import ColorConfig
from engine.motion.flow_files import Direction, read_flow, write_flow
from engine.shot.plate import PlateReader
from engine.training.machine import Machine
from engine.training.raft.network import ITERATIONS, LEAST_SIDE, LONGEST_SIDE, Raft, load_raft

__all__ = ["Raft", "load_raft", "main"]


_RECORD = "raft.json"
_KEPT_FRAMES = 3
"""A frame and both its neighbors."""
_NAMES = ("forward.*.flo", "backward.*.flo", "flow.*.exr")


@dataclass(frozen=True)
class _Task:
    """One flow to estimate."""

    frame: int
    other: int
    direction: Direction


class _Writer:
    """Flow files of a folder: which are there already, and how the others get there."""

    def __init__(self, options: argparse.Namespace, record: Mapping[str, Any]) -> None:
        self.plate = SequencePath.parse(options.plate).with_layer(options.layer)
        self.folder: Path = options.out
        self.exr = options.format == "exr"
        config = ColorConfig.active(options.ocio)
        self._reader = PlateReader(self.plate, options.colorspace, config, keep=_KEPT_FRAMES)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(self.folder, error) from error
        clean_temporaries(self.folder)
        path = self.folder / _RECORD
        existing = [old for name in _NAMES for old in self.folder.glob(name)]
        if existing and not path.is_file():
            what = "the folder has motion vectors of another origin"
            raise InputError(what, path=existing[0], remedy="choose another --out")
        try:
            same = parse_json(read_text(path)) == record
        except (OSError, ValueError):
            same = False
        if not same:
            # What other weights or settings made must not pass for ours, should this run be cut short.
            for old in existing:
                old.unlink()
            with replacing(path) as temporary:
                temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")

    def path(self, task: _Task) -> Path:
        name = "flow.%04d.exr" if self.exr else f"{task.direction}.%04d.flo"
        return SequencePath.parse(self.folder / name).path(task.frame)

    def is_current(self, tasks: list[_Task]) -> bool:
        """Whether the files of these tasks are whole and not older than their plates."""
        try:
            for task in tasks:
                path = self.path(task)
                read_flow(path, task.direction, shared=self.exr)
                ages = [self.plate.path(frame).stat().st_mtime_ns for frame in (task.frame, task.other)]
                if path.stat().st_mtime_ns < max(ages):
                    return False
        except (ImageError, OSError):
            return False
        return True

    def display(self, frame: int) -> Floats:
        """A plate frame (H, W, 3) as the networks were trained on: sRGB, 0..1."""
        return self._reader.srgb(frame)


def _tasks(frames: FrameRange) -> Iterator[list[_Task]]:
    """Both flows of each frame, as far as its neighbors are in the range."""
    for frame in frames:
        around: tuple[tuple[int, Direction], ...] = ((frame + 1, "forward"), (frame - 1, "backward"))
        tasks = [_Task(frame, other, direction) for other, direction in around if other in frames]
        if tasks:
            yield tasks


def _estimate_all(options: argparse.Namespace, emit: Emit, stop: StopFlag) -> None:
    frames = FrameRange.parse(options.frames)
    work = list(_tasks(frames))
    if not work:
        raise InputError(f"no two frames of {frames} are neighbors", remedy="give a range without steps")
    machine = Machine.choose(options.device, options.threads)
    net = load_raft(options.weights).to(machine.device)
    digest = hashlib.sha256(b"".join(value.cpu().numpy().tobytes() for value in net.state_dict().values()))
    record = {
        "weights_sha256": digest.hexdigest(),
        "iterations": options.iterations,
        "longest_side": options.longest_side,
        "plate": str(Path(options.plate).absolute()),
        "colorspace": options.colorspace,
        **({"layer": options.layer} if options.layer else {}),
    }
    writer = _Writer(options, record)
    emit(
        {
            "event": "phase",
            "phase": "vectors",
            "frames": len(work),
            "device": str(machine.device),
            "out": str(options.out),
        }
    )
    written = 0
    for count, tasks in enumerate(work, 1):
        if stop.exit_code:
            raise Interrupted("stopped on request; finished frames are kept", exit_code=stop.exit_code)
        skipped = writer.is_current(tasks)
        if not skipped:
            flows = {}
            for task in tasks:
                a, b = writer.display(task.frame), writer.display(task.other)
                if a.shape != b.shape:
                    what = f"frame {task.other} has another size"
                    raise ImageError(what, frame=task.other, path=writer.plate.path(task.other))
                flow = net.estimate(a, b, iterations=options.iterations, longest_side=options.longest_side)
                flows[task.direction] = flow
                if not writer.exr:
                    write_flow(writer.path(task), flow)
            if writer.exr:
                write_flow(writer.path(tasks[0]), flows.get("forward"), flows.get("backward"))
            written += 1
        state = "skipped" if skipped else "done"
        fraction = round(count / len(work), 4)
        emit({"event": "progress", "frame": tasks[0].frame, "state": state, "fraction": fraction})
    emit({"event": "finished", "written": written, "skipped": len(work) - written})


def main(arguments: list[str] | None = None) -> int:
    """Estimate the flow of a range of frames; events go to stdout, one JSON object a line. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m engine.training.raft.vectors", description="Optical flow by RAFT.")
    parser.add_argument("--weights", required=True, help="a .pth or .safetensors file; raft_large, raft_small download")
    parser.add_argument("--plate", required=True, help="source frames: plate.%%04d.exr, or a movie")
    parser.add_argument("--frames", required=True, help="frame range, inclusive")
    parser.add_argument("--out", required=True, type=Path, help="folder for the flow files")
    parser.add_argument("--format", choices=("flo", "exr"), default="flo")
    parser.add_argument("--iterations", type=int, default=ITERATIONS, help="refinements (default: %(default)s)")
    parser.add_argument("--longest-side", type=int, default=LONGEST_SIDE, help="in pixels (default: %(default)s)")
    parser.add_argument("--colorspace", help="of the plate (default: guessed)")
    parser.add_argument("--layer", help="layer or view of EXR plates (default: the picture)")
    parser.add_argument("--ocio", help="OCIO config (default: the active one)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda:N")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args(arguments)
    emit = open_events()
    stop = StopFlag()
    stop.install()
    try:
        if options.iterations < 1 or options.longest_side < LEAST_SIDE:
            raise InputError(f"--iterations starts at 1, --longest-side at {LEAST_SIDE}")
        _estimate_all(options, emit, stop)
    except Interrupted as error:
        return error.exit_code
    except PaintoverError as error:
        emit(failed_event(error))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
