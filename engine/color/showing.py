"""Showing: how scene-linear light becomes a picture on a screen, for paintings, 8-bit results and review pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.base.arrays import Floats
from engine.base.errors import ColorError
from engine.color.assignment import assign, is_display_referred
from engine.color.config import ColorConfig
from engine.images.header import Header

__all__ = ["Showing"]

_BETWEEN = " / "


@dataclass(frozen=True)
class Showing:
    """A display and one of its views, or neither for plain sRGB."""

    display: str = ""
    """OCIO display; empty for plain sRGB, without a view."""
    view: str = ""
    """OCIO view of that display."""

    @classmethod
    def default(cls, config: ColorConfig) -> Showing:
        """The default view of the config's default display."""
        return cls(*config.default_display_view())

    @classmethod
    def parse(cls, text: str, config: ColorConfig) -> Showing | None:
        """What :meth:`__str__` wrote; None for another text, or a view that this config does not have."""
        display, found, view = text.partition(_BETWEEN)
        if not found:
            return None
        try:
            return cls(display, view) if view in config.views(display) else None
        except ColorError:
            return None

    @classmethod
    def of(cls, paint_colorspace: str | None, config: ColorConfig) -> Showing:
        """How paintings were seen: through their view, else as plain sRGB; the default view where there are none."""
        if not paint_colorspace:
            return cls.default(config)
        return cls.parse(paint_colorspace, config) or cls()

    def __str__(self) -> str:
        return f"{self.display}{_BETWEEN}{self.view}" if self.view else "sRGB"

    def colorspace(self, config: ColorConfig) -> str:
        """The colorspace of what is shown."""
        return config.view_space(self.display, self.view) if self.view else config.resolve("sRGB")

    def shown(self, rgb_working: Floats, config: ColorConfig) -> Floats:
        """(H, W, 3) scene-linear, working space, as display values in 0..1.

        A config without sRGB shows through its default view instead.
        """
        if self.view:
            made = config.view_forward(rgb_working, self.display, self.view)
        elif config.find("sRGB"):
            made = config.from_working(rgb_working, "sRGB")
        else:
            made = config.view_forward(rgb_working, *config.default_display_view())
        return np.clip(np.nan_to_num(made, nan=0.0), 0.0, 1.0)

    def picture(
        self, rgb: Floats, header: Header, path: Path | str, config: ColorConfig, asked: str | None = None
    ) -> Floats:
        """(H, W, 3) of a file as a person sees it, sRGB in 0..1.

        A display-referred file is converted to sRGB and goes through no view; any other is shown.
        """
        space = assign(config, header, path, asked).colorspace
        if not is_display_referred(config, space, header):
            return self.shown(config.to_working(rgb, space), config)
        srgb = config.find("sRGB")
        if srgb and space != srgb and not config.is_data(space):
            rgb = config.from_working(config.to_working(rgb, space), srgb)
        return np.clip(np.nan_to_num(rgb, nan=0.0), 0.0, 1.0)
