"""The options of every verb. An option left out is None: its default is decided where the shot file is known."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable, Sequence
from typing import NoReturn

from engine.base.choices import DENOISE_MODES
from engine.base.errors import InputError
from engine.training.job.limits import MINIMUM_BUDGET_S, RECIPES
from plugin.arguments.shard import Shard
from plugin.progress.protocol import MODES

__all__ = [
    "DEFAULT_BUDGET_S",
    "Options",
    "Parser",
    "add_color",
    "add_color_config",
    "add_frames_out",
    "add_keyframes",
    "add_look",
    "add_machine",
    "add_painting_out",
    "add_plate",
    "add_rendering",
    "add_reporting",
    "add_seed",
    "add_submission",
    "add_threads",
    "add_training",
    "add_verification",
    "add_work",
    "counted",
    "parse_budget",
    "parse_device",
    "parse_workers",
]

DEFAULT_BUDGET_S = 60.0

NO_STMAPS = ("--no-stmaps", "--no-guides")
"""Two names of one option; the second is from before there were guide images, with which it has nothing to do."""
NO_STMAPS_HELP = "ignore STMap sidecars in the work folder: nothing is carried"

_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
# Options whose value may start with a minus: argparse would take "-5--2" for an option.
_SIGNED = {"--frames": r"-\d[\d\s,:xy-]*", "--frame": r"-\d+", "--keyframe": r"-\d+(=.*)?"}


class Options(argparse.Namespace):
    """What was given; None or False where nothing was, also for options that the verb does not have."""

    shot: str | None = None
    path: str | None = None
    plate: str | None = None
    frames: str | None = None
    keyframes: list[str] | None = None
    out: str | None = None
    work: str | None = None
    look: str | None = None
    colorspace: str | None = None
    paint_colorspace: str | None = None
    ocio: str | None = None
    budget: float | None = None
    steps: int | None = None
    seed: int | None = None
    recipe: str | None = None
    crisp: bool = False
    features: str | None = None
    resume: bool = False
    fresh: bool = False
    fit_paintings: bool = False
    device: str | None = None
    threads: int | None = None
    workers: int | None = None
    """0 where it is to be found out."""
    tile: int | None = None
    tensorrt: bool = False
    overwrite: bool = False
    no_guides: bool = False
    carried: bool = False
    denoise: str | None = None
    guides: str | None = None
    vectors: str | None = None
    backward_vectors: str | None = None
    display: str | None = None
    view: str | None = None
    exposure: float | None = None
    reference: str | None = None
    reference_colorspace: str | None = None
    seconds: int | None = None
    settings: str | None = None
    grid: str | None = None
    full_grid: bool = False
    count: int | None = None
    page: str | None = None
    socket: str | None = None
    ask: str | None = None
    idle: float | None = None
    memory: float | None = None
    to: list[str] | None = None
    place: str | None = None
    style: str | None = None
    json: bool = False
    out_colorspace: str | None = None
    shard: Shard | None = None
    expect_look: str | None = None
    expect_stmaps: bool = False
    expect_prepared: bool = False
    resident: str | None = None
    timeout: float | None = None
    frames_dialect: str | None = None
    path_mapping: str | None = None
    engine: str | None = None
    chunk: int | None = None
    frame_time: float | None = None
    retries: int | None = None
    gpu: bool = False
    progress: str = "auto"
    debug: bool = False


class Parser(argparse.ArgumentParser):
    """One verb's parser: one-line errors that name the closest option, examples under the help."""

    def __init__(
        self, verb: str, summary: str, *, examples: Sequence[str] = (), shot_file: bool = False, usage: str = ""
    ) -> None:
        epilog = "\n".join(["examples:", *(f"  {line}" for line in examples)]) if examples else None
        place = "[SHOT.toml] " if shot_file else ""
        super().__init__(
            prog=f"paintover {verb}",
            usage=usage or f"paintover {verb} {place}[options]",
            description=summary,
            epilog=epilog,
            formatter_class=_Formatter,
            allow_abbrev=False,
            add_help=False,
        )
        self._shot_file = shot_file

    def read(self, arguments: Sequence[str]) -> Options:
        """The options, with the shot file for verbs that take one.

        Raises:
            InputError: wrong usage, in one line.
        """
        options, rest = self.parse_known_args(_join_modes(_join_signed(arguments)), Options())
        # A positional that may be left out is lost by argparse after an option before Python 3.12; hence by hand.
        if self._shot_file:
            places = [word for word in rest if not word.startswith("-")]
            unknown = [word for word in rest if word.startswith("-")]
            if not unknown and len(places) <= 1:
                options.shot = places[0] if places else None
                return options
        if rest:
            self._refuse(rest)
        return options

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing a usage block."""
        raise InputError(f"{self.prog.split()[-1]}: {message}", remedy=f"see {self.prog} --help")

    def _refuse(self, rest: Sequence[str]) -> NoReturn:
        option = next((word for word in rest if word.startswith("-")), None)
        if option is None:
            what = rest[1] if self._shot_file and len(rest) > 1 else rest[0]
            self.error(f"unexpected argument {what!r}")
        name = option.split("=", 1)[0]
        close = difflib.get_close_matches(name, sorted(self._option_string_actions), n=1, cutoff=0.5)
        if close:
            raise InputError(f"{self.prog.split()[-1]}: unknown option {name}", remedy=f"did you mean {close[0]}?")
        self.error(f"unknown option {name}")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)


def _join_signed(arguments: Sequence[str]) -> list[str]:
    joined: list[str] = []
    for word in arguments:
        pattern = _SIGNED.get(joined[-1]) if joined else None
        if pattern is not None and re.fullmatch(pattern, word):
            joined[-1] = f"{joined[-1]}={word}"
        else:
            joined.append(word)
    return joined


def _join_modes(arguments: Sequence[str]) -> list[str]:
    """``--denoise`` takes a following word only where that is a mode: it may also be the shot file."""
    joined: list[str] = []
    for word in arguments:
        if joined and joined[-1] == "--denoise":
            joined[-1] = f"--denoise={word if word in DENOISE_MODES else DENOISE_MODES[0]}"
            if word in DENOISE_MODES:
                continue
        joined.append(word)
    return joined


def parse_budget(text: str) -> float:
    """Seconds from ``60s``, ``2m``, ``1h``, ``1h30m`` or a plain number of seconds.

    Raises:
        InputError: not a duration, or too short to train anything.
    """
    compact = text.strip().lower()
    parts = re.findall(r"(\d+(?:\.\d+)?)(min|[smh]?)", compact)
    if not parts or "".join(number + unit for number, unit in parts) != compact:
        raise InputError(f"--budget {text!r} is not a duration", remedy="write it as 60s, 2m or 1h")
    seconds = sum(float(number) * _UNITS_S[unit] for number, unit in parts)
    if seconds < MINIMUM_BUDGET_S:
        raise InputError(
            f"--budget {text} is too small to train anything",
            remedy=f"give at least {MINIMUM_BUDGET_S:.0f}s; {DEFAULT_BUDGET_S:.0f}s is a good start",
        )
    return seconds


def parse_device(text: str) -> str:
    """``auto``, ``cpu`` or ``cuda:N`` (``cuda`` is ``cuda:0``).

    Raises:
        InputError: anything else.
    """
    name = text.strip().lower()
    if name == "cuda":
        return "cuda:0"
    if name in ("auto", "cpu") or re.fullmatch(r"cuda:\d+", name):
        return name
    raise InputError(f"unknown device {text!r}", remedy="use auto, cpu, or cuda:0 for the first GPU")


def parse_workers(text: str) -> int:
    """A number of processes from 1 up; 0 for ``auto``.

    Raises:
        InputError: neither.
    """
    if text.strip().lower() == "auto":
        return 0
    return counted("--workers", 1, "give auto, or 1 or more")(text)


def counted(option: str, minimum: int, remedy: str) -> Callable[[str], int]:
    """A type for argparse: a whole number of at least ``minimum``."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise InputError(f"{option} {text!r} is not a whole number", remedy=remedy) from None
        if value < minimum:
            raise InputError(f"{option} {value} is too small, the least is {minimum}", remedy=remedy)
        return value

    return read


def add_plate(parser: Parser) -> None:
    """``--plate --frames``."""
    group = parser.add_argument_group("the plate")
    group.add_argument(
        "--plate", metavar="P", help="source frames: plate.%%04d.exr, plate.####.exr, plate.$F4.exr, or a movie"
    )
    _add_frames(group, "every frame found on disk")


def _add_frames(group: argparse._ArgumentGroup, default: str) -> None:
    group.add_argument(
        "--frames",
        "--frame",
        dest="frames",
        metavar="R",
        help=f"frame range, inclusive: 7, 1001-1100, 1-99x2, 1-5,9 (default: {default})",
    )


def add_color(parser: Parser, *, paintings: bool = False) -> None:
    """``--colorspace --ocio`` and ``--paint-colorspace``."""
    group = parser.add_argument_group("color")
    group.add_argument(
        "--colorspace",
        metavar="NAME",
        help="colorspace of the plate (default: from its metadata, OCIO's file rules, its format)",
    )
    if paintings:
        group.add_argument(
            "--paint-colorspace", metavar="NAME", help="colorspace of the paintings (default: guessed as above)"
        )
    _add_ocio(group)


def add_color_config(parser: Parser) -> None:
    """``--ocio`` alone."""
    _add_ocio(parser.add_argument_group("color"))


def _add_ocio(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--ocio", metavar="CONFIG", help="OCIO config (default: $OCIO, else OCIO's built-in one)")


def add_keyframes(parser: Parser) -> None:
    """``--keyframe``."""
    group = parser.add_argument_group("the paintings")
    group.add_argument(
        "--keyframe",
        dest="keyframes",
        action="append",
        metavar="F=PATH[,matte=PATH]",
        help="frame number and its painting; repeat for more. The matte says where the painting counts",
    )
    group.add_argument(
        "--fit-paintings", action="store_true", help="resample paintings that are not of the plate's size"
    )


def add_seed(group: argparse._ArgumentGroup, help_text: str) -> None:
    """``--seed`` in a group."""
    group.add_argument("--seed", type=counted("--seed", 0, "give a number from 0 up"), metavar="N", help=help_text)


def add_training(parser: Parser, *, fresh: bool = False) -> None:
    """``--budget --steps --seed --recipe --settings --crisp --features --resume`` and ``--fresh``."""
    group = parser.add_argument_group("training")
    length = group.add_mutually_exclusive_group()
    length.add_argument(
        "--budget", type=parse_budget, metavar="TIME", help="how long to train: 60s, 2m, 1h (default: 60s)"
    )
    length.add_argument(
        "--steps",
        type=counted("--steps", 1, "a few hundred is a good start"),
        metavar="N",
        help="train this many steps instead, however long they take",
    )
    add_seed(group, "same seed, steps and machine: same look (default: 0)")
    group.add_argument(
        "--recipe",
        choices=RECIPES,
        metavar="NAME",
        help=f"{', '.join(RECIPES)} (default: paintover)",
    )
    group.add_argument(
        "--settings",
        metavar="FILE.toml",
        help="recipe settings as tune writes them: work/tune/best.toml (default: the recipe's own)",
    )
    group.add_argument(
        "--crisp",
        action="store_true",
        help="keep the finest detail of carried strokes and trust them more: for shots that track well",
    )
    group.add_argument(
        "--features", metavar="PATH", help="deep features for the losses: VGG weights, vgg16 or vgg19 (default: none)"
    )
    group.add_argument("--resume", action="store_true", help="continue from the checkpoint in the work folder")
    if fresh:
        group.add_argument("--fresh", action="store_true", help="train again even if nothing changed since")


def add_look(parser: Parser, default: str) -> None:
    """``--look``."""
    group = parser.add_argument_group("the look")
    group.add_argument("--look", metavar="PATH", help=f"the .onnx file (default: {default})")


def add_work(parser: Parser) -> None:
    """``--work``."""
    group = parser.add_argument_group("folders")
    group.add_argument(
        "--work", metavar="DIR", help="checkpoints, previews, and the look unless --look says otherwise (default: work)"
    )


def add_frames_out(parser: Parser, help_text: str) -> None:
    """``--out``."""
    group = parser.add_argument_group("the result")
    group.add_argument("--out", metavar="P", help=help_text)


def add_painting_out(parser: Parser, help_text: str) -> None:
    """``--out --overwrite`` for images that an artist paints on."""
    group = parser.add_argument_group("the result")
    group.add_argument("--out", metavar="P", help=help_text)
    group.add_argument(
        "--overwrite", action="store_true", help="replace images that are there, whatever was painted on them"
    )


def add_rendering(parser: Parser) -> None:
    """``--workers`` and those of :func:`add_submission`."""
    add_submission(parser).add_argument(
        "--workers",
        type=parse_workers,
        metavar="N",
        help="processes, or auto: one for each GPU, else as many as cores and memory serve (default: 1, which uses\n"
        "every core already; more also survive crashes)",
    )


def add_submission(parser: Parser) -> argparse._ArgumentGroup:
    """``--overwrite`` and those of :func:`add_verification`; returns their group."""
    group = _add_verification(parser, "rendering")
    group.add_argument("--overwrite", action="store_true", help="render frames again that are already right")
    return group


def add_verification(parser: Parser) -> None:
    """``--tile --tensorrt --no-stmaps --carried``: what frames were rendered with."""
    _add_verification(parser, "rendered with")


def _add_verification(parser: Parser, title: str) -> argparse._ArgumentGroup:
    group = parser.add_argument_group(title)
    group.add_argument(
        "--tile",
        type=counted("--tile", 0, "give 0 for whole frames, or a size in pixels"),
        metavar="N",
        help="tile size in pixels, 0 for whole frames (default: one grid for all)",
    )
    group.add_argument(
        "--tensorrt", action="store_true", help="through TensorRT; the first frame then waits for minutes"
    )
    group.add_argument(
        "--out-colorspace", metavar="NAME", help="colorspace of the frames (default: the plate's, if the format can)"
    )
    group.add_argument(*NO_STMAPS, action="store_true", dest="no_guides", help=NO_STMAPS_HELP)
    group.add_argument(
        "--carried", action="store_true", help="EXR frames also hold paintover.carried: how much rides on a painting"
    )
    return group


def add_machine(parser: Parser) -> None:
    """``--device --threads``."""
    group = parser.add_argument_group("machine")
    group.add_argument(
        "--device",
        type=parse_device,
        metavar="D",
        help="auto (a GPU if it works, else the CPU), cpu, or cuda:N (default: auto)",
    )
    _add_threads(group, "a rendered frame does not depend on it")


def add_threads(parser: Parser) -> None:
    """``--threads``."""
    _add_threads(parser.add_argument_group("machine"), "the result does not depend on it")


def _add_threads(group: argparse._ArgumentGroup, promise: str) -> None:
    group.add_argument(
        "--threads",
        type=counted("--threads", 1, "give 1 or more"),
        metavar="N",
        help=f"CPU threads (default: all cores); {promise}",
    )


def add_reporting(parser: Parser, *, progress: bool = True) -> None:
    """``--progress --debug --help``; last, so that they end the help."""
    group = parser.add_argument_group("reporting")
    if progress:
        group.add_argument(
            "--progress",
            choices=MODES,
            metavar="MODE",
            help=f"{', '.join(MODES)} (default: auto: a bar on a terminal, lines elsewhere)",
        )
    group.add_argument("--debug", action="store_true", help="log more, and show tracebacks")
    group.add_argument("-h", "--help", action="help", help="show this page")
