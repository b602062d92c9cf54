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

from engine.bench import inference, looks, quality, rendering
from engine.bench.machine import describe
from engine.bench.plan import PARTS, REFERENCE, SHARED, Plan
from engine.bench.shots import find_shot
from engine.bench.table import Table
from engine.errors import InputError, PaintoverError
from engine.temporaries import replacing

__all__ = ["main", "run"]

FEATURES = SHARED / "models" / "vgg16_hed_fp16.safetensors"
DEFAULT_PARTS = ("inference", "render", "training")


def run(plan: Plan, parts: tuple[str, ...], show: Callable[[str], object] = print) -> dict[str, object]:
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
        shot = find_shot(plan.shot, folder / "shot", quick=plan.quick) if {"training", "quality"} & set(parts) else None

        def measured(part: str) -> list[Table]:
            if part == "inference":
                return inference.measure(plan, built)
            if part == "render":
                return rendering.measure(plan, built["ours"], folder / "render")
            if shot is None:
                raise InputError(f"the part {part} has no shot")
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
        **{key: str(value) if isinstance(value, Path) else value for key, value in dataclasses.asdict(plan).items()},
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
    parser.add_argument("--budget", metavar="SECONDS", type=float, default=60.0, help="training in the quality part")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    features = options.features
    if features is None and FEATURES.is_file() and not options.quick:
        features = FEATURES
    try:
        plan = Plan(options.quick, options.device, options.repeats, options.shot, features, options.budget)
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
