"""Charts over a shot's frames as SVG, colored by the page's own variables, so that they follow light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Line", "chart"]

_WIDTH, _HEIGHT = 1000, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 26, 34
_DOTS_UP_TO = 80
"""Frames up to which every value is a dot as well."""


@dataclass(frozen=True)
class Line:
    """One measure over the frames."""

    label: str
    """In the legend and the tooltips."""
    values: Sequence[float | None]
    """One for each frame; None is a gap."""
    kind: str
    """Names its color, the page's variable ``--KIND``."""
    filled: bool = False
    """Whether the area under it is tinted."""


def chart(
    frames: Sequence[int],
    lines: Sequence[Line],
    *,
    title: str,
    top: float,
    percent: bool = False,
    marks: Sequence[int] = (),
    bands: Mapping[int, str] | None = None,
) -> str:
    """An ``<svg>`` element.

    Args:
        frames: frame numbers, ascending.
        lines: drawn in this order.
        title: read out by screen readers.
        top: value at the top of the chart; the bottom is 0.
        percent: values are shares, 0..1, and are written as percentages.
        marks: keyframes, drawn as upright lines.
        bands: frames to shade, with the reason: missing frames, say.
    """
    step = (_WIDTH - _LEFT - _RIGHT) / max(1, len(frames))

    def x(index: float) -> float:
        return _LEFT + (index + 0.5) * step

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * min(max(value / top, 0.0), 1.0)

    def text(value: float) -> str:
        return f"{100 * value:.0f} %" if percent else f"{value:.1f}"

    place = {frame: index for index, frame in enumerate(frames)}
    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">']
    for frame in bands or {}:
        parts.append(
            f'<rect class="band" x="{x(place[frame]) - step / 2:.1f}" y="{_TOP}" width="{step:.1f}" '
            f'height="{_HEIGHT - _TOP - _BOTTOM}"/>'
        )
    for quarter in range(5):
        value = top * quarter / 4
        parts.append(
            f'<line class="rule" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
        )
        parts.append(f'<text x="{_LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{text(value)}</text>')
    for index in _labels(len(frames)):
        parts.append(f'<text x="{x(index):.1f}" y="{_HEIGHT - 12}" text-anchor="middle">{frames[index]}</text>')
    for frame in marks:
        if frame in place:
            at = x(place[frame])
            parts.append(f'<line class="key" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP - 4}" y2="{_HEIGHT - _BOTTOM}"/>')
            parts.append(f'<text class="key" x="{at:.1f}" y="{_TOP - 10}" text-anchor="middle">{frame}</text>')
    for line in lines:
        for run in _runs(line.values):
            points = [(x(index), y(value)) for index, value in run]
            joined = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
            color = f"var(--{escape(line.kind)})"
            if line.filled and len(points) > 1:
                foot = f"{points[-1][0]:.1f},{y(0):.1f} {points[0][0]:.1f},{y(0):.1f}"
                parts.append(f'<polygon points="{joined} {foot}" style="fill:{color}" class="area"/>')
            if len(points) > 1:
                parts.append(f'<polyline points="{joined}" style="stroke:{color}"/>')
            if len(frames) <= _DOTS_UP_TO or len(points) == 1:
                parts += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" style="fill:{color}"/>' for px, py in points]
    for index, frame in enumerate(frames):
        known = [(line.label, line.values[index]) for line in lines]
        said = [f"{label} {text(here)}" for label, here in known if here is not None] or ["nothing measured"]
        reason = (bands or {}).get(frame)
        words = escape(f"frame {frame}: {', '.join(([reason] if reason else []) + said)}")
        parts.append(
            f'<rect class="hover" x="{x(index) - step / 2:.1f}" y="{_TOP}" width="{step:.1f}" '
            f'height="{_HEIGHT - _TOP - _BOTTOM}"><title>{words}</title></rect>'
        )
    return "".join([*parts, "</svg>"])


def _runs(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """Stretches without gaps, as (index, value)."""
    runs: list[list[tuple[int, float]]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((index, value))
    return [run for run in runs if run]


def _labels(count: int, most: int = 13) -> list[int]:
    """Indexes of frames to name, the ends among them."""
    if count <= most:
        return list(range(count))
    return sorted({round(number * (count - 1) / (most - 1)) for number in range(most)})
