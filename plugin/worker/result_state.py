"""Whether a frame on disk is the one that a job would render now, by the hashes that it carries, and why not.

A host shows only what is ``shown``: a frame of an earlier look, or of somebody else, looks right and is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from engine import images
from engine.base.errors import ColorError, ImageError, LookError
from engine.base.frames import SequencePath
from engine.color.config import ColorConfig
from engine.images.provenance import read_provenance
from engine.rendering.frame_inputs import FrameInputs
from engine.shot.plate import plate_sha256
from engine.shot.plate_color import PlateColor
from engine.shot.shot import Plate

__all__ = ["LookFacts", "MadeFrom", "ResultState", "result_states"]

_THREADS = 4
_CALLED = {"stmap": "STMaps", "guide": "guide image", "denoised": "denoised plate", "matte": "matte"}


@dataclass(frozen=True)
class ResultState:
    """What a host may do with one frame."""

    frame: int
    state: str
    """shown, missing (not there, or damaged), stale (ours, of other inputs) or foreign (not rendered by Paintover)."""
    reason: str
    """One line for a person; empty where the frame is shown."""
    path: Path


@dataclass(frozen=True)
class MadeFrom:
    """What frames must have been made from."""

    look: LookFacts | LookError
    """The look as it is now, or why there is none."""
    settings_hash: str
    """Of :meth:`engine.rendering.settings.RenderSettings.hash`."""
    plate: Plate
    config: ColorConfig


@dataclass(frozen=True)
class LookFacts:
    """Of a look, as far as frames carry it."""

    sha256: str
    inputs: FrameInputs
    """Where its STMaps, guide images and denoised frames lie."""


def result_states(out: SequencePath, made_from: MadeFrom) -> Iterator[ResultState]:
    """The state of every frame of the plate, in order; each is decoded in full."""
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="state") as pool:
        yield from pool.map(lambda frame: _state(out.path(frame), frame, made_from), made_from.plate.frames)


def _state(path: Path, frame: int, made_from: MadeFrom) -> ResultState:
    state, reason = _judge(path, frame, made_from)
    return ResultState(frame, state, reason, path)


def _judge(path: Path, frame: int, made_from: MadeFrom) -> tuple[str, str]:
    if not path.is_file():
        return "missing", f"frame {frame} is not rendered yet"
    try:
        images.check(path)
    except ImageError as error:
        return "missing", f"frame {frame} is damaged, render it again: {error.message}"
    carried = read_provenance(path)
    if "look" not in carried:
        return "foreign", f"frame {frame} was not rendered by Paintover: it carries no hashes"
    if isinstance(made_from.look, LookError):
        return "stale", f"frame {frame} cannot be checked: {made_from.look}"
    if carried["look"] != made_from.look.sha256:
        known, now = carried["look"][:8], made_from.look.sha256[:8]
        return "stale", f"frame {frame} was rendered with another look ({known}, now {now})"
    if carried.get("settings") != made_from.settings_hash:
        return "stale", f"frame {frame} was rendered with other settings (size of tiles, colorspaces, layers or format)"
    try:
        source = made_from.plate
        plate = plate_sha256(source.path, frame)
        color = PlateColor.of(source.path, source.colorspace, frame, made_from.config)
    except (ColorError, ImageError) as error:
        return "stale", f"frame {frame} cannot be checked: {error}"
    if carried.get("plate") != plate:
        return "stale", f"the plate's frame {frame} changed after it was rendered"
    if not color.fits(carried):
        return "stale", f"frame {frame}: {color.why_again(carried)}"
    try:
        facts = made_from.look.inputs.facts(frame, plate)
    except ImageError as error:
        return "stale", f"frame {frame} cannot be checked: {error}"
    for name, value in facts.items():
        if carried.get(name) != value:
            return "stale", f"the {_CALLED.get(name, name)} of frame {frame} changed after it was rendered"
    return "shown", ""
