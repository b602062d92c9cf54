"""``paintover submit``: hands a shot to a farm engine."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from typing import Protocol

from engine.base.errors import InputError
from plugin.arguments.farm_options import add_planning
from plugin.arguments.options import Options, Parser, add_color, add_machine, add_reporting, add_submission
from plugin.arguments.shot_options import add_whole_shot
from plugin.farm.plan import FarmPlan, plan_from
from plugin.progress.protocol import Progress
from plugin.progress.stop import StopRequest

__all__ = ["ENGINES", "Engine", "load_engine", "parser", "run"]

ENGINES = ("dask", "slurm", "openjd", "opencue", "deadline10")


class Engine(Protocol):
    """What a module of :mod:`plugin.farm` named like an engine offers."""

    SUMMARY: str
    MAX_CHUNKS: int

    def add_arguments(self, parser: Parser) -> None:
        """Add the engine's own options."""

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
            load_engine(name).add_arguments(self)
        add_reporting(self)
        options = super().read(arguments)
        if name is None:
            raise InputError("--engine is missing", remedy=f"name one of {', '.join(ENGINES)}")
        return options


def parser() -> Parser:
    """The options of ``paintover submit``; those of an engine are added when it is named."""
    made = _SubmitParser(
        "submit",
        "Hands a shot to a farm engine: training, preparing and rendering in chunks, verifying, each as a task of its\n"
        "own, in the right order. Submit it again after a failure: what is done stays done. Without keyframes the\n"
        "look must be there, and is rendered with. --engine NAME --help also shows that engine's options.",
        examples=[
            "paintover submit shot.toml --engine dask --workers 4",
            "paintover submit shot.toml --engine dask --address tcp://scheduler:8786",
            "paintover submit shot.toml --engine slurm --chunk 20",
        ],
        shot_file=True,
    )
    group = made.add_argument_group("the engine")
    group.add_argument("--engine", choices=ENGINES, metavar="NAME", help=", ".join(ENGINES))
    add_whole_shot(made)
    add_submission(made)
    add_color(made, paintings=True)
    add_machine(made)
    add_planning(made)
    return made


def run(options: Options, progress: Progress, stop: StopRequest) -> int:
    """Plan the shot and hand it over."""
    engine = load_engine(options.engine or "")
    plan = plan_from(options, max_chunks=engine.MAX_CHUNKS, workers=options.workers or None)
    return engine.submit(plan, options, progress, stop)


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
