"""Arguments by value: what a tool does to its arguments stays with it.

Values of a workflow are shared: by every op that uses them, by equal ops that were merged into one, by the iterations
of a loop or map around them, and by the journal. A tool that appends to a list it was given would change them for all
of these where it runs in this process, and for none in another one or when the run is resumed. So each call gets
containers of its own, those of ``collections`` too; only what is declared cheap, and so runs in the event loop, is
trusted not to change anything. Objects that only the user knows how to copy, like connections, are handed over as they
are.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from copy import copy
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Final

from pydantic import BaseModel

_KEYED: Final = frozenset({dict, OrderedDict, defaultdict, Counter})
_FLAT: Final = frozenset({set, bytearray})
_ATOMS: Final = frozenset({str, int, float, bool, bytes, type(None)})


def by_value(value: Any) -> Any:
    """``value`` with its own lists, dicts, sets, models and dataclasses, however nested; shared parts stay shared."""
    return value if type(value) in _ATOMS else _copied(value, {})


def _copied(value: Any, known: dict[int, Any]) -> Any:
    """``known`` holds the copies so far by the identity of the original, so that cycles end."""
    kind = type(value)
    if kind in _ATOMS:
        return value
    if id(value) in known:
        return known[id(value)]
    made: Any
    if kind is list or kind is deque:
        made = known[id(value)] = [] if kind is list else deque(maxlen=value.maxlen)
        made.extend([each if type(each) in _ATOMS else _copied(each, known) for each in value])
    elif kind in _KEYED:
        made = known[id(value)] = copy(value)
        for key, each in value.items():
            made[key] = _copied(each, known)
    elif kind is tuple or (isinstance(value, tuple) and hasattr(kind, "_make")):
        parts = [_copied(each, known) for each in value]
        made = known[id(value)] = tuple(parts) if kind is tuple else kind._make(parts)
    elif kind in _FLAT:
        made = known[id(value)] = copy(value)
    elif isinstance(value, BaseModel):
        made = known[id(value)] = value.model_copy()
        made.__dict__.update({name: _copied(each, known) for name, each in value.__dict__.items()})
    elif is_dataclass(value) and not isinstance(value, (type, Enum)):
        made = known[id(value)] = object.__new__(kind)
        for name, each in _state(value).items():
            object.__setattr__(made, name, _copied(each, known))
    else:
        return value
    return made


def _state(value: Any) -> dict[str, Any]:
    """The attributes of a dataclass, with those that it was given later and those in slots."""
    own = {each.name: getattr(value, each.name) for each in fields(value) if hasattr(value, each.name)}
    return {**getattr(value, "__dict__", {}), **own}
