"""The options of what is prepared for each frame: STMaps, denoised frames, guide images."""

from __future__ import annotations

from engine.base.choices import DENOISE_MODES, GUIDE_KINDS
from plugin.arguments.options import Parser

__all__ = ["add_denoise", "add_guides", "add_preparation", "add_vectors"]


def add_preparation(parser: Parser) -> None:
    """``--keyframe --overwrite`` where no painting is needed yet."""
    group = parser.add_argument_group("the keyframes")
    group.add_argument(
        "--keyframe",
        dest="keyframes",
        action="append",
        metavar="F[=PATH]",
        help="frame number of a painting, which need not exist yet; repeat for more",
    )
    group.add_argument("--overwrite", action="store_true", help="make STMaps again that are already right")


def add_vectors(parser: Parser) -> None:
    """``--vectors --backward-vectors``."""
    group = parser.add_argument_group("motion")
    group.add_argument(
        "--vectors",
        metavar="P",
        help="motion vectors to follow instead of estimated flow: EXR with Nuke's layers forward and backward, or .flo",
    )
    group.add_argument("--backward-vectors", metavar="P", help="those to the previous frame, where they lie apart")


def add_denoise(parser: Parser, help_text: str) -> None:
    """``--denoise [MODE]``, aware where no mode is said."""
    group = parser.add_argument_group("grain")
    group.add_argument(
        "--denoise",
        nargs="?",
        const=DENOISE_MODES[0],
        choices=DENOISE_MODES,
        metavar="MODE",
        help=f"{help_text}; {' or '.join(DENOISE_MODES)} (default: no, and {DENOISE_MODES[0]} without a MODE)",
    )


def add_guides(parser: Parser, help_text: str) -> None:
    """``--guides KIND``."""
    group = parser.add_argument_group("guide images")
    group.add_argument(
        "--guides", choices=GUIDE_KINDS, metavar="KIND", help=f"{help_text}: {', '.join(GUIDE_KINDS)} (default: none)"
    )
