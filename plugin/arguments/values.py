"""Values of options: durations, numbers, devices, folders, keyframes; read from a word and written as one."""

from __future__ import annotations

import math
import re
from decimal import Decimal

from engine.base.compression import read_compression
from engine.base.errors import InputError
from engine.look.softness import check_softness
from engine.shot.keyframes import Keyframe, keyframe_number
from engine.training.job.limits import MINIMUM_BUDGET_S
from plugin.arguments.option import Kind, Move
from plugin.arguments.shard import Shard

__all__ = [
    "BUDGET",
    "COMPRESSION",
    "DEFAULT_BUDGET_S",
    "DEVICE",
    "KEYFRAMES",
    "KEYFRAME_NUMBERS",
    "NUMBER",
    "PATH",
    "PATH_OR_NAME",
    "PLACE",
    "PORT",
    "SECONDS",
    "SHARD",
    "WHOLE_NUMBER",
    "WORKERS",
    "counted",
    "parse_budget",
    "parse_device",
    "parse_place",
    "parse_port",
    "parse_seconds",
    "parse_softness",
    "parse_workers",
    "positive",
]

DEFAULT_BUDGET_S = 60.0

_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


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
    value: int = counted("--workers", 1, "give auto, or 1 or more").read(text)
    return value


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


def counted(option: str, minimum: int, remedy: str) -> Kind:
    """A whole number of at least ``minimum``."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise InputError(f"{option} {text!r} is not a whole number", remedy=remedy) from None
        if value < minimum:
            raise InputError(f"{option} {value} is too small, the least is {minimum}", remedy=remedy)
        return value

    return Kind(read=read)


def parse_port(text: str) -> int:
    """A port from 1 up; 0 for any free one.

    Raises:
        InputError: none of them.
    """
    remedy = "give 0 for any free one, or 1024 to 65535"
    value: int = counted("--port", 0, remedy).read(text)
    if value > 65535:
        raise InputError(f"--port {value} is too large, the largest is 65535", remedy=remedy)
    return value


def parse_place(text: str) -> int:
    """A picture's place in a stream, from 0; ``first`` is 0.

    Raises:
        InputError: anything else.
    """
    if text.strip().lower() == "first":
        return 0
    value: int = counted("--keyframe-at", 0, "give first, or a number from 0 up").read(text)
    return value


def parse_softness(text: str) -> float:
    """A share, 0..1.

    Raises:
        InputError: none.
    """
    try:
        value = float(text)
    except ValueError:
        raise InputError(f'--softness "{text}" is no number', remedy="0 is as painted, 1 the softest") from None
    check_softness(value)
    return value


def positive(option: str) -> Kind:
    """A positive number."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = 0.0
        if not 0 < value < math.inf:
            raise InputError(f"{option} {text!r} is no positive number", remedy="give one, such as 600")
        return value

    return Kind(read=read, write=_decimal)


def _decimal(number: float) -> str:
    """Without an exponent, and exactly: 90, 0.04."""
    text = f"{Decimal(repr(float(number))):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _workers(count: int) -> str:
    return str(count) if count else "auto"


def _path(value: str, move: Move) -> str:
    return move(value)


def _path_or_name(value: str, move: Move) -> str:
    """``ocio://default`` and the like are no files."""
    return value if "://" in value else move(value)


def _keyframes(value: list[Keyframe], move: Move) -> list[Keyframe]:
    # With forward slashes: on Windows, a path of Linux has them no longer, and would not be known again.
    return [keyframe.with_paths(lambda path: move(path.as_posix())) for keyframe in value]


def _text_of(keyframe: Keyframe) -> str:
    return keyframe.text


NUMBER = Kind(read=float, write=_decimal)
WHOLE_NUMBER = Kind(read=int)
PATH = Kind(moved=_path)
"""A file, folder or pattern that farms call by other names."""
PATH_OR_NAME = Kind(moved=_path_or_name)
BUDGET = Kind(read=parse_budget, write=lambda seconds: f"{_decimal(seconds)}s")
SECONDS = Kind(read=parse_seconds, write=_decimal)
DEVICE = Kind(read=parse_device)
PORT = Kind(read=parse_port)
PLACE = Kind(read=parse_place)
WORKERS = Kind(read=parse_workers, write=_workers)
SHARD = Kind(read=Shard.parse)
COMPRESSION = Kind(read=read_compression)
SOFTNESS = Kind(read=parse_softness, write=_decimal)
KEYFRAMES = Kind(takes="many", read=Keyframe.parse, write=_text_of, moved=_keyframes)
KEYFRAME_NUMBERS = Kind(takes="many", read=keyframe_number)
