"""The closing report of ``paintover run``: one contact sheet of plate and result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.base.frames import SequencePath
from engine.color.config import ColorConfig
from engine.color.showing import Showing
from engine.review.sheets import Cell, Row, contact_sheet
from engine.shot.shot import Keyframe, Plate
from plugin.report.stills import Stills

__all__ = ["chosen_frames", "write_sheet"]

_COLUMNS = 5
_WIDEST_PX = 800


def chosen_frames(plate: Plate, keyframes: Sequence[Keyframe], count: int = _COLUMNS) -> list[int]:
    """Frames spread over the range, its ends and the first keyframe among them."""
    frames = plate.frames.frames
    if len(frames) <= count:
        return list(frames)
    wanted = {frames[round(place)] for place in np.linspace(0, len(frames) - 1, count)}
    if keyframes and keyframes[0].frame in frames and keyframes[0].frame not in wanted:
        # In the place of its nearest neighbor that is not an end.
        inner = wanted - {frames[0], frames[-1]}
        wanted.remove(min(inner, key=lambda frame: (abs(frame - keyframes[0].frame), frame)))
        wanted.add(keyframes[0].frame)
    return sorted(wanted)


def write_sheet(
    path: Path,
    plate: Plate,
    out: SequencePath,
    keyframes: Sequence[Keyframe],
    config: ColorConfig,
    *,
    out_colorspace: str | None = None,
    showing: Showing | None = None,
    title: str = "",
) -> None:
    """Plate above, result below, keyframes marked; a PNG.

    Args:
        path: the sheet.
        out: the rendered frames, which exist for every frame of the plate.
        config: converts what is not sRGB already.
        out_colorspace: of the rendered frames, where it was given.
        showing: how scene-linear frames are shown; None for the config's default view.

    Raises:
        ImageError: a frame cannot be read.
        OutputError: the sheet cannot be written.
    """
    painted = {keyframe.frame for keyframe in keyframes}
    plates = Stills(plate.path, plate.colorspace, config, _WIDEST_PX, showing)
    results = Stills(out, out_colorspace, config, _WIDEST_PX, showing, plate.path)
    above, below = [], []
    for frame in chosen_frames(plate, keyframes):
        marked = frame in painted
        above.append(Cell(plates(frame).rgb, f"frame {frame}", "painted" if marked else "", marked=marked))
        below.append(Cell(results(frame).rgb, f"frame {frame}", marked=marked))
    contact_sheet([Row("Plate", above), Row("Result", below)], path, title=title)
