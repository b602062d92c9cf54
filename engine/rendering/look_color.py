"""Color of a look: a file's colorspace to the one that the look works in, and back."""

from __future__ import annotations

from collections.abc import Iterator

from engine.base.arrays import Floats
from engine.color.config import ColorConfig
from engine.color.showing import Showing

__all__ = ["LookColor"]

_STRIP_ROWS = 128


class LookColor:
    """Converts frames (H, W, 3) in place, strip by strip; safe to use from several threads."""

    def __init__(self, config: ColorConfig, working_colorspace: str) -> None:
        """
        Args:
            working_colorspace: the look's, as its card names it.

        Raises:
            ColorError: the config does not have it.
        """
        self.config = config
        self.space = config.resolve(working_colorspace)

    def to_look(self, rgb: Floats, space: str) -> None:
        """From a file's colorspace to the look's."""
        if space == self.space:
            return
        for strip in _strips(rgb):
            strip[...] = self.config.to_working(strip, space)
            if self.space != self.config.working:
                strip[...] = self.config.from_working(strip, self.space)

    def from_look(self, rgb: Floats, space: str) -> None:
        """The inverse of :meth:`to_look`."""
        if space == self.space:
            return
        for strip in _strips(rgb):
            if self.space != self.config.working:
                strip[...] = self.config.to_working(strip, self.space)
            strip[...] = self.config.from_working(strip, space)

    def show(self, rgb: Floats, showing: Showing) -> None:
        """From the look's colorspace to what a display shows."""
        for strip in _strips(rgb):
            if self.space != self.config.working:
                strip[...] = self.config.to_working(strip, self.space)
            strip[...] = showing.shown(strip, self.config)


def _strips(rgb: Floats) -> Iterator[Floats]:
    """Views of whole rows, so that a conversion copies little at a time."""
    for top in range(0, rgb.shape[0], _STRIP_ROWS):
        yield rgb[top : top + _STRIP_ROWS]
