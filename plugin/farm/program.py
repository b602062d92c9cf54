"""What the farm's machines call: ``--program``."""

from __future__ import annotations

from plugin.arguments.options import Options
from plugin.farm.plan import program

__all__ = ["program_from"]


def program_from(options: Options) -> tuple[str, ...]:
    """The words before a verb: the program given, else this machine's own Python and package."""
    return (options.program,) if options.program else program()
