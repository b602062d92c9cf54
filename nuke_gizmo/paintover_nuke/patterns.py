"""Texts as Nuke has them, as Paintover takes them: frame numbers in paths, views, frame lists, names of colorspaces.

Knows nothing of Nuke; Python 3.9, standard library only.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath, PureWindowsPath

from .client.errors import JobError

__all__ = [
    "colorspace_name",
    "frame_list",
    "frame_path",
    "in_html",
    "in_knob",
    "is_absolute",
    "names_view",
    "range_ends",
    "view_and_display",
    "with_frame_token",
    "with_view",
]

# [format "%04d" [frame]], and [frame] alone.
_FORMATTED = re.compile(r"""\[\s*format\s+["{]?(%0?\d*d)["}]?\s+\[\s*frame\s*\]\s*\]""")
_FRAME = re.compile(r"\[\s*frame\s*\]")
_TOKEN = re.compile(r"%0?(\d*)d|(#+)|(@+)|\$F(\d?)")
_VIEW = re.compile(r"%([Vv])")
_PART = re.compile(r"(-?\d+)(?:-(-?\d+)(?:x(\d+)|:\d+)?)?")
"""A colon only changes the order in which a range is gone through."""


def with_frame_token(text: str) -> str:
    """``[format %04d [frame]]`` and ``[frame]`` as ``%04d`` and ``%d``; other brackets stay."""
    return _FRAME.sub("%d", _FORMATTED.sub(lambda found: found.group(1), text))


def names_view(text: str) -> bool:
    """Whether the path differs from view to view."""
    return _VIEW.search(text) is not None


def with_view(text: str, view: str) -> str:
    """``%V`` as the view's name and ``%v`` as its first letter, as Nuke has them."""
    return _VIEW.sub(lambda found: view if found.group(1) == "V" else view[:1], text)


def frame_path(pattern: str, frame: int) -> str:
    """The path of a frame. A pattern without a number gives itself; only the file's name is looked at."""
    folder, slash, name = pattern.rpartition("/")
    tokens = list(_TOKEN.finditer(name))
    if not tokens:
        return pattern
    token = tokens[-1]
    digits, hashes, ats, dollar = token.groups()
    width = len(hashes or ats or "") or int(digits or dollar or 1)
    return f"{folder}{slash}{name[: token.start()]}{frame:0{width}d}{name[token.end() :]}"


def in_knob(path: str) -> str:
    """A path as the text of a file knob: Tcl, which Nuke evaluates there, gives it back as it is."""
    return re.sub(r"[\\\[]", lambda found: "\\" + found.group(), path)


def in_html(text: str) -> str:
    """A text as the HTML of a text knob, whether or not Nuke evaluates Tcl in it."""
    special = {"&": "&amp;", "<": "&lt;", '"': "&quot;", "[": "&#91;", "\\": "&#92;", "$": "&#36;"}
    return "".join(special.get(c, c) if c.isprintable() else " " for c in text)


def frame_list(text: str) -> list[int]:
    """The frames of ``1001, 1040-1042 1100``, in order, each once.

    Raises:
        JobError: a part is no frame and no range.
    """
    found: list[int] = []
    for part in re.split(r"[\s,;]+", text.strip()):
        if not part:
            continue
        first, last, step = _range(part)
        found += [frame for frame in range(first, last + 1, step) if frame not in found]
    return found


def range_ends(text: str) -> tuple[int, int]:
    """First and last frame of a range such as ``1001-1100x2,1200``.

    Raises:
        JobError: it is none.
    """
    parts = [_range(part) for part in re.split(r"[\s,]+", text.strip()) if part]
    if not parts:
        raise JobError("the frame range is empty", "give one, such as 1001-1100")
    return min(first for first, _, _ in parts), max(last for _, last, _ in parts)


def colorspace_name(label: str | None) -> str | None:
    """A colorspace as a knob has it, as OCIO has it: ``default (sRGB)`` is sRGB, ``Utility/Raw<TAB>Raw`` is Raw."""
    name = (label or "").strip().split("\t")[-1].strip()
    inside = re.fullmatch(r"default\s*\((.*)\)", name)
    name = inside.group(1).strip() if inside else name
    return name if name and name != "default" else None


def view_and_display(label: str | None) -> tuple[str | None, str | None]:
    """View and display of what a viewer has, ``sRGB (ACES)``; without brackets the display is the config's own.

    ``None`` and the empty text are no view.
    """
    text = (label or "").strip()
    if not text or text == "None":
        return None, None
    if not text.endswith(")"):
        return text, None
    depth = 0
    for index in range(len(text) - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(text[index], 0)
        if depth == 0:
            view = text[:index].strip()
            return (view, text[index + 1 : -1].strip()) if view else (text, None)
    return text, None


def is_absolute(path: str) -> bool:
    """Whether the path says where it begins, on this system or another."""
    return PurePosixPath(path).is_absolute() or PureWindowsPath(path).is_absolute()


def _range(part: str) -> tuple[int, int, int]:
    found = _PART.fullmatch(part)
    if not found:
        raise JobError(f'"{part}" is no frame and no range', "give frames such as 1001 1040 or 1001-1100x2")
    first = int(found.group(1))
    last = first if found.group(2) is None else int(found.group(2))
    if last < first:
        raise JobError(f'"{part}" ends before it begins', f"write {last}-{first}")
    return first, last, max(1, int(found.group(3) or 1))
