"""Frame ranges and sequence paths, in fileseq's dialect.

``FrameRange.parse("1001-1100x2,1200")`` is a set of frame numbers; ``SequencePath.parse("plate.%04d.exr")`` names one
file for each. Both are values: immutable, comparable, validated where they are built.
"""

from __future__ import annotations

import operator
import os
import re
import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import fileseq
from fileseq.utils import pad as pad_frame

from engine.base.errors import InputError
from engine.base.signatures import is_movie

__all__ = ["MAX_FRAMES", "MOVIE_SUFFIXES", "FrameRange", "SequencePath"]

MAX_FRAMES = 1_000_000
"""A range with more frames than this is taken for a typing error."""

MOVIE_SUFFIXES = frozenset(
    (
        ".mp4 .m4v .mov .qt .mkv .webm .avi .mxf .mpg .mpeg .mpe .m2v .mts .m2ts .ts .mod .tod .vob .wmv .asf .flv .f4v"
    ).split()
) | {".ogv", ".3gp", ".3g2", ".dv", ".mj2", ".y4m"}
"""Names of movies that need not be there yet; one that is there is known by its content, whatever it is called."""

MAX_FRAME = 10**9
"""A frame number beyond this is taken for a typing error."""
MAX_TEXT = 2**20
"""Characters of a range or a pattern."""
MAX_PADDING = 20
"""Digits that a frame number is padded to."""

_PART = re.compile(r"(-?[\d.]+)(?:-(-?[\d.]+)(?:[xy:](-?[\d.]+))?)?", re.ASCII)

SYNTAX = 'write frames like "1001", "1001-1100", "1001-1100x2" or "1-10,15,20-30"; negatives as --frames=-5--2'
TOKENS = "use %04d, ####, @@@@ or $F4 where the frame number goes"

# One piece of a range; fileseq itself drops spaces within numbers, and so makes 10011003 of "1001 1003".
_PIECE = re.compile(r"\s*-?\d+\s*(?:-\s*-?\d+\s*(?:[xy:]\s*-?[\d.]+\s*)?)?", re.ASCII)

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)

# In order of preference: a name may hold "#" or "@" as plain text beside a printf token.
_TOKENS = (re.compile(r"%(?:0?(\d+))?d"), re.compile(r"\$F(\d*)"), re.compile(r"(#+)"), re.compile(r"(@+)"))


_VIEW = re.compile(r"%[Vv](?![a-z])", re.ASCII)


@dataclass(frozen=True)
class FrameRange:
    """A set of frame numbers, never empty.

    Raises:
        InputError: no frames, or more than ``MAX_FRAMES``.
    """

    frames: tuple[int, ...]
    """Sorted and unique; negatives allowed."""

    def __post_init__(self) -> None:
        frames = tuple(sorted(set(self.frames)))
        if not frames:
            raise InputError("the frame range is empty", remedy=SYNTAX)
        if len(frames) > MAX_FRAMES:
            raise InputError(f"the frame range has {len(frames):,} frames, over {MAX_FRAMES:,}", remedy=SYNTAX)
        if frames[0] < -MAX_FRAME or frames[-1] > MAX_FRAME:
            raise InputError(f"a frame number is beyond {MAX_FRAME:,}", remedy=SYNTAX)
        object.__setattr__(self, "frames", frames)

    @classmethod
    def parse(cls, text: str) -> FrameRange:
        """Parse fileseq syntax; ends are inclusive, and "10-1" is the same set as "1-10".

        Raises:
            InputError: the text is empty, is no range, holds fractions, or is longer than ``MAX_FRAMES``.
        """
        _check_extent(text)
        pieces = [piece for piece in text.split(",") if piece.strip()]
        if re.fullmatch(r"\s*-?\d+[.]\d+\s*(-\s*-?\d+([.]\d+)?\s*)?", text, re.ASCII):
            raise InputError(f'frame range "{text}" has fractions of frames', remedy=SYNTAX)
        if pieces and not all(_PIECE.fullmatch(piece) for piece in pieces):
            raise InputError(f'"{text}" is not a frame range', remedy=_meant(text) + SYNTAX)
        try:
            found = fileseq.FrameSet(text.strip())
            count = len(found)
        except fileseq.exceptions.MaxSizeException as error:
            raise InputError(f'frame range "{_shown(text)}" has over {MAX_FRAMES:,} frames', remedy=SYNTAX) from error
        except (fileseq.exceptions.FileSeqException, ValueError, ArithmeticError) as error:
            raise InputError(f'"{_shown(text)}" is not a frame range', remedy=SYNTAX) from error
        if count == 0:
            raise InputError(f'frame range "{_shown(text)}" is empty', remedy=SYNTAX)
        if count > MAX_FRAMES:
            raise InputError(f'frame range "{_shown(text)}" has {count:,} frames, over {MAX_FRAMES:,}', remedy=SYNTAX)
        frames = list(found)
        if any(frame != int(frame) for frame in frames):
            raise InputError(f'frame range "{_shown(text)}" has fractions of frames', remedy=SYNTAX)
        return cls(tuple(int(frame) for frame in frames))

    @classmethod
    def of(cls, frames: FrameRange | str | int | Iterable[int]) -> FrameRange:
        """A range from whatever names one: text as for :meth:`parse`, one frame number, or several.

        Raises:
            InputError: as :meth:`parse`; or something else than these.
        """
        if isinstance(frames, cls):
            return frames
        if isinstance(frames, str):
            return cls.parse(frames)
        numbers = (frames,) if isinstance(frames, int) or not isinstance(frames, Iterable) else tuple(frames)
        try:
            return cls(tuple(operator.index(number) for number in numbers))
        except TypeError as error:
            raise InputError(f"{frames!r} is not a frame range", remedy=SYNTAX) from error

    @property
    def first(self) -> int:
        """The lowest frame."""
        return self.frames[0]

    @property
    def last(self) -> int:
        """The highest frame."""
        return self.frames[-1]

    def __iter__(self) -> Iterator[int]:
        return iter(self.frames)

    def __len__(self) -> int:
        return len(self.frames)

    def __contains__(self, frame: object) -> bool:
        if not isinstance(frame, int):
            return False
        index = bisect_left(self.frames, frame)
        return index < len(self.frames) and self.frames[index] == frame

    def __str__(self) -> str:
        """The shortest text that fileseq finds; ``parse`` reads it back to an equal range."""
        return str(fileseq.FrameSet.framesToFrameRange(self.frames, sort=True, compress=False))


@dataclass(frozen=True)
class SequencePath:
    """One path for each frame, or a movie.

    Two are equal when their normalized texts are; build them with :meth:`parse`.
    """

    text: str
    """Normalized: the token is ``%0Nd``, or ``%d`` where numbers are not padded."""
    prefix: str = field(compare=False, repr=False)
    """Everything before the frame number, folder included; for a movie the whole path."""
    width: int = field(compare=False, repr=False)
    """Digits that a frame number is padded to; 0 for a movie."""
    suffix: str = field(compare=False, repr=False)
    """Everything after the frame number, extension included."""
    layer: str = field(default="", repr=False)
    """Which layer or view of each file is read; empty for the one that is called the picture. Not part of the text."""

    @classmethod
    def parse(cls, text: str | Path) -> SequencePath:
        """Parse a pattern with ``%04d``, ``%d``, ``####``, ``@@@``, ``$F4`` or ``$F``, or the path of a movie.

        Args:
            text: the token must stand in the file name; a ``#`` in a folder's name is plain text.

        Raises:
            InputError: there is no token, and no movie of that name; the message offers the pattern that the name
                suggests.
        """
        text = str(text)
        if "\0" in text or len(text) > MAX_TEXT:
            raise InputError("a path has a zero character, or is too long for a file system", remedy=TOKENS)
        if _ADDRESS.match(text):
            raise InputError(f'"{_shown(text)}" is an address, not a file', remedy="fetch it first, and give the file")
        if is_movie(text):
            return cls(text, text, 0, "")
        start = max(text.rfind("/"), text.rfind("\\") if os.name == "nt" else -1) + 1
        folder, name = text[:start], text[start:]
        for kind in _TOKENS:
            found = list(kind.finditer(name))
            if not found:
                continue
            token, group = found[-1], found[-1].group(1) or "1"
            width = max(1, int(group[:3]) if group.isdigit() else len(group))
            if width > MAX_PADDING or (group.isdigit() and len(group) > 3):
                raise InputError(f"frame numbers are padded to {MAX_PADDING} digits at most", remedy=TOKENS)
            printf = "%d" if width == 1 else f"%0{width}d"
            prefix, suffix = folder + name[: token.start()], name[token.end() :]
            return cls(prefix + printf + suffix, prefix, width, suffix)
        if os.path.splitext(name)[1].lower() in MOVIE_SUFFIXES:  # noqa: PTH122 (a pattern is not yet a path)
            return cls(text, text, 0, "")
        if os.path.isdir(text):  # noqa: PTH112 (no error for a text that no file can be called)
            offer = f"{text.rstrip('/')}/{_numbered(text)}"
            raise InputError(f'"{_shown(text)}" is a folder', remedy=f"name its files, such as {offer}")
        raise InputError(f'"{_shown(text)}" names no frame number', remedy=_suggestion(folder, name))

    @classmethod
    def of(cls, path: SequencePath | str | Path) -> SequencePath:
        """A path as it is, or parsed from text as for :meth:`parse`.

        Raises:
            InputError: as :meth:`parse`; or something else than these.
        """
        if isinstance(path, cls):
            return path
        if not isinstance(path, str | Path):
            raise InputError(f"{path!r} is no pattern for frames", remedy=TOKENS)
        return cls.parse(path)

    def with_layer(self, layer: str | None) -> SequencePath:
        """The same files, read for another layer or view; None or empty for the one that is called the picture.

        Where the pattern has ``%V`` or ``%v``, as Nuke writes them, these become the view's name and its first letter,
        and each file is then read for its picture.

        Raises:
            InputError: a layer of a movie.
        """
        if layer and _VIEW.search(self.text):
            names = {"%V": layer, "%v": layer[0]}
            return SequencePath.parse(_VIEW.sub(lambda found: names[found.group()], self.text))
        if layer and self.is_movie:
            raise InputError(f'a movie has no layer or view "{_shown(layer)}"', path=self.text, remedy="drop --layer")
        return self if (layer or "") == self.layer else replace(self, layer=layer or "")

    @property
    def names_views(self) -> bool:
        """Whether ``%V`` or ``%v`` stands where a view's name goes."""
        return _VIEW.search(self.text) is not None

    @property
    def is_movie(self) -> bool:
        """True for a movie file, whose frames are counted inside it."""
        return self.width == 0

    @property
    def folder(self) -> Path:
        """The folder that holds the files."""
        return Path(self.text).parent

    def path(self, frame: int) -> Path:
        """The file of a frame; negatives are padded as printf and fileseq do (-5 at four digits is ``-005``)."""
        if self.is_movie:
            return Path(self.text)
        return Path(f"{self.prefix}{pad_frame(frame, self.width)}{self.suffix}")

    def existing(self) -> FrameRange | None:
        """The frames found on disk, or None where there are none, or no such folder; for a movie always None."""
        if self.is_movie or not os.path.isdir(self.folder):  # noqa: PTH112 (as above)
            return None
        head, frames = Path(self.prefix + "0").name[:-1], []
        for name in os.listdir(self.folder):  # noqa: PTH208 (a plate folder holds thousands of names, not paths)
            if name.startswith(head) and name.endswith(self.suffix):
                digits = name[len(head) : len(name) - len(self.suffix)]
                if (
                    re.fullmatch(r"-?\d{1,20}", digits, re.ASCII)
                    and abs(int(digits)) <= MAX_FRAME
                    and self.path(int(digits)).name == name
                ):
                    frames.append(int(digits))
        return FrameRange(tuple(frames)) if frames else None

    def written_otherwise(self) -> list[tuple[str, int]]:
        """Files that could be meant and are not named like the pattern: name and frame number, by number.

        Their numbers have other digits, their letters are of another case, or composed otherwise (as macOS does).
        """
        if self.is_movie or not self.folder.is_dir():
            return []
        head, tail = _folded(Path(self.prefix + "0").name[:-1]), _folded(self.suffix)
        found = []
        for name in os.listdir(self.folder):  # noqa: PTH208 (as above)
            folded = _folded(name)
            digits = folded[len(head) : len(folded) - len(tail)]
            if not (folded.startswith(head) and folded.endswith(tail) and re.fullmatch(r"-?\d{1,9}", digits, re.ASCII)):
                continue
            if self.path(int(digits)).name != name:
                found.append((name, int(digits)))
        return sorted(found, key=lambda each: each[1])

    @property
    def meant(self) -> str:
        """What to do where no file has such a name: the name that one does have, and how to write it."""
        others = self.written_otherwise()
        if not others:
            return "check --plate"
        name, frame = others[0]
        if unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", self.path(frame).name):
            return f"there is {name}, with its accents composed otherwise (as macOS does): copy its name, or rename it"
        digits = list(re.finditer(r"\d+", name[: len(name) - len(self.suffix)] or name))[-1]
        width = len(digits.group())
        token = "%d" if width == 1 or (not digits.group().startswith("0") and width < 4) else f"%0{width}d"
        return f'there is {name}: write "{name[: digits.start()]}{token}{name[digits.end() :]}"'

    def collides(self, other: SequencePath, frames: Iterable[int]) -> int | None:
        """The first of ``frames`` for which both name the same file, links in the folders resolved; else None."""
        if self.is_movie != other.is_movie:
            return None
        mine, yours = (os.path.normcase(p.folder.resolve()) for p in (self, other))
        if mine != yours:
            return None
        for frame in frames:
            if os.path.normcase(self.path(frame).name) == os.path.normcase(other.path(frame).name):
                return frame
        return None

    def __str__(self) -> str:
        return self.text


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _meant(text: str) -> str:
    """An offer of the range that a mistyped text stands for; empty where it could be several."""
    dashes = re.sub(r"\s*(?:\N{EN DASH}|\N{EM DASH}|\N{MINUS SIGN}|\.{2,3}|\bto\b)\s*", "-", text.strip())
    offer = ",".join(piece for piece in re.split(r"[\s,;]+", re.sub(r"\s*-\s*", "-", dashes)) if piece)
    right = offer and all(_PIECE.fullmatch(piece) for piece in offer.split(","))
    return f'did you mean "{offer}"? ' if right else ""


def _check_extent(text: str) -> None:
    """Count the frames of a range before any is listed.

    Raises:
        InputError: over ``MAX_FRAMES``, a number beyond ``MAX_FRAME``, or a text that is too long.
    """
    if len(text) > MAX_TEXT:
        raise InputError(f"a frame range of {len(text):,} characters is too long", remedy=SYNTAX)
    if re.search(r"[xy:]\s*-?0+(?:[.]0*)?\s*(?:,|$)", text, re.ASCII):
        raise InputError(f'frame range "{_shown(text)}" has a step of 0', remedy=SYNTAX)
    total = 0.0
    for part in text.split(","):
        match = _PART.fullmatch(part.strip())
        if match is None:
            continue  # The parser refuses it, or knows more than this.
        try:
            first, last, step = (float(number) for number in (match[1], match[2] or match[1], match[3] or 1))
        except ValueError:
            continue
        if max(abs(first), abs(last)) > MAX_FRAME:
            raise InputError(f'a number of the frame range "{_shown(text)}" is beyond {MAX_FRAME:,}', remedy=SYNTAX)
        # Every pair but "x" lists what it steps over, one way or another.
        listed = abs(last - first) / (max(abs(step), 1e-9) if "x" in part else min(1.0, max(abs(step), 1e-9)))
        total = max(total, 1 + listed)
    if total > MAX_FRAMES:
        raise InputError(f'frame range "{_shown(text)}" has {int(total):,} frames, over {MAX_FRAMES:,}', remedy=SYNTAX)


def _shown(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}..."


def _suggestion(folder: str, name: str) -> str:
    pattern = _pattern_of(name)
    return f'did you mean "{folder}{pattern}"?' if pattern else TOKENS


def _pattern_of(name: str) -> str:
    """``p.%04d.exr`` of ``p.1001.exr``; empty where there is no number."""
    digits = list(re.finditer(r"\d+", Path(name).stem))
    if not digits:
        return ""
    last = digits[-1]
    width = len(last.group())
    token = "%d" if width == 1 else f"%0{width}d"
    return f"{name[: last.start()]}{token}{name[last.end() :]}"


def _numbered(folder: str) -> str:
    """The pattern that most files of a folder have."""
    found = Counter(filter(None, map(_pattern_of, os.listdir(folder))))  # noqa: PTH208 (as above)
    return min(found, key=lambda pattern: (-found[pattern], pattern)) if found else "plate.%04d.exr"
