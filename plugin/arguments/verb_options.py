"""The options that one verb alone has; those that several share are in :mod:`plugin.arguments.options`."""

from __future__ import annotations

from collections.abc import Sequence

from engine.training.job.limits import MINIMUM_BUDGET_S
from plugin.arguments.options import NO_STMAPS, NO_STMAPS_HELP, Parser, add_seed, counted

__all__ = ["add_inspected", "add_paint_style", "add_report", "add_suggestion", "add_tuning", "add_view"]


def add_paint_style(parser: Parser, styles: Sequence[str]) -> None:
    """``--style --seed``."""
    group = parser.add_argument_group("painting")
    group.add_argument("--style", choices=styles, metavar="NAME", help=f"{', '.join(styles)} (default: {styles[0]})")
    add_seed(group, "same seed: same painting (default: 0)")


def add_view(parser: Parser) -> None:
    """``--display --view --exposure``."""
    group = parser.add_argument_group("view")
    group.add_argument("--display", metavar="NAME", help="OCIO display (default: the config's)")
    group.add_argument("--view", metavar="NAME", help="OCIO view (default: the display's, if it can be inverted)")
    group.add_argument(
        "--exposure", type=float, metavar="STOPS", help="brighten for painting, undone on the way back (default: 0)"
    )


def add_tuning(parser: Parser, seconds: int) -> None:
    """``--reference --reference-colorspace --seconds --settings --full-grid --features --seed --no-stmaps``."""
    group = parser.add_argument_group("the search")
    group.add_argument(
        "--reference", metavar="P", help="frames to come close to: ref.%%04d.png; those with a painting do not count"
    )
    group.add_argument(
        "--reference-colorspace", metavar="NAME", help="colorspace of the reference (default: guessed as the plate's)"
    )
    group.add_argument(
        "--seconds",
        type=counted("--seconds", round(MINIMUM_BUDGET_S), f"{seconds} is a good start"),
        metavar="N",
        help=f"training time of each setting (default: {seconds})",
    )
    group.add_argument(
        "--settings",
        dest="grid",
        metavar="FILE.toml",
        help="lists named batch, patch, blocks, learning_rate (default: half and twice of each default)",
    )
    group.add_argument(
        "--full-grid", action="store_true", help="every combination (default: one parameter at a time, 9 settings)"
    )
    group.add_argument(
        "--features",
        metavar="PATH",
        help="VGG weights, vgg16 or vgg19: for the losses, and to rank by their distance (default: by mean error)",
    )
    add_seed(group, "same for every setting (default: 0)")
    group.add_argument(*NO_STMAPS, action="store_true", dest="no_guides", help=NO_STMAPS_HELP)


def add_suggestion(parser: Parser) -> None:
    """``--count --out --json``."""
    group = parser.add_argument_group("the suggestion")
    group.add_argument(
        "--count",
        type=counted("--count", 1, "ask for 1 or more"),
        metavar="K",
        help="how many frames to paint at most (default: 3)",
    )
    group.add_argument("--out", metavar="PATH", help="the picture (default: suggest.png in the work folder)")
    group.add_argument("--json", action="store_true", help="print JSON")


def add_report(parser: Parser) -> None:
    """``--page --json``."""
    group = parser.add_argument_group("the report")
    group.add_argument("--page", metavar="PATH", help="the HTML page (default: report.html in the work folder)")
    group.add_argument("--json", action="store_true", help="print JSON as well")


def add_inspected(parser: Parser) -> None:
    """``PATH --json``."""
    group = parser.add_argument_group("what to inspect")
    group.add_argument("path", metavar="PATH", help="a look (.onnx) or a rendered frame")
    group.add_argument("--json", action="store_true", help="print JSON")
