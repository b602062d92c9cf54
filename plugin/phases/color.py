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
from engine.shot.matte_sequence import MatteSequence
from engine.shot.remarks import first_on_disk, losses, plate_header, plate_remarks
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
    first = first_on_disk(plate)
    if first is None:
        return
    header = plate_header(plate.path, first)
    for remark in plate_remarks(plate):
        progress.warn(remark)
    taken = assign(config, header, plate.path.path(first), plate.colorspace)
    progress.note(taken.said("plate"), {"colorspace": taken.colorspace, "why": taken.why})
    if taken.doubt:
        progress.warn(f"plate: {taken.doubt}; give --colorspace if it is not {taken.colorspace}")
    for line in _differences(config, plate, first, header, taken):
        progress.warn(line)
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


def say_reference(
    progress: Progress, config: ColorConfig, plate: Plate, reference: SequencePath, asked: str | None
) -> None:
    """Say as what a sequence to come close to is taken, by its first frame.

    Raises:
        ImageError: that is damaged, or not of the plate's size.
        ColorError: its colorspace is unknown, or cannot be told.
    """
    frames = reference.existing()
    if frames:
        path, first = reference.path(frames.first), first_on_disk(plate)
        own = images.read_header(path, frame=frames.first)
        taken = assign(config, own, path, asked)
        if first is not None:
            header = plate_header(plate.path, first)
            _check_size(own, header, frames.first, path)
            color = None if asked else painting_color(config, own, path, None, taken, header)
            taken = color.taken if color is not None and color.transform is not None else taken
        progress.note(taken.said("reference"), {"colorspace": taken.colorspace, "why": taken.why})


def _check_size(reference: Header, plate: Header, frame: int, path: Path) -> None:
    sizes = {plate.display[2:], plate.data[2:]}
    if reference.data[2:] not in sizes and reference.display[2:] not in sizes:
        (width, height), (wide, high) = reference.data[2:], plate.display[2:]
        why = f"the reference is {width}x{height}, the plate {wide}x{high}"
        raise ImageError(why, frame=frame, path=path, remedy="render the reference at the plate's size")


def say_losses(
    progress: Progress, plate: Plate, out: SequencePath, bit_depth: str | None = None, *, for_painting: bool = False
) -> None:
    """Say what of the plate its frames, or keys for painting, will not hold; see :func:`engine.shot.remarks.losses`.

    Raises:
        ImageError: the plate's first frame is damaged.
    """
    for line in losses(plate, out, bit_depth, for_painting=for_painting):
        progress.warn(line)


def _differences(config: ColorConfig, plate: Plate, first: int, header: Header, taken: Assignment) -> tuple[str, ...]:
    """In what other frames differ from the first one where all of a shot should be alike: a line each, once."""
    found: dict[str, str] = {}
    for frame in () if plate.path.is_movie else plate.frames:
        path: Path = plate.path.path(frame)
        if frame == first or not path.is_file():
            continue
        try:
            own = plate_header(plate.path, frame)
            if plate.colorspace is None and "color" not in found:
                space = assign(config, own, path)
                if space.colorspace != taken.colorspace:
                    found["color"] = (
                        f"{space.said(f'frame {frame}')}, while frame {first} is {taken.colorspace}; "
                        "each frame is read as its own file says, --colorspace reads all alike"
                    )
        except ImageError:
            # Whoever reads its pixels says what is wrong with it.
            continue
        if own.color.rgb != header.color.rgb and own.file_format == "openexr" == header.file_format:
            names = ", ".join(own.color.rgb), ", ".join(header.color.rgb)
            text = f"the picture of frame {frame} is {names[0]}, that of frame {first} is {names[1]}"
            found.setdefault("layer", f"{text}; --layer takes one layer of all frames")
    return tuple(found.values())
