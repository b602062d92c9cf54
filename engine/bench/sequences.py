"""Methods on whole shots whose right paintings are known: one table for each figure, and what ours must reach."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from engine.base.arrays import Floats
from engine.base.errors import InputError
from engine.base.temporaries import replacing
from engine.bench import families, scenes, scoring, surfaces
from engine.bench.families import FAMILIES
from engine.bench.machine import describe
from engine.bench.methods import BASELINES, METHODS, OPTIONS, TWO_KEYS, Case, take_frames
from engine.bench.page import write_page
from engine.bench.plan import REFERENCE, BenchPlan
from engine.bench.scenes import make_scene
from engine.bench.scoring import SCORER, Distance, Score, find_distance, score, self_test
from engine.bench.table import Cell, Need, Table, TableRow
from engine.bench.timing import Samples

__all__ = ["Format", "Seeds", "find_cases", "measure"]


@dataclass(frozen=True)
class Format:
    """Size and frames of the shots of a run."""

    width: int = 416
    height: int = 240
    frames: int = 24
    keys: tuple[int, int] = (0, 23)
    """Both ends: the first is the keyframe of runs with one."""
    scored: tuple[int, ...] = (8, 9, 17, 18)
    """Pairs of neighbors, so that what changes between them can be judged."""

    def of(self, family: str) -> Format:
        """That of a family, which may have a length of its own: scored half way, and where it comes back."""
        frames = FAMILIES[family].frames
        if frames is None:
            return self
        scored = (frames // 2 - 1, frames // 2, frames - 2, frames - 1)
        return Format(self.width, self.height, frames, (0, frames - 1), scored)


QUICK = Format(160, 96, 8, (0, 7), (3, 4))
QUICK_FAMILY = "sky"
QUICK_STEPS = 3


@dataclass(frozen=True)
class Seeds(Samples):
    """One figure for each seed."""

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    def to_json(self) -> dict[str, object]:
        return {"mean": self.mean, **super().to_json()}

    def __str__(self) -> str:
        if len(self.values) == 1:
            return f"{self.mean:.3g}"
        return f"{self.mean:.3g} ({self.low:.3g}..{self.high:.3g})"


Scores = Mapping[str, Mapping[str, Sequence[Score]]]
"""By method and family, one for each seed."""

FIGURES = (
    ("distance", "Perceptual distance from the right painting (lower is better)"),
    ("occluded", "Perceptual distance where no keyframe shows the surface (lower is better)"),
    ("worst", "Perceptual distance of the worst frame (lower is better)"),
    ("dt", "Temporal error (lower is better)"),
    ("hf", "Energy of detail over the truth's (1 is right, less is washed out)"),
    ("hidden_hf", "Energy of detail over the truth's where no keyframe shows the surface"),
    ("hidden_texture", "Distance of texture's statistics where no keyframe shows the surface (lower is better)"),
)


def measure(plan: BenchPlan, folder: Path, tell: Callable[[str], object]) -> list[Table]:
    """Run every method on every shot, first the self-test.

    Args:
        plan: how; its ``sequences`` says on what.
        folder: for shots and frames where the plan names no cache.
        tell: receives a line for each step.

    Raises:
        InputError: an unknown family; frames made elsewhere that are missing.
        PaintoverError: the self-test, or a training, failed.
    """
    asked = plan.sequences
    taken = {name for name, _ in asked.frames_from} & {*METHODS, *OPTIONS, *BASELINES, *TWO_KEYS}
    if taken:
        raise InputError(f"--frames-from {', '.join(taken)}: that is a method of the benchmark's own")
    name, distance = find_distance()
    cases = find_cases(plan, folder, name)
    chosen = list(dict.fromkeys(family for family, _ in cases))
    runner = _Runner(distance, tell)

    started = time.perf_counter()
    runner.test(cases[chosen[0], asked.seeds[0]])
    tell(f"sequences: self-test passed, {time.perf_counter() - started:.0f} s")

    makers = _makers(asked.methods)
    for label, place in asked.frames_from:
        makers[label] = lambda case, label=label, place=place: take_frames(case, label, place)  # type: ignore[misc]
    # Two trainings more for each shot: one seed says enough, and a quick run does without.
    doubled = () if plan.quick or asked.methods is not None else asked.seeds[:1]
    steps = [(method, key) for key in cases for method in (*makers, *(TWO_KEYS if key[1] in doubled else ()))]
    makers |= TWO_KEYS
    results: dict[str, dict[str, list[Score]]] = {}
    for number, (method, (family, seed)) in enumerate(steps, start=1):
        done = runner.run(cases[family, seed], method, makers[method], f"{number}/{len(steps)}")
        results.setdefault(method, {}).setdefault(family, []).append(done)
    tables = _tables(results, _notes(plan, name, asked.seeds, runner.commits))
    if asked.pictures is not None:
        shown = [cases[family, asked.seeds[0]] for family in chosen]
        rows = [method for method in makers if method != "identity" and method not in TWO_KEYS]
        write_page(asked.pictures, tables, shown, rows, lambda m, family: results[m][family][0].distance)
        tell(f"sequences: wrote {asked.pictures}")
    return tables


def find_cases(plan: BenchPlan, folder: Path, distance: str) -> dict[tuple[str, int], Case]:
    """The shots of a run by family and seed, in the order of the tables.

    Args:
        plan, folder: as for :func:`measure`.
        distance: the name of what judges them.

    Raises:
        InputError: an unknown family.
    """
    asked, form = plan.sequences, _format(plan)
    chosen = asked.families or ((QUICK_FAMILY,) if plan.quick else tuple(FAMILIES))
    if unknown := set(chosen) - set(FAMILIES):
        raise InputError(f"no family {', '.join(sorted(unknown))}", remedy=f"known are {', '.join(FAMILIES)}")
    root = (asked.cache or folder) / _fingerprint(plan, form, distance)
    return {
        (family, seed): _case(plan, form.of(family), root, family, seed) for family in chosen for seed in asked.seeds
    }


def _format(plan: BenchPlan) -> Format:
    return QUICK if plan.quick else Format()


def _makers(names: Sequence[str] | None) -> dict[str, Callable[[Case], None]]:
    """Methods by name; the usual ones where none are named.

    Raises:
        InputError: an unknown name.
    """
    if names is None:
        return dict(METHODS)
    known = {**METHODS, **OPTIONS, **BASELINES}
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"no method {', '.join(unknown)}", remedy=f"known are {', '.join(known)}")
    return {name: known[name] for name in names}


def _fingerprint(plan: BenchPlan, form: Format, distance: str) -> str:
    """Names a folder for everything that scores depend on, apart from the methods' own code."""
    digest = hashlib.sha256()
    for module in (scenes, families, surfaces, scoring):
        digest.update(Path(str(module.__file__)).read_bytes())
    if distance == "deep":
        digest.update(SCORER.read_bytes())
    features = None if plan.features is None else plan.features.name
    digest.update(repr((dataclasses.astuple(form), plan.sequences.budget_s, plan.device, features, distance)).encode())
    if plan.sequences.steps is not None:
        digest.update(f"{plan.sequences.steps} steps".encode())
    return digest.hexdigest()[:10]


def _case(plan: BenchPlan, form: Format, root: Path, family: str, seed: int) -> Case:
    @cache
    def scene() -> scenes.Scene:
        return make_scene(family, seed, form.width, form.height, form.frames)

    name = f"{family}-{seed}"
    return Case(
        scene, name, root / name, form.frames, form.keys, form.scored,
        plan.sequences.budget_s, _steps(plan),
        seed, plan.device, plan.features,
    )  # fmt: skip


def _steps(plan: BenchPlan) -> int | None:
    asked = plan.sequences
    return None if asked.budget_s is not None else asked.steps or QUICK_STEPS


class _Runner:
    """Runs methods on shots, and remembers scores as JSON beside the frames."""

    def __init__(self, distance: Distance, tell: Callable[[str], object]) -> None:
        self._distance, self._tell = distance, tell
        self._commit = str(describe()["commit"] or "unknown")
        self.commits: set[str] = set()
        """Whose code made frames that were scored."""

    def test(self, case: Case) -> None:
        """The self-test, on one shot."""
        case.write()
        drawn = {frame: case.scene().painted(frame) for frame in case.scored}
        self_test(drawn, self._all(case, "painted"), self._all(case, "plate"), self._all(case, "occ"), self._distance)

    def run(self, case: Case, method: str, make: Callable[[Case], None], count: str) -> Score:
        path = case.out(method).with_suffix(".json")
        if path.is_file():
            stored = json.loads(path.read_text())
            self.commits.add(stored.pop("commit"))
            return Score(**stored)
        started = time.perf_counter()
        case.write()
        make(case)
        results = {frame: case.picture(method, frame) for frame in case.scored}
        done = score(results, self._all(case, "painted"), self._all(case, "occ"), self._distance)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps({**dataclasses.asdict(done), "commit": self._commit}))
        self.commits.add(self._commit)
        took = time.perf_counter() - started
        self._tell(f"sequences: {count} {case.name} {method}: distance {done.distance:.3f}, {took:.0f} s")
        return done

    def _all(self, case: Case, kind: str) -> dict[int, Floats]:
        return {frame: case.read(kind, frame) for frame in case.scored}


def _notes(plan: BenchPlan, distance: str, seeds: Sequence[int], commits: Iterable[str]) -> tuple[str, ...]:
    ours = "LPIPS-like, on a VGG-16 trunk" if distance == "deep" else "structure, texture and color at four scales"
    form, budget_s = _format(plan), plan.sequences.budget_s
    trained = f"{_steps(plan)} steps" if budget_s is None else f"{budget_s:g} s"
    return (
        f"{form.frames} frames {form.width}x{form.height}, keyframe {form.keys[0]}, scored "
        f"{', '.join(map(str, form.scored))}; seeds {', '.join(map(str, seeds))}: mean (lowest..highest)",
        f"perceptual distance: {ours}; {trained} of training for each look, on {plan.device}; "
        f"{REFERENCE} {'with' if plan.features else 'without'} its deep-feature loss",
        f"frames made by the code of {', '.join(sorted(commits))}",
    )


def _values(scores: Sequence[Score], figure: str) -> list[float]:
    found = [getattr(item, figure) for item in scores]
    return [float(value) for value in found if value is not None]


def _mean(results: Scores, method: str, figure: str, family: str | None = None) -> float | None:
    """Over seeds, and over families where none is named; None where nothing was measured."""
    by_family = results.get(method, {})
    chosen = list(by_family.values()) if family is None else [by_family.get(family, ())]
    means = [statistics.fmean(values) for scores in chosen if (values := _values(scores, figure))]
    return statistics.fmean(means) if means else None


def _tables(results: Scores, notes: tuple[str, ...]) -> list[Table]:
    compared = [method for method in results if method not in TWO_KEYS]
    names = list(results[compared[0]])
    wanted = _requirements(results, names, notes)
    tables = [wanted] if wanted.rows else []
    for figure, title in FIGURES:
        rows = []
        for family in names:
            cells: dict[str, Cell] = {}
            for method in compared:
                if values := _values(results[method][family], figure):
                    cells[method] = Seeds(tuple(values))
            rows.append(TableRow(family, cells))
        whole: dict[str, Cell] = {}
        for method in compared:
            each = [_values(scores, figure) for scores in results[method].values()]
            # The mean over families for every seed, where each family has the figure for each seed.
            if each and len({len(values) for values in each}) == 1 and each[0]:
                whole[method] = Seeds(tuple(statistics.fmean(column) for column in zip(*each, strict=True)))
            elif (mean := _mean(results, method, figure)) is not None:
                whole[method] = mean
        tables.append(Table(title, (*rows, TableRow("mean", whole)), () if tables else notes))
    if "both keys" in results:
        tables.append(_two_keys(results, names))
    return tables


def _ratio(results: Scores, method: str, other: str, figure: str, family: str | None = None) -> float | None:
    ours, theirs = (_mean(results, name, figure, family) for name in (method, other))
    return None if ours is None or not theirs else ours / theirs


def _requirements(results: Scores, names: Sequence[str], notes: tuple[str, ...]) -> Table:
    """What carried must reach."""
    rows = []

    def judge(what: str, value: float | None, limit: float, *, at_least: bool = False) -> None:
        if value is not None:
            rows.append(TableRow(what, {"measured": value}, Need("measured", limit, at_least=at_least)))

    judge(f"distance over {REFERENCE}'s, mean", _ratio(results, "carried", REFERENCE, "distance"), 1 / 3)
    judge(f"dt over {REFERENCE}'s, mean", _ratio(results, "carried", REFERENCE, "dt"), 0.6)
    judge("occluded over warp's, mean", _ratio(results, "carried", "warp", "occluded"), 0.75)
    for name in names:
        judge(f"{name}: distance over warp's", _ratio(results, "carried", "warp", "distance", name), 1.0)
        judge(f"{name}: occluded over warp's", _ratio(results, "carried", "warp", "occluded", name), 0.75)
        if FAMILIES[name].textured:
            hf = _mean(results, "carried", "hf", name)
            judge(f"{name}: hf", hf, 0.85, at_least=True)
            judge(f"{name}: hf", hf, 1.15)
    for name in names:
        if (ratio := _both_over_better(results, name)) is not None:
            judge(f"{name}: two keys over the better one", ratio, 1.0)
    return Table("What carried frames must reach", tuple(rows), notes)


def _both_over_better(results: Scores, family: str) -> float | None:
    """Distance with two keyframes over that with the better one alone, on the first seed."""
    runs = [results.get(method, {}).get(family, ()) for method in ("carried", "other key", "both keys")]
    if not all(runs):
        return None
    first, other, both = (run[0].distance for run in runs)
    return both / min(first, other)


def _two_keys(results: Scores, names: Sequence[str]) -> Table:
    rows = []
    for family in names:
        scores = {method: results[method][family][0].distance for method in ("carried", *TWO_KEYS)}
        labels = {"carried": "first key", "other key": "last key", "both keys": "both"}
        rows.append(TableRow(family, {labels[method]: value for method, value in scores.items()}))
    return Table("Two keyframes: perceptual distance of carried frames, first seed", tuple(rows))
