"""``paintover submit``: hands a shot to a farm engine."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from typing import Protocol

from engine.base.errors import InputError
from engine.color.config import ColorConfig
from engine.shot.shot import Shot
from plugin.arguments.commands import COMMANDS, submit_through
from plugin.arguments.engine_options import ENGINES
from plugin.arguments.options import Options
from plugin.arguments.parser import Parser
from plugin.arguments.request import encoding_from, out_from, painted_from, shot_from
from plugin.farm.plan import FarmPlan, plan_from
from plugin.phases.color import say_color, say_losses
from plugin.progress.protocol import NoProgress, Progress
from plugin.progress.stop import StopRequest

__all__ = ["ENGINES", "Engine", "load_engine", "parser", "run"]


class Engine(Protocol):
    """What a module of :mod:`plugin.farm` named like an engine offers.

    Its options are in :mod:`plugin.arguments.engine_options`.
    """

    SUMMARY: str
    MAX_CHUNKS: int

    def submit(self, plan: FarmPlan, options: Options, progress: Progress, stop: StopRequest) -> int:
        """Hand the plan over; returns the exit code."""


class _SubmitParser(Parser):
    """Learns the options of the engine that is named."""

    def read(self, arguments: Sequence[str]) -> Options:
        """As :meth:`Parser.read`, with the engine's options.

        Raises:
            InputError: no engine, an unknown one, or wrong usage.
        """
        name = _named(arguments)
        if name is not None:
            load_engine(name)
            return Parser(submit_through(name)).read(arguments)
        super().read(arguments)
        raise InputError("--engine is missing", remedy=f"name one of {', '.join(ENGINES)}")


def parser() -> Parser:
    """The options of ``paintover submit``; those of an engine are added when it is named."""
    return _SubmitParser(COMMANDS["submit"])


def run(options: Options, progress: Progress, stop: StopRequest) -> int:
    """Plan the shot and hand it over."""
    engine = load_engine(options.engine or "")
    plan = plan_from(options, max_chunks=engine.MAX_CHUNKS, workers=options.workers or None)
    _say(options, progress)
    return engine.submit(plan, options, progress, stop)


def _say(options: Options, progress: Progress) -> None:
    """As what plate and paintings will be taken, and what of the plate the frames will not hold.

    What a dry run shows is for other programs too, so then only what is in doubt is said.
    """
    shown = NoProgress() if options.dry_run else progress
    file = None if options.shot is None else Shot.load(options.shot)
    shot = shot_from(options, paintings=bool(painted_from(options, file)))
    out = out_from(options, shot)
    say_color(shown, ColorConfig.active(options.ocio), shot.plate, shot.keyframes)
    say_losses(shown, shot.plate, out, encoding_from(options, shot, out)[0])


def load_engine(name: str) -> Engine:
    """The module of an engine.

    Raises:
        InputError: there is none of that name.
    """
    path = f"plugin.farm.{name}"
    if name not in ENGINES or importlib.util.find_spec(path) is None:
        raise InputError(f"this version has no engine {name!r}", remedy=f"engines are {', '.join(ENGINES)}")
    module: Engine = importlib.import_module(path)
    return module


def _named(arguments: Sequence[str]) -> str | None:
    """The value of ``--engine``, before the engine's own options are known."""
    for index, word in enumerate(arguments):
        if word.startswith("--engine="):
            return word.partition("=")[2]
        if word == "--engine" and index + 1 < len(arguments):
            return arguments[index + 1]
    return None
