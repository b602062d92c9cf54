"""The Paintover node's panel, drawn from the node's own text: ``python -m tests.support.nuke_knobs_picture``.

Nuke's panel looks different in detail; knobs, their order, labels and values are those of the text.
"""

from __future__ import annotations

import re
from html import escape
from typing import Any

from tests.support import ROOT
from tests.support.nuke import stub as nuke_stub

PICTURE = ROOT / "docs" / "images" / "nuke-knobs.svg"
GIZMO = ROOT / "nuke_gizmo" / "Paintover.gizmo"

_WIDTH, _LEFT, _ROW, _FONT = 760, 170, 30, 13
_NEW_LINE_ASKED = ("6", "22", "26")
"""Kinds that stay on their line unless the text says +STARTLINE."""


def draw(text: str) -> str:
    """The panel of the one group in this node text, as SVG."""
    (group,) = nuke_stub.load_text(text)
    y, x = 8, _LEFT
    parts: list[str] = []
    for knob in group.knobs().values():
        if not knob._kind or "+INVISIBLE" in knob.flags:
            continue
        if knob._kind == "20":
            parts.append(_text(16, y + 20, knob.label, weight="bold"))
            y += 8
            continue
        new = "+STARTLINE" in knob.flags if knob._kind in _NEW_LINE_ASKED else "-STARTLINE" not in knob.flags
        if new:
            y, x = y + _ROW, _LEFT
        drawn, x = _knob(knob, x, y, first=new)
        parts.append(drawn)
    height = y + _ROW + 12
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="{_FONT}">\n'
        f'<rect width="{_WIDTH}" height="{height}" fill="#333"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _knob(knob: Any, x: int, y: int, *, first: bool) -> tuple[str, int]:
    """One knob, and where the next on its line begins."""
    kind, label = knob._kind, knob.label
    value = knob._value
    if kind == "26":
        shown = re.sub(r"<.*?>", "", str(value)).strip()
        return (_text(16, y + 19, shown, weight="bold") if shown else _field(x, y, 420, f"({knob.name()})")), x
    if kind == "22":
        width = 16 + 8 * len(label)
        box = f'<rect x="{x}" y="{y + 3}" width="{width}" height="24" rx="3" fill="#5a5a5a" stroke="#222"/>'
        return box + _text(x + width // 2, y + 19, label, anchor="middle"), x + width + 10
    if kind == "6":
        tick = _text(x + 3, y + 19, "✓") if value else ""
        box = f'<rect x="{x}" y="{y + 7}" width="15" height="15" fill="#222" stroke="#777"/>'
        return box + tick + _text(x + 22, y + 19, label), x + 40 + 7 * len(label)
    before = ""
    if first:
        before = _text(x - 10, y + 19, label, anchor="end")
    else:
        before = _text(x + 4, y + 19, label)
        x += 14 + 7 * len(label)
    if kind == "4":
        return before + _field(x, y, 110, f"{value} ▾"), x + 124
    width = {"1": 180, "2": 560, "3": 60, "7": 80}[kind]
    return before + _field(x, y, width, f"{value:g}" if kind == "7" else str(value)), x + width + 14


def _field(x: int, y: int, width: int, value: str) -> str:
    box = f'<rect x="{x}" y="{y + 4}" width="{width}" height="22" fill="#222" stroke="#555"/>'
    return box + _text(x + 6, y + 19, value, fill="#bbb")


def _text(x: int, y: int, text: str, *, anchor: str = "start", weight: str = "normal", fill: str = "#eee") -> str:
    style = f'text-anchor="{anchor}" font-weight="{weight}" fill="{fill}"'
    return f'<text x="{x}" y="{y}" {style}>{escape(text)}</text>'


if __name__ == "__main__":
    PICTURE.write_text(draw(GIZMO.read_text(encoding="utf-8")), encoding="utf-8")
