"""Plain text that fits a terminal: tables and wrapped sentences.

A table that is too wide gives up whole columns before it shortens what its rows are called: a column with a ``rank``
is cut to its ``least`` width, or left out where those of lower ranks leave no room even for that, which is said below.

>>> columns = (Column("op"), Column("time"), Column("from", least=5, keep_end=True, rank=1))
>>> print(*table(columns, [["answer", "1.2s", "flow.py:14"]], width=19), sep="\\n")
op      time  from
answer  1.2s  …y:14
>>> print(*table(columns, [["answer", "1.2s", "flow.py:14"]], width=17), sep="\\n")
op      time
answer  1.2s
(from: no room)

Widths are those of terminal cells: a Chinese character takes two, a combining accent none.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

GAP: Final = "  "
PROSE: Final = 100
"""Cells of a line of sentences, where the terminal is wider or there is none."""
_LABEL: Final = re.compile(r"\s*\S+(?: \S+)?  +|\s+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


@dataclass(frozen=True, slots=True)
class Column:
    """One column."""

    title: str
    least: int | None = None
    """The width that it may be cut to; None: it is shown whole."""
    right: bool = False
    keep_end: bool = False
    """Cut at the front, as paths are."""
    rank: int | None = None
    """Columns of low ranks have room first; None: it is what the rows are called, or as important."""


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """The lines of a table, header first, without trailing blanks.

    It is as wide as its content; where that is more than ``width`` cells, columns are cut and left out as said above,
    and at the very last the names are cut too. Without a width nothing is cut.
    """
    lines = [[_one_line(cell) for cell in cells] for cells in ([column.title for column in columns], *rows)]
    widths = [max(map(cells, texts)) for texts in zip(*lines, strict=True)]
    shown = list(range(len(columns)))
    if width is not None:
        shown = _with_room(columns, widths, width)
        _narrow(columns, widths, shown, width)
    found = [GAP.join(_aligned(columns[at], line[at], widths[at]) for at in shown).rstrip() for line in lines]
    missing = [column.title for at, column in enumerate(columns) if at not in shown]
    if missing and width is not None:
        found.append(cut(f"({', '.join(missing)}: no room)", width))
    return found


def cells(text: str) -> int:
    """How many cells of a terminal ``text`` takes."""
    return len(text) if text.isascii() else sum(map(_cell, text))


def cut(text: str, width: int, *, keep_end: bool = False) -> str:
    """``text`` in at most ``width`` cells, with an ellipsis where something is missing."""
    if cells(text) <= width:
        return text
    kept = ""
    for character in reversed(text) if keep_end else text:
        longer = character + kept if keep_end else kept + character
        if cells(longer) > width - 1:
            break
        kept = longer
    return ("…" + kept if keep_end else kept + "…") if width > 0 else ""


def wrap(text: str, width: int | None, first: str = "", rest: str = "") -> Iterator[str]:
    """The lines of a sentence, the first one after ``first`` and the others after ``rest``.

    They are as long as the terminal allows, :data:`PROSE` cells at the most; only a word that no line of the terminal
    could hold is broken.
    """
    most = PROSE if width is None else min(width, PROSE)
    line, empty = first, True
    for word in _one_line(text).split():
        if not empty and cells(line) + 1 + cells(word) > most:
            yield line
            line, empty = rest, True
        line += word if empty else f" {word}"
        empty = False
        while width is not None and cells(line) > most > cells(rest) + 1:
            head = cut(line, most + 1)[:-1]
            yield head
            line = rest + line[len(head) :]
    yield line.rstrip()


def fitted(line: str, width: int | None) -> Iterator[str]:
    """A line as it is, or on several where the terminal is narrower; what follows a label stays beside it.

    >>> print(*fitted("total      2.4s, and a p95 of 9s", width=24), sep="\\n")
    total      2.4s, and a
               p95 of 9s
    """
    if width is None or cells(line) <= width:
        yield line
        return
    label = _LABEL.match(line)
    head = label[0] if label and len(label[0]) < width // 2 else ""
    yield from wrap(line[len(head) :], width, head, " " * len(head))


def _cell(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _one_line(text: str) -> str:
    return _CONTROL.sub(" ", text)


def _with_room(columns: Sequence[Column], widths: Sequence[int], width: int) -> list[int]:
    """The columns that are shown: those without a rank, and the others, lowest ranks first, that have room when cut."""
    least = [
        natural if column.rank is None or column.least is None else min(natural, column.least)
        for column, natural in zip(columns, widths, strict=True)
    ]
    shown = [at for at, column in enumerate(columns) if column.rank is None]
    for rank in sorted({column.rank for column in columns if column.rank is not None}):
        more = [at for at, column in enumerate(columns) if at in shown or column.rank == rank]
        if _total(least, more) <= width:
            shown = more
    return shown


def _narrow(columns: Sequence[Column], widths: list[int], shown: Sequence[int], width: int) -> None:
    """Cut columns with a rank to what they can do with, then the others, the widest first; no figure is cut short."""
    for ranked in (True, False):
        while _total(widths, shown) > width:
            cuttable = [
                (widths[at], -at)
                for at in shown
                if (columns[at].rank is not None) is ranked and (columns[at].least or widths[at]) < widths[at]
            ]
            if not cuttable:
                break
            widths[-max(cuttable)[1]] -= 1


def _total(widths: Sequence[int], shown: Sequence[int]) -> int:
    return sum(widths[at] for at in shown) + len(GAP) * (len(shown) - 1)


def _aligned(column: Column, text: str, width: int) -> str:
    text = cut(text, width, keep_end=column.keep_end)
    blanks = " " * (width - cells(text))
    return blanks + text if column.right else text + blanks
