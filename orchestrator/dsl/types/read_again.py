"""Types whose values can be read more than once."""

from __future__ import annotations

import collections.abc
from collections.abc import Iterable
from typing import Annotated, Any, Final, get_args, get_origin

from orchestrator.dsl.types.typing import UNIONS, list_of, union

_READ_ONCE: Final = (collections.abc.Iterable, collections.abc.Iterator, collections.abc.Generator)
_CONTAINERS: Final = (list, dict, tuple, set, frozenset)


def readable_again(tp: Any) -> Any:
    """``tp`` with a list for what may be an iterator, which only its first reader, or first attempt, would get."""
    origin, arguments = get_origin(tp) or tp, get_args(tp)
    if origin in _READ_ONCE:
        from pydantic import BeforeValidator

        item = readable_again(arguments[0]) if arguments else Any
        return Annotated[list_of(item), BeforeValidator(_listed)]
    if origin not in _CONTAINERS and origin not in UNIONS:
        return tp
    inner = tuple(map(readable_again, arguments))
    if inner == arguments:
        return tp
    return union(*inner) if origin in UNIONS else origin[inner]


def _listed(value: object) -> object:
    return list(value) if isinstance(value, Iterable) and not isinstance(value, (str, bytes)) else value
