"""STMap sidecars as a phase of a job, and the motion vectors that they may be made from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.base.errors import InputError
from engine.base.frames import FrameRange, SequencePath
from engine.images.provenance import file_sha256
from engine.motion.flow_files import FlowFiles
from engine.preparation.prepare import prepare
from engine.shot.matte_sequence import MatteSequence
from engine.shot.shot import Keyframe, Plate
from plugin.arguments.options import Options
from plugin.phases.prepared_files import begun, tell
from plugin.progress.protocol import Phase, Progress, counted_frames
from plugin.progress.stop import StopRequest

__all__ = ["FileVectors", "chains", "prepare_frames", "prepare_phase", "vectors_from"]


def chains(frames: FrameRange, keys: Sequence[int]) -> tuple[tuple[int, FrameRange], ...]:
    """What can be prepared apart: each keyframe with the frames from it on, and with those up to it."""
    found = []
    for key in sorted(set(keys)):
        place = frames.frames.index(key)
        later, earlier = frames.frames[place:], frames.frames[: place + 1]
        if len(later) > 1 or len(frames) == 1:
            found.append((key, FrameRange(later)))
        if len(earlier) > 1:
            found.append((key, FrameRange(earlier)))
    return tuple(found)


def prepare_phase(plate: Plate, keys: Sequence[int], name: str = "prepare") -> Phase:
    """The part that preparing has in a plan."""
    frames = len(plate.frames)
    followed = f"{len(keys)} keyframe{'' if len(keys) == 1 else 's'}"
    return Phase(name, f"Following {followed} through {counted_frames(frames)}", 4.0 + 1.5 * len(keys) * frames)


def prepare_frames(
    plate: Plate,
    keys: Sequence[int | Keyframe],
    work: Path,
    vectors: FileVectors | None,
    progress: Progress,
    stop: StopRequest,
    *,
    threads: int | None,
    repaint: bool = True,
    matte: MatteSequence | None = None,
    overwrite: bool = False,
    phase: str = "prepare",
) -> None:
    """Make sidecars in a phase of the plan.

    Raises:
        PaintoverError: see :func:`engine.preparation.prepare.prepare`.
        Interrupted: a stop was asked for; finished sidecars stay.
    """
    with stop.cooperative():
        report = prepare(
            plate, keys, work,
            vectors=vectors, repaint=repaint, matte=matte, threads=threads, overwrite=overwrite,
            progress=begun(phase, progress), stop=stop,
        )  # fmt: skip
    tell(work / "stmap", "STMaps", report.stmaps, progress)


def vectors_from(options: Options, frames: FrameRange) -> FileVectors | None:
    """The motion vectors of ``--vectors`` and ``--backward-vectors``; None to estimate motion.

    Raises:
        InputError: backward vectors alone, no frame number in a pattern, or no file on disk for these frames.
    """
    if options.vectors is None:
        if options.backward_vectors is not None:
            raise InputError("--backward-vectors needs --vectors", remedy="name the forward vectors as well")
        return None
    backward = None if options.backward_vectors is None else SequencePath.parse(options.backward_vectors)
    return FileVectors(FlowFiles(SequencePath.parse(options.vectors), backward), frames)


class FileVectors:
    """Motion vectors from files, known by their content: other vectors make other sidecars.

    Raises:
        InputError: none of the files is there.
    """

    def __init__(self, files: FlowFiles, frames: FrameRange) -> None:
        self._files = files
        digest = hashlib.sha256(f"{files.y_up} {files.scale}".encode())
        found = 0
        for path in filter(None, (files.forward_path, files.backward_path)):
            digest.update(b"sequence")
            for frame in frames:
                # The last frame has no next one, hence no vectors to it.
                if path.path(frame).is_file():
                    found += 1
                    digest.update(f"{frame} {file_sha256(path.path(frame))}".encode())
        if not found:
            raise InputError(
                "there are no motion vectors", path=files.forward_path.text, remedy="check --vectors and --frames"
            )
        self._digest = digest.hexdigest()

    def __repr__(self) -> str:
        return f"FileVectors({self._digest})"

    def forward(self, frame: int) -> npt.NDArray[np.float32]:
        """(H, W, 2) flow from a frame to the next one, pixels; raises as :class:`FlowFiles`."""
        return self._files.forward(frame)

    def backward(self, frame: int) -> npt.NDArray[np.float32]:
        """(H, W, 2) flow from a frame to the one before, pixels; raises as :class:`FlowFiles`."""
        return self._files.backward(frame)
