"""Python objects known while tracing, as constants of the workflow: their type and their JSON form."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from functools import reduce
from typing import Any, Literal, Never

from orchestrator.dsl.template import has_marker
from orchestrator.dsl.typing import (
    TypeForm,
    assignable,
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
from orchestrator.dsl.value import Value

_SCALARS = (bool, int, float, str)
_LONGEST_SHOWN = 80


def is_symbolic(obj: object) -> bool:
    """Whether a value or a marker occurs in ``obj``, looking into lists, tuples and dicts."""
    if isinstance(obj, str):
        return has_marker(obj)
    if isinstance(obj, (list, tuple)):
        return any(map(is_symbolic, obj))
    if isinstance(obj, dict):
        return any(map(is_symbolic, obj.values()))
    return isinstance(obj, Value)


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
    return type(obj) if fields_of(type(obj)) is not None or is_dataclass(obj) else None


def fits_typed_dict(types: Mapping[str, TypeForm], expected: TypeForm) -> bool:
    """Whether a dict with values of these types is one of the ``TypedDict`` class ``expected``."""
    wanted = typed_items(expected)
    if wanted is None or not types.keys() <= wanted.keys() or not required_keys(plain(expected)) <= types.keys():
        return False
    return all(assignable(tp, wanted[key]) for key, tp in types.items())


def joined(types: list[TypeForm]) -> TypeForm:
    """One type for the items of a list; ``Never`` if there are none."""
    return reduce(lambda a, b: join(a, b) or union(a, b), types) if types else Never


def constant_json(obj: object) -> str:
    """The JSON text of a constant."""
    if obj is None or isinstance(obj, _SCALARS):
        return json.dumps(obj, ensure_ascii=False)
    from pydantic_core import to_json

    return to_json(obj).decode()


def shown(obj: object) -> str:
    """A Python object in a message, cut where it is long."""
    plain = type(obj).__repr__ in (object.__repr__, type(shown).__repr__)
    text = describe(obj) if plain else repr(obj)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def named(obj: object) -> str:
    """How a message names a Python object that is, or contains, a symbolic value."""
    return f"`{obj._origin.name}`" if isinstance(obj, Value) else f"a {type(obj).__qualname__} with a symbolic value"


def describe(obj: object) -> str:
    """How a message names a Python object that cannot be a constant."""
    if isinstance(obj, Callable) and hasattr(obj, "__name__"):  # type: ignore[arg-type]
        return f"the function `{obj.__name__}`"
    return f"a {type(obj).__qualname__}"
