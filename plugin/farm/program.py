"""What the farm's machines call: ``--program``."""

from __future__ import annotations

from plugin.arguments.options import Options, Parser
from plugin.farm.plan import program

__all__ = ["add_program", "program_from"]


def add_program(parser: Parser) -> None:
    """``--program``."""
    parser.add_argument_group("the farm's machines").add_argument(
        "--program", metavar="PATH", help="paintover as it is called there (default: this very installation)"
    )


def program_from(options: Options) -> tuple[str, ...]:
    """The words before a verb: the program given, else this machine's own Python and package."""
    return (options.program,) if options.program else program()
