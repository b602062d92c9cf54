"""Advice: which frames to paint next. ``paintover suggest`` and ``paintover report`` both take it from here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from engine.base.arrays import Bytes, Floats
from engine.base.shell_words import shell_line
from engine.review.coverage import LEAST_GAIN, WORKING_WIDTH_PX, Plan, sidecar_maps, suggest
from engine.shot.shot import Plate
from plugin.arguments.command_line import command_line

__all__ = ["Advice", "advice_of", "key_command", "luma_of", "painting_name", "percent", "plan_paintings"]


@dataclass(frozen=True)
class Advice:
    """What to paint next."""

    frame: int | None
    """The frame number; None where another painting would not help, or nothing tells."""
    reason: str
    """One sentence."""
    gain: float = 0.0
    """Share of the shot that it would add, 0..1."""


def luma_of(rgb: Bytes) -> Bytes:
    """(h, w) uint8 in display codes of a small picture (h', w', 3), as :func:`plan_paintings` compares plates."""
    gray = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
    height, width = gray.shape
    if width <= WORKING_WIDTH_PX:
        return gray
    size = (WORKING_WIDTH_PX, max(1, round(height * WORKING_WIDTH_PX / width)))
    return np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA), np.uint8)


def plan_paintings(
    luma: Mapping[int, Bytes],
    size: tuple[int, int],
    coverage: Mapping[int, Floats | None],
    work: Path | None,
    count: int,
    tick: Callable[[float], None],
) -> tuple[Plan, frozenset[int]]:
    """The frames to paint, and the keyframes whose share comes from their STMap sidecars and is not estimated.

    A painting that lies outside the frames counts only where it has sidecars.

    Args:
        luma: for each frame number :func:`luma_of` its plate, all of one size, in ascending order.
        size: height and width of the plate, pixels.
        coverage: what is painted already: for each keyframe (H, W) in 0..1, or None where it is painted wholly.
        work: folder with STMap sidecars; None for none.
        count: how many frames to choose at most.
        tick: called with the fraction that is done, 0..1; may raise to stop.

    Raises:
        ImageError: a sidecar is damaged or of another size than the plate.
        InputError: see :func:`engine.review.coverage.suggest`.
    """
    frames = tuple(luma)
    painted = {key: sidecar_maps(work, key, frames, size, coverage=part) for key, part in coverage.items()}
    known = {key: maps for key, maps in painted.items() if maps is not None or key in luma}
    plan = suggest(frames, list(luma.values()), count=count, painted=known, coverage=coverage, tick=tick)
    return plan, frozenset(key for key, maps in known.items() if maps is not None)


def advice_of(plan: Plan) -> Advice:
    """The first frame that a plan chose, with its reason."""
    around = plan.lacking
    if around is None:
        carried = percent(plan.painted_total)
        return Advice(None, f"The paintings carry {carried} of the shot, and no other would add {percent(LEAST_GAIN)}.")
    best = plan.chosen[0]
    if not plan.painted:
        words = f"No painting is known here; one of frame {best.frame} would carry about {percent(best.gain)}"
        return Advice(best.frame, f"{words} of the shot.", best.gain)
    one = around.first == around.last
    where = f"frame {around.first}" if one else f"frames {around.first}-{around.last}"
    lost = f"{percent(around.uncarried)} of {where} {'rides' if one else 'ride'} on no painting"
    gained = f"a painting of frame {best.frame} would add about {percent(best.gain)} of the shot"
    return Advice(best.frame, f"{lost}; {gained}.", best.gain)


def painting_name(plate: Plate, frame: int) -> str:
    """The file that :func:`key_command` makes of a frame."""
    return f"paint.{frame:0{plate.path.width or 4}d}.png"


def key_command(plate: Plate, frames: Sequence[int]) -> str:
    """The command that exports these frames for painting."""
    values = {
        "plate": plate.path.text,
        "frames": ",".join(str(frame) for frame in sorted(frames)),
        "out": f"paint.%0{plate.path.width or 4}d.png",
        "layer": plate.path.layer or None,
        "colorspace": plate.colorspace,
    }
    return shell_line(["paintover", *command_line("key", values)])


def percent(share: float) -> str:
    """``41 %``; a share above 0 that rounds to nothing is ``<1 %``."""
    if 0.0 < share < 0.005:
        return "<1 %"
    return f"{100 * share:.0f} %"
