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
from engine.images.header import Header
from engine.images.losses import lost
from engine.shot.matte_sequence import MatteSequence
from engine.shot.plate import plate_image
from engine.shot.shot import Keyframe, Plate
from plugin.progress.protocol import Progress

__all__ = ["say_color", "say_losses", "say_reference"]


def say_color(
    progress: Progress,
    config: ColorConfig,
    plate: Plate,
    keyframes: Sequence[Keyframe] = (),
    matte: MatteSequence | None = None,
) -> None:
    """Say as what plate, paintings and mattes are taken, and why; what is in doubt is a warning.

    Raises:
        ImageError: the plate's first frame or a painting is damaged.
        ColorError: a colorspace is unknown, or an ICC profile cannot be read.
    """
    first = next((frame for frame in plate.frames if plate.path.path(frame).is_file()), None)
    if first is None:
        return
    header = _header(plate, first)
    for remark in header.remarks:
        progress.warn(f"plate: {remark}")
    taken = assign(config, header, plate.path.path(first), plate.colorspace)
    progress.note(taken.said("plate"), {"colorspace": taken.colorspace, "why": taken.why})
    if taken.doubt:
        progress.warn(f"plate: {taken.doubt}; give --colorspace if it is not {taken.colorspace}")
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
        if color.taken.doubt:
            progress.warn(f"{what}: {color.taken.doubt}; give --paint-colorspace if it is not {color.taken.colorspace}")
        if color.question:
            progress.warn(f"{what} taken as {color.taken.colorspace}, {color.question}")
        else:
            facts = {"keyframe": keyframe.frame, "colorspace": color.taken.colorspace, "why": color.taken.why}
            progress.note(color.taken.said(what), facts)
    if matte is not None or any(keyframe.matte is not None for keyframe in keyframes):
        progress.note("mattes taken as data: coverage has no colorspace")


def say_reference(progress: Progress, config: ColorConfig, reference: SequencePath, asked: str | None) -> None:
    """Say as what a sequence to come close to is taken, by its first frame.

    Raises:
        ImageError: that is damaged.
        ColorError: its colorspace is unknown, or cannot be told.
    """
    frames = reference.existing()
    if frames:
        path = reference.path(frames.first)
        taken = assign(config, images.read_header(path, frame=frames.first), path, asked)
        progress.note(taken.said("reference"), {"colorspace": taken.colorspace, "why": taken.why})


def say_losses(progress: Progress, plate: Plate, out: SequencePath, bit_depth: str | None) -> None:
    """Say what of the plate its frames will not hold.

    Raises:
        ImageError: the plate's first frame is damaged.
    """
    first = next((frame for frame in plate.frames if plate.path.path(frame).is_file()), None)
    if first is not None:
        for line in lost(_header(plate, first), out.path(first).suffix.lower(), bit_depth):
            progress.warn(line)


def _header(plate: Plate, frame: int) -> Header:
    if plate.path.is_movie:
        return plate_image(plate.path, frame).header
    return images.read_header(plate.path.path(frame), frame=frame)


def _other(config: ColorConfig, plate: Plate, first: int, taken: Assignment) -> tuple[int, Assignment] | None:
    """The first frame that is in another colorspace."""
    for frame in plate.frames:
        path: Path = plate.path.path(frame)
        if frame == first or not path.is_file():
            continue
        try:
            found = assign(config, images.read_header(path, frame=frame), path)
        except ImageError:
            # Whoever reads its pixels says what is wrong with it.
            continue
        if found.colorspace != taken.colorspace:
            return frame, found
    return None
