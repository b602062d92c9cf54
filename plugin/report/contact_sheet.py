"""The closing report of ``paintover run``: one contact sheet of plate and result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine import images
from engine.base.frames import SequencePath
from engine.color.config import ColorConfig
from engine.color.showing import Showing
from engine.images import movies
from engine.review.sheets import Cell, Row, contact_sheet
from engine.shot.shot import Keyframe, Plate

__all__ = ["chosen_frames", "write_sheet"]

_COLUMNS = 5
_WIDEST_PX = 1600

Pixels8 = npt.NDArray[np.uint8]


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
    showing = showing or Showing.default(config)
    above, below = [], []
    for frame in chosen_frames(plate, keyframes):
        source = plate.path.path(frame)
        movie = plate.path.is_movie
        image = movies.read_frame(source, frame, frame=frame) if movie else images.read(source, frame=frame)
        before = _shown(image, source, plate.colorspace, config, showing)
        result = out.path(frame)
        after = _shown(images.read(result, frame=frame), result, out_colorspace, config, showing)
        marked = frame in painted
        above.append(Cell(before, str(frame), marked=marked))
        below.append(Cell(after, str(frame), "painted" if marked else "", marked=marked))
    contact_sheet([Row("Plate", above), Row("Result", below)], path, title=title)


def _shown(image: images.Image, path: Path, colorspace: str | None, config: ColorConfig, showing: Showing) -> Pixels8:
    """For eyes only: scaled down by dropping pixels, and clipped."""
    step = max(1, image.rgb.shape[1] // _WIDEST_PX)
    rgb = np.ascontiguousarray(image.rgb[::step, ::step])
    return (showing.picture(rgb, image.header, path, config, colorspace) * 255.0 + 0.5).astype(np.uint8)
