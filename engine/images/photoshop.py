"""Photoshop documents: what kind of pixels one has, and whether it holds the picture that its layers make."""

from __future__ import annotations

import struct
from pathlib import Path

__all__ = ["document_mode", "holds_its_picture"]

_VERSION_INFO = 1057
"""Image resource of Adobe Photoshop File Formats Specification, "Image Resource IDs"."""


_MODES = {0: "bitmap", 1: "gray", 2: "indexed", 3: "rgb", 4: "cmyk", 7: "multichannel", 8: "duotone", 9: "lab"}


def document_mode(path: Path) -> str:
    """The document's color mode in lower case, such as rgb or cmyk; empty for another file."""
    with path.open("rb") as handle:
        head = handle.read(26)
    return _MODES.get(int.from_bytes(head[24:26], "big"), "") if head[:4] == b"8BPS" else ""


def holds_its_picture(path: Path) -> bool:
    """False where Photoshop saved the document without "Maximize compatibility": white, or a text that says so.

    Documents of other programs do not say, and are taken to hold it.
    """
    try:
        with path.open("rb") as handle:
            if handle.read(4) != b"8BPS":
                return True
            handle.seek(26)
            handle.seek(_length(handle.read(4)), 1)
            resources = handle.read(_length(handle.read(4)))
    except (OSError, struct.error):
        return True
    position = 0
    while position + 12 <= len(resources) and resources[position : position + 4] == b"8BIM":
        (kind,) = struct.unpack_from(">H", resources, position + 4)
        name = resources[position + 6] + 1
        start = position + 6 + name + name % 2 + 4
        if start > len(resources):
            break
        length = _length(resources[start - 4 : start])
        if kind == _VERSION_INFO and length >= 5 and start + 5 <= len(resources):
            return resources[start + 4] != 0
        position = start + length + length % 2
    return True


def _length(four: bytes) -> int:
    return int(struct.unpack(">I", four)[0])
