"""Plain text tables that fit a width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

GAP: Final = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """One column. A ``least`` width says that it may be cut, and how far."""

    title: str
    least: int | None = None
    right: bool = False
    keep_end: bool = False
    """Cut at the front, as paths are."""


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """The lines of a table, header first, without trailing blanks.

    Columns are as wide as their content. When that is more than ``width``, those that may be cut give way, the widest
    first; if nothing more can be cut the table is wider than asked.
    """
    widths = [max(len(text) for text in (column.title, *cells)) for column, cells in _by_column(columns, rows)]
    while sum(widths) + len(GAP) * (len(widths) - 1) > width:
        cuttable = [(widths[at], -at) for at, column in enumerate(columns) if (column.least or widths[at]) < widths[at]]
        if not cuttable:
            break
        widths[-max(cuttable)[1]] -= 1
    lines = [[column.title for column in columns], *rows]
    return [_line(columns, cells, widths) for cells in lines]


def cut(text: str, width: int, *, keep_end: bool = False) -> str:
    """``text`` in at most ``width`` characters, with an ellipsis where something is missing."""
    if len(text) <= width:
        return text
    return "…" + text[len(text) - width + 1 :] if keep_end else text[: width - 1] + "…"


def _by_column(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[tuple[Column, list[str]]]:
    return [(column, [row[at] for row in rows]) for at, column in enumerate(columns)]


def _line(columns: Sequence[Column], cells: Sequence[str], widths: Sequence[int]) -> str:
    shown = []
    for column, cell, width in zip(columns, cells, widths, strict=True):
        text = cut(cell, width, keep_end=column.keep_end)
        shown.append(text.rjust(width) if column.right else text.ljust(width))
    return GAP.join(shown).rstrip()
