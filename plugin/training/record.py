"""What a look was trained from, kept beside the work, so that the same job does not train twice."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from engine import __version__
from engine.base.foreign_json import parse_json
from engine.base.frames import FrameRange, SequencePath
from engine.base.temporaries import replacing
from engine.base.whole_file import check_regular, read_text
from engine.color.config import ColorConfig
from engine.images.provenance import file_sha256
from engine.training.job.job import TrainingJob
from engine.training.job.recipe_settings import REVISION

__all__ = ["fingerprint", "forget", "is_current", "remember", "trained_look"]

_NAME = "trained.json"


def fingerprint(job: TrainingJob) -> str:
    """SHA-256 of everything that a look depends on.

    Paintings, mattes, features and the OCIO config count by content; plate frames by path, size and time of change,
    because reading a shot of them would take longer than a training.
    """
    digest = hashlib.sha256(f"{__version__} {REVISION}".encode())
    facts = job.facts_of_look()
    facts["ocio"] = None if job.ocio is None else ColorConfig.active(job.ocio).name
    digest.update(json.dumps(facts, sort_keys=True).encode())
    for keyframe in job.keyframes:
        digest.update(_content(keyframe.painting) + _content(keyframe.matte))
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


def remember(job: TrainingJob, inputs: str) -> None:
    """Record that the look on disk came from these inputs."""
    record = {"inputs": inputs, "look_sha256": file_sha256(job.look)}
    with replacing(job.work / _NAME) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def forget(job: TrainingJob) -> None:
    """Drop the record: what is being trained now is not what it speaks of."""
    (job.work / _NAME).unlink(missing_ok=True)


def _content(path: Path | str | None) -> bytes:
    if path is None:
        return b"none"
    check_regular(Path(path))
    digest = hashlib.sha256()
    with Path(path).open("rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.digest()
