"""Symbolic values as Python's statements take them: gone through, taken apart, narrowed, changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, get_args

from orchestrator.dsl import operations
from orchestrator.dsl.operations.expressions import index
from orchestrator.dsl.tracing.lifting import lift
from orchestrator.dsl.tracing.narrowing import declared, members
from orchestrator.dsl.tracing.sharing import of
from orchestrator.dsl.tracing.tracer import Result, Tracer, Value
from orchestrator.dsl.types.bounds import Length
from orchestrator.dsl.types.typing import TypeForm, element_type, is_list, list_of, origin_of, plain, type_string


def iterated(value: Value[Any]) -> Value[Any]:
    """What ``for`` goes through, as a list: of a dict its keys, of a text its characters."""
    return value if is_list(value._type) else operations.builtin_call(list, (value,), {})


def bound_of(tracer: Tracer, value: Value[Any]) -> int:
    """The most items of a list that are gone through; one with more fails when it is."""
    return tracer.max_items if value._length is None else value._length.most


def bounded(tracer: Tracer, values: Value[Any], most: int) -> Value[Any]:
    """A list of at most so many items; one with more fails (ORCH-R005)."""
    if values._length is not None and values._length.most <= most:
        return values
    given = {"items": values, "most": lift(tracer, most)}
    return tracer.builtin("bounded", given, values._type, Length(most))


def unpacked(value: Value[Any], count: int, star: int | None) -> Any:
    """What several names are assigned: the items, of which there must be as many."""
    tp = plain(value._type)
    arguments = get_args(tp)
    if origin_of(tp) is tuple and Ellipsis not in arguments and len(arguments) != count and star is None:
        return value._tracer.report(
            "ORCH-D005",
            f"{count} names for the {len(arguments)} items of `{value._origin.name}`",
            fix=f"write {len(arguments)} names, or index the items",
        )
    if origin_of(tp) is tuple and Ellipsis not in arguments:
        parts = [index(value, position) for position in range(len(arguments))]
        if star is None:
            return parts
        behind = count - star - 1
        return [*parts[:star], parts[star : len(parts) - behind], *parts[len(parts) - behind :]]
    items = iterated(value)
    tracer, item = value._tracer, element_type(items._type)
    least = count if star is None else count - 1
    given = {"items": items, "count": lift(tracer, least), "exactly": lift(tracer, star is None)}
    length = Length(count, count) if star is None else None
    known = tracer.builtin("unpacked", given, list_of(Any if item is None else item), length)
    if star is None:
        return [index(known, position) for position in range(count)]
    behind = count - star - 1
    end = -behind if behind else None
    front = [operations.item(known, position) for position in range(star)]
    back = [operations.item(known, position - behind) for position in range(behind)]
    return [*front, index(known, slice(star, end)), *back]


def narrowed(value: Any, tp: TypeForm) -> Any:
    """A value as one of a narrower type, after a test."""
    if not isinstance(value, Value) or value._type == tp:
        return value
    tracer, left = value._tracer, declared(value._type, tp)
    if type_string(left) != type_string(value._type):
        made = tracer.builtin("narrow", {"value": value}, left)
    else:
        made = tracer.value(value._ssa, Result(value._type, value._length, of(value)), value._origin, value._scope)
        made._facts = value._facts
    if left != tp:
        made._among = members(tp)
    return made


def changed(target: Value[Any], method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What a name holds after a method that changes its object; None if there is no such method here."""
    change = _CHANGES.get((_kind(target), method))
    try:
        return None if change is None else change(target, *args, **kwargs)
    except TypeError as error:
        if error.__traceback__ is None or error.__traceback__.tb_next is not None:
            raise
        return None  # not with such arguments


def _kind(value: Value[Any]) -> type | None:
    cls = origin_of(plain(value._type)) or plain(value._type)
    return cls if isinstance(cls, type) else None


def _extended(target: Value[Any], items: Any) -> Any:
    return operations.concat([target, iterated(items) if isinstance(items, Value) else list(items)])


def _inserted(target: Value[Any], position: Any, item: Any) -> Any:
    return operations.concat([index(target, slice(position)), [item], index(target, slice(position, None))])


def _popped(target: Value[Any], position: Any = -1) -> Any:
    return operations.without_item(target, position)


def _merged(target: Value[Any], *others: Any, **more: Any) -> Any:
    for other in (*others, *([more] if more else [])):
        target = target | other
    return target


def _sorted(target: Value[Any], *, key: Any = None, reverse: Any = False) -> Any:
    return operations.builtin_call(sorted, (target,), {"key": key, "reverse": reverse})


def set_by_default(target: Value[Any], key: Any, default: Any = None) -> Any:
    """A dict after ``setdefault``."""
    return operations.with_item(target, key, asked(target, "get", key, default))


def asked(target: Value[Any], method: str, *args: Any) -> Any:
    """What a method that changes nothing gives."""
    found = operations.method(target, method)
    assert found is not None
    return found(*args)


def _one(item: Any) -> Any:
    """A set of one item."""
    return operations.builtin_call(set, ([item],), {})


_CHANGES: Final[Mapping[tuple[type | None, str], Callable[..., Any]]] = {
    (list, "append"): lambda target, item: operations.appended(target, [item]),
    (list, "extend"): _extended,
    (list, "insert"): _inserted,
    (list, "pop"): _popped,
    (list, "remove"): lambda target, item: operations.without_item(target, target.index(item)),
    (list, "clear"): lambda target: target[:0],
    (list, "reverse"): lambda target: target[::-1],
    (list, "__setitem__"): operations.with_item,
    (list, "sort"): _sorted,
    (dict, "__setitem__"): operations.with_item,
    (dict, "setdefault"): set_by_default,
    (dict, "update"): _merged,
    (dict, "pop"): operations.without_item,
    (set, "add"): lambda target, item: target | _one(item),
    (set, "update"): _merged,
    (set, "remove"): operations.without_item,
    (set, "discard"): lambda target, item: target - _one(item),
}
