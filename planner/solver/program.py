"""A mixed-integer linear program as sparse rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

INF: Final = math.inf
Terms = list[tuple[int, float]]
"""Column and coefficient."""


@dataclass
class Program:
    """Minimise ``cost @ x`` over ``lower <= x <= upper`` and the rows."""

    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    cost: list[float] = field(default_factory=list)
    integer: list[bool] = field(default_factory=list)
    row_lower: list[float] = field(default_factory=list)
    row_upper: list[float] = field(default_factory=list)
    starts: list[int] = field(default_factory=lambda: [0])
    columns: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def column(self, lower: float = 0.0, upper: float = INF, *, integer: bool = False) -> int:
        """A new variable; its position."""
        self.lower.append(lower)
        self.upper.append(upper)
        self.cost.append(0.0)
        self.integer.append(integer)
        return len(self.lower) - 1

    def row(self, terms: Terms, lower: float = -INF, upper: float = INF) -> None:
        """``lower <= sum of terms <= upper``; each column at most once."""
        kept = [(column, value) for column, value in terms if value != 0.0]
        self.columns += [column for column, _ in kept]
        self.values += [value for _, value in kept]
        self.starts.append(len(self.columns))
        self.row_lower.append(lower)
        self.row_upper.append(upper)

    def worth(self, values: Sequence[float]) -> float:
        """The cost of a point."""
        return float(np.dot(self.cost, values))

    def violation(self, values: Sequence[float]) -> float:
        """By how much, at most, a point breaks a bound, a row or integrality; relative to the largest term above 1."""
        x, integer = np.array(values), np.array(self.integer, dtype=bool)
        width = np.maximum(1.0, np.abs(x))
        columns = [(np.array(self.lower) - x) / width, (x - np.array(self.upper)) / width]
        columns.append(np.where(integer, np.abs(x - np.round(x)), 0.0))
        terms = np.array(self.values) * x[np.array(self.columns, dtype=np.intp)]
        rows = np.repeat(np.arange(len(self.row_lower)), np.diff(self.starts))
        sums = np.bincount(rows, weights=terms, minlength=len(self.row_lower))
        size = np.ones(len(self.row_lower))
        np.maximum.at(size, rows, np.abs(terms))
        over = [(np.array(self.row_lower) - sums) / size, (sums - np.array(self.row_upper)) / size]
        return float(max((each.max(initial=0.0) for each in (*columns, *over)), default=0.0))
