"""Operators, items and displays: Python's own on concrete operands, ops on symbolic ones."""

from __future__ import annotations

import inspect
import operator
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final

from orchestrator.dsl import operations
from orchestrator.dsl.operations.expressions import negate
from orchestrator.dsl.rewrite import values
from orchestrator.dsl.rewrite.owning import changeable_here, drawable_in_region
from orchestrator.dsl.rewrite.percent import filled
from orchestrator.dsl.source.location import user_location
from orchestrator.dsl.tracing.lifting import template_of
from orchestrator.dsl.tracing.template import has_marker
from orchestrator.dsl.tracing.tracer import Value, current_tracer
from orchestrator.dsl.types.typing import assignable
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
            return template_of(tracer, operand)
    return operand


def compare(left: Any, sign: str, right: Any) -> Any:
    """``left sign right``."""
    if sign in ("in", "not in"):
        if not drawable_in_region(right):
            return False
        asks = operations.holds_symbolic(left) or operations.holds_symbolic(right)
        found = operations.contains(right, left) if asks else left in right
        return found if sign == "in" else negate(found) if isinstance(found, Value) else not found
    if sign in ("is", "is not"):
        if not (is_symbolic(left) or is_symbolic(right)):
            return left is right if sign == "is" else left is not right
        same = operations.same(left, right)
        return same if sign == "is" else negate(same) if isinstance(same, Value) else not same
    return _COMPARING[sign](_compared(left), _compared(right))


def _compared(operand: Any) -> Any:
    """A display of values as one value; a constant stays one, of which it is known what never equals it."""
    return operations.as_value(operand) if operations.holds_symbolic(operand) else operand


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
        adds = isinstance(container, defaultdict) and key not in container
        if adds and not changeable_here(container, "[...]", "ask without adding: d.get(key, ...)"):
            return container.default_factory() if container.default_factory is not None else None
        return container[key]
    if isinstance(container, (type, *_GENERIC)):
        return container[key]  # type: ignore[index]
    return operations.item(container, key)


_GENERIC: Final = (type(list[int]),)


def _key_is_symbolic(key: Any) -> bool:
    if isinstance(key, slice):
        return any(map(is_symbolic, (key.start, key.stop, key.step)))
    return is_symbolic(key)


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


def displayed(kind: str, *parts: Any) -> Any:
    """``[a, *xs, b]``, and tuples and sets like it: the items of the parts in turn."""
    made = {"list": list, "tuple": tuple, "set": set}[kind]
    parts = tuple(filter(drawable_in_region, parts))
    if not any(isinstance(each, (Value, operations.SymbolicRange)) or is_text(each) for each in parts):
        items = [item for each in parts for item in each]
        symbolic = kind == "set" and any(map(is_symbolic, items))
        return operations.builtin_call(set, (items,), {}) if symbolic else made(items)
    lists = [values.iterated(each) if isinstance(each, Value) else list(as_value(each)) for each in map(_listed, parts)]
    whole = operations.builtin_call(list, lists, {}) if len(lists) == 1 else operations.concat(lists)
    return whole if kind == "list" else operations.builtin_call(made, (whole,), {})


def spread(items: Any) -> Any:
    """``*items`` among the arguments of a call."""
    return items if drawable_in_region(items) else ()


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


def unpacked(value: Any, count: int, star: int | None) -> Any:
    """What several names are assigned."""
    if is_symbolic(value):
        return values.unpacked(as_value(value), count, star)
    if not drawable_in_region(value):
        return [None] * count
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
