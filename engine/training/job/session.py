"""Session: what a warm trainer is told, one JSON object a line, and where it leaves what it makes.

::

    {"do": "paint", "revision": 4, "keyframes": [{"frame": 1001, "painting": "..."}]}
    {"do": "look_at", "frame": 1042}  {"do": "attend"}
    {"do": "pause"}  {"do": "go_on"}  {"do": "again"}  {"do": "export", "look": "hero.onnx"}  {"do": "leave"}

It answers in events (:mod:`engine.base.events`): ``progress`` has ``step``, ``loss``, ``left_s`` and ``state`` while it
trains, ``shown`` where a frame's result was written, ``exported`` where a look was.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from engine.base.errors import InputError
from engine.training.job.job import PaintedFrame

__all__ = [
    "RESULTS",
    "SESSION_FOLDER",
    "Attend",
    "Export",
    "GoOn",
    "Leave",
    "LookAt",
    "Paint",
    "Pause",
    "SessionCommand",
    "TrainAgain",
    "command_line_of",
    "parse_command",
    "result_path",
]

SESSION_FOLDER = Path("desk") / "train"
"""In the work folder: the session's checkpoint."""
RESULTS = Path("desk") / "results"
"""In the work folder: the frames that it last rendered."""


class _Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do"):
    pass


class Paint(_Command, frozen=True, tag="paint"):
    """The paintings, all of them, as they are now; those whose files did not change stay as they were read."""

    keyframes: tuple[PaintedFrame, ...]
    """May be empty: then nothing is trained."""
    unpainted: str | None = None
    """In place of the job's: what becomes of what is not painted may change with the paintings."""
    revision: int = 0
    """Said again of every result that has these paintings."""


class LookAt(_Command, frozen=True, tag="look_at"):
    """The frame in view: it is rendered first, and again while training changes it."""

    frame: int


class Attend(_Command, frozen=True, tag="attend"):
    """A stroke is being painted: no step is begun for a moment, so that its result need not wait for the end of one."""


class Pause(_Command, frozen=True, tag="pause"):
    """No steps until :class:`GoOn`; frames are rendered all the same."""


class GoOn(_Command, frozen=True, tag="go_on"):
    """Train on; where training was over, for as long as after a changed painting."""


class TrainAgain(_Command, frozen=True, tag="again"):
    """Forget what was learnt, and train from nothing."""


class Export(_Command, frozen=True, tag="export"):
    """Write the look as it is now."""

    look: Path


class Leave(_Command, frozen=True, tag="leave"):
    """Save the checkpoint and end."""


SessionCommand: TypeAlias = Paint | LookAt | Attend | Pause | GoOn | TrainAgain | Export | Leave


def parse_command(line: str) -> SessionCommand:
    """The command of a line.

    Raises:
        InputError: it is none.
    """
    try:
        found: SessionCommand = msgspec.convert(json.loads(line), SessionCommand, dec_hook=_decoded)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not a command of a training session: {str(error)[:300]}") from error
    return found


def command_line_of(command: SessionCommand) -> str:
    """A command as its line, without its end."""
    return json.dumps(msgspec.to_builtins(command, enc_hook=str))


def result_path(work: Path, frame: int) -> Path:
    """The result of a frame: .npy of half floats (h, w, 4), scene-linear working colorspace and the carried share."""
    return work / RESULTS / f"{frame:04d}.npy"


def _decoded(kind: type, value: object) -> Any:
    if kind is Path and isinstance(value, str) and value and "\0" not in value:
        return Path(value)
    raise ValueError("Expected a path")
