"""A pure function of Python as an op: its annotations check the operands and type the result."""

from __future__ import annotations

import collections.abc
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final, Never, TypeVar, get_args

from orchestrator.dsl.pure.table import FUNCTIONS
from orchestrator.dsl.tracing.lifting import lift
from orchestrator.dsl.tracing.tracer import Tracer, Value
from orchestrator.dsl.types.bounds import Length
from orchestrator.dsl.types.kinds import is_set, items_of, key_and_value
from orchestrator.dsl.types.typing import (
    UNIONS,
    NoneType,
    TypeForm,
    assignable,
    origin_of,
    plain,
    solve,
    substitute,
    type_string,
)

_ITERABLES: Final = (collections.abc.Iterable, collections.abc.Collection, collections.abc.Sequence)
Rule = Callable[[Mapping[str, TypeForm]], TypeForm | None]
"""The type of a result by the types of the operands, or None if they do not fit each other."""


class Operation(typing.NamedTuple):
    """What the annotations of a pure function say."""

    signature: inspect.Signature
    hints: Mapping[str, TypeForm]


@cache
def operation(name: str) -> Operation:
    """The declaration of ``builtin.<name>``."""
    function = FUNCTIONS[name]
    return Operation(inspect.signature(function), typing.get_type_hints(function))


def apply(
    tracer: Tracer,
    name: str,
    args: Sequence[object],
    kwargs: Mapping[str, object],
    *,
    said: str | None = None,
    rule: Rule | None = None,
    length: Length | None = None,
) -> Value[Any]:
    """``function(*args, **kwargs)`` for a pure function of this name; ``said`` is what the user calls it."""
    said = said or f"{name}()"
    signature, hints = operation(name)
    try:
        bound = signature.bind(*args, **kwargs).arguments
    except TypeError as error:
        fix = f"its parameters are ({', '.join(list(signature.parameters)[method_of(said) :])})"
        return tracer.report("ORCH-D012", f"{said}: {error}", fix=fix)
    variables: dict[TypeVar, TypeForm] = {}
    operands = {each: lift(tracer, argument) for each, argument in bound.items()}
    for each, value in operands.items():
        if not takes(hints[each], value._type, variables):
            return wrong_operand(tracer, said, value, hints[each])
    tp: TypeForm | None = substitute(hints["return"], variables)
    if rule is not None:
        tp = rule({each: value._type for each, value in operands.items()})
    if tp is None:
        return wrong_operands(tracer, said, list(operands.values()))
    return tracer.builtin(name, operands, tp, length)


def method_of(said: str) -> int:
    """1 for the name of a method, whose first parameter is the object."""
    return int("." in said and not said.startswith(("math.", "json.", "text.")))


def wrong_operand(tracer: Tracer, said: str, value: Value[Any], wanted: TypeForm) -> Value[Any]:
    """An error: ``said`` does not take such a value."""
    origin, got = value._origin, type_string(value._type)
    return tracer.report(
        "ORCH-D010",
        f"{said} expects {readable(wanted)}, but gets {got}",
        why=f"`{origin.name}` at {origin.where} produces {got}",
        fix=without_none(value) or f"convert it first, or change one of the two types to {readable(wanted)}",
    )


def wrong_operands(tracer: Tracer, said: str, values: Sequence[Value[Any]]) -> Value[Any]:
    """An error: ``said`` does not take values of these types together."""
    types = ", ".join(type_string(value._type) for value in values)
    fix = next(filter(None, map(without_none, values)), "convert them first, or compute it in a pure tool")
    return tracer.report("ORCH-D014", f"{said} is not supported for {types}", fix=fix)


def without_none(value: Value[Any]) -> str | None:
    """What to do about a value that may be None, if it may."""
    if NoneType not in get_args(plain(value._type)):
        return None
    return f"`{value._origin.name}` may be None: decide first, with `if {value._origin.name} is not None:`"


def readable(wanted: TypeForm) -> str:
    """The name of an annotation of a pure function, for a message."""
    if isinstance(wanted, TypeVar) or wanted is Any:
        return "a value"
    if origin_of(wanted) in _ITERABLES:
        return "a list" if origin_of(wanted) is collections.abc.Sequence else "something with items"
    if origin_of(wanted) in UNIONS:
        return " or ".join(readable(member) for member in get_args(wanted))
    if origin_of(wanted) in (dict, list, set):
        return f"a {origin_of(wanted).__name__}"
    return type_string(wanted)


def takes(wanted: TypeForm, given: TypeForm, variables: dict[TypeVar, TypeForm]) -> bool:  # noqa: PLR0911 - a case each
    """Whether a pure function takes a value of type ``given`` where its annotation is ``wanted``; binds variables."""
    given, origin = plain(given), origin_of(wanted)
    if wanted is Any or given in (Any, Never):
        return True
    if isinstance(wanted, TypeVar):
        solve(wanted, given, variables)
        return True
    if origin in UNIONS and origin_of(given) in UNIONS:
        return all(takes(wanted, member, variables) for member in get_args(given))
    if origin in UNIONS:
        return any(takes(member, given, variables) for member in get_args(wanted))
    if origin in _ITERABLES:
        item = items_of(given, in_order=origin is collections.abc.Sequence)
        return item is not None and takes(get_args(wanted)[0], item, variables)
    if origin is dict:
        pair = key_and_value(given)
        if pair is not None:
            for variable, tp in zip(get_args(wanted), pair, strict=True):
                takes(variable, tp, variables)
        return pair is not None
    if origin is set:
        return is_set(given)
    if origin is tuple and origin_of(given) is tuple and Ellipsis not in get_args(wanted):
        members, offered = get_args(wanted), get_args(given)
        if Ellipsis in offered or len(members) != len(offered):
            return False
        return all(takes(member, each, variables) for member, each in zip(members, offered, strict=True))
    return assignable(given, wanted)
