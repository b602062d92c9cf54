"""What a look was trained from, kept beside the work, so that the same job does not train twice."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from engine import __version__, images
from engine.base.errors import PaintoverError
from engine.base.foreign_json import parse_json
from engine.base.frames import FrameRange, SequencePath
from engine.base.temporaries import replacing
from engine.base.whole_file import check_regular, read_text
from engine.color.assignment import assign
from engine.color.config import ColorConfig
from engine.color.paintings import painting_color
from engine.images.provenance import file_sha256
from engine.optimize.feedforward.job import StyleLookJob
from engine.shot.remarks import plate_header
from engine.training.job.job import PaintedFrame, TrainingJob
from engine.training.job.recipe_settings import REVISION

__all__ = ["fingerprint", "forget", "is_current", "remember", "trained_look"]

_NAME = "trained.json"


def fingerprint(job: TrainingJob) -> str:
    """SHA-256 of everything that a look depends on.

    Paintings, mattes, features and the OCIO config count by content; plate frames by path, size and time of change,
    because reading a shot of them would take longer than a training. A keyframe's plate and painting count also by what
    they are taken as, which a sidecar beside them and a newer rule change.
    """
    digest = hashlib.sha256(f"{__version__} {REVISION}".encode())
    facts = job.facts_of_look()
    config = ColorConfig.active(job.ocio)
    facts["ocio"] = None if job.ocio is None else config.name
    digest.update(json.dumps(facts, sort_keys=True).encode())
    for keyframe in job.keyframes:
        digest.update(_content(keyframe.painting) + _content(keyframe.matte))
        digest.update(_color(job, keyframe, config).encode())
    digest.update(_content(job.features))
    if job.start is not None:
        digest.update(_content(job.start))
    plate = SequencePath.parse(job.plate)
    for path in sorted({plate.path(frame) for frame in FrameRange.parse(job.frames)}):
        status = path.stat()
        digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def is_current(job: TrainingJob, inputs: str) -> bool:
    """Whether the look on disk is the one that a finished training of these inputs wrote."""
    try:
        record = parse_json(read_text(job.work / _NAME))
        look = file_sha256(job.look)
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and record.get("inputs") == inputs and record.get("look_sha256") == look


def trained_look(work: Path) -> str | None:
    """SHA-256 of the look that the last finished training in this work folder wrote; None where none is on record."""
    try:
        record = parse_json(read_text(work / _NAME))
    except (OSError, ValueError):
        return None
    found = record.get("look_sha256") if isinstance(record, dict) else None
    return found if isinstance(found, str) else None


def remember(job: TrainingJob | StyleLookJob, inputs: str) -> None:
    """Record that the look on disk came from these inputs."""
    record = {"inputs": inputs, "look_sha256": file_sha256(job.look)}
    with replacing(job.work / _NAME) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def forget(job: TrainingJob | StyleLookJob) -> None:
    """Drop the record: what is being trained now is not what it speaks of."""
    (job.work / _NAME).unlink(missing_ok=True)


def _color(job: TrainingJob, keyframe: PaintedFrame, config: ColorConfig) -> str:
    """What a keyframe's plate and painting are taken as; what cannot be told is told by the training itself."""
    file, frame = job.plate_path.path(keyframe.frame), keyframe.frame
    try:
        header = plate_header(job.plate_path, frame)
        plate = assign(config, header, file, job.plate_colorspace)
        painting = images.read_header(keyframe.painting, frame=keyframe.frame)
        color = painting_color(config, painting, keyframe.painting, keyframe.colorspace, plate, header)
    except PaintoverError as error:
        return error.message
    shown = color.transform
    key = "" if shown is None else f"{shown.colorspace}\0{shown.exposure}\0{shown.plate_sha256}"
    return f"{plate.colorspace}\0{color.taken.colorspace}\0{color.saved_as}\0{key}"


def _content(path: Path | str | None) -> bytes:
    if path is None:
        return b"none"
    check_regular(Path(path))
    digest = hashlib.sha256()
    with Path(path).open("rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.digest()
