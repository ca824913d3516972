"""Decimals out of JSON, with every digit that stands there: a float on the way would lose some.

>>> from decimal import Decimal
>>> from pydantic import TypeAdapter
>>> TypeAdapter(list[Decimal]).validate_python(with_digits("[1.10, 12345678901234567890.12]"))
[Decimal('1.10'), Decimal('12345678901234567890.12')]
"""

from __future__ import annotations

import json
from typing import Any, Final
from weakref import WeakKeyDictionary

from pydantic import TypeAdapter

_NO_TYPES: Final = frozenset({"default", "metadata", "serialization"})
"""These keys of a pydantic schema hold no types: values in there are the user's."""
_KNOWN: Final[WeakKeyDictionary[TypeAdapter[Any], bool]] = WeakKeyDictionary()
"""What :func:`takes_decimals` found; it keeps nobody's types."""


class Written(float):
    """A number of JSON whose text pydantic's ``Decimal`` reads, and which pydantic's ``float`` makes a float; where it
    takes anything, :func:`~orchestrator.runtime.values.by_value.by_value` does."""

    _text: str

    def __new__(cls, text: str) -> Written:
        """The number that ``text`` writes."""
        number = super().__new__(cls, text)
        number._text = text
        return number

    def __str__(self) -> str:
        return self._text

    def __reduce__(self) -> tuple[type[float], tuple[float]]:
        return float, (float(self),)


def with_digits(text: str) -> Any:
    """``json.loads`` whose floats know how they were written; raises what that does."""
    return json.loads(text, parse_float=Written)


def takes_decimals(adapter: TypeAdapter[Any]) -> bool:
    """Whether digits of a number in JSON may matter to a type that a float does not hold: it has a ``Decimal``."""
    found = _KNOWN.get(adapter)
    if found is None:
        found = _KNOWN[adapter] = _has_decimal(adapter.core_schema)
    return found


def _has_decimal(core_schema: object) -> bool:
    stack = [core_schema]
    while stack:
        schema = stack.pop()
        if isinstance(schema, dict):
            if schema.get("type") == "decimal":
                return True
            stack += [each for key, each in schema.items() if key not in _NO_TYPES]
        elif isinstance(schema, (list, tuple)):
            stack += schema
    return False
