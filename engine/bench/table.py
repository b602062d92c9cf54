"""Tables of a part's results, as text and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.bench.timing import Samples

__all__ = ["Cell", "Need", "Table", "TableRow"]

Cell = Samples | float | str


@dataclass(frozen=True)
class Need:
    """What a figure must reach."""

    column: str
    """Name of the cell that is judged."""
    limit: float
    at_least: bool
    """Whether the limit is a lower one."""

    def met_by(self, cell: Cell) -> bool:
        """Whether the cell, or its median, reaches the limit."""
        value = cell.median if isinstance(cell, Samples) else cell
        if isinstance(value, str):
            return False
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit:g}"


@dataclass(frozen=True)
class TableRow:
    """One line of a table."""

    name: str
    cells: Mapping[str, Cell]
    """By column; a column's name carries its unit."""
    need: Need | None = None

    def verdict(self) -> str:
        """Whether the need is met; empty where there is none."""
        if self.need is None or self.need.column not in self.cells:
            return ""
        return "met" if self.need.met_by(self.cells[self.need.column]) else "NOT MET"


@dataclass(frozen=True)
class Table:
    """Results of one part."""

    title: str
    rows: tuple[TableRow, ...]
    notes: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, object]:
        """Everything in the table; keys are names of columns."""
        rows = []
        for row in self.rows:
            cells = {name: cell.to_json() if isinstance(cell, Samples) else cell for name, cell in row.cells.items()}
            need = None if row.need is None else {"column": row.need.column, "limit": str(row.need)}
            rows.append({"name": row.name, "cells": cells, "need": need, "verdict": row.verdict()})
        return {"title": self.title, "rows": rows, "notes": list(self.notes)}

    def __str__(self) -> str:
        columns = list(dict.fromkeys(name for row in self.rows for name in row.cells))
        judged = any(row.need for row in self.rows)
        lines = [["", *columns, *(["needed"] if judged else [])]]
        for row in self.rows:
            line = [row.name, *(_text(row.cells.get(name, "-")) for name in columns)]
            if judged:
                line.append(
                    "" if row.need is None else f"{row.need.column} {row.need}: {row.verdict() or 'not measured'}"
                )
            lines.append(line)
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        body = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        ]
        return "\n".join([self.title, *body, *(f"  {note}" for note in self.notes)])


def _text(cell: Cell) -> str:
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)
