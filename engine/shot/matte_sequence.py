"""A matte for every frame of a plate, and what it is used for."""

from __future__ import annotations

from dataclasses import dataclass

from engine.base.choices import MATTE_USES
from engine.base.errors import InputError
from engine.base.frames import SequencePath

__all__ = ["MatteSequence"]


@dataclass(frozen=True)
class MatteSequence:
    """Image files with a frame number, or a movie, that say of each frame's pixels how far they are the object.

    Raises:
        InputError: an unknown use.
    """

    path: SequencePath
    """Frames are numbered as the plate's."""
    use: str = MATTE_USES[0]
    """One of ``MATTE_USES``: stylize, track or both."""

    def __post_init__(self) -> None:
        if self.use not in MATTE_USES:
            raise InputError(f"a matte is not used to {self.use!r}", remedy=f"use {', '.join(MATTE_USES)}")

    @property
    def stylized(self) -> SequencePath | None:
        """The mattes that say where frames are stylized; None where they do not."""
        return None if self.use == "track" else self.path

    @property
    def tracked(self) -> SequencePath | None:
        """The mattes by which an object and what lies behind it are followed apart; None where they are not."""
        return None if self.use == "stylize" else self.path
