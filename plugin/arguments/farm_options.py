"""The options by which a farm calls the verbs, and by which ``submit`` plans them."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence

from engine.base.errors import InputError
from plugin.arguments.dialects import DIALECTS
from plugin.arguments.options import Options, Parser, counted
from plugin.arguments.path_mapping import PathMapping
from plugin.arguments.shard import Shard

__all__ = [
    "add_expectations",
    "add_planning",
    "add_resident",
    "add_task",
    "add_workers_engine",
    "parse_seconds",
    "settle",
]

_PATHS = ("shot", "plate", "out", "work", "look", "vectors", "backward_vectors", "settings")


def parse_seconds(text: str) -> float:
    """A positive number of seconds: ``90``, ``90s``, ``0.5``.

    Raises:
        InputError: anything else.
    """
    try:
        seconds = float(text.strip().removesuffix("s"))
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise InputError(f'"{text}" is not a time', remedy="give seconds, such as 90s")
    return seconds


def add_task(parser: Parser, *, shard: bool = True, timeout: bool = False) -> None:
    """``--shard --timeout --frames-dialect --path-mapping``: what a verb that a farm calls takes beside its own."""
    group = parser.add_argument_group("on a farm")
    if shard:
        group.add_argument(
            "--shard", type=Shard.parse, metavar="I/N", help="only the I-th of N equal parts, for farms with no engine"
        )
    if timeout:
        _add_timeout(group)
    _add_dialect(group)
    group.add_argument(
        "--path-mapping",
        metavar="FILE",
        help="rules from the submitting machine's paths to this one's (default: $PAINTOVER_PATH_MAPPING)",
    )


def add_expectations(parser: Parser) -> None:
    """``--expect-look --expect-stmaps --expect-prepared``: what must be there before a frame is rendered."""
    group = parser.add_argument_group("what must be there")
    group.add_argument(
        "--expect-look",
        metavar="SHA256",
        help="refuse any other look; trained: the one that training recorded in the work folder",
    )
    group.add_argument(
        "--expect-stmaps", action="store_true", help="refuse frames that lack the STMap of a keyframe of the look"
    )
    group.add_argument(
        "--expect-prepared",
        action="store_true",
        help="refuse STMaps, guide images and denoised frames that are not, by hash, what prepare left",
    )


def add_resident(parser: Parser) -> None:
    """``--resident``, for tasks of one session."""
    parser.add_argument_group("a resident worker").add_argument(
        "--resident",
        metavar="FILE",
        help="let the worker at this --socket render, which keeps the look loaded; started where none answers",
    )


def add_planning(parser: Parser) -> None:
    """``--chunk --frame-time --timeout --retries --gpu``: how ``submit`` cuts a shot into tasks."""
    group = parser.add_argument_group("tasks")
    group.add_argument(
        "--chunk",
        type=counted("--chunk", 1, "give 1 or more"),
        metavar="N",
        help="frames in one task (default: from --frame-time)",
    )
    group.add_argument(
        "--frame-time",
        type=parse_seconds,
        metavar="SECONDS",
        help="what a frame takes on one machine (default: measured where the engine can, else 5)",
    )
    _add_timeout(group)
    group.add_argument(
        "--retries",
        type=counted("--retries", 0, "give 0 or more"),
        metavar="N",
        help="how often a task that may succeed later is tried again (default: 2)",
    )
    group.add_argument("--gpu", action="store_true", help="training and rendering ask the engine for a GPU each")


def add_workers_engine(parser: Parser, engines: Sequence[str]) -> None:
    """``--engine``, for a verb that renders on this machine."""
    parser.add_argument_group("several workers").add_argument(
        "--engine",
        choices=engines,
        metavar="NAME",
        help=f"what runs --workers: {' or '.join(engines)} (default: {engines[0]}, which is faster on one machine)",
    )


def settle(options: Options) -> Options:
    """Turn an engine's frame range into ours, and the submitting machine's paths into this one's, in place.

    Raises:
        InputError: a range that its dialect does not have, or a path mapping that cannot be read.
    """
    if options.frames is not None and options.frames_dialect not in (None, "fileseq"):
        options.frames = str(DIALECTS[options.frames_dialect](options.frames))
    mapping = PathMapping.active(options.path_mapping)
    if not mapping.rules:
        return options
    for name in _PATHS:
        value = getattr(options, name)
        if value is not None:
            setattr(options, name, mapping.apply(value))
    for name in ("ocio", "features"):
        value = getattr(options, name)
        if value is not None and "://" not in value:
            setattr(options, name, mapping.apply(value))
    if options.keyframes:
        options.keyframes = [_mapped_keyframe(text, mapping) for text in options.keyframes]
    return options


def _mapped_keyframe(text: str, mapping: PathMapping) -> str:
    """A keyframe as it is written on a command line, with its paths mapped."""
    number, equals, rest = text.partition("=")
    if not equals:
        return text
    words = re.split(r",(?=(?:matte|colorspace)=)", rest)
    mapped = [mapping.apply(words[0].strip())]
    for word in words[1:]:
        name, _, value = word.partition("=")
        mapped.append(f"{name}={mapping.apply(value.strip()) if name == 'matte' else value}")
    return f"{number}={','.join(mapped)}"


def _add_timeout(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--timeout",
        type=parse_seconds,
        metavar="SECONDS",
        help="a frame that takes longer fails, and the others go on (default: no limit)",
    )


def _add_dialect(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--frames-dialect",
        choices=tuple(DIALECTS),
        metavar="NAME",
        help=f"who wrote --frames: {', '.join(DIALECTS)} (default: fileseq)",
    )
