"""Verification of frames on disk: whether they are whole and are the ones that a job would write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from engine import images
from engine.base.errors import ImageError, Interrupted, VerifyError
from engine.base.frames import FrameRange, SequencePath
from engine.images.provenance import read_provenance
from engine.shot.plate_color import PlateColor

__all__ = ["VerifyReport", "is_whole", "state_of", "verify_frames"]

_THREADS = 4


@dataclass(frozen=True)
class VerifyReport:
    """Every expected frame is there."""

    frames: FrameRange
    look_sha256: str
    settings_hash: str | None
    """None where the settings were not compared."""


def is_whole(path: Path, facts: Mapping[str, str]) -> bool:
    """Whether a frame exists, carries these facts and decodes in full."""
    return _carries(path, facts, None) and _decodes(path)


def state_of(path: Path, facts: Mapping[str, str], color: PlateColor | None = None) -> str:
    """``missing``, ``damaged`` (it does not decode in full), ``foreign`` (it carries other facts) or ``whole``.

    Args:
        color: what its plate is taken as; None for what is not compared.
    """
    if not path.exists():
        return "missing"
    if not _decodes(path):
        return "damaged"
    return "whole" if _carries(path, facts, color) else "foreign"


def _carries(path: Path, facts: Mapping[str, str], color: PlateColor | None) -> bool:
    carried = read_provenance(path)
    same = all(carried.get(key) == value for key, value in facts.items())
    return same and (color is None or color.fits(carried))


def _decodes(path: Path) -> bool:
    try:
        images.check(path)
    except ImageError:
        return False
    return True


def verify_frames(
    out: SequencePath,
    frames: FrameRange,
    expected: Callable[[int], Mapping[str, str]],
    *,
    color: Callable[[int], PlateColor | None] | None = None,
    progress: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> None:
    """Check every frame.

    Args:
        expected: the facts that a frame must carry.
        color: what a frame's plate is taken as; None for what is not compared.
        progress: called with how many frames are checked, and of how many.
        stop: asked between frames.

    Raises:
        VerifyError: names what is missing, damaged and foreign as compact ranges.
        Interrupted: ``stop`` said so.
    """
    wrong: dict[str, list[int]] = {"missing": [], "damaged": [], "foreign": []}

    def look_at(frame: int) -> str:
        if stop is not None and stop():
            return "stopped"
        return state_of(out.path(frame), expected(frame), None if color is None else color(frame))

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="verify") as pool:
        for count, (frame, state) in enumerate(zip(frames, pool.map(look_at, frames), strict=True), 1):
            if state == "stopped":
                raise Interrupted("stopped on request")
            if state != "whole":
                wrong[state].append(frame)
            if progress is not None:
                progress(count, len(frames))
    parts = [f"{state} {FrameRange(tuple(found))}" for state, found in wrong.items() if found]
    if parts:
        count = sum(map(len, wrong.values()))
        raise VerifyError(
            f"{count} of {len(frames)} frames are not right: {'; '.join(parts)}",
            path=out.text,
            remedy="render again: whole frames are skipped",
        )
