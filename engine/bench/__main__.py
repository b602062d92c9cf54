"""The command line: runs the parts, prints their tables and writes the JSON."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path

from engine.base.errors import InputError, PaintoverError
from engine.base.temporaries import replacing
from engine.bench import inference, looks, quality, rendering, waiting
from engine.bench.machine import describe
from engine.bench.plan import PARTS, REFERENCE, SHARED, BenchPlan, SequencePlan
from engine.bench.shots import find_shot
from engine.bench.table import Table

__all__ = ["main", "run"]

FEATURES = SHARED / "models" / "vgg16_hed_fp16.safetensors"
_SHOWN = {"waiting", "training", "quality"}
"""Parts that need a shot."""
DEFAULT_PARTS = ("inference", "render", "training")


def run(plan: BenchPlan, parts: tuple[str, ...], show: Callable[[str], object] = print) -> dict[str, object]:
    """Run parts of the benchmark.

    Args:
        plan: how.
        parts: some of ``PARTS``.
        show: receives each table as text as soon as it is there.

    Returns:
        JSON values: where and with what it ran, the settings, and each part's tables and seconds.

    Raises:
        InputError: an unknown part or a folder without a shot.
        DeviceError: the device is not there.
    """
    unknown = set(parts) - set(PARTS)
    if unknown:
        raise InputError(f"unknown part {', '.join(sorted(unknown))}", remedy=f"known are {', '.join(PARTS)}")
    machine = describe()
    show(f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['gpus'] or 'no GPU'}; "
         f"commit {machine['commit'] or 'unknown'}{', modified' if machine['modified'] else ''}")  # fmt: skip
    results: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="paintover-bench-") as name:
        folder = Path(name)
        built = looks.build(folder / "looks") if {"inference", "render"} & set(parts) else {}
        shot = find_shot(plan.shot, folder / "shot", quick=plan.quick) if _SHOWN & set(parts) else None

        def measured(part: str) -> list[Table]:
            if part == "inference":
                return inference.measure(plan, built)
            if part == "render":
                return rendering.measure(plan, built["ours"], folder / "render")
            if part == "tracks":
                from engine.bench import sequences, tracks

                cases = list(sequences.find_cases(plan, folder / "sequences", "tracks").values())
                return tracks.measure(cases, _tell, plan.sequences.pictures)
            if part == "sequences":
                # It knows the trainer's frames and sidecars, which the parts that measure speed do not need.
                from engine.bench import sequences

                return sequences.measure(plan, folder / "sequences", _tell)
            if shot is None:
                raise InputError(f"the part {part} has no shot")
            if part == "waiting":
                return waiting.measure(plan, shot, folder / "waiting")
            if part == "quality":
                return quality.measure(plan, shot, folder / "quality")
            # Importing torch starts its threads: not before the parts that measure onnxruntime.
            from engine.bench import training

            return training.measure(plan, shot, folder / "training")

        for part in PARTS:
            if part not in parts:
                continue
            started = time.perf_counter()
            tables = measured(part)
            elapsed_s = time.perf_counter() - started
            for table in tables:
                show(f"\n{table}")
            if not tables:
                show(f"\n{part}: skipped, it needs a shot with a painted reference and ../shared/bench/score.py")
            results[part] = {"elapsed_s": elapsed_s, "tables": [table.to_json() for table in tables]}
    settings: Mapping[str, object] = {
        **_plain(dataclasses.asdict(plan)),
        "shot": None if shot is None else shot.name,
        "features": None if plan.features is None else plan.features.name,
    }
    return {
        "benchmark": "paintover",
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine,
        "settings": settings,
        "reference": REFERENCE,
        "parts": results,
    }


def _plain(settings: Mapping[str, object]) -> dict[str, object]:
    """Settings as JSON values; of a path the name, since results are published and folders are a machine's own."""

    def value_of(value: object) -> object:
        if isinstance(value, Mapping):
            return _plain(value)
        if isinstance(value, tuple):
            return [value_of(item) for item in value]
        return value.name if isinstance(value, Path) else value

    return {key: value_of(value) for key, value in settings.items()}


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _sequence_plan(options: argparse.Namespace) -> SequencePlan:
    """Raises InputError where an option cannot be read."""
    frames_from = []
    for text in options.frames_from:
        name, equals, folder = text.partition("=")
        if not (name and equals and folder):
            raise InputError(f"--frames-from {text} is not NAME=DIR")
        frames_from.append((name, Path(folder)))
    try:
        seeds = tuple(int(seed) for seed in options.seeds.split(",")) if options.seeds else SequencePlan.seeds
    except ValueError as error:
        raise InputError(f"--seeds {options.seeds} are not numbers", remedy="write them like 0,1,2") from error
    if options.quick and not options.seeds:
        seeds = (0,)
    families = tuple(name.strip() for name in options.families.split(",")) if options.families else None
    stepped = options.steps is not None or options.quick
    budget_s = options.budget if options.budget is not None else None if stepped else SequencePlan.budget_s
    methods = tuple(name.strip() for name in options.methods.split(",")) if options.methods else None
    return SequencePlan(
        families, seeds, options.cache, options.pictures, tuple(frames_from), budget_s, options.steps, methods
    )


def main(arguments: list[str] | None = None) -> int:
    """Parse, run, write; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m engine.bench",
        description=f"Measures training, inference and rendering on this machine beside the recipe {REFERENCE}.",
    )
    parser.add_argument("--only", metavar="PARTS", help=f"some of {','.join(PARTS)}; default {','.join(DEFAULT_PARTS)}")
    parser.add_argument("--quick", action="store_true", help="small and short: shows that everything runs")
    parser.add_argument("--out", metavar="FILE.json", type=Path, help="also write the results here")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda:N")
    parser.add_argument("--shot", metavar="DIR", type=Path, help="folder with plate.####.* and painted.####.*")
    parser.add_argument(
        "--features", metavar="PATH", type=Path, help=f"VGG weights for {REFERENCE}'s deep-feature loss"
    )
    parser.add_argument("--repeats", metavar="N", type=int, help="rounds of every comparison")
    parser.add_argument(
        "--budget",
        metavar="SECONDS",
        type=float,
        help=f"each training of the parts quality (default {BenchPlan.budget_s:g}) and sequences "
        f"(default {SequencePlan.budget_s:g})",
    )
    shots = parser.add_argument_group("the parts sequences and tracks")
    shots.add_argument("--families", metavar="NAMES", help="default: all")
    shots.add_argument("--seeds", metavar="N,N", help="default: 0,1,2")
    shots.add_argument(
        "--methods",
        metavar="NAMES",
        help="instead of the usual ones: some of identity, warp, plain, carried, plain+gaussian, plain+points, "
        "plain+grid, plain+denoised, carried+gaussian, ...",
    )
    shots.add_argument("--steps", metavar="N", type=int, help="each training this long, instead of a budget")
    shots.add_argument("--cache", metavar="DIR", type=Path, help="keep shots, frames and scores; go on from them")
    shots.add_argument("--pictures", metavar="DIR", type=Path, help="write a page with a sheet of each family")
    shots.add_argument(
        "--frames-from",
        metavar="NAME=DIR",
        action="append",
        default=[],
        help="score frames made elsewhere too: DIR/FAMILY-SEED/out.%%04d.png",
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    features = options.features
    if features is None and FEATURES.is_file() and not options.quick:
        features = FEATURES
    try:
        budget_s = BenchPlan.budget_s if options.budget is None else options.budget
        chosen = _sequence_plan(options)
        plan = BenchPlan(options.quick, options.device, options.repeats, options.shot, features, budget_s, chosen)
        parts = tuple(part.strip() for part in options.only.split(",")) if options.only else DEFAULT_PARTS
        results = run(plan, parts)
        if options.out is not None:
            options.out.parent.mkdir(parents=True, exist_ok=True)
            with replacing(options.out) as temporary:
                temporary.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
            print(f"\nwrote {options.out}")
    except PaintoverError as error:
        print(f"bench: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
