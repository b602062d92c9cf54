"""What can be found out before any long work: a wrong input costs a second, not a training.

Every function raises a :class:`PaintoverError` with the frame, the path and what to do, or returns.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import OpenImageIO as oiio

from engine import images
from engine.base.device import resolve_device
from engine.base.errors import ImageError, InputError, NoPermissionError, OutputError
from engine.base.frames import SequencePath
from engine.base.shell_words import shell_word
from engine.base.temporaries import output_error
from engine.color.config import ColorConfig
from engine.color.keys import check_exposure
from engine.images.foreign_text import file_name
from engine.images.provenance import FORMATS
from engine.shot.matte_reader import MatteReader
from engine.shot.matte_sequence import MatteSequence
from engine.shot.plate import plate_image
from engine.shot.shot import Keyframe, Plate, refuse_overwriting

__all__ = [
    "check_device",
    "check_keyframes",
    "check_look_output",
    "check_mattes",
    "check_out",
    "check_painting_sizes",
    "check_paintings_fit",
    "check_paintings_kept",
    "check_plate",
    "check_spaces",
    "check_view",
    "prepare_folder",
]


def check_plate(plate: Plate) -> None:
    """Every frame of the plate is on disk.

    Raises:
        ImageError: the movie or a frame is missing; the first missing frame is named.
    """
    if plate.path.is_movie:
        path = plate.path.path(plate.frames.first)
        if not path.is_file():
            raise ImageError("the plate is missing", path=path, remedy="check --plate")
        return
    missing = [frame for frame in plate.frames if not plate.path.path(frame).is_file()]
    if not missing:
        return
    found = plate.path.existing()
    remedy = (
        f"on disk are frames {found}; check --frames" if found else f"no frame of it is on disk; {plate.path.meant}"
    )
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    raise ImageError(
        f"the plate lacks frame {missing[0]}{more}", frame=missing[0], path=plate.path.path(missing[0]), remedy=remedy
    )


def check_mattes(matte: MatteSequence | None, plate: Plate) -> None:
    """There is a matte for every frame, and the first is coverage of the plate's size.

    Raises:
        ImageError: one is missing, damaged, of another size, or no coverage; the first one is named.
    """
    if matte is None:
        return
    # Of a movie there is one file, which the first frame tells of.
    missing = [frame for frame in plate.frames if not matte.path.path(frame).is_file()]
    if missing:
        more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
        remedy = "give a matte for every frame, or leave out --matte"
        why = f"the matte of this frame is missing{more}"
        raise ImageError(why, frame=missing[0], path=matte.path.path(missing[0]), remedy=remedy)
    MatteReader(matte.path, plate.path).read(plate.frames.first)


def check_keyframes(keyframes: Sequence[Keyframe]) -> None:
    """Paintings and mattes exist.

    Raises:
        ImageError: one is missing, or a folder.
    """
    for keyframe in keyframes:
        for path, what in ((keyframe.painting, "painting"), (keyframe.matte, "matte")):
            if path is not None and path.is_dir():
                message = f"the {what} of keyframe {keyframe.frame} is a folder"
                raise ImageError(message, frame=keyframe.frame, path=path, remedy="name the image in it")
            if path is not None and not path.is_file():
                message = f"the {what} of keyframe {keyframe.frame} is missing"
                raise ImageError(message, frame=keyframe.frame, path=path, remedy="check its path")


def check_painting_sizes(plate: Plate, keyframes: Sequence[Keyframe], *, fit: bool) -> None:
    """Paintings and mattes decode, and are of their plate frame's size: before motion is followed, not after.

    Args:
        fit: they are to be resampled, and may be of any size.

    Raises:
        ImageError: one is damaged or of another size; both sizes are named.
    """
    for keyframe in keyframes:
        header = plate_image(plate.path, keyframe.frame).header
        known = (header.display[2:], header.data[2:])
        for path, what in ((keyframe.painting, "painting"), (keyframe.matte, "matte")):
            if path is None:
                continue
            found = images.read(path, frame=keyframe.frame, coverage=what == "matte").header
            if fit or found.data[2:] in known or found.display[2:] in known:
                continue
            (width, height), (wanted, high) = found.data[2:], known[0]
            remedy = f"resize it to {wanted}x{high}, or pass --fit-paintings to have it resampled"
            message = f"frame {keyframe.frame}: the {what} is {width}x{height}, its plate frame {wanted}x{high}"
            raise ImageError(message, path=path, remedy=remedy)


def check_out(
    out: SequencePath, plate: Plate, keyframes: Sequence[Keyframe] = (), matte: MatteSequence | None = None
) -> None:
    """Frames can be written, and never over the plate, a painting or a matte.

    Raises:
        InputError: onto the plate, a painting or a matte; not an image format that can be written; or one that
            cannot keep the hashes by which frames are skipped and verified.
        NoPermissionError: the folder cannot be made or written.
        OutputError: the disk is full.
    """
    refuse_overwriting(out, plate, tuple(keyframes), None if matte is None else matte.path)
    extension = Path(out.text).suffix.lstrip(".")
    writer = oiio.ImageOutput.create(file_name(extension)) if extension else None
    remedy = "use .exr, .png, .tif, .jpg or .dpx"
    if writer is None:
        oiio.geterror()
        raise InputError(f'"{out}" is no image format that can be written', remedy=remedy)
    if writer.format_name() not in FORMATS:
        raise InputError(f'"{out}" is a format that keeps no hashes to verify frames by', remedy=remedy)
    prepare_folder(out.folder)


def check_paintings_kept(paths: Iterable[Path]) -> None:
    """None of these is there yet: what is may be hours of an artist's work.

    Raises:
        InputError: one is; the first is named.
    """
    kept = [path for path in paths if path.exists() or path.is_symlink()]
    if kept:
        more = f", nor {len(kept) - 1} more" if len(kept) > 1 else ""
        message = f"this image may have been painted on and is not replaced{more}"
        raise InputError(message, path=kept[0], remedy="choose another --out, or pass --overwrite")


def check_paintings_fit(paths: Iterable[Path]) -> None:
    """None of these is a folder, which would be found out when a painting is done.

    Raises:
        InputError: one is; the first is named.
    """
    for path in paths:
        if path.is_dir():
            raise InputError("a folder stands where the painting should go", path=path, remedy="choose another --out")


def check_look_output(look: Path) -> None:
    """A look can be written there.

    Raises:
        InputError: not an .onnx file.
        NoPermissionError: the folder cannot be made or written.
        OutputError: the disk is full.
    """
    if look.suffix.lower() != ".onnx":
        raise InputError(
            f'"{look}" does not end in .onnx', remedy=f"write --look {shell_word(look.with_suffix('.onnx'))}"
        )
    if look.is_dir():
        raise InputError("a folder stands where the look should go", path=look, remedy="choose another --look")
    prepare_folder(look.parent)
    if look.exists() and not os.access(look, os.W_OK):
        raise NoPermissionError("this look may not be replaced", path=look, remedy="choose another --look")


def prepare_folder(folder: Path) -> None:
    """Make the folder if need be, and prove that a file can be written in it.

    Raises:
        NoPermissionError: it cannot be made or written.
        OutputError: the disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0" * 4096)
    except OSError as fault:
        error = output_error(folder, fault)
        if type(error) is OutputError and fault.errno in (errno.EEXIST, errno.ENOTDIR, errno.ENOENT):
            # Neither a retry nor a `mkdir` helps where a file, or a file system like /proc, is in the way.
            raise NoPermissionError(
                f"cannot make the folder: {fault.strerror}", path=folder, remedy="choose another place"
            ) from fault
        raise error from fault


def check_spaces(config: ColorConfig, names: Iterable[str | None]) -> None:
    """OCIO knows these colorspaces.

    Raises:
        ColorError: one is unknown.
    """
    for name in names:
        if name is not None:
            config.resolve(name)


def check_view(config: ColorConfig, display: str | None, view: str | None, exposure: float) -> None:
    """OCIO knows this display and view, None being the default one, and the exposure is one.

    Raises:
        InputError: an exposure out of range.
        ColorError: the display or view is unknown.
    """
    check_exposure(exposure)
    display, default_view = config.default_display_view(display)
    config.view_forward(np.zeros((1, 1, 3), np.float32), display, view or default_view)


def check_device(device: str) -> None:
    """The device is there; ``auto`` always is.

    Raises:
        InputError: no such kind of device.
        DeviceError: it was asked for by name and is not usable.
    """
    resolve_device(device)
