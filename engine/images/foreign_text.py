"""Text in and around image files that is no UTF-8: Latin-1 from older programs, or damage.

OpenImageIO hands such bytes over as halves of characters, which nothing takes back or prints; some calls fail on them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import OpenImageIO as oiio

from engine.base.errors import ImageError

__all__ = ["clean_spec", "error_of", "file_name", "readable"]


def readable(text: str) -> str:
    """Text as it was meant: bytes that are no UTF-8 are taken as Latin-1."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass" if _has_true_halves(text) else "surrogateescape").decode("latin-1")
    return text


def file_name(path: Path | str) -> str:
    """A path, or a part of one, as OpenImageIO takes it.

    Raises:
        ImageError: it is no UTF-8, which on Linux a file can be called all the same.
    """
    name = str(path)
    try:
        name.encode()
    except UnicodeEncodeError as error:
        remedy = "rename it, or the folder that it is in"
        raise ImageError("the name of an image is no UTF-8", path=path, remedy=remedy) from error
    return name


def clean_spec(spec: oiio.ImageSpec) -> list[str]:
    """Make every text of a description readable; channels get other names where two would be alike.

    Returns:
        What was changed or dropped, by name.
    """
    changed = []
    names = list(spec.channelnames)
    if any(readable(name) != name for name in names):
        fresh: list[str] = []
        for name in names:
            better = readable(name)
            while better in fresh:
                better += "_"
            fresh.append(better)
        spec.channelnames = tuple(fresh)
        changed += [better for name, better in zip(names, fresh, strict=True) if name != better]
    found = []
    for index in range(len(spec.extra_attribs)):
        try:
            item = spec.extra_attribs[index]
            found.append((item.name, item.type, item.value))
        except (UnicodeError, RuntimeError):
            continue  # It stays as it is: no call can name it.
    for name, kind, value in found:
        texts = (value,) if isinstance(value, str) else value if isinstance(value, tuple) else ()
        fixed = tuple(readable(text) if isinstance(text, str) else text for text in texts)
        if fixed == texts or readable(name) != name:
            continue
        if isinstance(value, str):
            spec.attribute(name, fixed[0])
        else:
            spec.attribute(name, kind, fixed)
        changed.append(name)
    return changed


def error_of(handle: Any) -> str:
    """The error that a reader, a writer or OpenImageIO itself holds, whatever bytes of the file it quotes."""
    try:
        return str(handle.geterror())
    except UnicodeError:
        return "its header holds damaged text"


def _has_true_halves(text: str) -> bool:
    """Whether halves are others than those that stand for bytes."""
    return any("\ud800" <= character <= "\udfff" and not "\udc80" <= character <= "\udcff" for character in text)
