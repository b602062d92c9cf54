"""Options as they mean on this machine: frames in our dialect, paths by the names that they have here."""

from __future__ import annotations

from plugin.arguments.commands import COMMANDS
from plugin.arguments.dialects import DIALECTS
from plugin.arguments.options import Options
from plugin.arguments.path_mapping import PathMapping

__all__ = ["settle"]

_MOVED = {
    option.field: option.kind.moved
    for command in COMMANDS.values()
    for option in command.options
    if option.kind.moved is not None
}


def settle(options: Options) -> Options:
    """Turn an engine's frame range into ours, and the submitting machine's paths into this one's, in place.

    Raises:
        InputError: a range that its dialect does not have, or a path mapping that cannot be read.
    """
    if options.frames is not None and options.frames_dialect not in (None, "fileseq"):
        options.frames = str(DIALECTS[options.frames_dialect](options.frames))
    mapping = PathMapping.active(options.path_mapping)
    if mapping.rules:
        for field, moved in _MOVED.items():
            value = getattr(options, field)
            if value is not None:
                setattr(options, field, moved(value, mapping.apply))
    return options
