"""What an artist may choose, in one JSON file for each project: written on first use with every value."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .client.errors import JobError

__all__ = ["Settings", "load", "save", "settings_file"]

_VARIABLE = "PAINTOVER_RESOLVE"


@dataclass(frozen=True)
class Settings:
    """The values, each as JSON has it; null is the default that the command line has."""

    root: str
    """Folder below which each clip has its work folder."""
    clips: str = "current"
    """Which clips Stylize and Refresh take: current, selected, color NAME, or track N."""
    bring: str = "take"
    """How results come back: take, or track."""
    handles: int = 0
    """Frames more at each end of a clip."""
    look: str | None = None
    """The .onnx that every clip is stylized with; null for each clip's own. Training sets it."""
    budget_s: float = 120.0
    """Seconds to train."""
    colorspace: str | None = None
    """OCIO name of image sequences."""
    movie_colorspace: str | None = None
    """OCIO name of what Resolve renders from movies: the timeline's output colorspace."""
    out_colorspace: str | None = None
    """OCIO name of the results; null for the plate's."""
    device: str = "auto"
    """auto, cpu or cuda:N."""
    mattes: str | None = None
    """Pattern of a matte for every source frame, white for the object. One that is no whole path lies in each clip's
    work folder, and clips without that folder have none."""
    matte_use: str = "both"
    """stylize (outside the plate stays), track (the object and what lies behind it are followed apart), or both."""


def settings_file(project: str) -> Path:
    """Where a project's settings lie: in $PAINTOVER_RESOLVE, or Paintover in the home folder."""
    folder = os.environ.get(_VARIABLE)
    name = re.sub(r"[^\w. -]", "_", project) or "project"
    return (Path(folder) if folder else Path.home() / "Paintover") / f"{name}.json"


def load(project: str) -> Settings:
    """A project's settings, made on first use.

    Raises:
        JobError: the file is no JSON, or holds what is no setting.
    """
    path = settings_file(project)
    if not path.is_file():
        made = Settings(root=str(path.with_suffix("")))
        save(project, made)
        return made
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(data, dict):
            raise ValueError("not an object")
        found = Settings(**data)
    except (OSError, ValueError, TypeError) as error:
        raise JobError(f"cannot read the settings in {path}: {error}", "correct the file, or delete it") from error
    _check(found, path)
    return found


def save(project: str, settings: Settings) -> None:
    """Write a project's settings.

    Raises:
        JobError: they cannot be written.
    """
    path = settings_file(project)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(dataclasses.asdict(settings), indent=2) + "\n", encoding="utf-8")
        os.replace(temporary, path)  # noqa: PTH105 (one call, whatever the system)
    except OSError as error:
        raise JobError(f"cannot write {path}: {error.strerror or error}", f"set {_VARIABLE} to a folder") from error


def _check(settings: Settings, path: Path) -> None:
    kinds: dict[str, Any] = {"root": str, "clips": str, "device": str, "handles": int, "budget_s": (int, float)}
    for name, kind in kinds.items():
        value = getattr(settings, name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise JobError(f"{name} is {value!r} in {path}", "correct the file")
    if settings.bring not in ("take", "track"):
        raise JobError(f"bring is {settings.bring!r} in {path}", "write take or track")
    if settings.matte_use not in ("both", "stylize", "track"):
        raise JobError(f"matte_use is {settings.matte_use!r} in {path}", "write both, stylize or track")
    if settings.handles < 0 or settings.budget_s <= 0:
        raise JobError(f"handles or budget_s is negative in {path}", "correct the file")
