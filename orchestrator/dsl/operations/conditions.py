"""Questions about values: ``bool(x)``, ``x is None``, ``x in items``, ``isinstance(x, Row)``.

Each gives a value of type ``bool`` with what it says about types (:mod:`orchestrator.dsl.tracing.narrowing`), or
Python's own ``bool`` where the types decide.
"""

from __future__ import annotations

from enum import Enum
from inspect import isabstract
from types import UnionType
from typing import Any, Final, Literal, TypeVar, get_args

from orchestrator.dsl.operations.applying import wrong_operand, wrong_operands
from orchestrator.dsl.operations.operands import as_value, in_some_order, tracer_of
from orchestrator.dsl.tracing.lifting import SymbolicRange, lift
from orchestrator.dsl.tracing.narrowing import equals, is_none, is_the, is_true, members, narrowed, only, said, together
from orchestrator.dsl.tracing.template import has_marker, without_markers
from orchestrator.dsl.tracing.tracer import Fact, Tracer, Value
from orchestrator.dsl.types.arithmetic import comparable
from orchestrator.dsl.types.kinds import is_text, items_of
from orchestrator.dsl.types.typing import NoneType, TypeForm, is_typed_dict, origin_of, plain, type_string
from orchestrator.errors import Error

_NATIVE: Final = (str, bytes, list, tuple, dict, set, frozenset, bool, int, float, complex, NoneType, range)
_SINGLETONS: Final = (NoneType, bool, Enum)


def truth(value: object) -> Value[bool] | bool:
    """``bool(value)``."""
    if isinstance(value, str):
        if without_markers(value):
            return True
        value = as_value(value)
    elif isinstance(value, SymbolicRange):
        value = value.as_list()
    if not isinstance(value, Value):
        return bool(value)
    if (answer := only(value, is_true)) is not None:
        return answer
    if plain(value._type) is bool:
        return value
    made = value._tracer.builtin("truth", {"value": lift(value._tracer, value)}, bool)
    return _test(made, said(value))


def _test(made: Value[Any], facts: tuple[Fact, ...]) -> Value[bool]:
    made._facts = facts
    return made


def same(a: object, b: object) -> Value[bool] | bool:
    """``a is b``: for None, True, False and members of enumerations. What else is one object is not known."""
    if a is b:
        return True
    tracer = tracer_of(a, b)
    value, other = (a, b) if isinstance(a, Value) else (b, a)
    if isinstance(value, Value) and isinstance(other, _SINGLETONS):
        holds = is_none if other is None else is_the(other)
        if (answer := only(value, holds)) is not None:
            return answer
        operands = {"left": lift(tracer, value), "right": lift(tracer, other)}
        return _test(tracer.builtin("is", operands, bool), narrowed(value, holds))
    if not isinstance(value, Value) and (a is None or b is None):  # a text is not None
        return False
    return tracer.report(
        "ORCH-D006",
        "`is` asks whether two values are one object in memory, which a workflow that is stored and resumed cannot say",
        fix="compare them with `==`",
    )


def contains(container: object, item: object) -> Value[bool] | bool:
    """``item in container``."""
    tracer = tracer_of(container, item)
    if isinstance(container, SymbolicRange):
        container = container.as_list()
    if not isinstance(container, (Value, str)):
        return _among(tracer, container, item)
    whole, part = as_value(container, tracer), as_value(item, tracer)
    inside = items_of(whole._type)
    if inside is None:
        return wrong_operands(tracer, "`in`", [whole])
    if is_text(whole._type) and not (is_text(part._type) or part._type is Any):
        return wrong_operand(tracer, "`in` a text", part, str)
    if not comparable(inside, part._type):
        return wrong_operands(tracer, "`in`", [part, whole])
    return tracer.builtin("contains", {"container": whole, "item": part}, bool)


def _among(tracer: Tracer, container: Any, item: object) -> Value[bool] | bool:
    """Whether ``item`` is among the items of a container that tracing knows."""
    if not isinstance(container, (list, tuple, dict, set, frozenset, range)):
        return tracer.report(
            "ORCH-D013",
            f"`in` a {type(container).__qualname__} asks a Python object about a value of the workflow",
            fix="make it a list, tuple, set or dict, or test it in a pure tool",
        )
    items = in_some_order(container) if isinstance(container, (set, frozenset)) else list(container)
    if not items:
        return False
    whole, part = lift(tracer, items), as_value(item, tracer)
    inside = items_of(whole._type)
    if not comparable(inside, part._type):
        return wrong_operands(tracer, "`in`", [part, whole])
    known = all(isinstance(each, (str, int, float, Enum, NoneType)) for each in items)
    known = known and not any(isinstance(each, str) and has_marker(each) for each in items)

    def holds(member: TypeForm) -> bool | None:
        answers = {equals(each)(member) for each in items}
        return True if True in answers else None if None in answers else False

    if known and isinstance(item, Value) and (answer := only(item, holds)) is not None:
        return answer
    made = tracer.builtin("contains", {"container": whole, "item": part}, bool)
    return _test(made, narrowed(item, holds)) if known and isinstance(item, Value) else made


def is_instance(value: object, classes: object) -> Value[bool] | bool:
    """``isinstance(value, classes)``: which member of its union a value is."""
    if not isinstance(value, Value):
        return isinstance(value, classes)  # type: ignore[arg-type]
    tracer, wanted = value._tracer, _classes(classes)
    if wanted is None:
        fix = "isinstance(value, Row): classes that are known while tracing"
        return tracer.report("ORCH-D012", f"isinstance() with {classes!r}", fix=fix)
    possible = [each for member in members(value._type) for each in _as_held(member)]
    answers = {type_string(member): (member, _is_one(member, wanted)) for member in possible}
    found = {answer for _, answer in answers.values()}
    if found == {True}:
        return True
    if found == {False}:
        return tracer.report(
            "ORCH-D014",
            f"`{value._origin.name}` is never a {' or '.join(cls.__name__ for cls in wanted)}: "
            f"it is {type_string(value._type)}",
            fix="test for a class of its type, or leave the test out",
        )
    true = [tp for member, answer in answers.values() if answer is not False for tp in _met(member, answer, wanted)]
    false = [member for member, answer in answers.values() if answer is not True]
    names = sorted(
        {name for cls in wanted for name in _names(cls)} | {_name(_class(m)) for m, a in answers.values() if a}
    )
    operands = {"value": lift(tracer, value), "classes": lift(tracer, names)}
    return _test(tracer.builtin("isinstance", operands, bool), (Fact(value, together(true), together(false)),))


def _classes(classes: object) -> tuple[type, ...] | None:
    """The classes that isinstance() is asked about, a tuple or a union of them flattened."""
    if isinstance(classes, (tuple, UnionType)):
        each = [_classes(member) for member in (classes if isinstance(classes, tuple) else get_args(classes))]
        return None if any(found is None for found in each) else tuple(cls for found in each for cls in found or ())
    if classes is None:
        return (NoneType,)
    return (classes,) if isinstance(classes, type) and not isinstance(classes, Value) else None


def _as_held(member: TypeForm) -> tuple[TypeForm, ...]:
    """A float may be held as an int, which is one where a float is wanted."""
    return (float, int) if member is float else (member,)


def _class(member: TypeForm) -> type:
    if origin_of(member) is Literal:
        return type(get_args(member)[0])
    if isinstance(member, TypeVar) or member is Any:
        return object
    cls = dict if is_typed_dict(member) else origin_of(member) or member
    return cls if isinstance(cls, type) else object


def _is_one(member: TypeForm, wanted: tuple[type, ...]) -> bool | None:
    cls = _class(member)
    if issubclass(cls, wanted) or (cls is Error and issubclass(Exception, wanted)):
        return True
    if cls is Error and any(issubclass(each, BaseException) for each in wanted):
        return None  # its class was recorded, with the bases
    return None if any(issubclass(each, cls) for each in wanted) else False


def _met(member: TypeForm, answer: bool | None, wanted: tuple[type, ...]) -> list[TypeForm]:
    """What a value of a member is where the test holds."""
    return (
        [member] if answer or _class(member) is Error else [each for each in wanted if issubclass(each, _class(member))]
    )


def _names(cls: type) -> list[str]:
    """The names by which instances of a class are known when the workflow runs; of an abstract one, Python's own."""
    is_virtual = isabstract(cls) or (type(cls) is not type and hasattr(cls, "register"))
    return [_name(cls), *(_name(each) for each in _NATIVE if is_virtual and issubclass(each, cls))]


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
