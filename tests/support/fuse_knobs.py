"""The Fuse's knobs in both modes, from its own text, for docs/resolve.md: ``python -m tests.support.fuse_knobs``."""

from __future__ import annotations

from html import escape

from tests.support import ROOT
from tests.support.fusion_model import Fuse

__all__ = ["PICTURE", "draw"]

PICTURE = ROOT / "docs" / "images" / "resolve-knobs.svg"

_WIDTH, _ROW, _LABEL, _TOP = 460, 30, 220, 44
_CONTROLS = {"ComboControl": "▾", "FileControl": "…", "SliderControl": "", "TextEditControl": ""}


def draw() -> str:
    """The SVG: one column a mode, each knob as the host would show it, with its default."""
    fuse = Fuse(ROOT / "resolve_fuse" / "Paintover.fuse")
    columns = []
    rows = 0
    for mode in (0, 1):
        fuse.set(Mode=mode)
        shown = [(name, label) for name, label in fuse.knobs() if _visible(fuse, name)]
        rows = max(rows, len(shown))
        parts = [f'<text x="14" y="27" font-weight="bold">Paintover, {("cache", "live")[mode]} mode</text>']
        for row, (name, label) in enumerate(shown):
            parts += _knob(fuse, name, label, _TOP + row * _ROW, mode)
        columns.append(f'<g transform="translate({mode * (_WIDTH + 12)} 0)">{"".join(parts)}</g>')
    width, height = 2 * _WIDTH + 12, _TOP + rows * _ROW + 10
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="13" fill="#d0d0d4">'
        f'<rect width="{width}" height="{height}" fill="#28282e"/>{"".join(columns)}</svg>\n'
    )


def _visible(fuse: Fuse, name: str) -> bool:
    if fuse.attribute(name, "LINKID_DataType") == "Image":
        return False
    return fuse.attribute(name, "IC_Visible") is not False


def _knob(fuse: Fuse, name: str, label: str, y: int, mode: int) -> list[str]:
    attrs = fuse.lua.globals()["inputs"][name]["attrs"]
    value = attrs["INPS_DefaultText"] if attrs["LINKID_DataType"] == "Text" else str(attrs["INP_Default"])
    if attrs["INPID_InputControl"] == "ComboControl":
        value = attrs[mode + 1]["CCS_AddString"]
    mark = _CONTROLS[attrs["INPID_InputControl"]]
    box = _WIDTH - _LABEL - 14
    return [
        f'<text x="{_LABEL - 10}" y="{y + 19}" text-anchor="end">{escape(label)}</text>',
        f'<rect x="{_LABEL}" y="{y + 3}" width="{box}" height="23" rx="3" fill="#1b1b1f" stroke="#55555e"/>',
        f'<text x="{_LABEL + 8}" y="{y + 19}">{escape(value or "")}</text>',
        f'<text x="{_LABEL + box - 18}" y="{y + 19}">{mark}</text>',
    ]


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
    print(PICTURE)
