"""What two candidates of a vote have in common if they are equal: a *ballot*, which can be counted.

Ballots are equal exactly where the values are, as Python compares values: ``1``, ``1.0`` and ``Decimal(1)`` are one
number, sets and dicts have no order, models and dataclasses are compared by class and fields. Beyond Python's ``==``,
one NaN is as good as another, because an answer that a model gives twice is one answer.

>>> ballot_of({"b": [1, {2, 3}], "a": 4}) == ballot_of({"a": 4.0, "b": [True, {3, 2}]})
True
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Set
from dataclasses import fields, is_dataclass
from numbers import Number
from typing import Any

from pydantic import BaseModel, RootModel


def ballot_of(value: Any) -> Hashable:
    """A hashable object that equals those of equal values; raises what comparing the values raises."""
    if isinstance(value, Number):
        return ("nan",) if value != value else value  # noqa: PLR0124 - that is what a NaN is
    parts = _parts(value)
    if parts is not None:
        return parts
    try:
        hash(value)
    except TypeError:
        return _Unhashable(value)
    return value  # type: ignore[no-any-return]


def _parts(value: Any) -> Hashable | None:  # noqa: PLR0911 - a case each
    """A ballot made of those of the parts, for what is compared part by part; None for anything else."""
    kind: Any = type(value)
    if isinstance(value, (list, tuple)) and kind.__eq__ in (list.__eq__, tuple.__eq__):
        return (list if isinstance(value, list) else tuple, *map(ballot_of, value))
    if isinstance(value, Set):
        return frozenset(map(ballot_of, value))
    if isinstance(value, Mapping):
        return (Mapping, frozenset((ballot_of(key), ballot_of(item)) for key, item in value.items()))
    if isinstance(value, BaseModel) and kind.__eq__ in (BaseModel.__eq__, RootModel.__eq__):
        given = {name: getattr(value, name) for name in kind.model_fields}
        more = (value.__pydantic_extra__ or {}, value.__pydantic_private__ or {})
        return (kind, ballot_of(given), *map(ballot_of, more))
    if is_dataclass(kind) and _compares_fields(kind):
        compared = [ballot_of(getattr(value, each.name)) for each in fields(value) if each.compare]
        return (kind, *compared)
    if hasattr(value, "__array__") and hasattr(value, "tolist") and hasattr(value, "shape"):
        return ("array", tuple(value.shape), ballot_of(value.tolist()))
    return None


def _compares_fields(kind: Any) -> bool:
    """Whether a dataclass has the ``==`` that ``@dataclass`` writes, rather than one of its own."""
    code = getattr(kind.__eq__, "__code__", None)
    return code is not None and code.co_filename.startswith("<")


class _Unhashable:
    """A value that only its own ``==`` can compare."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __hash__(self) -> int:
        return hash(type(self.value))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Unhashable) and bool(self.value == other.value)
