"""Methods of texts, lists, dicts and sets on symbolic values: those that give something and change nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from orchestrator.dsl.operations.applying import apply, wrong_operand, wrong_operands
from orchestrator.dsl.operations.operands import as_value, holds_symbolic, tracer_of
from orchestrator.dsl.pure.containers import SET_METHODS
from orchestrator.dsl.pure.texts import METHODS as TEXT_METHODS
from orchestrator.dsl.tracing.lifting import SymbolicRange, lift
from orchestrator.dsl.tracing.template import has_marker
from orchestrator.dsl.tracing.tracer import Tracer, Value
from orchestrator.dsl.types.arithmetic import comparable
from orchestrator.dsl.types.kinds import class_of, is_text, items_of, key_and_value
from orchestrator.dsl.types.typing import TypeForm, join, plain, typed_items, union

Method = Callable[..., Any]

_TEXT: Final = {name: f"str.{name}" for name in TEXT_METHODS}
_LIST: Final = {"count": "list.count", "index": "list.index", "copy": "list_of"}
_DICT: Final = {"get": "dict.get", "keys": "dict.keys", "values": "dict.values", "items": "dict.items", "copy": "copy"}
_SET: Final = {**{name: f"set.{name}" for name in SET_METHODS}, "copy": "set_of"}
_DATE: Final = {name: f"date.{name}" for name in ("isoformat", "strftime", "weekday", "isoweekday", "toordinal")}
_METHODS: Final[Mapping[type, Mapping[str, str]]] = {
    str: _TEXT,
    bytes: {"decode": "bytes.decode", "hex": "bytes.hex"},
    int: {"bit_length": "int.bit_length"},
    float: {"is_integer": "float.is_integer"},
    datetime: {**_DATE, **{name: f"date.{name}" for name in ("date", "time", "timestamp")}},
    date: _DATE,
    time: {name: _DATE[name] for name in ("isoformat", "strftime")},
    timedelta: {"total_seconds": "date.total_seconds"},
    list: _LIST,
    tuple: {name: _LIST[name] for name in ("count", "index")},
    dict: _DICT,
    set: _SET,
    frozenset: {**_SET, "copy": "frozenset_of"},
}
_OF_MODELS: Final = {"model_dump": "model.dump", "model_dump_json": "model.dump_json"}
_COMPARING: Final = ("count", "index")
"""Methods of lists that compare their members."""


def method(receiver: object, name: str) -> Method | None:
    """The method of a symbolic value, or of a text, list, dict or set that may be given one; None if there is none.

    On operands that tracing knows it is Python's own.
    """
    if isinstance(receiver, SymbolicRange):
        receiver = receiver.as_list()
    if isinstance(receiver, Value):
        callee = _callee(receiver._type, name)
        return None if callee is None else bound(receiver, name, callee)
    known = _METHODS.get(type(receiver), {}).get(name)
    native = getattr(receiver, name, None)
    if known is None or native is None:
        return None
    symbolic = (name in _COMPARING and holds_symbolic(receiver)) or (
        isinstance(receiver, str) and has_marker(receiver) and name != "join"
    )

    def either(*args: object, **kwargs: object) -> Any:
        if symbolic or any(map(holds_symbolic, (*args, *kwargs.values()))):
            return bound(receiver, name, known)(*args, **kwargs)
        return native(*args, **kwargs)

    return either


def _callee(tp: TypeForm, name: str) -> str | None:
    """The pure function that a method of a type is."""
    if plain(tp) is Any:  # a name that only one kind of values has says which
        found = {table[name] for table in _METHODS.values() if name in table}
        return found.pop() if len(found) == 1 else None
    cls = class_of(tp) or object
    if name in _OF_MODELS and hasattr(cls, "model_fields"):
        return _OF_MODELS[name]
    return next((table[name] for base, table in _METHODS.items() if issubclass(cls, base) and name in table), None)


def bound(receiver: object, name: str, callee: str) -> Method:
    """The pure function ``callee``, which is the method ``name`` of ``receiver``."""

    def operation(*args: object, **kwargs: object) -> Any:
        tracer = tracer_of(receiver, *args, *kwargs.values())
        special = _SPECIAL.get(callee)
        if special is not None:
            return special(tracer, receiver, *args, **kwargs)
        owner = callee.partition(".")[0]
        said = f"{owner}.{name}()" if "." in callee else f"object.{name}()"
        given = [as_value(each, tracer) for each in (receiver, *args)]
        return apply(tracer, callee, given, kwargs, said=said)

    return operation


def _joined(tracer: Tracer, separator: object, *given: object) -> Any:
    """``separator.join(items)``: of a list that tracing knows, one prompt template."""
    items = given[0] if len(given) == 1 else None
    if isinstance(items, (list, tuple)):
        for each in items:
            if not isinstance(each, str) and not is_text((value := as_value(each, tracer))._type):
                return wrong_operand(tracer, "str.join()", value, str)
        return f"{separator}".join(f"{each}" for each in items)
    return apply(tracer, "str.join", (separator, *(as_value(each, tracer) for each in given)), {}, said="str.join()")


def _formatted(tracer: Tracer, text: object, *args: object, **kwargs: object) -> Any:
    """``text.format(...)`` of a text that is only known when the workflow runs."""
    if isinstance(text, str) and not has_marker(text):
        return text.format(*args, **kwargs)
    given: dict[str, Value[Any]] = {"text": as_value(text, tracer), "args": lift(tracer, args)}
    return tracer.builtin("str.format", {**given, "kwargs": lift(tracer, kwargs)}, str)


def _got(tracer: Tracer, items: object, *args: object) -> Any:
    """``items.get(key, default)``."""
    whole = as_value(items, tracer)
    if not 1 <= len(args) <= 2:
        return tracer.report("ORCH-D012", f"dict.get() gets {len(args)} arguments", fix="items.get(key, default)")
    key, default = as_value(args[0], tracer), as_value(args[1] if len(args) == 2 else None, tracer)
    pair = key_and_value(whole._type) or (Any, Any)
    if not comparable(pair[0], key._type):
        return wrong_operands(tracer, "dict.get()", [whole, key])
    typed, at = typed_items(whole._type), args[0]
    if typed is not None and isinstance(at, str) and not has_marker(at):
        if at not in typed:
            return tracer.report("ORCH-D011", f"{plain(whole._type).__name__} has no item {at!r}", fix="check the key")
        pair = str, typed[at]
    tp = join(pair[1], default._type) or union(pair[1], default._type)
    return tracer.builtin("dict.get", {"items": whole, "key": key, "default": default}, tp)


def _sought(callee: str) -> Method:
    def sought(tracer: Tracer, items: object, *args: object) -> Any:
        given = [as_value(each, tracer) for each in (items, *args)]
        item = items_of(given[0]._type) or Any
        if len(given) > 1 and not comparable(item, given[1]._type):
            return wrong_operands(tracer, f"{callee}()", given[:2])
        return apply(tracer, callee, given, {}, said=f"{callee}()")

    return sought


def _of_sets(name: str) -> Method:
    def combined(tracer: Tracer, items: object, *others: object) -> Any:
        given = [as_value(each, tracer) for each in (items, *others)]
        types = [items_of(each._type) for each in given]
        if None in types:
            return wrong_operands(tracer, f"set.{name}()", given)
        item = union(*types) if name == "union" else types[0]
        kind: Any = class_of(given[0]._type) or set
        names = ["items", *(f"other_{number}" for number in range(1, len(given)))]
        return tracer.builtin(f"set.{name}", dict(zip(names, given, strict=True)), kind[item])

    return combined


_SPECIAL: Final[Mapping[str, Method]] = {
    "str.join": _joined,
    "str.format": _formatted,
    "dict.get": _got,
    "list.count": _sought("list.count"),
    "list.index": _sought("list.index"),
    **{f"set.{name}": _of_sets(name) for name in ("union", "intersection", "difference")},
}
"""Methods whose operands or result say more than annotations can."""
