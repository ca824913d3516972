"""Python objects known while tracing, as constants of the workflow: their type and their JSON form."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import reduce
from pathlib import Path, PurePath
from typing import Any, Literal, Never
from uuid import UUID

from orchestrator.dsl.tracing.template import has_marker
from orchestrator.dsl.tracing.tracer import Value
from orchestrator.dsl.types.typing import (
    TypeForm,
    assignable,
    decodable,
    dict_of,
    fields_of,
    join,
    list_of,
    plain,
    required_keys,
    tuple_of,
    typed_items,
    union,
)

_SCALARS = (bool, int, float, str)
_VALUES = (Enum, date, time, timedelta, UUID, Decimal)
"""Classes whose objects JSON says completely, as text or number."""
_LONGEST_SHOWN = 80
MOST_LEVELS = 100
"""So many lists and dicts may be in each other; readers of JSON stop at some hundreds."""


def endless(obj: object, around: tuple[int, ...] = ()) -> str | None:
    """Why lists, tuples and dicts in each other are too many levels to be written down; None if they are not."""
    if not isinstance(obj, (list, tuple, dict)):
        return None
    if id(obj) in around:
        return "holds itself"
    if len(around) == MOST_LEVELS:
        return f"is nested deeper than {MOST_LEVELS} levels"
    members = obj.values() if isinstance(obj, dict) else obj
    return next((found for each in members if (found := endless(each, (*around, id(obj))))), None)


def is_symbolic(obj: object) -> bool:
    """Whether a value or a marker occurs in ``obj``, looking into lists, tuples and dicts, once into each."""
    todo, seen = [obj], set[int]()
    while todo:
        each = todo.pop()
        if isinstance(each, Value) or (isinstance(each, str) and has_marker(each)):
            return True
        if isinstance(each, (list, tuple, dict)) and id(each) not in seen:
            seen.add(id(each))
            todo += [*each, *each.values()] if isinstance(each, dict) else each
    return False


def constant_type(obj: object, expected: TypeForm = Any) -> TypeForm | None:  # noqa: PLR0911 - a case each
    """The type of a constant, or None if it cannot be one.

    A scalar whose literal type is ``expected`` has that type: ``"yes"`` is a ``Literal["yes", "no"]`` where one is
    wanted. An empty list is a list of anything: ``list[Never]``.
    """
    if obj is None:
        return type(None)
    if isinstance(obj, _SCALARS):
        if expected is not Any and not isinstance(obj, float) and assignable(Literal[obj], expected):
            return type(obj) if assignable(type(obj), expected) else expected
        return type(obj)
    wanted = typed_items(expected) or {}
    members = list(obj.values()) if isinstance(obj, dict) else list(obj) if isinstance(obj, (list, tuple)) else []
    keys: list[Any] = list(obj) if isinstance(obj, dict) else [None] * len(members)
    types = [constant_type(member, wanted.get(key, Any)) for key, member in zip(keys, members, strict=True)]
    if any(member is None for member in types):
        return None
    if isinstance(obj, tuple):
        return type(obj) if hasattr(obj, "_fields") else tuple_of(types)
    if isinstance(obj, list):
        return list_of(joined(types))
    if isinstance(obj, dict):
        if fits_typed_dict(dict(zip(obj, types, strict=True)), expected):
            return expected
        return dict_of(joined(types)) if all(isinstance(key, str) for key in obj) else None
    if isinstance(obj, PurePath):
        return Path
    return type(obj) if isinstance(obj, _VALUES) or fields_of(type(obj)) is not None or is_dataclass(obj) else None


def fits_typed_dict(types: Mapping[str, TypeForm], expected: TypeForm) -> bool:
    """Whether a dict with values of these types is one of the ``TypedDict`` class ``expected``."""
    wanted = typed_items(expected)
    if wanted is None or not types.keys() <= wanted.keys() or not required_keys(plain(expected)) <= types.keys():
        return False
    return all(assignable(tp, wanted[key]) for key, tp in types.items())


def joined(types: list[TypeForm]) -> TypeForm:
    """One type for the items of a list; ``Never`` if there are none."""
    return reduce(lambda a, b: join(a, b) or union(a, b), types) if types else Never


class LossyConstantError(ValueError):
    """A constant that is another object once it has been written as JSON and read again."""


def constant_json(obj: object, tp: TypeForm) -> str:
    """The JSON text of a constant of type ``tp``; raises :class:`LossyConstantError` if it does not say all of it."""
    if obj is None or type(obj) in _SCALARS:
        try:
            return json.dumps(obj, ensure_ascii=False)
        except ValueError as error:  # an integer of too many digits
            raise LossyConstantError(str(error)) from error
    if (lost := _unsaid(obj)) is not None:
        raise LossyConstantError(lost)
    from pydantic import TypeAdapter
    from pydantic_core import to_json

    try:
        text = to_json(obj).decode()
        if not _is_plain(obj):
            again = TypeAdapter(decodable(tp)).validate_json(text)
            if again != obj and repr(again) != repr(obj):
                raise LossyConstantError(f"read again, it is {shown(again)}")
    except LossyConstantError:
        raise
    except Exception as error:  # pydantic raises several kinds, and so may its hooks in the user's classes
        raise LossyConstantError(str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    return text


def _unsaid(obj: object, *, declared: bool = False) -> str | None:
    """What JSON does not say of an object that is equal to what is read again.

    What a class declares of its fields is known where they are read again.
    """
    if isinstance(obj, (list, tuple, dict)):
        if hasattr(type(obj), "__missing__") and not declared:
            return f"a {type(obj).__qualname__} also answers for keys that it does not have"
        members: Iterable[object] = obj.values() if isinstance(obj, dict) else obj
        return next((lost for each in members if (lost := _unsaid(each, declared=declared)) is not None), None)
    if (fields := fields_of(type(obj))) is not None:
        held = (getattr(obj, name, None) for name in fields)
        return next((lost for each in held if (lost := _unsaid(each, declared=True)) is not None), None)
    if isinstance(obj, (datetime, time)) and obj.fold:
        return "`fold` would be lost"
    if isinstance(obj, (datetime, time)) and obj.tzinfo is not None and obj.tzinfo.utcoffset(None) is None:
        return "its zone would become the offset that it has then"
    return None


def _is_plain(obj: object) -> bool:
    """Whether JSON has the same kinds of values."""
    if type(obj) in (list, tuple):
        return all(map(_is_plain, obj))  # type: ignore[call-overload]
    if type(obj) is dict:
        return all(map(_is_plain, obj.values()))
    return obj is None or type(obj) in _SCALARS


def shown(obj: object) -> str:
    """A Python object in a message, cut where it is long."""
    plain = type(obj).__repr__ in (object.__repr__, type(shown).__repr__)
    try:
        text = describe(obj) if plain else repr(obj)
    except RecursionError:
        text = describe(obj)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def named(obj: object) -> str:
    """How a message names a Python object that is, or contains, a symbolic value."""
    return f"`{obj._origin.name}`" if isinstance(obj, Value) else f"a {type(obj).__qualname__} with a symbolic value"


def culprit(obj: object) -> object:
    """What in ``obj``, of which :func:`constant_type` knows no type, is the reason."""
    members = obj.values() if isinstance(obj, dict) else obj if isinstance(obj, (list, tuple)) else ()
    return next((culprit(member) for member in members if constant_type(member) is None), obj)


def remedy(obj: object) -> str:
    """What to do about a Python object that cannot be a constant."""
    if isinstance(obj, dict):
        return "write its keys as texts, or build the dict in a tool"
    if isinstance(obj, Iterable) and not isinstance(obj, (str, bytes, type, Enum)):
        return "pass a list of its items, list(...), or build it in a tool"
    return "pass a JSON type, a date, a pydantic model or a dataclass; load anything else inside a tool"


def describe(obj: object) -> str:
    """How a message names a Python object that cannot be a constant."""
    if isinstance(obj, type):
        return f"the class `{obj.__qualname__}`"
    if isinstance(obj, dict) and not all(isinstance(key, str) for key in obj):
        return "a dict whose keys are not all texts"
    if isinstance(obj, Callable) and hasattr(obj, "__name__"):  # type: ignore[arg-type]
        return f"the function `{obj.__name__}`"
    name = type(obj).__qualname__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
