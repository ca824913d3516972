"""Values that nobody can change and that hold nothing else: each has a text of its own, equal in every process."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import date, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

from orchestrator.dsl.code_hash.canonical import constant

_CONSTANTS: Final = frozenset({type(None), bool, int, float, complex, str, bytes, type(Ellipsis), type(NotImplemented)})
_PRINTED: Final = frozenset({Decimal, Fraction, UUID, date, time, timedelta, timezone, range, slice})
"""What ``repr`` tells apart."""


def atom(value: Any) -> str | None:
    """The text of such a value; None of any other. A path that is absolute is none, as it is one machine's."""
    kind = type(value)
    if kind in _CONSTANTS:
        return constant(value)
    if kind in _PRINTED or issubclass(kind, date):
        return f"{kind.__name__} {value!a}"
    if issubclass(kind, PurePath) and not value.is_absolute():
        return f"path {value.as_posix()!a}"
    return f"pattern {value.pattern!a} {value.flags}" if kind is re.Pattern else None


def atoms(values: Collection[object]) -> list[str] | None:
    """The texts of all of them; None where one has none. A table may have very many."""
    return [constant(each) for each in values] if _CONSTANTS.issuperset(map(type, values)) else None
