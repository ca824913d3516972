"""Operators, items, methods and builtin functions: Python's own on concrete operands, ops on symbolic ones."""

from __future__ import annotations

import inspect
import operator
import sys
from collections.abc import Callable, Mapping
from io import StringIO
from typing import Any, Final

from orchestrator.dsl import operations
from orchestrator.dsl.location import user_location
from orchestrator.dsl.meaning import LAYOUT
from orchestrator.dsl.rewrite import values
from orchestrator.dsl.rewrite.percent import filled
from orchestrator.dsl.rewrite.scopes import MUTATORS
from orchestrator.dsl.template import has_marker
from orchestrator.dsl.tool import call
from orchestrator.dsl.tracer import current_tracer
from orchestrator.dsl.typing import assignable, fields_of
from orchestrator.dsl.unasked import READERS
from orchestrator.dsl.value import Value
from orchestrator.errors import TraceError

_BINARY: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "Add": operator.add, "Sub": operator.sub, "Mult": operator.mul, "Div": operator.truediv, "Mod": operator.mod,
    "FloorDiv": operator.floordiv, "Pow": operator.pow, "BitAnd": operator.and_, "BitOr": operator.or_,
    "BitXor": operator.xor, "LShift": operator.lshift, "RShift": operator.rshift, "MatMult": operator.matmul,
}  # fmt: skip
IN_PLACE: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "Add": operator.iadd, "Sub": operator.isub, "Mult": operator.imul, "Div": operator.itruediv, "Mod": operator.imod,
    "FloorDiv": operator.ifloordiv, "Pow": operator.ipow, "BitAnd": operator.iand, "BitOr": operator.ior,
    "BitXor": operator.ixor, "LShift": operator.ilshift, "RShift": operator.irshift, "MatMult": operator.imatmul,
}  # fmt: skip
_COMPARING: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def is_text(operand: object) -> bool:
    """Whether it is a text with a symbolic value in it."""
    return isinstance(operand, str) and has_marker(operand)


def is_symbolic(operand: object) -> bool:
    """Whether it is a symbolic value, or a text with one in it."""
    kind = type(operand)
    return issubclass(kind, Value) or (issubclass(kind, str) and has_marker(operand))  # type: ignore[arg-type]


def is_truth(value: Value[Any]) -> bool:
    """Whether it is true or false, and nothing else."""
    return value._type is not Any and assignable(value._type, bool)


def as_value(operand: Any) -> Any:
    """A text with a symbolic value in it as the prompt that it is; anything else as it is."""
    if is_text(operand):
        tracer = current_tracer()
        if tracer is not None:
            return tracer.template(operand)
    return operand


def compare(left: Any, sign: str, right: Any) -> Any:
    """``left sign right``."""
    if sign in ("in", "not in"):
        asks = operations.holds_symbolic(left) or operations.holds_symbolic(right)
        found = operations.contains(right, left) if asks else left in right
        return found if sign == "in" else ~found if isinstance(found, Value) else not found
    if sign in ("is", "is not"):
        if not (is_symbolic(left) or is_symbolic(right)):
            return left is right if sign == "is" else left is not right
        same = operations.same(left, right)
        return same if sign == "is" else ~same if isinstance(same, Value) else not same
    if operations.holds_symbolic(left) or operations.holds_symbolic(right):
        left, right = operations.as_value(left), operations.as_value(right)
    return _COMPARING[sign](left, right)


def chain(left: Any, *rest: Any) -> Any:
    """``left < middle() < right()``, each evaluated once, and not at all behind one that does not hold."""
    from orchestrator.dsl.rewrite.deciding import and_

    sign, other, *more = rest
    right = other()
    first = compare(left, sign, right)
    return and_(first, lambda: chain(right, *more)) if more else first


def binary(name: str, left: Any, right: Any) -> Any:
    """``left + right`` and the like; ``%`` of a text fills it."""
    if name == "Mod" and isinstance(left, str) and (is_text(left) or operations.holds_symbolic(right)):
        return filled(left, right)
    if name == "Add" and isinstance(left, str) and not isinstance(right, Value):
        return left + right  # texts with values in them stay texts
    if name == "Mult":
        return _BINARY[name](as_value(left), as_value(right))
    return _BINARY[name](left, right)


def item(container: Any, key: Any) -> Any:
    """``container[key]``."""
    if not (is_symbolic(container) or _key_is_symbolic(key)):
        return container[key]
    if isinstance(container, (type, *_GENERIC)):
        return container[key]  # type: ignore[index]
    return operations.item(container, key)


_GENERIC: Final = (type(list[int]),)


def _key_is_symbolic(key: Any) -> bool:
    if isinstance(key, slice):
        return any(map(is_symbolic, (key.start, key.stop, key.step)))
    return is_symbolic(key)


def method(receiver: Any, name: str) -> Any:  # noqa: PLR0911 - a case each
    """``receiver.name``, to be called."""
    if isinstance(receiver, Value):
        if name in MUTATORS and operations.method(receiver, name) is None and not _has_field(receiver, name):
            return _refusing_change(receiver, name)
    elif name == "gather" and receiver is sys.modules.get("asyncio"):  # which costs too much to import here
        return _gathered
    elif name in MUTATORS and isinstance(receiver, (list, dict, set)):
        from orchestrator.dsl.rewrite.changing import changeable_here

        if not changeable_here(receiver, f".{name}()"):
            return _nothing
    if current_tracer() is None:
        return getattr(receiver, name)
    if isinstance(receiver, (Value, str, list, tuple, dict, set, frozenset)):
        found = operations.method(receiver, name)
        return getattr(receiver, name) if found is None else found
    if isinstance(receiver, StringIO):
        return getattr(receiver, name)
    return function(getattr(receiver, name))


def _has_field(value: Value[Any], name: str) -> bool:
    return value._type is Any or name in (fields_of(value._type) or ())


def _refusing_change(receiver: Value[Any], name: str) -> Any:
    def refused(*args: Any, **kwargs: Any) -> Any:
        return receiver._tracer.report(
            "ORCH-D052",
            f"`.{name}()` changes `{receiver._origin.name}`, which others may hold, and its result is used",
            why="a value of a workflow is never changed; a name can be given a changed one",
            fix="write it as a statement of its own on a local name, or build the new value: xs + [x]",
        )

    return refused


def _nothing(*_: Any, **__: Any) -> None:
    """In place of a change that has been reported."""


def _gathered(*awaitables: Any, **_: Any) -> list[Any]:
    return list(awaitables)


def awaited(value: Any) -> Any:
    """``await value``: calls of a workflow do not wait while it is traced."""
    if not inspect.isawaitable(value):
        return value
    if inspect.iscoroutine(value):
        value.close()
    raise TraceError(
        "ORCH-D053",
        "`await` of something that only happens when the workflow runs",
        where=user_location(),
        why="the workflow is traced once, ahead of time: there is nothing to wait for",
        fix="await it in an async tool: @tool async def ...",
    )


def function(called: Any) -> Any:
    """A function of Python or its library, which is given symbolic arguments as well, or refuses them."""
    if current_tracer() is None:
        return called
    if isinstance(called, type) and fields_of(called) is not None:
        return _building(called)
    if called is map or called is filter:
        return _mapping if called is map else _filtering
    if called is next:
        return _next
    if not operations.has_builtin(called):
        return _refusing(called) if _reads(called) else called

    def applied(*args: Any, **kwargs: Any) -> Any:
        if any(map(_asks, args)) or any(map(_asks, kwargs.values())):
            return operations.builtin_call(called, args, kwargs)
        return called(*args, **kwargs)

    return applied


def _building(model: type) -> Callable[..., Any]:
    """A model or dataclass, which is built of symbolic values when the workflow runs."""

    def built(*args: Any, **kwargs: Any) -> Any:
        if any(map(operations.holds_symbolic, (*args, *kwargs.values()))):
            return call(model, *args, **kwargs)
        return model(*args, **kwargs)

    return built


def _next(items: Any, *default: Any) -> Any:
    """``next(...)``: a generator expression is a list here, of which this is the first."""
    return _refusing(next)(iter(items) if isinstance(items, list) else items, *default)


def _mapping(applied: Any, *sources: Any) -> Any:
    """``map(f, xs)``."""
    from orchestrator.dsl.rewrite.comprehending import list_of

    applied = function(applied)
    if not any(map(_asks, sources)):
        return map(applied, *sources)
    if len(sources) == 1:
        return list_of(sources[0], None, applied)
    pairs = operations.builtin_call(zip, sources, {})
    return list_of(pairs, None, lambda item: applied(*(part(item, at, len(sources)) for at in range(len(sources)))))


def _filtering(applied: Any, source: Any) -> Any:
    """``filter(f, xs)``."""
    from orchestrator.dsl.rewrite.comprehending import list_of

    applied = None if applied is None else function(applied)
    if not _asks(source):
        return filter(applied, source)
    return list_of(source, applied if applied is not None else lambda item: item, lambda item: item)


def _reads(called: Any) -> bool:
    """Whether a function looks into what it is given, so that it would answer for the placeholder."""
    kind = type(called)
    module = getattr(called, "__module__", None) or kind.__module__
    if module == "builtins":
        return called in _OF_VALUES
    return str(module).lstrip("_").partition(".")[0] in READERS and getattr(called, "__name__", "") not in LAYOUT


_OF_VALUES: Final = (
    print,
    hash,
    type,
    id,
    iter,
    next,
    callable,
    ascii,
    vars,
    dir,
    open,
    eval,
    exec,
    bytes,
    bytearray,
    complex,
)


def _refusing(called: Callable[..., Any]) -> Callable[..., Any]:
    def refused(*args: Any, **kwargs: Any) -> Any:
        writes = called is print and isinstance(kwargs.get("file"), StringIO)  # where a prompt is put together
        if writes or not any(map(operations.holds_symbolic, (*args, *kwargs.values()))):
            return called(*args, **kwargs)
        tracer = current_tracer()
        assert tracer is not None
        name = getattr(called, "__qualname__", repr(called))
        return tracer.report(
            "ORCH-D006",
            f"{name}() is given something that is only known when the workflow runs",
            why="it would answer for the placeholder: the workflow is traced before any model or tool has answered",
            fix="call it in a tool that takes the values: @tool(effects='pure')",
        )

    return refused


def _asks(argument: Any) -> bool:
    """Whether a builtin function needs more of an argument than Python has."""
    if isinstance(argument, (list, tuple, set, frozenset)):
        return any(map(is_symbolic, argument))
    return is_symbolic(argument) or isinstance(argument, operations.SymbolicRange)


def displayed(kind: str, *parts: Any) -> Any:
    """``[a, *xs, b]``, and tuples and sets like it: the items of the parts in turn."""
    made = {"list": list, "tuple": tuple, "set": set}[kind]
    if not any(isinstance(each, (Value, operations.SymbolicRange)) or is_text(each) for each in parts):
        items = [item for each in parts for item in each]
        symbolic = kind == "set" and any(map(is_symbolic, items))
        return operations.builtin_call(set, (items,), {}) if symbolic else made(items)
    lists = [values.iterated(each) if isinstance(each, Value) else list(as_value(each)) for each in map(_listed, parts)]
    whole = operations.concat(lists)
    return whole if kind == "list" else operations.builtin_call(made, (whole,), {})


def mapping(*parts: tuple[Any, ...]) -> Any:
    """``{key: value, **others}``: each part is a key with its value, or what others are taken from."""
    made: Any = {}
    for part in parts:
        if len(part) == 1:
            (others,) = part
            made = made | others if isinstance(made, Value) or isinstance(others, Value) else {**made, **others}
        elif isinstance(made, Value) or is_symbolic(part[0]):
            made = operations.with_item(made, *part)
        else:
            made[part[0]] = part[1]
    return made


def _listed(part: Any) -> Any:
    return part.as_list() if isinstance(part, operations.SymbolicRange) else as_value(part)


def formatted(value: Any, conversion: int, spec: Any) -> Any:
    """``{value!r:spec}`` in an f-string."""
    if not isinstance(value, (Value, str)) and operations.holds_symbolic(value):
        value = operations.as_value(value)
    convert = _CONVERSIONS.get(conversion)
    if convert is not None and not (convert is str and not spec and is_symbolic(value)):
        value = function(convert)(value)
    if is_symbolic(value) or is_symbolic(spec):
        return operations.builtin_call(format, (value, spec), {}) if spec else value
    return format(value, spec)


_CONVERSIONS: Final[Mapping[int, Callable[[Any], str]]] = {ord("s"): str, ord("r"): repr, ord("a"): ascii}


def unpacked(value: Any, count: int, star: int | None) -> Any:
    """What several names are assigned."""
    if is_symbolic(value):
        return values.unpacked(as_value(value), count, star)
    if star is None:
        return value
    items, behind = list(value), count - star - 1
    if len(items) < count - 1:
        raise ValueError(f"not enough values to unpack (expected at least {count - 1}, got {len(items)})")
    return [*items[:star], items[star : len(items) - behind], *items[len(items) - behind :]]


def part(value: Any, position: int, count: int) -> Any:
    """One of the parts of an item that several names are given."""
    if isinstance(value, Value):
        return operations.item(value, position)
    parts = list(value)
    if len(parts) > count:
        raise ValueError(f"too many values to unpack (expected {count})")
    if len(parts) < count:
        raise ValueError(f"not enough values to unpack (expected {count}, got {len(parts)})")
    return parts[position]
