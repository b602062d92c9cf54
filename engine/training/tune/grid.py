"""Grid of the hyper-parameter search: batch, patch, residual blocks and learning rate.

Source: Texler et al. 2020, section 4 and figure 6 (N_b, W_p, N_r).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.base.errors import InputError
from engine.training.job.job import Settings
from engine.training.job.recipe_settings import PARAMETERS, checked_setting, read_parameters

__all__ = ["Setting", "settings_of"]

Grid = Mapping[str, tuple[float, ...]]

_CELL = 16
"""Patches of the default grid are multiples of this many pixels."""


@dataclass(frozen=True)
class Setting:
    """One point of the grid.

    Raises:
        InputError: a value that cannot be trained with.
    """

    batch: int
    """Crops a step, the paper's N_b."""
    patch: int
    """Side of a crop in pixels, the paper's W_p; here with the context around what is judged."""
    blocks: int
    """Residual blocks, the paper's N_r."""
    learning_rate: float
    """At the start, of Adam."""

    def __post_init__(self) -> None:
        for name in PARAMETERS:
            object.__setattr__(self, name, checked_setting(name, getattr(self, name)))

    @property
    def name(self) -> str:
        """Of its files: ``b3_p192_n6_lr0.001``."""
        return f"b{self.batch}_p{self.patch}_n{self.blocks}_lr{self.learning_rate:g}"

    def over(self, settings: Settings) -> Settings:
        """``settings`` with this point's values."""
        return settings.with_values(asdict(self))


def settings_of(
    path: Path | None = None, *, full: bool = False, defaults: Settings | None = None
) -> tuple[Setting, ...]:
    """The points of the grid, the middle one first.

    The default grid goes to about half and twice each of the recipe's own values: 9 points one at a time, 81 in full.

    Args:
        path: a TOML file with a list for some of ``PARAMETERS``, the others keep the recipe's value; None for the
            default grid.
        full: every combination, rather than one parameter at a time around the middle.
        defaults: the recipe's own values.

    Raises:
        InputError: a grid file that cannot be read, or with an unknown parameter or a value that makes no sense.
    """
    own = defaults or Settings()
    middle = Setting(own.batch, own.crop, own.blocks, own.learning_rate)
    if path is None:
        grid: Grid = {
            "batch": (max(1, own.batch // 2), own.batch, 2 * own.batch),
            "patch": tuple(_CELL * max(2, round(own.crop * k / (3 * _CELL))) for k in (2, 3, 4)),
            "blocks": (max(1, own.blocks // 2), own.blocks, own.blocks * 3 // 2),
            "learning_rate": (own.learning_rate / 2, own.learning_rate, 2 * own.learning_rate),
        }
    else:
        grid = _read_grid(path)
    values = {name: tuple(sorted(set(grid.get(name, ())))) or (getattr(middle, name),) for name in PARAMETERS}

    def point(chosen: Mapping[str, float]) -> Setting:
        return Setting(*(chosen[name] for name in PARAMETERS))  # type: ignore[arg-type]

    centers: dict[str, float] = {}
    for name, found in values.items():
        own_value = getattr(middle, name)
        centers[name] = own_value if own_value in found else found[len(found) // 2]
    points = [point(centers)]
    if full:
        every = itertools.product(*(values[name] for name in PARAMETERS))
        points += [point(dict(zip(PARAMETERS, chosen, strict=True))) for chosen in every]
    else:
        points += [point({**centers, name: value}) for name in PARAMETERS for value in values[name]]
    return tuple(dict.fromkeys(points))


def _read_grid(path: Path) -> Grid:
    remedy = "write lists of numbers, such as batch = [1, 3, 6]"
    grid = {}
    for name, found in read_parameters(path).items():
        numbers = found if isinstance(found, list) else [found]
        if not numbers or not all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in numbers):
            raise InputError(f"{name} is no list of numbers", path=path, remedy=remedy)
        grid[name] = tuple(numbers)
    return grid
