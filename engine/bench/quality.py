"""Quality that a budget buys: both recipes trained as a user would, rendered, and scored against painted frames."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from engine.base.errors import PaintoverError
from engine.base.frames import FrameRange, SequencePath
from engine.bench.child import train_look
from engine.bench.plan import REFERENCE, SHARED, BenchPlan
from engine.bench.shots import BenchShot
from engine.bench.table import Cell, Need, Table, TableRow
from engine.rendering.render import RenderSettings, render
from engine.shot.shot import Plate

__all__ = ["SCORER", "measure"]

SCORER = SHARED / "bench" / "score.py"
LIMIT = 0.285
"""Perceptual distance that ours must not exceed."""
FIGURES = ("lpips", "l1", "hf", "dt")


def measure(plan: BenchPlan, shot: BenchShot, folder: Path) -> list[Table]:
    """Train, render and score each recipe once; empty without painted references or without the scorer."""
    if not shot.references or not SCORER.is_file():
        return []
    rows = []
    for name, recipe in (("ours", "paintover"), (REFERENCE, REFERENCE)):
        look, done = _train(plan, shot, folder / name, recipe)
        out = SequencePath.parse(folder / name / "out.%04d.png")
        frames = FrameRange(tuple(sorted(shot.references)))
        render(look, Plate(shot.plate.path, frames, shot.plate.colorspace), out, RenderSettings(device=plan.device))
        scores = _score(out, shot, folder / name / "reference")
        cells: dict[str, Cell] = {key: float(scores[key]) for key in FIGURES if scores.get(key) is not None}
        cells |= {"steps": f"{done['steps']}", "trained s": float(done["seconds"])}
        rows.append(TableRow(name, cells, Need("lpips", LIMIT, at_least=False) if name == "ours" else None))
    better = float(str(rows[0].cells["lpips"])) < float(str(rows[1].cells["lpips"]))
    deep = "with" if plan.features else "without"
    notes = (
        f"shot {shot.name}, keyframe {shot.keyframe} alone, no guides, one run each (seed 0), so no spread",
        f"{REFERENCE} {deep} its deep-feature loss; ours is {'better' if better else 'NOT better'}",
        "lpips, l1: lower is better; hf: 1 is the texture of the reference, under 1 is washed out",
    )
    return [Table(f"Quality after {plan.budget_s:g} s of training", tuple(rows), notes)]


def _train(plan: BenchPlan, shot: BenchShot, folder: Path, recipe: str) -> tuple[Path, dict[str, Any]]:
    folder.mkdir(parents=True)
    job = {
        "plate": shot.plate.path.text,
        "frames": str(shot.plate.frames),
        "plate_colorspace": None,
        "keyframes": [{"frame": shot.keyframe, "painting": str(shot.paintings[shot.keyframe])}],
        "work": str(folder / "work"),
        "look": str(folder / "look.onnx"),
        "budget_s": plan.budget_s,
        "steps": None,
        "device": plan.device,
        "recipe": recipe,
        "features": str(plan.features) if plan.features and recipe == REFERENCE else None,
        "preview": False,
    }
    return folder / "look.onnx", train_look(job, folder)


def _score(out: SequencePath, shot: BenchShot, folder: Path) -> dict[str, Any]:
    """The scorer's summary over every painted reference."""
    # It takes one pattern, and a shot's paintings may differ in their extension.
    import cv2

    folder.mkdir()
    for frame, path in shot.references.items():
        cv2.imwrite(str(folder / f"ref.{frame:04d}.png"), cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
    frames = ",".join(str(frame) for frame in sorted(shot.references))
    command = [sys.executable, str(SCORER), out.text, str(folder / "ref.%04d.png"), "--frames", frames, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise PaintoverError(f"scoring failed: {done.stderr.strip()[-200:]}")
    summary: dict[str, Any] = json.loads(done.stdout)["summary"]
    return summary
