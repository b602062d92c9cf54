"""A keyframe, and the one way to write it in a word: ``FRAME=PAINTING[,matte=PATH][,colorspace=NAME]``."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from engine.base.errors import InputError

__all__ = ["Keyframe", "keyframe_number"]

_OPTION = re.compile(r",(matte|colorspace)=")
_SYNTAX = 'write a keyframe like "1001=p1001.png" or "1001=p1001.png,matte=m1001.png"'


@dataclass(frozen=True)
class Keyframe:
    """A frame number that has a painting."""

    frame: int
    painting: Path
    """The exemplar, of the plate's size."""
    matte: Path | None = None
    """Float coverage: where the painting counts. None for everywhere."""
    colorspace: str | None = None
    """Of the painting; None for what the file and the OCIO config say."""

    @classmethod
    def parse(cls, text: str) -> Keyframe:
        """Parse ``FRAME=PAINTING[,matte=PATH][,colorspace=NAME]``; paths may hold commas and equals signs.

        Raises:
            InputError: no frame number, no painting, or an option given twice or empty.
        """
        number, equals, rest = text.partition("=")
        try:
            frame = int(number)
        except ValueError:
            equals = ""
            frame = 0
        words = _OPTION.split(rest)
        unknown = re.search(r",(\w+)=", words[0])
        if unknown is not None and not Path(words[0]).exists():
            close = difflib.get_close_matches(unknown[1], ("matte", "colorspace"), n=1, cutoff=0.5)
            if close:
                raise InputError(f'"{text}" has no option "{unknown[1]}"', remedy=f"did you mean {close[0]}=?")
        painting, names, values = words[0].strip(), words[1::2], words[2::2]
        options = {name: value.strip() for name, value in zip(names, values, strict=True)}
        if not equals or not painting or len(options) < len(names) or not all(options.values()):
            raise InputError(f'"{text}" is not a keyframe', remedy=_SYNTAX)
        matte = options.get("matte")
        return cls(frame, Path(painting), None if matte is None else Path(matte), options.get("colorspace"))

    @property
    def text(self) -> str:
        """As :meth:`parse` reads it; paths that hold ``,matte=`` or ``,colorspace=`` themselves have no such text."""
        matte = "" if self.matte is None else f",matte={self.matte}"
        return f"{self.frame}={self.painting}{matte}" + (f",colorspace={self.colorspace}" if self.colorspace else "")

    def with_paths(self, change: Callable[[Path], str | Path]) -> Keyframe:
        """The keyframe with other paths of its painting and its matte."""
        matte = None if self.matte is None else Path(change(self.matte))
        return replace(self, painting=Path(change(self.painting)), matte=matte)


def keyframe_number(text: str) -> int:
    """The frame of ``1001``, whose painting need not exist yet, or of a whole keyframe.

    Raises:
        InputError: neither; see :meth:`Keyframe.parse`.
    """
    try:
        return int(text)
    except ValueError:
        return Keyframe.parse(text).frame
