"""Training: steps per second, and seconds until the keyframe is matched, of our recipe and the reference's."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from engine.bench.plan import REFERENCE, BenchPlan
from engine.bench.shots import BenchShot
from engine.bench.table import Cell, Table, TableRow
from engine.bench.timing import Samples, alternate
from engine.color.config import ColorConfig
from engine.training.data.keyframes import LoadedKeyframe, load_keyframes
from engine.training.data.patches import Pair
from engine.training.job.job import PaintedFrame, Settings, TrainingJob
from engine.training.machine import Machine
from engine.training.model.losses import masked_l1
from engine.training.recipes import PaintoverRecipe, Recipe, TexlerRecipe
from engine.training.train import build_recipe

__all__ = ["TARGETS_L1", "measure"]

TARGETS_L1 = (0.10, 0.075)
"""Masked L1 on the whole keyframe, working encoding: about a linear filter's, and what takes training."""
CHECK_EVERY_S = 5.0
LIMIT_S, QUICK_LIMIT_S = 30.0, 1.0
BLOCK_S, QUICK_BLOCK_S = 2.0, 0.1
"""Seconds of steps that make one sample of steps per second."""
ROUNDS, QUICK_ROUNDS = 5, 2
RACES, QUICK_RACES = 2, 1
RECIPES = {"ours": "paintover", REFERENCE: REFERENCE}


@dataclass(frozen=True)
class Race:
    """One training run against the clock."""

    reached_s: tuple[float | None, ...]
    """Seconds of training until each target was met; None where the limit came first."""
    last_l1: float
    """At the last check."""
    steps: int


def measure(plan: BenchPlan, shot: BenchShot, folder: Path) -> list[Table]:
    """Measure both recipes in turn on the same keyframe, in the same precision."""
    machine = Machine.choose(plan.device)
    jobs = {name: _job(plan, shot, folder / name, recipe) for name, recipe in RECIPES.items()}
    keyframes = load_keyframes(jobs["ours"], ColorConfig.active())

    def begin(name: str, seed: int) -> Recipe:
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        return build_recipe(jobs[name], Settings(), keyframes, machine, rng, lambda event: None)

    deep = "with its deep-feature loss" if plan.features else "without its deep-feature loss, which needs --features"
    facts = (
        f"shot {shot.name}, keyframe {shot.keyframe}, {keyframes[0].plate.shape[1]}x{keyframes[0].plate.shape[0]}; "
        f"{str(machine.precision).removeprefix('torch.')} on {machine.device}, {torch.get_num_threads()} threads; "
        f"{REFERENCE} {deep}"
    )
    return [_throughput(plan, machine, begin, facts), _races(plan, machine, keyframes, begin, facts)]


def _throughput(plan: BenchPlan, machine: Machine, begin: Callable[[str, int], Recipe], facts: str) -> Table:
    recipes = {name: begin(name, 0) for name in RECIPES}
    block_s = QUICK_BLOCK_S if plan.quick else BLOCK_S

    def block(recipe: Recipe) -> Callable[[], float]:
        def measure() -> float:
            started, steps = time.perf_counter(), 0
            while time.perf_counter() - started < block_s:
                recipe.step(0.5)
                machine.synchronize()  # a queue of unfinished steps would count as done
                steps += 1
            return steps / (time.perf_counter() - started)

        return measure

    taken = alternate({n: block(r) for n, r in recipes.items()}, plan.rounds(ROUNDS, QUICK_ROUNDS))
    pixels = {name: _pixels(recipe) for name, recipe in recipes.items()}
    mega = {n: Samples(tuple(v * pixels[n] / 1e6 for v in taken[n].values)) for n in taken}
    rows = tuple(
        TableRow(what, {"ours": by["ours"], REFERENCE: by[REFERENCE], "ratio": by["ours"].over(by[REFERENCE])})
        for what, by in (("steps/s", taken), ("Mpixel/s", mega))
    )
    note = f"pixels of plate in a step: ours {pixels['ours']}, {REFERENCE} {pixels[REFERENCE]}"
    return Table("Training speed", rows, (facts, note))


def _races(
    plan: BenchPlan, machine: Machine, keyframes: list[LoadedKeyframe], begin: Callable[[str, int], Recipe], facts: str
) -> Table:
    pair = keyframes[0].pair(machine.device, 8)
    limit_s = QUICK_LIMIT_S if plan.quick else LIMIT_S
    runs: dict[str, list[Race]] = {name: [] for name in RECIPES}
    for seed in range(plan.rounds(RACES, QUICK_RACES)):
        for name in RECIPES:
            runs[name].append(_race(lambda name=name, seed=seed: begin(name, seed), pair, machine, limit_s))  # type: ignore[misc]
    rows = []
    for name, races in runs.items():
        cells: dict[str, Cell] = {}
        for index, target in enumerate(TARGETS_L1):
            reached = [race.reached_s[index] for race in races]
            met = tuple(value for value in reached if value is not None)
            every = len(met) == len(races)
            late = f"not in {limit_s:g} s" + (f" ({len(met)} of {len(races)} did)" if met else "")
            cells[f"s to {target:g}"] = Samples(met) if every else late
        cells["steps"] = Samples(tuple(float(race.steps) for race in races))
        cells["L1 at the end"] = Samples(tuple(race.last_l1 for race in races))
        rows.append(TableRow(name, cells))
    notes = (
        facts,
        f"masked L1 of the whole keyframe, working encoding, looked at every {CHECK_EVERY_S:g} s of training; looking "
        "does not count, building the network and its closed-form start do",
    )
    return Table(f"Training until the keyframe is matched, {limit_s:g} s at most", tuple(rows), notes)


def _race(begin: Callable[[], Recipe], pair: Pair, machine: Machine, limit_s: float) -> Race:
    """Train until the keyframe is matched or the limit is over."""
    started = time.perf_counter()
    recipe = begin()
    machine.synchronize()
    spent_s, steps, check_s = time.perf_counter() - started, 0, 0.0
    reached: dict[float, float] = {}
    while True:
        if spent_s >= check_s:
            l1 = _keyframe_l1(recipe, pair, machine)
            for target in TARGETS_L1:
                if l1 <= target:
                    reached.setdefault(target, spent_s)
            if len(reached) == len(TARGETS_L1) or spent_s >= limit_s:
                return Race(tuple(reached.get(target) for target in TARGETS_L1), l1, steps)
            check_s = min(spent_s + CHECK_EVERY_S, limit_s)
        started = time.perf_counter()
        recipe.step(min(spent_s / limit_s, 1.0))
        machine.synchronize()
        spent_s += time.perf_counter() - started
        steps += 1


@torch.no_grad()
def _keyframe_l1(recipe: Recipe, pair: Pair, machine: Machine) -> float:
    with machine.autocast():
        result = recipe.result().eval()(pair.plate[None].contiguous(memory_format=torch.channels_last))
    return float(masked_l1(result, pair.painting[None], pair.weight[None]))


def _pixels(recipe: Recipe) -> int:
    """Pixels of plate that go through the network in a step."""
    if isinstance(recipe, PaintoverRecipe):
        return recipe.sampler.next().plate[:, 0].numel()
    if isinstance(recipe, TexlerRecipe):
        return recipe.sampler.next()[0][:, 0].numel()
    raise TypeError(f"not a recipe of the benchmark: {type(recipe).__name__}")


def _job(plan: BenchPlan, shot: BenchShot, folder: Path, recipe: str) -> TrainingJob:
    keyframe = PaintedFrame(shot.keyframe, shot.paintings[shot.keyframe], None, None)
    return TrainingJob(
        plate=shot.plate.path.text,
        frames=str(shot.plate.frames),
        plate_colorspace=None,
        keyframes=(keyframe,),
        work=folder,
        look=folder / "look.onnx",
        budget_s=None,
        steps=1,
        device=plan.device,
        recipe=recipe,
        features=str(plan.features) if plan.features and recipe == REFERENCE else None,
        preview=False,
    )
