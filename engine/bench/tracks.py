"""Tracks beside the exact ones: how far off strokes ride, and whether confidence tells."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.base.arrays import Floats, Mask
from engine.base.temporaries import replacing
from engine.bench.methods import Case
from engine.bench.table import Cell, Need, Table, TableRow
from engine.motion.stmap import read_sidecars, sidecar_path, stmap_to_flow

__all__ = ["BINS", "TrackScore", "compare", "measure"]

SURE = 0.5
"""Confidence from which a pixel counts as sure."""
BINS = np.linspace(0.0, 1.0, 11)
"""Edges of the classes of confidence in which it is held against what is right."""
_RIGHT_PX = 0.5
_LIMIT_PX, _LIMIT_WRONG = 0.12, 0.015
_UNTEXTURED = "sky"
"""The family in which most of the picture has nothing to be followed by."""


@dataclass(frozen=True)
class TrackScore:
    """One track against the exact one; shares are of the whole picture, unless said."""

    median_px: float
    """Of the error, over visible pixels."""
    over_quarter: float
    """Share of the visible pixels that are more than 0.25 px off."""
    over_one: float
    """... more than 1 px."""
    sure_but_wrong: float
    """Visible, sure, and more than 1 px off."""
    lost: float
    """Visible, and not sure."""
    sure_but_hidden: float
    """Sure, where the keyframe does not show the surface."""
    right: tuple[float, ...]
    """For each class of confidence, the share of its pixels within half a pixel; NaN where it has none."""
    pixels: tuple[int, ...]
    """How many pixels each class has."""


def compare(points: Floats, confidence: Floats, exact: Floats, seen: Mask) -> TrackScore:
    """Hold a track against the exact one.

    Args:
        points, exact: (H, W, 2) pixels in the keyframe.
        confidence: (H, W) in 0..1.
        seen: (H, W), whether the keyframe shows the surface; some must be true.
    """
    error = np.hypot(points[..., 0] - exact[..., 0], points[..., 1] - exact[..., 1])
    visible, sure = error[seen], confidence >= SURE
    classes = np.clip(np.digitize(confidence, BINS) - 1, 0, len(BINS) - 2)
    good = (error < _RIGHT_PX) & seen
    counts = [int((classes == number).sum()) for number in range(len(BINS) - 1)]
    right = [float(good[classes == n].mean()) if count else float("nan") for n, count in enumerate(counts)]
    return TrackScore(
        median_px=float(np.median(visible)),
        over_quarter=float((visible > 0.25).mean()),
        over_one=float((visible > 1).mean()),
        sure_but_wrong=float((sure & seen & (error > 1)).mean()),
        lost=float((~sure & seen).mean()),
        sure_but_hidden=float((sure & ~seen).mean()),
        right=tuple(right),
        pixels=tuple(counts),
    )


def measure(cases: Sequence[Case], tell: Callable[[str], object], pictures: Path | None = None) -> list[Table]:
    """Follow each shot's motion as ``prepare`` does and judge the scored frames.

    Args:
        cases: the shots; several seeds of one family share a row.
        tell: receives a line for each shot.
        pictures: a folder for the plot of confidence against what is right.

    Raises:
        OutputError: a folder cannot be written.
    """
    found: dict[str, list[TrackScore]] = {}
    costs: dict[str, list[float]] = {}
    for number, case in enumerate(cases, start=1):
        case.write()
        started = time.process_time()
        fresh = not case.work.exists()
        case.prepare()
        family = case.name.rpartition("-")[0]
        if fresh:
            costs.setdefault(family, []).append((time.process_time() - started) / (case.frames - 1))
        scores = [_judged(case, frame) for frame in case.scored]
        found.setdefault(family, []).extend(scores)
        tell(f"tracks: {number}/{len(cases)} {case.name}: median {_mean(scores, 'median_px'):.3f} px")
    tables = [_errors(found, costs), _calibration(found)]
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
        with replacing(pictures / "confidence.svg") as temporary:
            temporary.write_text(_plot({name: _right(scores) for name, scores in found.items()}), encoding="utf-8")
        tell(f"tracks: wrote {pictures / 'confidence.svg'}")
    return tables


def _judged(case: Case, frame: int) -> TrackScore:
    key = case.keys[0]
    exact, seen = case.scene().coordinates(frame, key)
    height, width = seen.shape
    stmap = read_sidecars([sidecar_path(case.work, key, frame)], height, width, frame=frame, tracked=True)
    if stmap is None:
        return compare(np.zeros_like(exact), np.zeros((height, width), np.float32), exact, seen)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    points = stmap_to_flow(stmap[..., 0], stmap[..., 1], height, width) + np.stack([columns, rows], axis=2)
    return compare(points, stmap[..., 2], exact, seen)


def _mean(scores: Sequence[TrackScore], figure: str) -> float:
    return statistics.fmean(getattr(score, figure) for score in scores)


def _errors(found: dict[str, list[TrackScore]], costs: dict[str, list[float]]) -> Table:
    rows = []
    for family, scores in found.items():
        cells: dict[str, Cell] = {
            "median px": _mean(scores, "median_px"),
            "over 0.25 px %": 100 * _mean(scores, "over_quarter"),
            "over 1 px %": 100 * _mean(scores, "over_one"),
            "sure, over 1 px %": 100 * _mean(scores, "sure_but_wrong"),
            "visible, lost %": 100 * _mean(scores, "lost"),
            "hidden, sure %": 100 * _mean(scores, "sure_but_hidden"),
        }
        if family in costs:
            cells["processor s/frame"] = statistics.fmean(costs[family])
        need = None if family == _UNTEXTURED else Need("median px", _LIMIT_PX, at_least=False)
        rows.append(TableRow(family, cells, need))
        if need is not None:
            wrong: dict[str, Cell] = {"sure, over 1 px %": 100 * _mean(scores, "sure_but_wrong")}
            rows.append(TableRow("", wrong, Need("sure, over 1 px %", 100 * _LIMIT_WRONG, at_least=False)))
    return Table(
        "Error of tracks against the exact one, scored frames",
        tuple(rows),
        (f"sure: confidence {SURE:g} and more; a repainted pixel counts as lost or hidden, never as sure",),
    )


def _right(scores: Sequence[TrackScore]) -> list[float]:
    """For each class of confidence the share that is right, over all pixels of it."""
    shares = []
    for number in range(len(BINS) - 1):
        pixels = [score.pixels[number] for score in scores]
        good = [score.right[number] * score.pixels[number] for score in scores if score.pixels[number]]
        shares.append(sum(good) / sum(pixels) if sum(pixels) else float("nan"))
    return shares


def _calibration(found: dict[str, list[TrackScore]]) -> Table:
    rows = []
    for family, scores in found.items():
        right = _right(scores)
        cells: dict[str, Cell] = {
            f"{BINS[n]:.1f}": f"{100 * share:.0f}" if share == share else "-" for n, share in enumerate(right)
        }
        cells["0.9"] = 100 * right[-1] if right[-1] == right[-1] else "-"
        need = None if family == _UNTEXTURED else Need("0.9", 90.0, at_least=True)
        rows.append(TableRow(family, cells, need))
    return Table(f"Share within {_RIGHT_PX:g} px, %, by confidence from", tuple(rows))


def _plot(shares: dict[str, list[float]]) -> str:
    """An SVG: share that is right over confidence, a line for each family."""
    left, top, side, right = 56, 24, 360, 150
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + side + right}" height="{top + side + 52}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{left + side + right}" height="{top + side + 52}" fill="#fff"/>',
        f'<rect x="{left}" y="{top}" width="{side}" height="{side}" fill="none" stroke="#888"/>',
        f'<path d="M{left} {top + side}L{left + side} {top}" stroke="#bbb" stroke-dasharray="4 4"/>',
    ]
    for tick in (0.0, 0.5, 1.0):
        parts.append(f'<text x="{left + side * tick}" y="{top + side + 16}" text-anchor="middle">{tick:g}</text>')
        parts.append(f'<text x="{left - 8}" y="{top + side * (1 - tick) + 4}" text-anchor="end">{tick:g}</text>')
    parts.append(f'<text x="{left + side / 2}" y="{top + side + 38}" text-anchor="middle">confidence</text>')
    parts.append(f'<text x="{left}" y="{top - 8}">share within {_RIGHT_PX:g} px</text>')
    for number, (family, line) in enumerate(shares.items()):
        hue = round(360 * number / max(len(shares), 1))
        points = [
            f"{left + side * (BINS[n] + BINS[n + 1]) / 2:.1f},{top + side * (1 - share):.1f}"
            for n, share in enumerate(line)
            if share == share
        ]
        color = f"hsl({hue},70%,40%)"
        parts.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{color}" stroke-width="1.5"/>')
        parts.append(f'<text x="{left + side + 12}" y="{top + 14 + 18 * number}" fill="{color}">{family}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
