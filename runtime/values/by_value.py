"""Arguments and results by value: what a tool does to them stays with it.

Values of a workflow are shared: by every op that uses them, by equal ops that were merged into one, by the iterations
of a loop or map around them, and by the journal. A tool that appends to a list it was given would change them for all
of these where it runs in this process, and for none in another one or when the run is resumed. So each call gets
containers of its own, those of ``collections`` and of the user's classes too; only what is declared cheap, and so runs
in the event loop, is trusted not to change anything. Objects that only the user knows how to copy, like connections,
are handed over as they are. What comes in from outside becomes the run's own in the same way: the inputs, what a tool
returns, what a person says. So does what goes out: a result belongs to whoever gets it.

A number whose text only a ``Decimal`` would have read (:mod:`.decimals`) becomes the plain float that it is.
"""

from __future__ import annotations

from collections import ChainMap, Counter, OrderedDict, UserDict, UserList, defaultdict, deque
from contextlib import suppress
from copy import copy
from dataclasses import is_dataclass
from enum import Enum
from operator import is_
from typing import Any, Final

from pydantic import BaseModel

from orchestrator.runtime.failures import nested_too_deeply
from orchestrator.runtime.values.decimals import Written

_KEYED: Final = frozenset({dict, OrderedDict, defaultdict, Counter})
_FLAT: Final = frozenset({set, bytearray})
_WHOLE: Final = _FLAT | {tuple}
"""Those whose copies have everything at once."""
_CONTAINERS: Final = (OrderedDict, defaultdict, dict, list, deque, set, bytearray)
_WRAPPERS: Final = (UserDict, UserList, ChainMap)
"""Containers that hold everything in attributes."""
_ATOMS: Final = frozenset({str, int, float, bool, bytes, type(None)})


def by_value(value: Any) -> Any:
    """``value`` with its own lists, dicts, sets, models and dataclasses, however nested; shared parts stay shared.

    Raises ``RunError`` ORCH-R049 for tuples that are nested too deeply; anything else may be as deep as it likes.
    """
    kind = type(value)
    if kind in _ATOMS:
        return value
    if (kind is dict and _ATOMS.issuperset(map(type, value.values()))) or (
        kind is list and _ATOMS.issuperset(map(type, value))
    ):
        return value.copy()  # nothing is nested in it, as in most
    copying = _Copying()
    try:
        made = copying.begun(value)
        copying.finish()
    except RecursionError:
        raise nested_too_deeply() from None
    return made


class _Copying:
    """A copy in the making.

    What can be changed is made empty and filled later, so that neither depth nor cycles matter. Only tuples need their
    parts first.
    """

    __slots__ = ("_known", "_unfilled")

    def __init__(self) -> None:
        self._known: dict[int, Any] = {}
        """The copies so far, by the identity of the original."""
        self._unfilled: list[tuple[Any, Any]] = []
        """Copies, and what they are of."""

    def begun(self, value: Any) -> Any:
        """The copy of ``value``, which may have yet to be filled."""
        kind = type(value)
        if kind in _ATOMS:
            return value
        if kind is Written:
            return float(value)
        if id(value) in self._known:
            return self._known[id(value)]
        made: Any
        if kind is list:
            made = []
        elif kind is deque:
            made = deque(maxlen=value.maxlen)
        elif kind in _KEYED:
            made = copy(value)
        elif isinstance(value, tuple):
            made = self._tuple(value, kind)
        elif kind in _FLAT:
            made = copy(value)
        elif isinstance(value, BaseModel):
            made = value.model_copy()
        else:
            made = _empty(value)
        self._known[id(value)] = made
        if made is not value and kind not in _WHOLE:
            self._unfilled.append((made, value))
        return made

    def _tuple(self, value: tuple[Any, ...], kind: type) -> Any:
        parts = [each if type(each) in _ATOMS else self.begun(each) for each in tuple.__iter__(value)]
        if all(map(is_, parts, tuple.__iter__(value))) and not any(_attributes(value)):
            return value
        return tuple.__new__(kind, parts)

    def finish(self) -> None:
        """Fill everything."""
        while self._unfilled:
            made, value = self._unfilled.pop()
            kind = type(made)
            if kind is list or kind is deque:
                made.extend([each if type(each) in _ATOMS else self.begun(each) for each in value])
            elif kind in _KEYED:
                for key, each in value.items():
                    made[key] = self.begun(each)
            elif isinstance(made, BaseModel):
                for own in (made.__dict__, made.__pydantic_extra__ or {}, made.__pydantic_private__ or {}):
                    own.update({name: self.begun(each) for name, each in own.items()})
            else:
                if isinstance(made, _CONTAINERS):
                    self._refill(made, value)
                of_dict, of_slots = _attributes(value)
                if of_dict:
                    made.__dict__.update({name: self.begun(each) for name, each in of_dict.items()})
                for name, each in of_slots.items():
                    object.__setattr__(made, name, self.begun(each))

    def _refill(self, made: Any, value: Any) -> None:
        """Fill a container of the user's class without what that class does when it is filled."""
        base = _base(value)
        if isinstance(made, dict):
            for key, each in base.items(value):
                base.__setitem__(made, key, self.begun(each))
        elif isinstance(made, set):
            set.update(made, value)
        elif isinstance(made, bytearray):
            bytearray.extend(made, value)
        else:
            base.extend(made, [self.begun(each) for each in base.__iter__(value)])


def _empty(value: Any) -> Any:
    """An empty object of the class of ``value``, made without that class's constructor; ``value`` if it is one that
    nobody here can copy."""
    if isinstance(value, _CONTAINERS):
        made = _base(value).__new__(type(value))
        if isinstance(value, deque):
            deque.__init__(made, (), value.maxlen)
        elif isinstance(value, defaultdict):
            made.default_factory = value.default_factory
        return made
    if isinstance(value, _WRAPPERS) or _is_copied_dataclass(value):
        with suppress(TypeError):  # of a dataclass that is something else as well, such as an exception
            return object.__new__(type(value))
    return value


def _base(value: Any) -> Any:
    return next(each for each in _CONTAINERS if isinstance(value, each))


def _is_copied_dataclass(value: Any) -> bool:
    """Frozen ones are copied for what they hold; those that are told apart by identity, not at all."""
    if not is_dataclass(value) or isinstance(value, (type, Enum)):
        return False
    params = type(value).__dataclass_params__  # type: ignore[attr-defined]
    held = (each for attributes in _attributes(value) for each in attributes.values())
    return not params.frozen or (params.eq and not all(type(each) in _ATOMS for each in held))


def _attributes(value: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What stands in its ``__dict__``, and in its slots."""
    state = object.__getstate__(value)
    of_dict, of_slots = state if isinstance(state, tuple) else (state, None)
    return of_dict or {}, of_slots or {}
