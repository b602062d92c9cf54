"""The page that shows a run of the benchmark of sequences: Markdown with its tables and a sheet of each family."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from engine.base.arrays import Bytes, Floats
from engine.base.temporaries import replacing
from engine.bench.families import FAMILIES
from engine.bench.methods import Case
from engine.bench.table import Table, TableRow
from engine.bench.timing import Samples
from engine.review import sheets

__all__ = ["write_page"]

_CELL_WIDTH_PX = 416


def write_page(
    folder: Path,
    tables: Sequence[Table],
    cases: Sequence[Case],
    methods: Sequence[str],
    distance: Callable[[str, str], float],
) -> None:
    """Write ``README.md`` and a JPEG for each case.

    Args:
        folder: where to; created.
        tables: of the whole run.
        cases: one shot of each family, with the frames of every method.
        methods: rows of the sheets, from top to bottom, under plate and truth.
        distance: of a method on a family's shot.

    Raises:
        OutputError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["# Benchmark of sequences", ""]
    for table in tables:
        lines += [f"## {table.title}", "", *_markdown(table), ""]
        lines += [f"- {note}" for note in table.notes]
        lines += [""] if table.notes else []
    lines += ["## Pictures", "", "First seed. Every method sees the plate and the painting of the keyframe.", ""]
    for case in cases:
        family = case.name.rpartition("-")[0]
        _sheet(case, methods, folder / f"{family}.jpg", lambda method, family=family: distance(method, family))  # type: ignore[misc]
        lines += [f"### {family}: {FAMILIES[family].hard}", "", f"![{family}]({family}.jpg)", ""]
    with replacing(folder / "README.md") as temporary:
        temporary.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def _sheet(case: Case, methods: Sequence[str], path: Path, distance: Callable[[str], float]) -> None:
    key, shown = case.keys[0], case.scored[::2]
    rows = []
    for label, kind in (("plate", "plate"), ("truth", "painted")):
        cells = [sheets.Cell(_pixels(case.read(kind, key)), f"{key}, keyframe", marked=True)]
        cells += [sheets.Cell(_pixels(case.read(kind, frame)), str(frame)) for frame in shown]
        rows.append(sheets.Row(label, cells))
    for method in methods:
        # Under the keyframe's column there is nothing to judge, so the truth stands there to compare with.
        cells = [sheets.Cell(_pixels(case.read("painted", shown[-1])), f"truth of {shown[-1]}", marked=True)]
        cells += [sheets.Cell(_pixels(case.picture(method, frame)), str(frame)) for frame in shown]
        rows.append(sheets.Row(f"{method}: distance {distance(method):.3f}", cells))
    sheets.contact_sheet(rows, path, title=case.name, cell_width_px=_CELL_WIDTH_PX)


def _pixels(rgb: Floats) -> Bytes:
    return np.asarray(np.rint(np.clip(rgb, 0, 1) * 255), np.uint8)


def _markdown(table: Table) -> list[str]:
    columns = list(dict.fromkeys(name for row in table.rows for name in row.cells))
    judged = any(row.need for row in table.rows)
    head = ["", *columns, *(["needed", ""] if judged else [])]
    lines = [_line(head), _line(["---"] * len(head))]
    for row in table.rows:
        line = [row.name, *(_text(row, column) for column in columns)]
        if judged:
            line += ["", ""] if row.need is None else [str(row.need), row.verdict()]
        lines.append(_line(line))
    return lines


def _text(row: TableRow, column: str) -> str:
    cell = row.cells.get(column, "")
    return f"{cell:.3f}" if isinstance(cell, float) and not isinstance(cell, Samples) else str(cell)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
