"""What the answer to a test says about the types of the values it was asked of.

A test on a value of type ``Row | None`` leaves ``Row`` where it holds and ``None`` where it does not. A condition
carries such facts with it (``Value._facts``), so that each arm of a branch sees the narrower type.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Final, Literal, get_args

from orchestrator.dsl.tracer import Fact, Value
from orchestrator.dsl.typing import UNIONS, NoneType, TypeForm, origin_of, plain, type_string, union

_SIZED: Final = ("__bool__", "__len__")


def members(tp: TypeForm) -> tuple[TypeForm, ...]:
    """What a union is made of, each value of a ``Literal`` on its own."""
    tp = plain(tp)
    if origin_of(tp) in UNIONS:
        return tuple(each for member in get_args(tp) for each in members(member))
    if origin_of(tp) is Literal:
        return tuple(NoneType if value is None else Literal[value] for value in get_args(tp))
    return (tp,)


def together(types: Sequence[TypeForm]) -> TypeForm:
    """The union of what :func:`members` has taken apart."""
    literals = tuple(value for tp in types if origin_of(tp) is Literal for value in get_args(tp))
    others = [tp for tp in types if origin_of(tp) is not Literal]
    return union(*([Literal[literals]] if literals else []), *others)


def narrowed(value: Value[Any], holds: Callable[[TypeForm], bool | None]) -> tuple[Fact, ...]:
    """The fact of a test that holds for a member of the value's type, does not, or may (None)."""
    answers = [(member, holds(member)) for member in members(value._type)]
    true = [member for member, answer in answers if answer is not False]
    false = [member for member, answer in answers if answer is not True]
    fact = Fact(value, _changed(value, true), _changed(value, false))
    return () if fact.if_true is fact.if_false is None else (fact,)


def _changed(value: Value[Any], left: list[TypeForm]) -> TypeForm | None:
    if not left:
        return None
    tp = together(left)
    return None if type_string(tp) == type_string(value._type) else tp


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
