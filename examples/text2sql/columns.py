"""The type of a CSV column: a number only where no cell loses a character that may matter.

Leading zeros (``00501``), digits beyond 64 bits, exponents without a point (``12e4``), long numbers with a plus (a
telephone's) and digits of other scripts mark codes: the column stays text, exactly as it is written. So do zeros at
the end (``1.10``), where cells have different numbers of decimals, as versions have and prices have not, or where the
last word of the column's name says that it holds codes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

Cell: TypeAlias = str | int | float | None

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_COMMA = re.compile(r"[+-]?([0-9]+|[0-9]{1,3}(\.[0-9]{3})+)(,[0-9]+)?")
_CODE = re.compile(r"[+-]?0[0-9]|\+[0-9]{7}")
_ENDS_IN_ZERO = re.compile(r"[+-]?[0-9]*\.([0-9]*[1-9]0+|00+)")
"""A fraction that is shorter as a number; not ``3.0``, which is how programs write a number that is whole."""
_OF_CODES = re.compile(
    r"(^|_)(id|code|key|version|ver|release|build|revision|sku|no|section|chapter)s?(_(number|num|nr|[0-9]+))?$"
)
"""The last word of a name says what the cells are: ``code_coverage`` is no code, ``version_number`` a version."""
_LARGEST = 2**63
_EXACT_DIGITS = 15
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class Column:
    """A column's SQL type and its cells; empty ones are NULL."""

    kind: str
    cells: list[Cell]
    note: str = ""
    """What was decided for the user."""


def column(values: Sequence[str], name: str = "") -> Column:
    """The column of these cells, whose ``name`` is as it is in SQL."""
    given = [value for value in values if value]
    if not given or any(_CODE.match(value) for value in given):
        return _text(values)
    if all(_INTEGER.fullmatch(value) and -_LARGEST <= int(value) < _LARGEST for value in given):
        return Column("INTEGER", [int(value) if value else None for value in values])
    if all(_REAL.fullmatch(value) for value in given):
        return _with_points(values, given, name)
    if any("," in value for value in given) and all(_COMMA.fullmatch(value) for value in given):
        return _with_commas(values, given)
    return _text(values)


def _with_points(values: Sequence[str], given: Sequence[str], name: str) -> Column:
    if _are_versions(given, name):
        return Column("TEXT", _text(values).cells, "kept as text, since numbers would lose zeros at the end")
    is_number = any("." in value or re.search("[eE][+-]", value) for value in given)
    if is_number and all(_fits(value) for value in given):
        return Column("REAL", [float(value) if value else None for value in values])
    return _text(values)


def _with_commas(values: Sequence[str], given: Sequence[str]) -> Column:
    """``2,5`` is a number; ``1,234`` may be one with a decimal comma or one thousand and more."""
    if all(re.fullmatch(r"[+-]?[0-9]{1,3},[0-9]{3}", value) for value in given if "," in value):
        return Column("TEXT", _text(values).cells, "kept as text, since its commas may stand for decimals or thousands")
    numbers = [value.replace(".", "").replace(",", ".") for value in values]
    if not all(_fits(value) for value in numbers if value):
        return Column("TEXT", _text(values).cells, "kept as text, since a number would lose digits")
    return Column("REAL", [float(value) if value else None for value in numbers], "read with decimal commas")


def _are_versions(values: Sequence[str], name: str) -> bool:
    """Whether ``1.10`` may be another thing than ``1.1``."""
    if not any(_ENDS_IN_ZERO.fullmatch(value) for value in values):
        return False
    decimals = {len(value.partition(".")[2]) for value in values if "." in value}
    return len(decimals) > 1 or bool(_OF_CODES.search(name))


def _fits(value: str) -> bool:
    """Whether a double holds it: a number of many digits before the point would lose its last ones."""
    whole, point, _ = value.lstrip("+-").partition(".")
    if point:
        is_exact = len(whole) <= _EXACT_DIGITS
    else:
        is_exact = not whole.isdigit() or (len(whole) <= _LONGEST and int(float(whole)) == int(whole))
    return is_exact and math.isfinite(float(value))


def _text(values: Sequence[str]) -> Column:
    return Column("TEXT", [value or None for value in values])
