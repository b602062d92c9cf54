"""Plot of the search: loss against each parameter, as in figure 6 of Texler et al. 2020."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from engine.base.arrays import Bytes
from engine.review.sheets import Cell, Row, contact_sheet

__all__ = ["draw_plot"]

Color = tuple[int, int, int]

TITLES = {
    "batch": "Batch",
    "patch": "Patch, pixels",
    "blocks": "Residual blocks",
    "learning_rate": "Learning rate",
}

_WIDTH_PX, _HEIGHT_PX = 560, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 92, 34, 28, 52
_PANEL: Color = (36, 36, 39)
_GRID: Color = (62, 62, 66)
_INK: Color = (205, 205, 200)
_DOT: Color = (120, 150, 190)
_LINE: Color = (96, 168, 240)
_BEST: Color = (242, 169, 59)


def draw_plot(
    results: Sequence[tuple[Mapping[str, float], float]],
    best: Mapping[str, float],
    path: Path,
    *,
    title: str,
    measure: str,
) -> None:
    """Writes four panels that share the loss axis.

    A dot is a result; the line joins, for each value of the parameter, the lowest loss that was reached with it.

    Args:
        results: each setting's values by name, and its loss. At least one.
        best: the setting to mark.
        path: the PNG to write.
        measure: what the loss is.

    Raises:
        OutputError: it cannot be written.
    """
    losses = [loss for _, loss in results]
    low, high = min(losses), max(losses)
    room = (high - low) * 0.12 or abs(high) * 0.1 or 0.1
    cells = []
    for name, heading in TITLES.items():
        points = [(setting[name], loss) for setting, loss in results]
        panel = _panel(points, best[name], (low - room, high + room))
        cells.append(Cell(panel, heading, note=f"best {best[name]:g}"))
    footer = f"{len(results)} settings; lower is better: {measure} to the reference on frames without a painting"
    contact_sheet([Row("", cells[:2]), Row("", cells[2:])], path, title=title, footer=footer, cell_width_px=_WIDTH_PX)


def _panel(points: Sequence[tuple[float, float]], best: float, limits: tuple[float, float]) -> Bytes:
    """One plot, (H, W, 3) uint8; the parameter's values stand at even distances."""
    canvas = np.full((_HEIGHT_PX, _WIDTH_PX, 3), _PANEL, np.uint8)
    values = sorted({value for value, _ in points})
    right, bottom = _WIDTH_PX - _RIGHT, _HEIGHT_PX - _BOTTOM
    low, high = limits

    def x_of(value: float) -> int:
        return round(_LEFT + (right - _LEFT) * (values.index(value) + 0.5) / len(values))

    def y_of(loss: float) -> int:
        return round(bottom - (bottom - _TOP) * (loss - low) / (high - low))

    for step in range(5):
        loss = low + (high - low) * step / 4
        cv2.line(canvas, (_LEFT, y_of(loss)), (right, y_of(loss)), _GRID, 1, cv2.LINE_AA)
        _write(canvas, f"{loss:.4f}", (_LEFT - 10, y_of(loss) + 5), at_right=True)
    for value in values:
        x = x_of(value)
        cv2.line(canvas, (x, bottom), (x, bottom + 6), _INK, 1, cv2.LINE_AA)
        _write(canvas, f"{value:g}", (x, bottom + 28), color=_BEST if value == best else _INK)
    lowest = [(x_of(value), y_of(min(loss for v, loss in points if v == value))) for value in values]
    for start, end in itertools.pairwise(lowest):
        cv2.line(canvas, start, end, _LINE, 2, cv2.LINE_AA)
    for value, loss in points:
        cv2.circle(canvas, (x_of(value), y_of(loss)), 4, _DOT, -1, cv2.LINE_AA)
    for value, place in zip(values, lowest, strict=True):
        cv2.circle(canvas, place, 6, _BEST if value == best else _LINE, -1, cv2.LINE_AA)
    return canvas


def _write(canvas: Bytes, words: str, at: tuple[int, int], *, color: Color = _INK, at_right: bool = False) -> None:
    face, size = cv2.FONT_HERSHEY_SIMPLEX, 0.5
    width = cv2.getTextSize(words, face, size, 1)[0][0]
    left = at[0] - width if at_right else at[0] - width // 2
    cv2.putText(canvas, words, (left, at[1]), face, size, color, 1, cv2.LINE_AA)
