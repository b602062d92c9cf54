"""Training as a user has it, in a process of its own, for the benchmarks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.base.errors import PaintoverError
from engine.base.events import parse_event
from engine.base.temporaries import replacing

__all__ = ["train_look"]


def train_look(job: Mapping[str, object], folder: Path, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Train to the end; returns the last event, which says what was reached.

    Args:
        job: of ``engine.training.train``.
        folder: where ``job.json`` is put; it exists.
        environment: of the process; None for this one's, its threads asleep while they wait as the application has it.

    Raises:
        PaintoverError: the training failed; the message names the recipe.
    """
    path = folder / "job.json"
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(job), encoding="utf-8")
    command = [sys.executable, "-m", "engine.training.train", "--job", str(path)]
    environment = environment or {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    events = [event for event in map(parse_event, done.stdout.splitlines()) if event is not None]
    if done.returncode or not events or events[-1].get("event") != "finished":
        said = events[-1].get("message") if events else None
        raise PaintoverError(f"training {job['recipe']} failed: {said or done.stderr.strip()[-300:]}")
    return events[-1]
