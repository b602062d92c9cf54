"""Opening of picture files by OpenImageIO: everything that reads one goes through here.

A reader may take memory before it says what the file holds. What the header claims there is compared with the file.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import OpenImageIO as oiio

from engine.base.errors import ImageError
from engine.images.foreign_text import file_name

__all__ = ["check_png_chunks", "open_picture"]

_USER_BYTES = {
    b"SDPX": (">I", 32),
    b"XPDS": ("<I", 32),
    b"\x80\x2a\x5f\xd7": (">I", 16),
    b"\xd7\x5f\x2a\x80": ("<I", 16),
}
"""Where DPX (SMPTE 268M) and Cineon say how many bytes of somebody's own follow the header, by their first bytes."""
_UNDEFINED = 0xFFFFFFFF


def open_picture(
    path: Path | str, hints: oiio.ImageSpec | None = None, *, frame: int | None = None
) -> oiio.ImageInput | None:
    """The file's reader, for the caller to close; None where no reader takes it, and OpenImageIO then knows why.

    Raises:
        ImageError: a name that is no UTF-8, or a header that claims more bytes than there are.
    """
    name = file_name(path)
    _check_user_bytes(Path(path), frame)
    return oiio.ImageInput.open(name) if hints is None else oiio.ImageInput.open(name, hints)


def check_png_chunks(path: Path, frame: int | None) -> None:
    """Compare the checksums of a PNG's chunks, and look for its end; other files pass.

    libpng reports neither a missing end nor, for some chunks, a wrong checksum; and it prints what it does find.

    Raises:
        ImageError: a wrong checksum, or the file ends early.
        OSError: it cannot be read.
    """
    data = memoryview(path.read_bytes())
    if bytes(data[:8]) != b"\x89PNG\r\n\x1a\n":
        return
    position = 8
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 12 + length
        if end > len(data):
            break
        kind = bytes(data[position + 4 : position + 8])
        if zlib.crc32(data[position + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise _damaged_png(path, frame, f"wrong checksum in a {kind.decode('latin-1')} chunk")
        if kind == b"IEND":
            return
        position = end
    raise _damaged_png(path, frame, "the file ends early")


def _check_user_bytes(path: Path, frame: int | None) -> None:
    try:
        with path.open("rb") as handle:
            head = handle.read(36)
            kind, place = _USER_BYTES.get(head[:4], ("", 0))
            if not kind or len(head) < place + 4:
                return
            length = handle.seek(0, 2)
    except (OSError, ValueError):
        return  # Its reader says so.
    (claimed,) = struct.unpack_from(kind, head, place)
    if claimed != _UNDEFINED and claimed > length:
        what = f"the image is damaged: {claimed:,} bytes of user data in a file of {length:,}"
        raise ImageError(what, frame=frame, path=path, remedy="copy it again")


def _damaged_png(path: Path, frame: int | None, what: str) -> ImageError:
    remedy = "render or copy it again"
    return ImageError(f"the image is damaged or truncated: {what}", frame=frame, path=path, remedy=remedy)
