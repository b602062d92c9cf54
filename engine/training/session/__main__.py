"""``python -m engine.training.session --job JOB.json``: commands on stdin, events on stdout, a line each."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path

import psutil

from engine.base.errors import PaintoverError
from engine.base.events import fail, leave, open_events
from engine.training.job.job import TrainingJob
from engine.training.session.commands import CommandQueue
from engine.training.session.session import TrainingSession

_NICENESS = 5
"""Below the page and its server: who paints must not wait for who trains."""


def main(arguments: list[str] | None = None) -> int:
    """Train and render until told to leave, or until stdin ends; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m engine.training.session", description="A trainer that stays warm.")
    parser.add_argument("--job", required=True, type=Path, help="the job, JSON")
    options = parser.parse_args(arguments)
    emit = open_events()
    with contextlib.suppress(OSError, psutil.Error):
        psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if sys.platform == "win32" else _NICENESS)
    try:
        TrainingSession(TrainingJob.load(options.job), emit, CommandQueue(sys.stdin)).run()
    except PaintoverError as error:
        return fail(emit, error)
    except (RuntimeError, MemoryError) as error:
        return fail(emit, PaintoverError(str(error).splitlines()[0] if str(error) else type(error).__name__))
    emit({"event": "finished"})
    return 0


if __name__ == "__main__":
    leave(main())
