"""Remarks on how an image is stored: pages and its side, a line each where a person should know of it."""

from __future__ import annotations

import OpenImageIO as oiio

from engine.images.foreign_text import error_of

__all__ = ["storage_remarks"]

_WITH_PAGES = {"tiff", "gif", "ico"}


def storage_remarks(source: oiio.ImageInput, spec: oiio.ImageSpec) -> tuple[str, ...]:
    """What to know of the first picture of an open file, before its pixels are read.

    Args:
        spec: of that picture, as it is stored.
    """
    lines = []
    kind = str(source.format_name())
    if kind in _WITH_PAGES and source.seek_subimage(1, 0):
        lines.append(f"the {kind.upper()} has several pages: the first is taken")
    error_of(source)
    orientation = spec.get_int_attribute("Orientation", 1)
    if kind != "openexr" and 2 <= orientation <= 8:
        how = "mirrored" if orientation in (2, 4) else "turned"
        lines.append(f"the image is stored {how} (orientation {orientation}): it is taken, and written, upright")
    return tuple(lines)
