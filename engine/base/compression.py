"""The compression of an EXR file, by name, with a level where it takes one: ``zip``, ``zip:6``, ``dwaa:45``."""

from __future__ import annotations

from engine.base.choices import EXR_COMPRESSIONS
from engine.base.errors import InputError

__all__ = ["is_lossless", "read_compression"]

_LOSSLESS = frozenset({"none", "rle", "zips", "zip", "piz"})
_LEVELS = {"zip": (1, 9), "zips": (1, 9), "dwaa": (1, 100_000), "dwab": (1, 100_000)}
"""Least and most, of effort (zip) or of loss (DWA)."""
_USUAL = {"zip": 4, "zips": 4, "dwaa": 45, "dwab": 45}
_REMEDY = "use zip, zips, piz, dwaa:45 or none"


def read_compression(text: str) -> str:
    """The compression in OpenEXR's and OpenImageIO's words: a name, or a name and a level.

    Raises:
        InputError: an unknown name; or a level that is none, or of a compression without levels.
    """
    name, colon, level = text.strip().lower().partition(":")
    if name not in EXR_COMPRESSIONS:
        raise InputError(f"EXR has no compression {text!r}", remedy=_REMEDY)
    if not colon:
        return name
    if name not in _LEVELS:
        raise InputError(f"the compression {name} has no level, as in {text!r}", remedy=f"write {name} alone")
    least, most = _LEVELS[name]
    if not (level.isascii() and level.isdigit() and least <= int(level) <= most):
        why = f"{text!r} is no level of the compression {name}"
        raise InputError(why, remedy=f"give {least} to {most}, such as {name}:{_USUAL[name]}")
    return f"{name}:{int(level)}"


def is_lossless(compression: str) -> bool:
    """Whether the pixels come back as they were, whatever the level."""
    return compression.partition(":")[0] in _LOSSLESS
