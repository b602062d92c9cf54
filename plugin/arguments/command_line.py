"""A verb's command line, written from the values of its options; the parser reads it back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.base.errors import InputError
from plugin.arguments.commands import COMMANDS

__all__ = ["command_line"]


def command_line(verb: str, values: Mapping[str, Any]) -> list[str]:
    """What follows ``paintover``: the verb, and its options in the order of its help.

    Args:
        verb: such as ``render``.
        values: by their fields in :class:`plugin.arguments.options.Options`; None, False and an empty list leave an
            option out.

    Raises:
        InputError: there is no such verb, or it takes no such option.
    """
    if verb not in COMMANDS:
        raise InputError(f"there is no verb {verb!r}")
    options = COMMANDS[verb].options
    unknown = set(values) - {option.field for option in options}
    if unknown:
        raise InputError(f"{verb} takes no {', '.join(sorted(unknown))}")
    return [verb, *(word for option in options for word in option.words(values.get(option.field)))]
