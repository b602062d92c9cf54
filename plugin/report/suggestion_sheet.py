"""The picture of ``paintover suggest``: frames to paint, what each carries, and what is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt
import OpenImageIO as oiio

from engine.base.arrays import Bytes
from engine.review.coverage import Plan, Suggestion
from engine.review.sheets import Cell, Row, compose
from plugin.report.advice import percent

__all__ = ["draw_plan"]

Pixels8 = npt.NDArray[np.uint8]
Color = tuple[int, int, int]

_BACKGROUND: Color = (26, 26, 28)
_BRIGHT: Color = (236, 236, 232)
_QUIET: Color = (150, 150, 148)
_RULE: Color = (52, 52, 55)
_UNION: Color = (66, 68, 72)
_LINES: tuple[Color, ...] = (
    (242, 169, 59), (94, 184, 240), (92, 200, 140), (226, 132, 182), (240, 226, 92), (170, 150, 240),
)  # fmt: skip
_UNCARRIED = (235, 72, 46)
_CELL_PX = 360
_COLUMNS = 4
_LEAST_COLUMNS = 3
_CHART_PX = 420
_DRAWN = 2
"""Lines are drawn at this multiple of their size."""


def draw_plan(plan: Plan, still: Callable[[int], Pixels8], *, title: str) -> Pixels8:
    """(H, W, 3) uint8: the frames to paint, the chart, and the frames that are carried least.

    Args:
        still: a frame's small plate, (h, w, 3) uint8 sRGB.
        title: at the top.

    Raises:
        ImageError: what ``still`` raises.
    """
    chosen = sorted(plan.chosen, key=lambda one: one.frame)
    rows = []
    for start in range(0, len(chosen), _COLUMNS):
        part = chosen[start : start + _COLUMNS]
        cells = [Cell(still(one.frame), f"paint frame {one.frame}", f"+{percent(one.gain)}", True) for one in part]
        rows.append(Row("" if start else "Frames to paint, and the share of the shot that each adds", cells))
    if not chosen:
        cells = [Cell(still(one.frame), f"frame {one.frame}", percent(one.alone)) for one in plan.painted[:_COLUMNS]]
        rows.append(Row("Painted already; another painting would add little", cells))
    least = _least_carried(plan)
    if least:
        cells = [
            Cell(_tinted(still(plan.frames[index]), plan.carried[index]), f"frame {plan.frames[index]}",
                 f"{percent(1.0 - plan.curve[index])} not carried")
            for index in least
        ]  # fmt: skip
        rows.append(Row("Carried least: what no painting reaches is red, and is synthesized in the style", cells))
    shape = rows[0].cells[0].rgb.shape
    blank = Cell(np.full(shape, _BACKGROUND, np.uint8))
    # The chart wants some width, however few pictures there are.
    rows[0] = Row(rows[0].label, [*rows[0].cells, *[blank] * (_LEAST_COLUMNS - len(rows[0].cells))])
    sheet = compose(rows, title=title, cell_width_px=_CELL_PX)
    return np.concatenate([sheet, _chart(plan, sheet.shape[1])])


def _least_carried(plan: Plan, count: int = 3) -> list[int]:
    """Frames with most that is not carried, apart from each other, ascending."""
    found: list[int] = []
    apart = max(1, len(plan.frames) // (count + 1))
    curve = plan.curve
    for index in sorted(range(len(curve)), key=lambda index: (curve[index], index)):
        if curve[index] < 0.985 and all(abs(index - other) >= apart for other in found):
            found.append(index)
        if len(found) == count:
            break
    return sorted(found)


def _tinted(rgb: Pixels8, carried: Bytes) -> Pixels8:
    """The picture in gray with what is not carried in red."""
    gray = np.repeat(rgb.mean(axis=2, keepdims=True), 3, axis=2) * 0.75
    size = (rgb.shape[1], rgb.shape[0])
    lost = 1.0 - cv2.resize(carried, size, interpolation=cv2.INTER_CUBIC).astype(np.float32)[..., None] / 255.0
    mixed = gray + 0.85 * np.clip(lost, 0.0, 1.0) * (np.asarray(_UNCARRIED, np.float32) - gray)
    return np.asarray(np.clip(mixed + 0.5, 0.0, 255.0), np.uint8)


def _chart(plan: Plan, width: int) -> Pixels8:
    """Share of each frame that each painting carries, and all of them together."""
    scale = _DRAWN
    canvas = np.full((_CHART_PX * scale, width * scale, 3), _BACKGROUND, np.uint8)
    margin = round(44 * _CELL_PX / 400)
    left, right, top, bottom = margin + 52, width - margin - 16, 62, _CHART_PX - 60
    first, span = plan.frames[0], max(1, plan.frames[-1] - plan.frames[0])

    def at(frame: int, share: float) -> tuple[int, int]:
        x = left + (right - left) * ((frame - first) / span if len(plan.frames) > 1 else 0.5)
        return round(x * scale), round((bottom - (bottom - top) * share) * scale)

    words: list[tuple[int, int, str, Color, str]] = []
    area = [at(frame, share) for frame, share in zip(plan.frames, plan.curve, strict=True)]
    foot = [at(plan.frames[-1], 0.0), at(plan.frames[0], 0.0)]
    cv2.fillPoly(canvas, [np.asarray([*area, *foot], np.int32)], _UNION)
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = at(first, share)[1]
        cv2.line(canvas, (left * scale, y), (right * scale, y), _RULE, scale)
        words.append((left - 10, y // scale + 5, f"{100 * share:.0f} %", _QUIET, "right"))
    for frame in _marks(plan.frames):
        words.append((at(frame, 0.0)[0] // scale, bottom + 22, str(frame), _QUIET, "middle"))
    every: list[tuple[Suggestion, bool]] = [(one, False) for one in plan.painted] + [(one, True) for one in plan.chosen]
    for number, (one, new) in enumerate(every):
        color = _LINES[number % len(_LINES)]
        line = np.asarray([at(frame, share) for frame, share in zip(plan.frames, one.curve, strict=True)], np.int32)
        cv2.polylines(canvas, [line], False, color, round(2.5 * scale), cv2.LINE_AA)
        x, y = at(one.frame, 1.0)
        cv2.circle(canvas, (x, y), 6 * scale, color, -1 if new else 2 * scale, cv2.LINE_AA)
        words.append((x // scale, top - 14, str(one.frame), color, "middle"))
    canvas = np.asarray(
        cv2.resize(canvas, (width, _CHART_PX), interpolation=cv2.INTER_AREA).reshape(_CHART_PX, width, 3), np.uint8
    )
    words.append((margin, 20, "Share of each frame that each painting would carry; gray: all together, "
                  f"{percent(plan.total)} of the shot", _BRIGHT, "left"))  # fmt: skip
    for word in words:
        _write(canvas, *word)
    return canvas


def _marks(frames: Sequence[int], most: int = 11) -> list[int]:
    """Frames to name under the chart, the ends among them."""
    if len(frames) <= most:
        return list(frames)
    return sorted({frames[round(float(place))] for place in np.linspace(0, len(frames) - 1, most)})


def _write(canvas: Pixels8, x: int, baseline: int, text: str, color: Color, align: str) -> None:
    size = 15
    area = oiio.ImageBufAlgo.text_size(text, size)
    width = int(area.xend) if area.defined else 0
    x -= {"left": 0, "middle": width // 2, "right": width}[align]
    x = min(max(2, x), canvas.shape[1] - width - 2)
    top, bottom = max(0, baseline - size - 3), min(canvas.shape[0], baseline + 8)
    ink = oiio.ImageBuf(oiio.ImageSpec(width + 4, bottom - top, 1, "float"))
    oiio.ImageBufAlgo.zero(ink)
    # Without FreeType OIIO draws nothing, and the chart is still worth having.
    if not width or not oiio.ImageBufAlgo.render_text(ink, 1, baseline - top, text, size, "", (1.0,)):
        ink.geterror()
        return
    coverage = np.asarray(ink.get_pixels(oiio.FLOAT), np.float32).reshape(bottom - top, width + 4, 1)
    under = canvas[top:bottom, x - 1 : x + width + 3]
    coverage = coverage[:, : under.shape[1]]
    under[...] = np.rint(under + coverage * (np.asarray(color, np.float32) - under)).astype(np.uint8)
