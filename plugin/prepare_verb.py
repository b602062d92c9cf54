"""``paintover prepare``: what a rendered frame needs to know of its neighbors, as files of its own.

That is STMap sidecars, by which it carries the painted strokes; and where asked for, denoised frames and guide images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.color import ColorConfig
from engine.errors import InputError
from engine.flow_files import FlowFiles
from engine.frames import FrameRange, SequencePath
from engine.provenance import file_sha256
from engine.recorded import record
from engine.shot import Keyframe, Plate, Shot
from engine.sidecar import sidecar_path
from engine.stmap import Prepared, prepare_sidecars
from plugin.farm.arguments import add_task
from plugin.options import Options, Parser, add_color, add_plate, add_reporting, add_threads, add_work
from plugin.preflight import check_plate, check_spaces, prepare_folder
from plugin.prepare_options import add_denoise, add_guides, add_preparation, add_vectors
from plugin.prepared_files import Extras, extra_phases, prepare_extras, summary
from plugin.progress import Phase, Progress, counted_frames
from plugin.request import plate_from, work_from
from plugin.stop import StopRequest

__all__ = ["FileVectors", "chains", "parser", "prepare_frames", "prepare_phase", "run", "vectors_from"]


def parser() -> Parser:
    """The options of ``paintover prepare``."""
    made = Parser(
        "prepare",
        "Follows keyframes through a shot and writes, for every frame, where each pixel was in the keyframe: STMaps\n"
        "as in Nuke, with a confidence. A look trained from these keyframes then carries their strokes along. The\n"
        "paintings need not exist yet. What is done stays done, and STMaps of your own are never touched.\n"
        "--denoise also averages grain away along the motion, and needs no keyframe where that is all; --guides also\n"
        "writes images that tell places apart. Training and rendering take them where they are asked to.",
        examples=[
            "paintover prepare --plate plate.%04d.exr --frames 1001-1100 --keyframe 1001 --keyframe 1080 --work work",
            "paintover prepare --plate plate.%04d.exr --keyframe 1001 --vectors motion.%04d.exr",
            "paintover prepare shot.toml --overwrite",
            "paintover prepare shot.toml --denoise --guides points",
        ],
        shot_file=True,
    )
    add_plate(made)
    add_preparation(made)
    add_vectors(made)
    add_denoise(made, "also write the plate with its grain averaged away, into work/denoised")
    add_guides(made, "also write guide images, into work/guide")
    add_work(made)
    add_color(made)
    add_threads(made)
    add_task(made)
    add_reporting(made)
    return made


def run(options: Options, progress: Progress, stop: StopRequest) -> int:
    """Make the sidecars that are missing or no longer right."""
    file = None if options.shot is None else Shot.load(options.shot)
    plate = plate_from(options, file)
    extras = Extras.of(options, file)
    only_denoised = extras.denoise is not None and extras.guides is None
    keys = _keys(options, file, needed=not only_denoised)
    for key in keys:
        if key not in plate.frames:
            raise InputError(f"keyframe {key} is outside the frame range {plate.frames}", remedy="widen --frames")
    work = work_from(options, file)
    vectors = vectors_from(options, plate.frames)
    check_spaces(ColorConfig.active(options.ocio), [plate.colorspace])
    check_plate(plate)
    prepare_folder(work)
    if options.shard is None:
        progress.plan([*([prepare_phase(plate, keys)] if keys else []), *extra_phases(plate, extras)])
        threads, overwrite = options.threads, options.overwrite
        if keys:
            prepare_frames(plate, keys, work, vectors, progress, stop, threads=threads, overwrite=overwrite)
        prepare_extras(plate, keys, work, extras, progress, stop, threads=threads, overwrite=overwrite)
        progress.finish()
        return 0
    parts = options.shard.of(chains(plate.frames, keys))
    names = [f"prepare {number}" for number in range(1, len(parts) + 1)]
    progress.plan(
        [
            prepare_phase(replace(plate, frames=part), (key,), name)
            for name, (key, part) in zip(names, parts, strict=True)
        ]
        + extra_phases(plate, extras)
    )
    for name, (key, part) in zip(names, parts, strict=True):
        prepare_frames(
            replace(plate, frames=part),
            (key,),
            work,
            vectors,
            progress,
            stop,
            threads=options.threads,
            overwrite=options.overwrite,
            phase=name,
        )
    prepare_extras(plate, keys, work, extras, progress, stop, threads=options.threads, overwrite=options.overwrite)
    if not parts:
        progress.note(f"shard {options.shard.index} of {options.shard.count}: no keyframe is left for it")
    progress.finish()
    return 0


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
    followed = f"{len(keys)} keyframe{'' if len(keys) == 1 else 's'}"
    return Phase(name, f"Following {followed} through {counted_frames(len(plate.frames))}", 2.0)


def prepare_frames(
    plate: Plate,
    keys: Sequence[int],
    work: Path,
    vectors: FileVectors | None,
    progress: Progress,
    stop: StopRequest,
    *,
    threads: int | None,
    overwrite: bool = False,
    phase: str = "prepare",
) -> Prepared:
    """Make sidecars in a phase of the plan, and record what they are.

    Raises:
        PaintoverError: see :func:`engine.stmap.prepare_sidecars`, :func:`engine.recorded.record`.
        Interrupted: a stop was asked for; finished sidecars stay.
    """
    progress.begin(phase)

    def count(done: int, total: int, text: str) -> None:
        progress.update(done / total, f"{done} of {total}: {text}", {"count": done, "total": total})

    with stop.cooperative():
        prepared = prepare_sidecars(
            plate, keys, work, vectors=vectors, threads=threads, overwrite=overwrite, progress=count, stop=stop
        )
    record(sidecar_path(work, key, frame) for key in keys for frame in plate.frames)
    facts = {"made": prepared.made, "kept": prepared.kept, "foreign": [str(path) for path in prepared.foreign]}
    progress.note(_summary(work, prepared), facts)
    return prepared


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


def _keys(options: Options, shot: Shot | None, *, needed: bool) -> tuple[int, ...]:
    if options.keyframes:
        keys = [_key(text) for text in options.keyframes]
    else:
        keys = [] if shot is None else [keyframe.frame for keyframe in shot.keyframes]
    if needed and not keys:
        raise InputError("no keyframe given", remedy="say which frames are painted, such as --keyframe 1001")
    return tuple(sorted(set(keys)))


def _key(text: str) -> int:
    """``1001``, or ``1001=painting.png`` as the other verbs take it."""
    try:
        return int(text)
    except ValueError:
        return Keyframe.parse(text).frame


def _summary(work: Path, prepared: Prepared) -> str:
    return f"{work / 'stmap'}: STMaps, {summary(prepared.made, prepared.kept, len(prepared.foreign))}"
