"""Sheets for people: contact sheets and before-and-after strips, 8-bit sRGB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import OpenImageIO as oiio

from engine import images
from engine.base.arrays import Bytes
from engine.base.errors import ImageError, InputError
from engine.images.foreign_text import readable

__all__ = ["Cell", "Row", "before_after", "compose", "contact_sheet"]

Color = tuple[int, int, int]

_BACKGROUND: Color = (26, 26, 28)
_BRIGHT: Color = (236, 236, 232)
_QUIET: Color = (150, 150, 148)
_ACCENT: Color = (242, 169, 59)
_SUPERSAMPLE = 2


@dataclass(frozen=True, eq=False)
class Cell:
    """One picture of a sheet."""

    rgb: Bytes  # (H, W, 3) uint8 sRGB
    caption: str = ""  # under the picture, at its left: a frame number, say
    note: str = ""  # under the picture, at its right: a measurement, say
    marked: bool = False  # stands out: a keyframe


@dataclass(frozen=True, eq=False)
class Row:
    """One row of a sheet, from left to right."""

    label: str  # above the row
    cells: Sequence[Cell]


def contact_sheet(
    rows: Sequence[Row], path: Path | str, *, title: str = "", footer: str = "", cell_width_px: int = 400
) -> None:
    """Writes :func:`compose` of the same arguments to ``path``.

    Raises:
        InputError: no cells.
        ImageError: a cell is no (H, W, 3) uint8 picture.
        OutputError: the sheet cannot be written.
    """
    sheet = compose(rows, title=title, footer=footer, cell_width_px=cell_width_px)
    images.write(path, sheet.astype(np.float32) / np.float32(255), bit_depth="uint8")


def before_after(
    plate: Bytes,
    painting: Bytes,
    result: Bytes,
    path: Path | str,
    *,
    captions: tuple[str, str, str] = ("Plate", "Painted keyframe", "Result"),
    title: str = "",
    footer: str = "",
    cell_width_px: int = 640,
) -> None:
    """Writes plate, painting and result side by side to ``path``; raises as :func:`contact_sheet`."""
    cells = [Cell(rgb, caption) for rgb, caption in zip((plate, painting, result), captions, strict=True)]
    cells[1] = Cell(painting, captions[1], marked=True)
    contact_sheet([Row("", cells)], path, title=title, footer=footer, cell_width_px=cell_width_px)


def compose(rows: Sequence[Row], *, title: str = "", footer: str = "", cell_width_px: int = 400) -> Bytes:
    """A sheet of all rows, (H, W, 3) uint8.

    Every picture is scaled to one width. Rows may differ in length and pictures in height; they line up at the top.

    Raises:
        InputError: no cells.
        ImageError: a cell is no (H, W, 3) uint8 picture.
    """
    columns = max((len(row.cells) for row in rows), default=0)
    if columns == 0:
        raise InputError("a contact sheet needs at least one picture")
    unit = cell_width_px / 400
    margin, gutter = round(44 * unit), round(18 * unit)
    text, small, large = round(17 * unit), round(16 * unit), round(30 * unit)
    pictures = [[_fitted(cell, cell_width_px) for cell in row.cells] for row in rows]

    width = 2 * margin + columns * cell_width_px + (columns - 1) * gutter
    y = margin
    placed: list[tuple[int, int, str, int, Color]] = []  # x, baseline, text, size, color
    blocks: list[tuple[int, int, Bytes, bool]] = []  # x, y, picture, marked
    if title:
        placed.append((margin, y + round(large * 0.8), title, large, _BRIGHT))
        y += round(large * 1.75)
    for row, fitted in zip(rows, pictures, strict=True):
        if row.label:
            placed.append((margin, y + round(text * 0.85), row.label, text, _BRIGHT))
            y += round(text * 1.7)
        tallest = max((picture.shape[0] for picture in fitted), default=0)
        captioned = any(cell.caption or cell.note for cell in row.cells)
        for column, (cell, picture) in enumerate(zip(row.cells, fitted, strict=True)):
            x = margin + column * (cell_width_px + gutter)
            blocks.append((x, y, picture, cell.marked))
            baseline = y + picture.shape[0] + round(small * 1.55)
            color = _ACCENT if cell.marked else _QUIET
            if cell.caption:
                placed.append((x, baseline, cell.caption, small, color))
            if cell.note:
                placed.append((x + cell_width_px - _text_width(cell.note, small), baseline, cell.note, small, color))
        y += tallest + (round(small * 2.1) if captioned else 0) + round(gutter * 1.4)
    y -= round(gutter * 1.4)
    if footer:
        placed.append((margin, y + round(gutter * 1.6) + small, footer, small, _QUIET))
        y += round(gutter * 1.6) + round(small * 1.3)
    sheet = np.full((y + margin, width, 3), _BACKGROUND, np.uint8)
    rim = max(2, round(3 * unit))
    for x, top, picture, marked in blocks:
        height = picture.shape[0]
        if marked:
            sheet[top - rim : top + height + rim, x - rim : x + cell_width_px + rim] = _ACCENT
        sheet[top : top + height, x : x + cell_width_px] = picture
    for x, baseline, words, size, color in placed:
        _write_text(sheet, x, baseline, words, size, color)
    return sheet


def _fitted(cell: Cell, width_px: int) -> Bytes:
    rgb = cell.rgb
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or not rgb.size:
        raise ImageError(f"a sheet holds (H, W, 3) uint8 pictures, not {rgb.shape} {rgb.dtype}")
    height = max(1, round(rgb.shape[0] * width_px / rgb.shape[1]))
    if (height, width_px) == rgb.shape[:2]:
        return rgb
    shrinking = width_px < rgb.shape[1]
    scaled = cv2.resize(rgb, (width_px, height), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC)
    return np.asarray(scaled, dtype=np.uint8)


def _text_width(words: str, size_px: int) -> int:
    area = oiio.ImageBufAlgo.text_size(readable(words), size_px * _SUPERSAMPLE)
    return -(-int(area.xend) // _SUPERSAMPLE) if area.defined else 0


def _write_text(sheet: Bytes, x: int, baseline: int, words: str, size_px: int, color: Color) -> None:
    """Draws words in OIIO's built-in face, at double size so that small letters keep their weight."""
    left, top = max(0, x - 2), max(0, baseline - 2 * size_px)
    right = min(sheet.shape[1], x + _text_width(words, size_px) + 4)
    bottom = min(sheet.shape[0], baseline + size_px)
    if right <= left or bottom <= top:
        return
    width, height = (right - left) * _SUPERSAMPLE, (bottom - top) * _SUPERSAMPLE
    ink = oiio.ImageBuf(oiio.ImageSpec(width, height, 1, "float"))
    oiio.ImageBufAlgo.zero(ink)
    start = ((x - left) * _SUPERSAMPLE, (baseline - top) * _SUPERSAMPLE)
    # Without FreeType OIIO draws nothing, and the sheet is still worth having.
    if not oiio.ImageBufAlgo.render_text(ink, *start, readable(words), size_px * _SUPERSAMPLE, "", (1.0,)):
        ink.geterror()
        return
    coverage = np.asarray(ink.get_pixels(oiio.FLOAT), np.float32).reshape(height, width)
    coverage = cv2.resize(coverage, (right - left, bottom - top), interpolation=cv2.INTER_AREA)[..., None]
    under = sheet[top:bottom, left:right].astype(np.float32)
    sheet[top:bottom, left:right] = np.rint(under + coverage * (np.asarray(color, np.float32) - under)).astype(np.uint8)
