"""What the answer to a test says about the types of the values it was asked of.

A test on a value of type ``Row | None`` leaves ``Row`` where it holds and ``None`` where it does not. A condition
carries such facts with it (``Value._facts``), so that each arm of a branch sees the narrower type. A ``bool`` and an
``Enum`` are taken apart too: the value keeps its type, and it is noted which members are left (``Value._among``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum, Flag
from typing import Any, Final, Literal, get_args

from orchestrator.dsl.tracing.template import has_marker
from orchestrator.dsl.tracing.tracer import Fact, Value
from orchestrator.dsl.types.typing import UNIONS, NoneType, TypeForm, origin_of, plain, union

_SIZED: Final = ("__bool__", "__len__")


def members(tp: TypeForm) -> tuple[TypeForm, ...]:
    """What a union is made of, each value of a ``Literal`` on its own."""
    tp = plain(tp)
    if origin_of(tp) in UNIONS:
        return tuple(each for member in get_args(tp) for each in members(member))
    if origin_of(tp) is Literal:
        return tuple(NoneType if value is None else Literal[value] for value in get_args(tp))
    return (tp,)


_apart: dict[TypeForm, tuple[TypeForm, ...]] = {}


def possible(value: Value[Any]) -> tuple[TypeForm, ...]:
    """What a value is one of: the :func:`members` of its type, those of ``bool`` and of an ``Enum`` each on its own."""
    if value._among is not None:
        return value._among
    try:
        found = _apart.get(value._type)
        if found is None:
            found = _apart[value._type] = tuple(each for tp in members(value._type) for each in _values(tp))
    except TypeError:  # not hashable
        found = tuple(each for tp in members(value._type) for each in _values(tp))
    return found


def _values(tp: TypeForm) -> tuple[TypeForm, ...]:
    if tp is bool:
        return Literal[True], Literal[False]
    if isinstance(tp, type) and issubclass(tp, Enum) and not issubclass(tp, Flag):  # flags can be combined
        return tuple(Literal[each] for each in tp) or (tp,)
    return (tp,)


def declared(before: TypeForm, left: TypeForm) -> TypeForm:
    """The type of a value of type ``before`` of which ``left`` is left: a ``bool`` and an ``Enum`` stay whole."""
    whole = {type(get_args(part)[0]): tp for tp in members(before) for part in _values(tp) if part is not tp}
    parts: list[TypeForm] = []
    for part in members(left):
        kept = whole.get(type(get_args(part)[0]), part) if origin_of(part) is Literal else part
        if kept not in parts:
            parts.append(kept)
    return together(parts)


def said(condition: Any) -> tuple[Fact, ...]:
    """What a condition says: its facts, and what it is itself where it holds, and where it does not."""
    return (*condition._facts, *narrowed(condition, is_true)) if isinstance(condition, Value) else ()


def together(types: Sequence[TypeForm]) -> TypeForm:
    """The union of what :func:`members` has taken apart."""
    literals = tuple(value for tp in types if origin_of(tp) is Literal for value in get_args(tp))
    others = [tp for tp in types if origin_of(tp) is not Literal]
    return union(*([Literal[literals]] if literals else []), *others)


def narrowed(value: Value[Any], holds: Callable[[TypeForm], bool | None]) -> tuple[Fact, ...]:
    """The fact of a test that holds for a member of the value's type, does not, or may (None)."""
    answers = [(member, holds(member)) for member in possible(value)]
    true = [member for member, answer in answers if answer is not False]
    false = [member for member, answer in answers if answer is not True]
    fact = Fact(value, _changed(true, len(answers)), _changed(false, len(answers)))
    return () if fact.if_true is fact.if_false is None else (fact,)


def _changed(left: list[TypeForm], of: int) -> TypeForm | None:
    return together(left) if 0 < len(left) < of else None


def only(value: Value[Any], holds: Callable[[TypeForm], bool | None]) -> bool | None:
    """Whether a test holds for all that a value may be, or for none of it; None if it depends."""
    answers = {holds(member) for member in possible(value)}
    return answers.pop() if len(answers) == 1 else None


def is_true(member: TypeForm) -> bool | None:
    """Whether every value of a type is true, or false; None if that depends on the value."""
    if member is NoneType:
        return False
    if origin_of(member) is Literal:
        return bool(get_args(member)[0])
    cls = origin_of(member) or member
    if not isinstance(cls, type) or cls is object or any(hasattr(cls, name) for name in _SIZED):
        return None
    return True


def is_none(member: TypeForm) -> bool | None:
    """Whether every value of a type is None."""
    if member is NoneType:
        return True
    return None if member in (Any, object) else False


def equals(constant: object) -> Callable[[TypeForm], bool | None]:
    """Whether every value of a type equals a constant."""

    def holds(member: TypeForm) -> bool | None:
        if member is NoneType or constant is None:
            return None if member in (Any, object) else (member is NoneType) is (constant is None)
        if origin_of(member) is Literal:
            return bool(get_args(member)[0] == constant)
        return None

    return holds


def is_the(constant: object) -> Callable[[TypeForm], bool | None]:
    """Whether every value of a type is a constant of which there is one: True, False, or a member of an ``Enum``."""

    def holds(member: TypeForm) -> bool | None:
        if origin_of(member) is Literal:
            return get_args(member)[0] is constant
        return False if member is NoneType else None

    return holds


def equality(left: object, right: object) -> tuple[Fact, ...]:
    """What ``left == right`` says: of a value, that it is the constant, or no more than what it is compared with."""

    found: tuple[Fact, ...] = ()
    for one, other in ((left, right), (right, left)):
        if not isinstance(one, Value):
            continue
        if isinstance(other, Value):
            if NoneType not in members(other._type) and Any not in members(other._type):
                found += tuple(Fact(one, fact.if_false, None) for fact in narrowed(one, is_none))
        elif other is None or isinstance(other, (str, int, float, Enum)):
            found += narrowed(one, equals(other))
    return found


def opposite(facts: tuple[Fact, ...]) -> tuple[Fact, ...]:
    """The facts of ``not test``."""
    return tuple(fact.swapped() for fact in facts)


def both(first: tuple[Fact, ...], second: tuple[Fact, ...]) -> tuple[Fact, ...]:
    """The facts of ``first and second``: where it does not hold, either may be false."""
    return tuple(fact._replace(if_false=None) for fact in (*first, *second))


def either(first: tuple[Fact, ...], second: tuple[Fact, ...]) -> tuple[Fact, ...]:
    """The facts of ``first or second``."""
    return opposite(both(opposite(first), opposite(second)))


def always_equal(left: object, right: object) -> bool | None:
    """Whether a value is known to be a constant, or known not to be; None if that depends."""
    value, constant = (left, right) if isinstance(left, Value) else (right, left)
    if not isinstance(value, Value) or not isinstance(constant, (str, int, Enum)):
        return None
    if isinstance(constant, str) and has_marker(constant):
        return None
    return only(value, equals(constant))
