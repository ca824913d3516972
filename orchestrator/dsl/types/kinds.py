"""What kind of thing a type describes: a text, a set, a dict, or something with items."""

from __future__ import annotations

import collections.abc
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from enum import Enum
from typing import Any, Final, Never, get_args

from orchestrator.dsl.types.typing import (
    UNIONS,
    TypeForm,
    element_type,
    literals_of,
    origin_of,
    plain,
    typed_items,
    union,
)

_ORDERED: Final = (list, tuple, bytes, collections.abc.Sequence)


MUTATORS: Final = frozenset(
    {"append", "extend", "insert", "pop", "remove", "clear", "sort", "reverse", "add", "discard", "update"}
    | {"setdefault", "popitem", "appendleft", "popleft", "extendleft", "difference_update", "intersection_update"}
    | {"symmetric_difference_update"}
)  # fmt: skip
"""Methods that change their object."""


_PARTS: Final[Mapping[type, tuple[str, ...]]] = {
    datetime: ("year", "month", "day", "hour", "minute", "second", "microsecond"),
    date: ("year", "month", "day"),
    time: ("hour", "minute", "second", "microsecond"),
    timedelta: ("days", "seconds", "microseconds"),
}
"""Attributes of dates and times, which are all ints."""


def attribute_type(tp: TypeForm, name: str) -> TypeForm | None:
    """The type of an attribute of a date, a time or a member of an enumeration; None if it has none of that name."""
    cls = class_of(tp) or object
    if issubclass(cls, Enum) and name in ("name", "value") and len(cls):
        return str if name == "name" else union(*{type(each.value): None for each in cls})
    return int if any(issubclass(cls, base) and name in parts for base, parts in _PARTS.items()) else None


def class_of(tp: TypeForm) -> type | None:
    """The class of the values of a type; None where there are several, or it is not known."""
    values = literals_of(tp)
    if values is not None:
        classes = {type(value) for value in values}
        return classes.pop() if len(classes) == 1 else None
    tp = plain(tp)
    if origin_of(tp) in UNIONS:
        classes = {each for member in get_args(tp) if (each := class_of(member)) is not None}
        return classes.pop() if len(classes) == 1 and all(map(class_of, get_args(tp))) else None
    cls = dict if typed_items(tp) is not None else origin_of(tp) or tp
    return cls if isinstance(cls, type) and cls is not object else None


def is_text(tp: TypeForm) -> bool:
    """Whether every value of the type is a string."""
    return issubclass(class_of(tp) or object, str)


def is_set(tp: TypeForm) -> bool:
    """Whether every value of the type is a set."""
    return issubclass(class_of(tp) or object, collections.abc.Set)


def key_and_value(tp: TypeForm) -> tuple[TypeForm, TypeForm] | None:
    """The types of the keys and values of a dict; None for any other type."""
    tp = plain(tp)
    if (typed := typed_items(tp)) is not None:
        return str, union(*typed.values()) if typed else Never
    origin = origin_of(tp) or tp
    if not (isinstance(origin, type) and issubclass(origin, collections.abc.Mapping)):
        return None
    key, value = get_args(tp) or (Any, Any)
    return key, value


def items_of(tp: TypeForm, *, in_order: bool = False) -> TypeForm | None:
    """What iterating over a value of the type gives; None if nothing can be iterated over, or not in a known order."""
    tp = plain(tp)
    if origin_of(tp) in UNIONS:
        each = [items_of(member, in_order=in_order) for member in get_args(tp)]
        return None if any(item is None for item in each) else union(*each)
    if tp is Any:
        return Any
    if is_text(tp):
        return str
    cls = class_of(tp) or object
    if issubclass(cls, bytes):
        return int
    if (pair := key_and_value(tp)) is not None:
        return pair[0]
    return None if in_order and not issubclass(cls, _ORDERED) else element_type(tp)
