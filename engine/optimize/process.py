"""Process of an optimization: a job file in, one JSON event a line on stdout, an exit code out."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from engine.base.errors import Interrupted, PaintoverError
from engine.base.events import Emit, fail, open_events
from engine.base.stop_flag import StopFlag

__all__ = ["run_job"]


def run_job(
    arguments: list[str] | None, module: str, description: str, paint: Callable[[Path, Emit, StopFlag], list[Path]]
) -> int:
    """Run a job file; returns the exit code.

    Args:
        arguments: of the command line; None for the process's own.
        module: what ``python -m`` was given.
        description: for ``--help``.
        paint: does what the file asks and returns what was written.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("--job", required=True, type=Path, help="the job, JSON")
    options = parser.parse_args(arguments)
    emit = open_events()
    stop = StopFlag()
    stop.install()
    try:
        written = paint(options.job, emit, stop)
        emit({"event": "finished", "paths": [str(path) for path in written]})
    except Interrupted as error:
        return error.exit_code
    except PaintoverError as error:
        return fail(emit, error)
    except (RuntimeError, MemoryError) as error:
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        remedy = ""
        if "out of memory" in str(error).lower() or isinstance(error, MemoryError):
            message, remedy = "out of memory", "use --device cpu or a smaller plate"
        return fail(emit, PaintoverError(message, remedy=remedy))
    return 0
