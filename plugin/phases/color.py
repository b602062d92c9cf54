"""Color as it was taken: one line for the plate and one for each painting, said once by a verb that reads pixels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine import images
from engine.base.errors import ImageError
from engine.base.frames import SequencePath
from engine.color.assignment import Assignment, assign
from engine.color.config import ColorConfig
from engine.color.paintings import painting_color
from engine.shot.remarks import first_on_disk, losses, plate_header, plate_remarks
from engine.shot.shot import Keyframe, Plate
from plugin.progress.protocol import Progress

__all__ = ["say_color", "say_losses"]


def say_color(progress: Progress, config: ColorConfig, plate: Plate, keyframes: Sequence[Keyframe] = ()) -> None:
    """Say as what plate, paintings and mattes are taken, and why; what is in doubt is a warning.

    Raises:
        ImageError: the plate's first frame or a painting is damaged.
        ColorError: a colorspace is unknown, or an ICC profile cannot be read.
    """
    first = first_on_disk(plate)
    if first is None:
        return
    header = plate_header(plate, first)
    for remark in plate_remarks(plate):
        progress.warn(remark)
    taken = assign(config, header, plate.path.path(first), plate.colorspace)
    progress.note(taken.said("plate"), {"colorspace": taken.colorspace, "why": taken.why})
    other = None if plate.colorspace or plate.path.is_movie else _other(config, plate, first, taken)
    if other is not None:
        frame, differs = other
        progress.warn(
            f"{differs.said(f'frame {frame}')}, while frame {first} is {taken.colorspace}; "
            "each frame is read as its own file says, --colorspace reads all alike"
        )
    for keyframe in keyframes:
        if not keyframe.painting.is_file():
            continue
        painting = images.read_header(keyframe.painting, frame=keyframe.frame)
        for remark in painting.remarks:
            progress.warn(f"painting of keyframe {keyframe.frame}: {remark}")
        color = painting_color(config, painting, keyframe.painting, keyframe.colorspace, taken, header)
        what = f"painting of keyframe {keyframe.frame}"
        if color.question:
            progress.warn(f"{what} taken as {color.taken.colorspace}, {color.question}")
        else:
            facts = {"keyframe": keyframe.frame, "colorspace": color.taken.colorspace, "why": color.taken.why}
            progress.note(color.taken.said(what), facts)
    if any(keyframe.matte is not None for keyframe in keyframes):
        progress.note("mattes taken as data: coverage has no colorspace")


def say_losses(
    progress: Progress, plate: Plate, out: SequencePath, bit_depth: str | None = None, *, for_painting: bool = False
) -> None:
    """Say what of the plate its frames, or keys for painting, will not hold; see :func:`engine.shot.remarks.losses`.

    Raises:
        ImageError: the plate's first frame is damaged.
    """
    for line in losses(plate, out, bit_depth, for_painting=for_painting):
        progress.warn(line)


def _other(config: ColorConfig, plate: Plate, first: int, taken: Assignment) -> tuple[int, Assignment] | None:
    """The first frame that is in another colorspace."""
    for frame in plate.frames:
        path: Path = plate.path.path(frame)
        if frame == first or not path.is_file():
            continue
        try:
            found = assign(config, images.read_header(path, frame=frame, layer=plate.path.layer), path)
        except ImageError:
            # Whoever reads its pixels says what is wrong with it.
            continue
        if found.colorspace != taken.colorspace:
            return frame, found
    return None
