"""Limits of an image: the memory that it needs by its header, checked before a pixel is decoded.

A file of a few bytes may claim any size. The limit is 4 GiB for one decoded image, which an 8K plate with forty half
float channels stays under; the environment variable ``PAINTOVER_MAX_IMAGE_GIB`` sets another, and so does the option
``--max-image-gib``, which is that variable for a command and its children.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import OpenImageIO as oiio

from engine.base.errors import ImageError
from engine.base.image_memory import VARIABLE, limit_bytes
from engine.base.whole_file import check_regular

__all__ = ["check_bytes", "check_file", "check_specs"]

_PICTURE_BYTES = 16
"""A pixel as the engine takes it: R, G, B and alpha, float32."""
_MAX_RATIO = 2**18
"""Between decoded and stored bytes; one color under PIZ reaches 2**16."""
_SURE_BYTES = 2**28
"""Below this the ratio is of no concern."""


def check_bytes(needed: int, what: str, path: Path, frame: int | None = None) -> None:
    """Refuse an image that needs more memory than one may take.

    Args:
        needed: bytes, once decoded.
        what: its size and kind, for the message.
        path, frame: for the message.

    Raises:
        ImageError: it is over the limit.
        InputError: the variable holds no number.
    """
    limit = limit_bytes()
    if needed > limit:
        gib = needed / 2**30
        raise ImageError(
            f"the image needs {gib:,.1f} GiB of memory ({what}), over the limit of {limit / 2**30:.3g}",
            frame=frame,
            path=path,
            remedy=f"look at its header, or set {VARIABLE}={math.ceil(gib)}, or give --max-image-gib {math.ceil(gib)}",
        )


def check_specs(specs: Sequence[oiio.ImageSpec], path: Path, frame: int | None = None) -> None:
    """Refuse a file whose parts, or whose display window, need more memory than one image may take.

    Raises:
        ImageError: over the limit, or so far beyond the file's size that nothing stored can fill it.
    """
    decoded = picture = display = 0
    for spec in specs:
        formats = [str(each) for each in spec.channelformats] or [str(spec.format)] * max(1, spec.nchannels)
        pixels = spec.width * spec.height * max(1, spec.depth)
        decoded += pixels * sum(2 if kind == "half" else 4 for kind in formats)
        picture = max(picture, pixels * _PICTURE_BYTES)
        display = max(display, spec.full_width * spec.full_height * _PICTURE_BYTES)
    if not specs:
        return
    first = specs[0]
    size = f"{first.width}x{first.height}, {sum(spec.nchannels for spec in specs)} channels"
    check_bytes(decoded + picture, size, path, frame)
    check_bytes(display, f"a display window of {first.full_width}x{first.full_height}", path, frame)
    if decoded > _SURE_BYTES and decoded > path.stat().st_size * _MAX_RATIO:
        raise ImageError(
            f"the image is damaged: {path.stat().st_size:,} bytes cannot hold {size}",
            frame=frame,
            path=path,
            remedy="look at its header, or copy it again",
        )


def check_file(path: Path, frame: int | None = None, *, what: str = "image") -> None:
    """Refuse what is no regular file with something in it.

    Raises:
        ImageError: missing, empty, a folder, a pipe or device, links in a circle, or a name that the system refuses.
    """
    try:
        facts = check_regular(path)
    except FileNotFoundError as error:
        remedy = "check the path and the frames"
        raise ImageError(f"there is no such {what}", frame=frame, path=path, remedy=remedy) from error
    except IsADirectoryError as error:
        raise ImageError(f"a folder, not {'an' if what == 'image' else 'a'} {what}", frame=frame, path=path) from error
    except OSError as error:
        raise ImageError(f"cannot read: {error.strerror}", frame=frame, path=path) from error
    except ValueError as error:
        raise ImageError(f"cannot read: {error}", frame=frame) from error
    if facts.st_size == 0:
        raise ImageError(f"the {what} is empty (0 bytes)", frame=frame, path=path, remedy="render or copy it again")
