"""Remarks on a plate: how its files are read, and what its frames will lose of it, a line each for people."""

from __future__ import annotations

from engine import images
from engine.base.frames import SequencePath
from engine.images.header import Header
from engine.images.losses import lost
from engine.shot.plate import plate_image
from engine.shot.shot import Plate

__all__ = ["first_on_disk", "losses", "plate_header", "plate_remarks"]


def first_on_disk(plate: Plate) -> int | None:
    """The first frame of the range that has a file; None where none has."""
    return next((frame for frame in plate.frames if plate.path.path(frame).is_file()), None)


def plate_header(path: SequencePath, frame: int) -> Header:
    """What the file of a frame says of itself; of a movie, what its frame says.

    Raises:
        ImageError: it is missing or damaged, or has no such layer.
    """
    if path.is_movie:
        return plate_image(path, frame).header
    return images.read_header(path.path(frame), frame=frame, layer=path.layer)


def plate_remarks(plate: Plate) -> tuple[str, ...]:
    """What a person should know of how the plate is read, by the first frame on disk.

    Raises:
        ImageError: that frame is damaged.
    """
    first = first_on_disk(plate)
    if first is None:
        return ()
    lines = [f"plate: {remark}" for remark in plate_header(plate.path, first).remarks]
    if plate.frames == plate.path.existing():
        strays = [name for name, frame in plate.path.written_otherwise() if frame not in plate.frames]
        if strays:
            more = f" and {len(strays) - 1} more" if len(strays) > 1 else ""
            lines.append(f"plate: {strays[0]}{more} is not named like {plate.path.path(first).name}, and is left out")
    return tuple(lines)


def losses(
    plate: Plate, out: SequencePath, bit_depth: str | None = None, *, for_painting: bool = False
) -> tuple[str, ...]:
    """What of the plate its frames, or its keys, will not hold, by the first frame on disk.

    Args:
        out: where they go; its suffix says what they can hold.
        bit_depth: as it was asked for; None for what the format and the plate give.
        for_painting: they are painted on, and the result gets the rest from the plate.

    Raises:
        ImageError: that frame is damaged.
    """
    first = first_on_disk(plate)
    if first is None:
        return ()
    suffix = out.path(first).suffix.lower()
    return lost(plate_header(plate.path, first), suffix, bit_depth, for_painting=for_painting)
