"""The families of benchmark shots, by what is hard about them; :mod:`engine.bench.scenes` draws them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from engine.base.errors import InputError

__all__ = ["FAMILIES", "TWINS", "Family"]

TWINS = ("strokes", "palette", "grade", "filter")
"""How a painted twin is made: brush strokes; strokes over new colors per object; a color grade; a local filter."""


@dataclass(frozen=True)
class Family:
    """What one family varies. Speeds are shares of the picture's width in a frame, at their peak.

    Raises:
        InputError: an unknown twin, a speed that leaves the picture at once, or sizes out of order.
    """

    name: str
    hard: str
    """What makes it hard, for tables and pictures."""
    twin: str = "strokes"
    pan: float = 0.007
    """Of the camera."""
    speed: float = 0.008
    """Of the objects, over the background."""
    periods: float = 0.4
    """How often an object swings to and fro in the shot."""
    objects: int = 3
    sizes: tuple[float, float] = (0.3, 0.55)
    """Height of an object, in heights of the picture."""
    sky: float = 0.0
    """Share of the picture that is sky, without texture in the plate."""
    stops: float = 0.0
    """How far the light changes over the shot, in stops."""
    bend: float = 1.0
    """How far objects bend like rubber, over a usual object's; above 1 what lies behind them bends as well."""
    zoom: float = 0.0
    """How far the camera moves in over the shot: 0.5 makes everything half as large again."""
    frames: int | None = None
    """Length of the shot, where it needs one of its own; everything then comes back to where it began."""

    def __post_init__(self) -> None:
        if self.twin not in TWINS:
            raise InputError(f"no painted twin {self.twin!r}", remedy=f"known are {', '.join(TWINS)}")
        if not 0 <= self.pan + self.speed <= 0.1:
            raise InputError(f"speeds {self.pan} and {self.speed} are not shares of a width that can be followed")
        if self.bend < 1 or self.zoom < 0 or (self.frames is not None and self.frames < 2):
            raise InputError(f"bend {self.bend}, zoom {self.zoom} and {self.frames} frames make no shot")
        if not 0 < self.sizes[0] <= self.sizes[1]:
            raise InputError(f"sizes {self.sizes} must be ordered and above 0")

    @property
    def textured(self) -> bool:
        """Whether the painting has a texture of its own, which can be washed out."""
        return self.twin in ("strokes", "palette")


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        family.name: family
        for family in (
            Family("grade", "the painting is mostly a color grade", twin="grade"),
            Family("filter", "the painting is a local filter of the plate", twin="filter"),
            Family("palette", "every object has colors of its own", twin="palette", objects=4),
            Family("sky", "strokes lie where the plate is flat", sky=0.62, pan=0.011, objects=2, sizes=(0.25, 0.4)),
            Family("fast", "objects and camera move fast", pan=0.02, speed=0.04, periods=1.1),
            Family(
                "disocclusion",
                "objects uncover much of what lies behind them",
                speed=0.016,
                periods=0.3,
                objects=3,
                sizes=(0.6, 0.85),
            ),
            Family("exposure", "the light changes by a stop, and falls unevenly", stops=1.0),
            Family("deform", "every surface bends like rubber", bend=3.0, periods=0.7),
            Family("zoom", "the camera moves in, and everything grows by a half", zoom=0.5),
            Family("loop", "200 frames that come back to the first", periods=4.0, frames=200),
            Family("crowd", "many small objects move across each other", objects=14, sizes=(0.1, 0.18), speed=0.012),
        )
    }
)
"""By name, in the order of the tables."""
