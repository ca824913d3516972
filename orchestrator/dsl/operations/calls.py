"""Python's builtin functions, called with symbolic arguments."""

from __future__ import annotations

import builtins
import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import BuiltinFunctionType, MethodDescriptorType
from typing import Any, Final, get_args

from orchestrator.dsl.operations.applying import apply, wrong_operand, wrong_operands
from orchestrator.dsl.operations.conditions import is_instance, truth
from orchestrator.dsl.operations.expressions import binary
from orchestrator.dsl.operations.methods import method
from orchestrator.dsl.operations.operands import as_value, holds_symbolic, tracer_of
from orchestrator.dsl.pure.numbers import IN_BASES, MATH
from orchestrator.dsl.regions.control import map_
from orchestrator.dsl.tracing.lifting import SymbolicRange, lift
from orchestrator.dsl.tracing.tracer import Tracer, Value
from orchestrator.dsl.types.arithmetic import result_type, unary_type
from orchestrator.dsl.types.bounds import Length
from orchestrator.dsl.types.kinds import class_of, is_text, items_of, key_and_value
from orchestrator.dsl.types.typing import (
    NoneType,
    TypeForm,
    assignable,
    is_list,
    join,
    list_of,
    plain,
    tuple_of,
    type_string,
    union,
)

Call = Callable[..., Any]
Types = Mapping[str, TypeForm]

_CONTAINERS: Final = (list, tuple, dict, set, frozenset, range)


def has_builtin(function: object) -> bool:
    """Whether a function of Python can be called with symbolic arguments."""
    try:
        if function in _CALLS:
            return True
    except TypeError:  # not hashable
        return False
    if isinstance(function, MethodDescriptorType):
        return function.__objclass__ in (str, list, tuple, dict, set, frozenset) and _has_method(function)
    owner = getattr(function, "__self__", None) if isinstance(function, BuiltinFunctionType) else None
    return owner is not None and method(owner, function.__name__) is not None  # type: ignore[attr-defined]


def _has_method(function: MethodDescriptorType) -> bool:
    return method(function.__objclass__(), function.__name__) is not None


def builtin_call(function: Any, args: Sequence[object], kwargs: Mapping[str, object]) -> Any:
    """``function(*args, **kwargs)`` for a builtin function of which an argument is, or holds, a symbolic value."""
    tracer = tracer_of(*args, *kwargs.values())
    if not has_builtin(function):
        name = getattr(function, "__qualname__", repr(function))
        return tracer.report(
            "ORCH-D006",
            f"{name}() needs concrete arguments, and these are only known when the workflow runs",
            why="the function is traced once, before any model or tool has answered",
            fix="call it in a tool that takes the values: @tool(effects='pure')",
        )
    try:
        if (call := _CALLS.get(function)) is not None:
            return call(tracer, *args, **kwargs)
        receiver, *rest = args if isinstance(function, MethodDescriptorType) else (function.__self__, *args)
        found = method(receiver, function.__name__)
        return function(*args, **kwargs) if found is None else found(*rest, **kwargs)
    except _WrongArgumentsError as error:
        return tracer.report("ORCH-D012", str(error), fix=error.fix)
    except TypeError as error:
        if error.__traceback__ is None or error.__traceback__.tb_next is not None:
            raise
        name = function.__name__
        return tracer.report("ORCH-D012", f"{name}() gets wrong arguments: {error}", fix=f"see help({name})")


class _WrongArgumentsError(Exception):
    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


def _applied(name: str, callee: str | None = None) -> Call:
    def applied(tracer: Tracer, *args: object, **kwargs: object) -> Value[Any]:
        return apply(tracer, callee or name, [as_value(each, tracer) for each in args], kwargs, said=f"{name}()")

    return applied


def _is_known(container: object) -> bool:
    """Whether tracing knows the container, if not what is in it."""
    return isinstance(container, _CONTAINERS)


def _len(tracer: Tracer, items: object) -> Any:
    if _is_known(items):
        return len(items)  # type: ignore[arg-type]
    value = as_value(items, tracer)
    if value._length is not None and value._length.exact:
        return value._length.most
    if plain(value._type) is not Any and items_of(value._type) is None:
        return wrong_operands(tracer, "len()", [value])
    return tracer.builtin("len", {"items": value}, int)


def _str(tracer: Tracer, value: object = "", *more: object) -> Any:
    if more:
        raise _WrongArgumentsError("str() of bytes", "decode them in a pure tool: data.decode()")
    if isinstance(value, str):
        return value
    lifted = as_value(value, tracer)
    return lifted if class_of(lifted._type) is str else tracer.builtin("str", {"value": lifted}, str)


def _repr(tracer: Tracer, value: object) -> Any:
    return tracer.builtin("repr", {"value": as_value(value, tracer)}, str)


def _format(tracer: Tracer, value: object, spec: object = "") -> Any:
    return apply(tracer, "format", [as_value(value, tracer), spec], {}, said="format()")


def _int(tracer: Tracer, value: object, base: object = None) -> Any:
    given = as_value(value, tracer)
    if base is None:
        is_int = class_of(given._type) is int
        return given if is_int else apply(tracer, "int", [given], {}, said="int()")
    return apply(tracer, "int_of", [given, base], {}, said="int()")


def _float(tracer: Tracer, value: object) -> Any:
    return apply(tracer, "float", [as_value(value, tracer)], {}, said="float()")


def _bool(_tracer: Tracer, value: object) -> Any:
    return truth(value)


def _abs(tracer: Tracer, value: object) -> Any:
    given = as_value(value, tracer)
    tp = unary_type("abs", given._type)
    return wrong_operands(tracer, "abs()", [given]) if tp is None else tracer.builtin("abs", {"value": given}, tp)


def _round(tracer: Tracer, number: object, ndigits: object = None) -> Any:
    given = as_value(number, tracer)
    if ndigits is None:
        return apply(tracer, "round", [given], {}, said="round()")
    tp = int if class_of(given._type) in (int, bool) else given._type
    if unary_type("abs", given._type) is None:
        return wrong_operands(tracer, "round()", [given])
    return apply(tracer, "round_to", [given, ndigits], {}, said="round()", rule=lambda _: tp)


def _divmod(tracer: Tracer, left: object, right: object) -> Any:
    def rule(types: Types) -> TypeForm | None:
        each = [result_type(op, types["left"], types["right"]) for op in ("floordiv", "mod")]
        return None if None in each or is_text(types["left"]) else tuple_of(each)

    return apply(tracer, "divmod", [as_value(left, tracer), as_value(right, tracer)], {}, said="divmod()", rule=rule)


def _pow(tracer: Tracer, base: Any, exp: Any, mod: object = None) -> Any:
    if mod is None:
        return binary(tracer, "pow", as_value(base, tracer), exp)
    return apply(tracer, "pow_mod", [base, exp, mod], {}, said="pow()")


def _by_key(tracer: Tracer, name: str, items: Value[Any], key: Any, *more: object) -> Value[Any]:
    """``sorted(items, key=key)`` and the like: the keys are mapped, for each item, and the items ordered by them."""

    if has_builtin(key):  # as `len`, which is asked for the length of each
        key = partial(_of_one, key)
    if plain(items._type) is not Any and not is_list(items._type):
        items = apply(tracer, "list_of", [items], {}, said=f"{name}()")
    known = items._length is not None
    keys = map_(key, items) if known else map_(key, items, limit=tracer.max_items)
    if isinstance(keys, tuple):  # one list for each part of the keys, which are ordered like the tuples of the parts
        keys = _zip(tracer, *keys)
    if plain(keys._type) is not Any and not _has_order(keys._type):
        return wrong_operands(tracer, f"{name}() by keys", [keys])
    return apply(tracer, f"{name}_by", [items, keys, *more], {}, said=f"{name}()")


def _of_one(function: Any, item: object) -> Any:
    return builtin_call(function, (item,), {})


def _has_order(items: TypeForm) -> bool:
    item = items_of(items)
    return item is not None and result_type("lt", item, item) is not None


_MISSING: Final = object()


def _is_empty(items: object) -> bool:
    """Whether it is known to have no items."""
    return isinstance(items, (list, tuple, set, frozenset, dict)) and not items


def _extreme(name: str) -> Call:
    def extreme(tracer: Tracer, *args: object, key: object = None, default: object = _MISSING) -> Any:
        if default is not _MISSING and len(args) == 1 and _is_empty(args[0]):
            return default
        items = as_value(args[0] if len(args) == 1 else list(args), tracer)
        if key is not None:
            if default is not _MISSING:
                raise _WrongArgumentsError(f"{name}() with key= and default=", "decide first: `if items:`")
            return _by_key(tracer, name, items, key)
        if plain(items._type) is not Any and not _has_order(items._type):
            return wrong_operands(tracer, f"{name}()", [items])
        if default is _MISSING:
            return apply(tracer, name, [items], {}, said=f"{name}()")

        def rule(types: Types) -> TypeForm:
            item = items_of(types["items"])
            return join(item, types["default"]) or union(item, types["default"])

        return apply(tracer, f"{name}_or", [items, as_value(default, tracer)], {}, said=f"{name}()", rule=rule)

    return extreme


def _sum(tracer: Tracer, items: object, start: object = 0) -> Any:
    def rule(types: Types) -> TypeForm | None:
        item, first = items_of(types["items"]), types.get("start", int)
        if item is None or is_text(item):
            return None
        added = result_type("add", first, item)
        if added is None or result_type("add", added, item) is None:
            return None
        return join(first, added) or union(first, added)

    given = as_value(items, tracer)
    if (item := items_of(given._type)) is not None and item is not Any and is_text(item):
        return tracer.report("ORCH-D014", "sum() of texts is not supported", fix='join them: "".join(items)')
    return apply(tracer, "sum", [given, as_value(start, tracer)], {}, said="sum()", rule=rule)


def _sorted(tracer: Tracer, items: object, *, key: object = None, reverse: object = False) -> Any:
    given = as_value(items, tracer)
    if key is not None:
        return _by_key(tracer, "sorted", given, key, reverse)
    if plain(given._type) is not Any and not _has_order(given._type):
        return wrong_operands(tracer, "sorted()", [given])
    return apply(tracer, "sorted", [given, reverse], {}, said="sorted()", length=given._length)


def _collected(function: Call, callee: str) -> Call:
    """``list(items)`` and others of one iterable: Python's own where tracing knows the container."""

    def collected(tracer: Tracer, items: object, *more: object) -> Any:
        compares = callee in ("set_of", "frozenset_of")
        if _is_known(items) and not compares and not any(map(holds_symbolic, more)):
            return function(items, *more)
        given = as_value(items, tracer)
        length = None if compares or not assignable(given._type, list[Any]) else given._length
        return apply(tracer, callee, [given, *more], {}, said=f"{function.__name__}()", length=length)

    return collected


def _enumerate(tracer: Tracer, iterable: object, start: object = 0) -> Any:
    return _collected(enumerate, "enumerate")(tracer, iterable, start)


def _dict(tracer: Tracer, items: object = (), **more: object) -> Any:
    if _is_known(items) and not (not isinstance(items, dict) and holds_symbolic(items)):
        return dict(items, **more)  # type: ignore[call-overload]
    given = as_value(items, tracer)
    callee = "copy" if key_and_value(given._type) is not None else "dict_of"
    made = apply(tracer, callee, [given], {}, said="dict()")
    return binary(tracer, "or", made, more) if more else made


def _zip(tracer: Tracer, *lists: object, strict: object = False) -> Any:
    if all(map(_is_known, lists)) and not holds_symbolic(strict):
        return zip(*lists, strict=bool(strict))
    given = [as_value(each, tracer) for each in lists]
    items = [items_of(each._type) for each in given]
    if None in items:
        return wrong_operands(tracer, "zip()", given)
    operands = {f"list_{number}": each for number, each in enumerate(given, 1)}
    lengths = [each._length for each in given if each._length is not None]
    most = min((length.most for length in lengths), default=None)
    least = min(length.least for length in lengths) if len(lengths) == len(given) else 0
    length = None if most is None else Length(most, min(least, most))
    return tracer.builtin("zip", {"strict": as_value(strict, tracer), **operands}, list_of(tuple_of(items)), length)


def _range(tracer: Tracer, *bounds: object) -> Any:
    if not 1 <= len(bounds) <= 3:
        raise _WrongArgumentsError(f"range() gets {len(bounds)} arguments", "range(stop) or range(start, stop, step)")
    for each in [lift(tracer, bound) for bound in bounds]:
        if not assignable(each._type, int):
            return wrong_operand(tracer, "range()", each, int)
    start, stop, step = (0, *bounds, 1) if len(bounds) == 1 else (*bounds, 1)[:3]
    if step == 0 and isinstance(step, int):
        return tracer.report("ORCH-D014", "range() with a step of 0", fix="count by 1 or more, or by -1 or less")
    return SymbolicRange(tracer, start, stop, step)


def _isinstance(_tracer: Tracer, value: object, classes: object) -> Any:
    return is_instance(value, classes)


def _loads(tracer: Tracer, s: object) -> Any:
    return apply(tracer, "json.loads", [as_value(s, tracer)], {}, said="json.loads()")


def _dumps(tracer: Tracer, obj: object, **options: object) -> Any:
    given = as_value(obj, tracer)
    if (unfit := _without_json(given._type)) is not None:
        fix = "write a model with value.model_dump_json(), or what it is made of"
        return tracer.report("ORCH-D010", f"json.dumps() of {type_string(unfit)}", fix=fix)
    return apply(tracer, "json.dumps", [given], options, said="json.dumps()")


def _without_json(tp: TypeForm) -> TypeForm | None:
    """What in a type ``json.dumps`` does not take; what it does may still fail when the workflow runs."""
    cls = class_of(tp)
    if cls in (list, tuple, dict):
        members = [each for each in get_args(plain(tp)) if each is not Ellipsis]
        return next((found for each in members if (found := _without_json(each)) is not None), None)
    return tp if cls is not None and not issubclass(cls, (str, int, float, NoneType)) else None


_CALLS: Final[Mapping[Any, Call]] = {
    len: _len,
    str: _str,
    repr: _repr,
    format: _format,
    int: _int,
    float: _float,
    bool: _bool,
    abs: _abs,
    round: _round,
    divmod: _divmod,
    pow: _pow,
    min: _extreme("min"),
    max: _extreme("max"),
    sum: _sum,
    any: _applied("any"),
    all: _applied("all"),
    sorted: _sorted,
    reversed: _collected(reversed, "reversed"),
    list: _collected(list, "list_of"),
    tuple: _collected(tuple, "tuple_of"),
    set: _collected(set, "set_of"),
    frozenset: _collected(frozenset, "frozenset_of"),
    dict: _dict,
    enumerate: _enumerate,
    zip: _zip,
    range: _range,
    ord: _applied("ord"),
    chr: _applied("chr"),
    isinstance: _isinstance,
    json.loads: _loads,
    json.dumps: _dumps,
    **{getattr(builtins, name): _applied(name) for name in IN_BASES},
    **{getattr(math, name): _applied(f"math.{name}") for name in MATH},
}
