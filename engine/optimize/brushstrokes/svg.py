"""SVG of brushstrokes: each a path with a width and a color, in the order in which they are laid."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from engine.base.arrays import Floats
from engine.base.temporaries import replacing
from engine.optimize.brushstrokes.curves import Brushstrokes

__all__ = ["svg_text", "write_svg"]


def svg_text(
    strokes: Brushstrokes, height: int, width: int, canvas: Sequence[float], matte: Floats | None = None
) -> str:
    """The drawing, in pixels of a picture of that size, colors in sRGB with 8 bits.

    Args:
        strokes: the first lies lowest.
        height, width: of the picture.
        canvas: (3,) color of what no stroke covers, 0..1.
        matte: (height, width) in 0..1, how much of the drawing is seen; None for all.
    """
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
    ]
    inside = ""
    if matte is not None:
        encoded = cv2.imencode(".png", np.round(np.clip(matte, 0, 1) * 255).astype(np.uint8))[1].tobytes()
        data = base64.b64encode(encoded).decode("ascii")
        lines.append(f'<mask id="matte" maskUnits="userSpaceOnUse" x="0" y="0" width="{width}" height="{height}">')
        lines.append(f'<image width="{width}" height="{height}" href="data:image/png;base64,{data}"/></mask>')
        inside = ' mask="url(#matte)"'
    lines.append(f'<g{inside} fill="none" stroke-linecap="round">')
    lines.append(f'<rect width="{width}" height="{height}" fill="{_hex(canvas)}"/>')
    points = strokes.points_px.detach().cpu().numpy().reshape(len(strokes), 6)
    widths = strokes.width_px.detach().cpu().numpy()
    colors = strokes.color.detach().cpu().numpy()
    for point, breadth, color in zip(points, widths, colors, strict=True):
        x0, y0, x1, y1, x2, y2 = (_number(value) for value in point)
        path = f"M{x0} {y0}Q{x1} {y1} {x2} {y2}"
        lines.append(f'<path d="{path}" stroke="{_hex(color)}" stroke-width="{_number(breadth)}"/>')
    return "\n".join([*lines, "</g>", "</svg>", ""])


def write_svg(
    path: Path, strokes: Brushstrokes, height: int, width: int, canvas: Sequence[float], matte: Floats | None = None
) -> None:
    """Write it, whole or not at all; arguments as for :func:`svg_text`.

    Raises:
        OutputError: it cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(svg_text(strokes, height, width, canvas, matte), encoding="utf-8", newline="\n")


def _hex(color: Sequence[float] | Floats) -> str:
    codes = np.round(np.clip(np.asarray(color, np.float64), 0, 1) * 255).astype(int)
    return "#" + "".join(f"{code:02x}" for code in codes)


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
