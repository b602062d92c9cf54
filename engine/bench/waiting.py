"""Waiting: training with threads that sleep while they wait for each other, beside threads that spin.

Paintover lets them sleep (``OMP_WAIT_POLICY=PASSIVE``), because spinning threads take the cores of whatever else runs.
This is what that costs, or gains, on the machine as it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from engine.bench.child import train_look
from engine.bench.plan import BenchPlan
from engine.bench.shots import BenchShot
from engine.bench.table import Table, TableRow
from engine.bench.timing import alternate

__all__ = ["measure"]

POLICIES = {"sleeping": "PASSIVE", "spinning": "ACTIVE"}
STEPS, QUICK_STEPS = 40, 2
ROUNDS, QUICK_ROUNDS = 3, 1


def measure(plan: BenchPlan, shot: BenchShot, folder: Path) -> list[Table]:
    """Train the same steps in turn with either policy, each in a process of its own."""
    steps = QUICK_STEPS if plan.quick else STEPS

    def trained(name: str, policy: str) -> Callable[[], float]:
        own = folder / name
        own.mkdir(parents=True, exist_ok=True)

        def rate() -> float:
            done = train_look(_job(plan, shot, own, steps), own, {**os.environ, "OMP_WAIT_POLICY": policy})
            return float(done["steps"]) / float(done["seconds"])

        return rate

    cases = {name: trained(name, policy) for name, policy in POLICIES.items()}
    rounds = plan.rounds(ROUNDS, QUICK_ROUNDS)
    taken = alternate(cases, rounds, warmups=0)
    row = TableRow("steps/s", {**taken, "ratio": taken["sleeping"].over(taken["spinning"])})
    notes = (f"shot {shot.name}, {steps} steps a training, threads as many as cores, on {plan.device}",)
    return [Table("Training with threads that wait", (row,), notes)]


def _job(plan: BenchPlan, shot: BenchShot, folder: Path, steps: int) -> dict[str, object]:
    return {
        "plate": shot.plate.path.text,
        "frames": str(shot.plate.frames),
        "plate_colorspace": None,
        "keyframes": [{"frame": shot.keyframe, "painting": str(shot.paintings[shot.keyframe])}],
        "work": str(folder),
        "look": str(folder / "look.onnx"),
        "budget_s": None,
        "steps": steps,
        "device": plan.device,
        "preview": False,
    }
