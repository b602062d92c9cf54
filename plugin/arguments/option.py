"""An option as data: its flags, how text becomes its value and a value text, and what the help says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

__all__ = ["SWITCH", "TEXT", "Kind", "Move", "Option", "one_of"]

Move = Callable[[str], str]
"""Gives a path the name that another machine has for it."""


@dataclass(frozen=True)
class Kind:
    """How text becomes a value, and a value the same text again."""

    takes: Literal["value", "nothing", "many", "maybe", "pair"] = "value"
    """What follows the flag: one word; none; one word each time that the flag is given; a word or none; two words."""
    read: Callable[[str], Any] = str
    """The value of a word; raises InputError, or ValueError for argparse to put into words."""
    write: Callable[[Any], str] = str
    """The word of a value: ``read`` gives an equal value back."""
    choices: tuple[str, ...] = ()
    """The words that there are; empty for any. Of ``maybe``, the first is meant where none follows."""
    moved: Callable[[Any, Move], Any] | None = None
    """The value with its paths under other names; None for a value without paths that farms map."""


TEXT = Kind()
SWITCH = Kind(takes="nothing")


def one_of(*words: str) -> Kind:
    """One of these words."""
    return Kind(choices=words)


@dataclass(frozen=True)
class Option:
    """One option, or a positional argument where it has no flag. :meth:`but` makes the variant that a verb takes.

    Raises:
        ValueError: a flag that is none, or a positional argument that takes no word.
    """

    field: str
    """Its name in :class:`plugin.arguments.options.Options`."""
    flags: tuple[str, ...]
    """``--frames``, and its other names; the first one is written."""
    kind: Kind
    group: str
    """Title of its group in the help."""
    help: str
    """Without the default; a percent sign is one."""
    metavar: str | tuple[str, str] | None = None
    """What the help shows for the value."""
    default: str = ""
    """What the help says of the value where none is given; empty for nothing."""
    signed: str = ""
    """What a value looks like that starts with a minus sign; empty where none does. argparse would see an option."""
    excludes: str = ""
    """Name of the set of options of which one may be given."""
    destroys: bool = False
    """Whether it replaces what is there: never proposed for a typing error."""
    former: tuple[str, ...] = ()
    """Flags that it had once, refused with its present one."""
    may_be_missing: bool = False
    """Of a positional argument."""

    def __post_init__(self) -> None:
        if not all(flag.startswith("-") for flag in (*self.flags, *self.former)):
            raise ValueError(f"{self.flags} of {self.field} are no flags")
        if not self.flags and self.kind.takes != "value":
            raise ValueError(f"{self.field} is a word by itself, and takes no other")

    def but(self, **changes: Any) -> Option:
        """The same option with another group, help or default."""
        return replace(self, **changes)

    @property
    def flag(self) -> str:
        """The flag that is written."""
        return self.flags[0]

    @property
    def help_text(self) -> str:
        """The help with the default."""
        return f"{self.help} (default: {self.default})" if self.default else self.help

    def words(self, value: Any) -> list[str]:
        """What stands on a command line for a value; nothing for None, False and an empty list."""
        if value is None or value is False:
            return []
        if not self.flags:
            return [self.kind.write(value)]
        if self.kind.takes == "nothing":
            return [self.flag]
        if self.kind.takes == "pair":
            return [self.flag, *value]
        texts = [self.kind.write(each) for each in (value if self.kind.takes == "many" else [value])]
        # With a minus sign in front, a word by itself would be taken for an option.
        return [word for text in texts for word in ([self.word(text)] if text.startswith("-") else [self.flag, text])]

    def word(self, text: str) -> str:
        """Flag and text as one word; also for a text that an engine fills in before the verb sees it."""
        return f"{self.flag}={text}"
