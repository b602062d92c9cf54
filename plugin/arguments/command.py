"""A verb as data: what it does, its options and its examples."""

from __future__ import annotations

from dataclasses import dataclass

from plugin.arguments import table
from plugin.arguments.option import Option

__all__ = ["Command"]


@dataclass(frozen=True)
class Command:
    """A verb and what may stand behind it.

    Raises:
        ValueError: two options with one flag or one field.
    """

    verb: str
    summary: str
    """What it does, for its help."""
    options: tuple[Option, ...]
    """In the order of the help, those of a group together."""
    examples: tuple[str, ...]
    """Command lines."""
    usage: str = ""
    """The first line of the help; empty for the usual one."""

    def __post_init__(self) -> None:
        names = [flag for option in self.options for flag in option.flags]
        names += [option.field for option in self.options]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"{self.verb} has {', '.join(sorted(twice))} twice")

    @property
    def takes_shot(self) -> bool:
        """Whether a shot file may replace options."""
        return table.SHOT in self.options
