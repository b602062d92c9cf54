"""Training as a process of its own, so that nothing here ever loads torch.

The child gets one JSON file, an :class:`engine.training.job.job.TrainingJob` or, for a look from style images, an
:class:`engine.optimize.feedforward.job.StyleLookJob`, and says in events how far it is.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from engine.base.errors import InputError, Interrupted
from engine.optimize.feedforward.job import StyleLookJob
from engine.training.job.job import TrainingJob
from plugin.progress.child import follow
from plugin.progress.protocol import Progress, duration
from plugin.progress.stop import StopRequest

__all__ = ["COMMAND", "EXPORT", "STYLE_COMMAND", "TrainedLook", "require_training", "train"]

COMMAND: tuple[str, ...] = (sys.executable, "-m", "engine.training.train")
"""What is started, before ``--job FILE``."""

STYLE_COMMAND: tuple[str, ...] = (sys.executable, "-m", "engine.optimize.feedforward.train")
"""The same for a look from style images."""

EXPORT = "export"
"""The phase that begins when the steps are done."""


@dataclass(frozen=True)
class TrainedLook:
    """What the training process reported at its end."""

    look: Path
    """The written look."""
    steps: int
    """Steps trained, those of a resumed run included."""
    seconds: float
    """Seconds trained."""
    loss: float | None
    """The last smoothed loss."""
    check_error: float | None
    """Largest difference between the exported look and the trained network, in the working encoding."""


def require_training() -> None:
    """Find out before any work whether this installation can train, without importing torch.

    Raises:
        InputError: torch is not installed.
    """
    if find_spec("torch") is None:
        raise InputError("training needs torch, which is not installed", remedy='pip install "paintover[train]"')


def train(
    job: TrainingJob | StyleLookJob, progress: Progress, stop: StopRequest, *, debug: bool = False
) -> TrainedLook:
    """Run the training process to its end.

    Args:
        job: what to train; written to ``work/job.json``.
        progress: in the phase of training; receives loss, steps/s and time left, and goes on to the phase
            :data:`EXPORT`, which the plan has after it.
        stop: a request to stop is passed on once; the child then exports what it has.
        debug: ask the child for tracebacks and let its stderr through.

    Raises:
        ChildFailed: the child reported an error, crashed, or could not be started.
        Interrupted: it was stopped; the message says whether a look was written.
        OutputError: the job file cannot be written.
    """
    job_path = job.work / "job.json"
    job.save(job_path)
    latest: dict[str, Any] = {}
    preview: object = None
    exports = False

    def on_event(event: Mapping[str, Any]) -> None:
        nonlocal latest, preview, exports
        if event["event"] == "phase":
            if event.get("phase") == EXPORT:
                exports = True
                progress.begin(EXPORT)
            return
        if "step" in event:
            latest = {name: value for name, value in event.items() if name != "event"}
        elif "preview" in event:
            # Passed on at once, with the step it shows: the last one comes after the last step.
            preview = event["preview"]
        else:
            return
        facts = {name: value for name, value in latest.items() if name != "fraction"}
        # Steps are counted no further; what comes during the export is its checkpoint and the last preview.
        fraction = 0.5 if exports else _number(latest.get("fraction")) or 0.0
        progress.update(fraction, "" if exports else _step_text(latest), {**facts, "preview": preview})

    command = [*(STYLE_COMMAND if isinstance(job, StyleLookJob) else COMMAND), "--job", str(job_path)]
    done = follow(command, progress, stop, on_event, called="the training process", debug=debug)
    if stop():
        message = "training stopped on request"
        remedy = "no look is written yet, run it again"
        if done:
            message += f" after {done.get('steps')} steps, the best look so far is {done.get('look')}"
            remedy = ""
        if job.checkpoint.is_file():
            remedy = "--resume continues from the last checkpoint"
        raise Interrupted(message, exit_code=stop.exit_code, remedy=remedy)
    progress.update(1.0)
    return TrainedLook(
        look=Path(str(done["look"])),
        steps=int(done.get("steps") or 0),
        seconds=float(done.get("seconds") or 0.0),
        loss=_number(done.get("loss")),
        check_error=_number(done.get("check_error")),
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _step_text(event: Mapping[str, Any]) -> str:
    parts = []
    loss, rate, left_s = (_number(event.get(name)) for name in ("loss", "steps_per_s", "left_s"))
    if loss is not None:
        parts.append(f"loss {loss:.4f}")
    if rate is not None:
        parts.append(f"{rate:.1f} steps/s")
    if left_s is not None:
        parts.append(f"{duration(left_s)} left")
    return ", ".join(parts)
