"""Decimals out of JSON, with every digit that stands there: a float on the way would lose some.

>>> from decimal import Decimal
>>> from pydantic import TypeAdapter
>>> TypeAdapter(list[Decimal]).validate_python(with_digits("[1.10, 12345678901234567890.12]"))
[Decimal('1.10'), Decimal('12345678901234567890.12')]
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, Final

from pydantic import TypeAdapter

_NO_TYPES: Final = frozenset({"default", "metadata", "serialization"})
"""Of a pydantic schema: values in there are the user's."""


class Written(float):
    """A number of JSON that is a float for everybody but pydantic's ``Decimal``, which reads its text."""

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


@lru_cache(maxsize=4096)
def takes_decimals(adapter: TypeAdapter[Any]) -> bool:
    """Whether digits of a number in JSON may matter to a type that a float does not hold: it has a ``Decimal``."""
    stack: list[object] = [adapter.core_schema]
    while stack:
        schema = stack.pop()
        if isinstance(schema, dict):
            if schema.get("type") == "decimal":
                return True
            stack += [each for key, each in schema.items() if key not in _NO_TYPES]
        elif isinstance(schema, (list, tuple)):
            stack += schema
    return False
