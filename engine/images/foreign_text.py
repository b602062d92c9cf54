"""Text of image files that is no UTF-8: Latin-1 from older programs, or damage.

OpenImageIO hands such bytes over as halves of characters, which nothing takes back or prints; some calls fail on them.
"""

from __future__ import annotations

from typing import Any

import OpenImageIO as oiio

__all__ = ["clean_spec", "error_of", "readable"]


def readable(text: str) -> str:
    """Text as it was meant: bytes that are no UTF-8 are taken as Latin-1."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass" if _has_true_halves(text) else "surrogateescape").decode("latin-1")
    return text


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
            found.append((item.name, item.value))
        except (UnicodeError, RuntimeError):
            continue  # It stays as it is: no call can name it.
    for name, value in found:
        if isinstance(value, str) and readable(value) != value and readable(name) == name:
            spec.attribute(name, readable(value))
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
