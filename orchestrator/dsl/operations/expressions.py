"""Expressions over symbolic values: projections, comparisons and arithmetic become pure ops."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from enum import Enum
from operator import index as as_int
from typing import Any, TypeVar, get_args

from orchestrator.dsl.operations.applying import without_none
from orchestrator.dsl.operations.methods import method
from orchestrator.dsl.operations.operands import as_value
from orchestrator.dsl.tracing.lifting import lift, template_of
from orchestrator.dsl.tracing.narrowing import always_equal, both, either, equality, opposite, said
from orchestrator.dsl.tracing.template import has_marker
from orchestrator.dsl.tracing.tracer import Fact, Tracer, Value
from orchestrator.dsl.types.arithmetic import SYMBOLS, comparable, result_type, unary_type
from orchestrator.dsl.types.bounds import Length
from orchestrator.dsl.types.kinds import MUTATORS, attribute_type, class_of, is_text, items_of, key_and_value
from orchestrator.dsl.types.secret import is_secret
from orchestrator.dsl.types.typing import (
    TypeForm,
    assignable,
    element_type,
    fields_of,
    is_type_form,
    item_type,
    list_of,
    literals_of,
    plain,
    tuple_of,
    type_string,
    union,
)  # fmt: skip
from orchestrator.errors import Error

T = TypeVar("T")


def binary(tracer: Tracer, op: str, left: object, right: object) -> Any:
    """``left op right``; adding to a string extends a prompt template."""
    if op == "add" and _is_text(left) and _is_text(right):
        return template_of(tracer, f"{left}{right}")
    if op in ("eq", "ne") and (never := _never_equal(left, right)) is not None:
        return never
    if op in ("eq", "ne") and (answer := always_equal(left, right)) is not None:
        return answer is (op == "eq")
    a, b = as_value(left, tracer), as_value(right, tracer)
    result = result_type(op, a._type, b._type)
    if op == "pow" and isinstance(right, int) and right >= 0 and class_of(a._type) in (bool, int):
        result = int
    if result is None and op == "add" and (_is_text(left) or _is_text(right)):
        return tracer.report(
            "ORCH-D014",
            f"`{type_string(a._type)} + {type_string(b._type)}` is not supported",
            fix=f'write an f-string: f"{_in_f_string(left, a)}{_in_f_string(right, b)}"',
        )
    if result is None:
        return tracer.report(
            "ORCH-D014",
            f"`{type_string(a._type)} {SYMBOLS[op]} {type_string(b._type)}` is not supported",
            why="== and != compare related types, < and > what has an order, + - * / numbers, & and | booleans",
            fix=without_none(a) or without_none(b) or "convert one of the two first, or compute it in a pure tool",
        )
    made = tracer.builtin(op, {"left": a, "right": b}, result)
    made._facts = _facts(op, left, right)
    return made


def _facts(op: str, left: object, right: object) -> tuple[Fact, ...]:
    """What a comparison or a combination of tests says of types."""
    if op in ("eq", "ne"):
        return equality(left, right) if op == "eq" else opposite(equality(left, right))
    if op in ("and", "or"):
        return (both if op == "and" else either)(said(left), said(right))
    return ()


def _never_equal(left: object, right: object) -> Value[Any] | None:
    """An error for the comparison with a constant that a value of its type cannot be; else None."""
    value, constant = (left, right) if isinstance(left, Value) else (right, left)
    scalar = constant is None or isinstance(constant, (str, int, Enum))
    if not isinstance(value, Value) or not scalar or (isinstance(constant, str) and has_marker(constant)):
        return None
    possible = literals_of(value._type)
    if possible is None or any(type(each) is type(constant) and each == constant for each in possible):
        return None
    texts = [each for each in possible if isinstance(each, str)]
    close = get_close_matches(constant, texts, n=1) if isinstance(constant, str) else []
    return value._tracer.report(
        "ORCH-D014",
        f"`{value._origin.name}` is never {constant!r}: it is {type_string(value._type)}",
        fix=f"did you mean {close[0]!r}?" if close else "compare it with one of these values",
    )


def _in_f_string(operand: object, value: Value[Any]) -> str:
    return operand if isinstance(operand, str) and not has_marker(operand) else f"{{{value._origin.name}}}"


def _is_text(operand: Any) -> bool:
    return isinstance(operand, str) or is_text(getattr(operand, "_type", None))


def negate(value: Value[Any]) -> Value[Any]:
    """``~value`` of a boolean."""
    tracer = value._tracer
    if not assignable(value._type, bool):
        return unary("invert", value)
    made = tracer.builtin("not", {"value": lift(tracer, value)}, bool)
    made._facts = opposite(said(value))
    return made


def unary(op: str, value: Value[Any]) -> Value[Any]:
    """``-value``, ``+value``, or ``~value`` of an int."""
    tracer, tp = value._tracer, unary_type(op, value._type)
    if tp is None:
        sign = {"neg": "-", "pos": "+", "invert": "~"}[op]
        fix = "~ negates a bool; compare first" if op == "invert" else "- and + are for numbers"
        message = f"`{sign}{type_string(value._type)}` is not supported"
        return tracer.report("ORCH-D014", message, fix=without_none(value) or fix)
    return tracer.builtin(op, {"value": lift(tracer, value)}, tp)


def narrow(value: Any, to: type[T]) -> T:
    """``value`` as one member of its union type, after a branch has established that it is one.

    ``branch(row != None, then=lambda: narrow(row, Row).name, otherwise=lambda: "nobody")``
    """
    if not hasattr(value, "_tracer"):
        return value  # type: ignore[no-any-return]
    tracer = value._tracer
    if not is_type_form(to):
        return tracer.report("ORCH-D041", f"narrow to {to!r}", fix="narrow(value, Row): the second is a type")  # type: ignore[no-any-return]
    if not assignable(to, value._type):
        tracer.report(
            "ORCH-D010",
            f"{type_string(value._type)} cannot be narrowed to {type_string(to)}",
            why=f"`{value._origin.name}` at {value._origin.where} produces {type_string(value._type)}",
            fix="narrow to a member of its union",
        )
    return tracer.builtin("narrow", {"value": lift(tracer, value)}, to)  # type: ignore[no-any-return]


def field(value: Value[Any], name: str) -> Any:  # noqa: PLR0911 - a case each
    """``value.name`` by the declared fields of its type, or a method of it; over a list of models, of each item."""
    tracer, tp = value._tracer, value._type
    if tp is Any:
        return tracer.field(value, name, Any)
    fields = fields_of(tp)
    is_own = tp is Error and name in (fields or ())
    if is_own and (owner := _with_attribute(tracer.caught, name)) is not None:
        return _of_the_exception(value, name, owner)
    if fields is not None and name in fields:
        return tracer.field(value, name, fields[name])
    item = element_type(tp) if fields is None else None
    each = fields_of(item) if item is not None else None
    if each is not None and name in each:
        return tracer.field(value, name, list_of(each[name]), each=True)
    if (attribute := attribute_type(tp, name)) is not None:
        return tracer.builtin("attribute", {"value": lift(tracer, value), "name": lift(tracer, name)}, attribute)
    if (found := method(value, name)) is not None:
        return found
    return _unknown_field(value, name, fields or each)


def _with_attribute(classes: Iterable[type], name: str) -> type | None:
    """A class of the user's, among these, whose objects have an attribute of this name."""
    for cls in classes:
        for each in cls.__mro__:
            own = vars(each)
            if each.__module__.startswith("orchestrator."):
                break
            made = [code.co_names for member in own.values() if (code := getattr(member, "__code__", None)) is not None]
            if name in own or name in own.get("__annotations__", ()) or any(name in names for names in made):
                return cls
    return None


def _of_the_exception(value: Value[Any], name: str, owner: type) -> Value[Any]:
    return value._tracer.report(
        "ORCH-D011",
        f"`.{name}` of what a handler caught, and {owner.__name__} has a `{name}` of its own",
        why="what is recorded of an exception is its class and its text, and not its attributes",
        fix="put it into the text of the exception, or catch it in the tool and return it",
    )


def _unknown_field(value: Value[Any], name: str, fields: Any) -> Value[Any]:
    tracer, tp = value._tracer, value._type
    if name in MUTATORS and class_of(tp) in (list, dict, set):
        return tracer.report(
            "ORCH-D052",
            f"`.{name}` changes `{value._origin.name}` elsewhere than in a statement of the workflow",
            why="a value of a workflow is never changed: a name is given a changed one, in the code that is compiled",
            fix="write it in the workflow on a local name, xs.append(x); elsewhere return the new one: xs + [x]",
        )
    if is_secret(tp):
        return tracer.report(
            "ORCH-D060",
            f"`.{name}` of the secret `{value._origin.name}` in a workflow",
            why="what a workflow computes with stands in prompts, journals and traces",
            fix=f"pass `{value._origin.name}` itself to the tool that needs it, and call get_secret_value() there",
        )
    if tp is Error:
        why = "what is recorded of an exception is its class and its text"
        fix = "str(error) is the text, repr(error) the class with it, and type(error).__name__ its name; have the tool "
        fix += "put anything else into the text, or catch it and return it"
    elif hasattr(plain(tp), name) and name not in (fields or {}):
        why = "methods and properties run on concrete objects, and this one exists only when the workflow runs"
        fix = f"use `.{name}` inside a tool: @tool(effects='pure')"
    elif fields is not None:
        close = get_close_matches(name, fields, n=1)
        known = ", ".join(f"`{field}`" for field in fields) or "no fields"
        fix = f"did you mean `.{close[0]}`?" if close else f"it has {known}"
        why = None
    elif type(None) in get_args(plain(tp)):
        rest = union(*[member for member in get_args(plain(tp)) if member is not type(None)])
        inner = f"narrow(value, {type_string(rest)}).{name}"
        why = "the value may be None"
        fix = f"decide first: branch(value == None, then=lambda: ..., otherwise=lambda: {inner})"
    else:
        why, fix = None, "project fields of pydantic models, dataclasses and named tuples; annotate the producer as one"
    return tracer.report("ORCH-D011", f"{type_string(tp)} has no field `{name}`", why=why, fix=fix)


def _sliced(length: Length, key: slice) -> Length:
    """Of a slice with known bounds: from the end of a longer list it may take less than of a shorter one.

    As the list grows, both ends of the slice stay or move with it, which changes at the lengths its bounds name only.
    """
    turns = [abs(as_int(bound)) + near for bound in (key.start, key.stop) if bound is not None for near in (-1, 0, 1)]
    of = [length.least, length.most, *(turn for turn in turns if length.least < turn < length.most)]
    lengths = [len(range(*key.indices(each))) for each in of]
    return Length(max(lengths), min(lengths))


def _has(count: int, position: int) -> bool:
    return -count <= position < count


def _count(length: Length) -> str:
    return f"{'' if length.exact else 'at most '}{length.most} item{'s' * (length.most != 1)}"


def _may_be_left_out(value: Value[Any], position: int, length: Length) -> Value[Any]:
    least = f"{length.least} item{'s' * (length.least != 1)}"
    sure = "[0]" if length.least == 1 else f"[0] to [{length.least - 1}]"
    return value._tracer.report(
        "ORCH-D011",
        f"`{value._origin.name}` may have no item {position}: at_least= promises {least}",
        why="samples that do not fit are left out, so the list may be shorter than samples=",
        fix=f"use {sure}, a slice, map_ or vote, which take what there is; or leave at_least= out",
    )


def _looked_up(tp: TypeForm, key: TypeForm) -> TypeForm | None:
    """The type of an item at a key of which only the type is known; None if there is no such item."""
    pair = key_and_value(tp)
    if pair is not None:
        return pair[1] if comparable(pair[0], key) else None
    return items_of(tp, in_order=True) if assignable(key, int) else None


def _slice(value: Value[Any], key: slice) -> Value[Any]:

    tracer, length = value._tracer, value._length
    tp, is_known = plain(value._type), not any(isinstance(each, Value) for each in (key.start, key.stop, key.step))
    bounds = {"start": lift(tracer, key.start), "stop": lift(tracer, key.stop), "step": lift(tracer, key.step)}
    for each in bounds.values():
        if not assignable(each._type, int | None):
            return tracer.report(
                "ORCH-D010",
                f"a slice expects int, but gets {type_string(each._type)}",
                fix="convert it first: int(...)",
            )
    if key_and_value(tp) is not None or items_of(tp, in_order=True) is None:
        return tracer.report("ORCH-D011", f"{type_string(tp)} has no slices", fix="slice lists, tuples and texts")
    if is_known and key.step == 0:
        return tracer.report("ORCH-D014", "a slice with a step of 0", fix="write a step other than 0, or none")
    if class_of(tp) is tuple and (members := get_args(tp)):
        is_fixed = Ellipsis not in members
        item: Any = items_of(tp)
        tp = tuple_of(members[key]) if is_fixed and is_known else tuple[item, ...]
    elif is_text(tp):
        tp = str
    rest = _sliced(length, key) if is_known and length is not None else length and Length(length.most)
    return tracer.builtin("slice", {"items": lift(tracer, value), **bounds}, tp, length=rest)


def index(value: Value[Any], key: object) -> Value[Any]:
    """``value[key]`` for a constant or symbolic key, and ``value[a:b]`` of a list, tuple or text."""
    tracer, tp, length = value._tracer, value._type, value._length
    if isinstance(key, str) and has_marker(key):
        key = template_of(tracer, key)
    if isinstance(key, Value):
        item = _looked_up(tp, key._type)
        if item is not None:
            return tracer.builtin("getitem", {"items": lift(tracer, value), "key": lift(tracer, key)}, item)
    if isinstance(key, slice):
        return _slice(value, key)
    if isinstance(key, (int, str)):
        item = item_type(tp, key)
        if item is not None and (length is None or isinstance(key, str) or _has(length.most, key)):
            if length is not None and isinstance(key, int) and length.least and not _has(length.least, key):
                return _may_be_left_out(value, key, length)
            return tracer.field(value, str(key), item, keyed=isinstance(key, str))
    return tracer.report(
        "ORCH-D011",
        f"{type_string(tp)} has no item {key!r}" if not isinstance(key, Value) else f"{type_string(tp)} has no items",
        why=f"it has {_count(length)}" if length is not None and isinstance(key, int) else None,
        fix="index lists and tuples by position, dicts by key, models by attribute",
    )
