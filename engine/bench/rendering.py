"""Rendering against the inference of the same frames: how much of reading and writing stays visible."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from engine import images
from engine.base.frames import FrameRange, SequencePath
from engine.bench.plan import BenchPlan
from engine.bench.shots import texture
from engine.bench.table import Cell, Need, Table, TableRow
from engine.bench.timing import Samples, alternate, seconds_of
from engine.color.config import ColorConfig
from engine.look.session import Look
from engine.rendering.render import RenderReport, RenderSettings, render
from engine.shot.shot import Plate

__all__ = ["measure"]

SIZE, FRAMES, ROUNDS = (1920, 1080), 5, 3
QUICK_SIZE, QUICK_FRAMES, QUICK_ROUNDS = (160, 90), 2, 2
WAYS = (("1 worker", 1, None), ("2 workers", 2, None), ("tile 512", 1, 512), ("whole frame", 1, 0))
"""Name, workers, tile."""
NEEDED = Need("over inference", 1.25, at_least=False)


def measure(plan: BenchPlan, look: Path, folder: Path) -> list[Table]:
    """Render half float EXR frames in several ways, alternating with inference alone."""
    width, height = QUICK_SIZE if plan.quick else SIZE
    plate = _write_plate(folder / "plate", width, height, QUICK_FRAMES if plan.quick else FRAMES)
    reports: dict[str, list[RenderReport]] = {name: [] for name, _, _ in WAYS}

    def way(name: str, workers: int, tile: int | None) -> Callable[[], object]:
        def work() -> None:
            out = SequencePath.parse(folder / "out" / "out.%04d.exr")
            settings = RenderSettings(tile=tile, device=plan.device)
            reports[name].append(render(look, plate, out, settings, workers=workers, overwrite=True))

        return work

    loaded = Look.load(look, device=plan.device)
    try:
        alone = _inference(loaded, plate)
        alone()  # a render starts cold, and that counts; its base must not
        cases = {"inference": seconds_of(alone)}
        cases |= {name: seconds_of(way(name, workers, tile)) for name, workers, tile in WAYS}
        taken = alternate(cases, plan.rounds(ROUNDS, QUICK_ROUNDS), warmups=0)
    finally:
        loaded.close()
        shutil.rmtree(folder, ignore_errors=True)
    count = len(plate.frames)
    rows = [TableRow("inference alone", {"s/frame": _per(taken["inference"], count)})]
    for name, _, _ in WAYS:
        cells: dict[str, Cell] = {
            "s/frame": _per(taken[name], count),
            "over inference": taken[name].over(taken["inference"]),
            "reading s": _per(Samples(tuple(report.read_s for report in reports[name])), count),
            "in session s": _per(Samples(tuple(report.infer_s for report in reports[name])), count),
            "writing s": _per(Samples(tuple(report.write_s for report in reports[name])), count),
        }
        rows.append(TableRow(name, cells, NEEDED if name == "1 worker" and not plan.quick else None))
    notes = (
        f"{count} frames {width}x{height}, half float EXR (ZIP); on {loaded.device}, {loaded.threads} threads",
        "inference alone: the look loaded, the frames in memory, as many at once as there are threads",
        "renders include starting up; reading, session and writing are summed over threads, so they exceed s/frame",
    )
    return [Table("Rendering", tuple(rows), notes)]


def _inference(look: Look, plate: Plate) -> Callable[[], object]:
    """The same work without files: every frame stylized, enough at once to keep all cores busy."""
    config = ColorConfig.active()
    frames = []
    for frame in plate.frames:
        path = plate.path.path(frame)
        image = images.read(path)
        frames.append(config.to_working(image.rgb, config.guess(image.header, path)))

    def work() -> None:
        with ThreadPoolExecutor(look.threads) as pool:
            list(pool.map(look.stylize, frames))

    return work


def _write_plate(folder: Path, width: int, height: int, count: int) -> Plate:
    folder.mkdir(parents=True)
    path = SequencePath.parse(folder / "plate.%04d.exr")
    for frame in range(1, count + 1):
        images.write(path.path(frame), texture(height, width, frame), bit_depth="half")
    return Plate(path, FrameRange(tuple(range(1, count + 1))))


def _per(samples: Samples, count: int) -> Samples:
    return Samples(tuple(value / count for value in samples.values))
