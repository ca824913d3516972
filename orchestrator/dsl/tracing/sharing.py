"""Which objects of Python a symbolic value may be, and which it may hold: what a change of one is seen through.

A value of a workflow is never changed; a *name* is given a changed one. That is what Python does as long as no other
name can get at the object. So every value whose type can be changed has :class:`Shares`: the objects that it may be,
and those that can be reached from it. What an op makes is new; an item is one of those in its list; what a branch
yields is what one of its arms does. Objects that tracing knows get a :class:`Thing` when a value is made of them::

    xs = find(text)                    own {1}
    ys = xs if short else zs           own {1, 2}
    held = [ys]; row = held[0]         own {1, 2}: to change ``row`` is to change ``xs`` or ``zs``
    copy = list(ys)                    own {3}

Tools and models run elsewhere, and are given copies: their results are new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from pathlib import PurePath
from types import UnionType
from typing import Any, Final, Literal, NamedTuple, Never, Protocol, TypeVar, Union, get_args
from uuid import UUID

from orchestrator.dsl.tracing.scope import Scope
from orchestrator.dsl.types.typing import TypeForm, fields_of, origin_of, plain, typed_items


class Thing:
    """An object that can be changed: one that tracing knows, or one that an op makes in a region."""

    __slots__ = ("known", "scope")

    def __init__(self, scope: Scope, known: object = None) -> None:
        self.scope = scope
        self.known = known


Things = frozenset[Thing]
_NONE: Final[Things] = frozenset()


class Shares(NamedTuple):
    """The objects that a value may be, and those that can be reached from it."""

    own: Things = _NONE
    inner: Things = _NONE
    twice: bool = False
    """Whether one object may be reached on several ways."""

    @property
    def all(self) -> Things:
        """The objects that it may be, and those that it may hold."""
        return self.own | self.inner


class Sharing(Protocol):
    """A value, as far as is needed here."""

    _type: Any
    _scope: Scope
    _shares: Shares | None


V = TypeVar("V", bound=Sharing)


# What can be changed, by type

FIXED: Final = (
    str, bytes, int, float, complex, type(None), date, time, timedelta, Enum, UUID, Decimal, PurePath, range,
)  # fmt: skip
"""Classes whose objects nobody can change."""


def changeable(tp: TypeForm) -> tuple[bool, bool]:
    """Whether an object of a type can be changed, and whether one that can be reached from it."""
    try:
        return _known(tp)
    except TypeError:  # not hashable
        return _by_type(tp, ())


@lru_cache(maxsize=4096)
def _known(tp: TypeForm) -> tuple[bool, bool]:
    return _by_type(tp, ())


def _by_type(tp: TypeForm, around: tuple[TypeForm, ...]) -> tuple[bool, bool]:  # noqa: PLR0911 - a case each
    tp = plain(tp)
    if tp is Never or tp is None:
        return False, False
    if any(tp is each for each in around):
        return True, True
    around = (*around, tp)
    origin, arguments = origin_of(tp) or tp, get_args(tp)
    if origin is Literal:
        return False, False
    if origin is Union or origin is UnionType:
        return _any(arguments, around)
    if (typed := typed_items(tp)) is not None:
        return True, any(_any(typed.values(), around))
    if not isinstance(origin, type):
        return True, True
    if issubclass(origin, FIXED) or origin.__name__ == "Chat":
        return False, False
    if issubclass(origin, (list, set, dict, tuple, frozenset)):
        inside = any(_any([each for each in arguments if each is not Ellipsis], around)) if arguments else True
        return not issubclass(origin, (tuple, frozenset)), inside
    fields = fields_of(tp)
    return True, fields is None or any(_any(fields.values(), around))


def _any(types: Iterable[TypeForm], around: tuple[TypeForm, ...]) -> tuple[bool, bool]:
    found = [_by_type(each, around) for each in types]
    return any(own for own, _ in found), any(inner for _, inner in found)


# Of values


def of(value: Sharing) -> Shares:
    """What a value shares; nobody else has what an op has made."""
    if value._shares is None:
        own, inner = changeable(value._type)
        value._shares = Shares(
            frozenset((Thing(value._scope),)) if own else _NONE, frozenset((Thing(value._scope),)) if inner else _NONE
        )
    return value._shares


def note(value: V, shares: Shares) -> V:
    """Say what a value shares, as far as its type can be changed."""
    own, inner = changeable(value._type)
    value._shares = Shares(shares.own if own else _NONE, shares.inner if inner else _NONE, shares.twice)
    return value


def either(shares: Iterable[Shares]) -> Shares:
    """What is one or the other."""
    found = list(shares)
    if len(found) == 1:
        return found[0]
    return Shares(
        frozenset().union(*(each.own for each in found)), frozenset().union(*(each.inner for each in found)),
        any(each.twice for each in found),
    )  # fmt: skip


def part(whole: Shares) -> Shares:
    """An item, field or key's value of something."""
    return Shares(whole.inner, whole.inner, whole.twice)


def container(parts: Iterable[Things], scope: Scope, *, twice: bool = False) -> Shares:
    """A new object with parts."""
    inner: set[Thing] = set()
    for each in parts:
        twice = twice or not inner.isdisjoint(each)
        inner |= each
    return Shares(frozenset((Thing(scope),)), frozenset(inner), twice)


_SAME: Final = {"narrow": "value", "bounded": "items"}
"""Pure functions that give back an argument."""
_PARTS: Final = frozenset({"getitem", "min", "max", "min_by", "max_by"})
"""Those that give an item of their first argument."""
_PART_OR: Final = frozenset({"dict.get", "min_or", "max_or"})
"""The same, or their argument ``default``."""
_DISPLAYS: Final = frozenset({"list", "tuple", "dict", "with_item", "sum"})
"""Those that put their arguments into something new."""
_COPIES: Final = frozenset(
    {"list_of", "tuple_of", "set_of", "frozenset_of", "dict_of", "copy", "sorted", "sorted_by", "reversed"}
    | {"enumerate", "zip", "concat", "slice", "unpacked", "without_item"}
    | {"add", "mul", "or", "and", "sub", "xor"}
)
"""Those that put what is in their arguments into something new."""
_VIEWS: Final = frozenset({"dict.keys", "dict.values", "dict.items"})
"""Those whose result, in Python, shows what becomes of their argument: whoever holds it holds that too."""
_NEW: Final = frozenset({"model.dump", "json.loads", "range", "divmod", "str.split", "str.splitlines"})
"""Those whose result has nothing of their arguments."""


def of_builtin(  # noqa: PLR0911 - a case each
    value: V, name: str, arguments: Mapping[str, Sharing]
) -> V:
    """``value`` with what a pure function of this name shares with its arguments."""
    own, inner = changeable(value._type)
    if not (own or inner) or name in _NEW or name.startswith("str."):
        return value
    given = [of(each) for each in arguments.values()]
    scope = value._scope
    if name in _SAME:
        return note(value, of(arguments[_SAME[name]]))
    if name in _PARTS:
        return note(value, part(given[0]))
    if name in _PART_OR:
        default = [of(arguments["default"])] if "default" in arguments else []
        return note(value, either([part(given[0]), *default]))
    if name == "with_item":
        whole, item = of(arguments["items"]), of(arguments["value"])
        return note(value, container([whole.inner, item.all], scope, twice=whole.twice or item.twice))
    twice = any(each.twice for each in given)
    if name in _VIEWS:
        made = container([given[0].inner], scope, twice=twice)
        return note(value, made._replace(own=made.own | given[0].own))
    if name in _DISPLAYS:
        return note(value, container([each.all for each in given], scope, twice=twice))
    if name in _COPIES or name.startswith("set."):
        return note(value, container([each.inner for each in given], scope, twice=twice or name == "mul"))
    unknown = frozenset().union(*(each.all for each in given))
    return note(value, Shares(unknown | {Thing(scope)}, unknown | {Thing(scope)}, twice=True))


# Of loops


class Carried:
    """What the state of a loop shares, at the start of any of its turns."""

    def __init__(self, scope: Scope, state: Sequence[Sharing]) -> None:
        self._of_turns = [(Thing(scope), Thing(scope)) for _ in state]
        """What former turns have made of each, and in each."""
        self._of_several = frozenset((Thing(scope),))
        """What they have made in several."""
        self.shares = [
            Shares(shares.own | {own}, shares.inner | {inner}, shares.twice)
            for shares, (own, inner) in zip(map(of, state), self._of_turns, strict=True)
        ]

    def widen(self, leaves: Sequence[Sharing], is_new: Callable[[Thing], bool]) -> bool:
        """Take in what a turn leaves; whether that was more than is known. ``is_new`` tells what a turn has made."""
        found = [of(leaf) for leaf in leaves]
        count: dict[Thing, int] = {}
        for each in found:
            for thing in each.all:
                count[thing] = count.get(thing, 0) + 1
        before = list(self.shares)

        def lasting(things: Things, position: int, place: int) -> Things:
            kept = {thing for thing in things if not is_new(thing)}
            new = things - kept
            if any(count[thing] == 1 for thing in new):
                kept.add(self._of_turns[position][place])
            if any(count[thing] > 1 for thing in new):
                kept |= self._of_several
            return frozenset(kept)

        for position, each in enumerate(found):
            known = self.shares[position]
            own, inner = lasting(each.own, position, 0), lasting(each.inner, position, 1)
            if each.own & each.inner:
                own, inner = own | inner, own | inner
            self.shares[position] = Shares(known.own | own, known.inner | inner, known.twice or each.twice)
        return self.shares != before

    def results(self, leaves: Sequence[Sharing]) -> list[Shares]:
        """What the loop yields shares."""
        return [either([known, of(leaf)]) for known, leaf in zip(self.shares, leaves, strict=True)]
