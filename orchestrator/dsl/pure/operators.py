"""Operators, displays, projections and tests."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from orchestrator.errors import Error


def power(left: Any, right: Any) -> Any:
    """``left ** right`` among real numbers; Python goes on with complex ones, which no type here says."""
    made = left**right
    if isinstance(made, complex) and not isinstance(left, complex):
        raise ValueError(f"{left!r} ** {right!r} is a complex number")
    return made


BINARY: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge,
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "truediv": operator.truediv,
    "floordiv": operator.floordiv, "mod": operator.mod, "pow": power, "lshift": operator.lshift,
    "rshift": operator.rshift, "and": operator.and_, "or": operator.or_, "xor": operator.xor, "is": operator.is_,
}  # fmt: skip


def by_name(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """An operator that takes its operands by keyword."""

    def operation(left: Any, right: Any) -> Any:
        return function(left, right)

    return operation


def negative(value: Any) -> Any:
    """``-value``."""
    return -value


def positive(value: Any) -> Any:
    """``+value``."""
    return +value


def inverted(value: Any) -> Any:
    """``~value`` of an int; of a bool, ``~`` in a workflow is ``not``."""
    return ~value


def negation(value: Any) -> bool:
    """``not value``."""
    return not value


def truth(value: Any) -> bool:
    """``bool(value)``."""
    return bool(value)


def narrowed(value: Any) -> Any:
    """The value itself, of which tracing knows more."""
    return value


def list_of(**items: Any) -> list[Any]:
    """``[a, b]``."""
    return list(items.values())


def tuple_of(**items: Any) -> tuple[Any, ...]:
    """``(a, b)``."""
    return tuple(items.values())


def dict_of(**items: Any) -> dict[str, Any]:
    """``{"a": a}``."""
    return items


def contains(container: Any, item: Any) -> bool:
    """``item in container``."""
    return item in container


def is_instance(value: object, classes: list[str]) -> bool:
    """Whether the class of ``value``, or one of its bases, has one of these qualified names; so has a failure."""
    if isinstance(value, Error) and any(name in classes for name in (value.kind, *value.bases)):
        return True
    return any(f"{cls.__module__}.{cls.__qualname__}" in classes for cls in type(value).__mro__)


def getitem(items: Any, key: Any) -> Any:
    """``items[key]``."""
    return items[key]


def sliced(items: Any, start: int | None, stop: int | None, step: int | None) -> Any:
    """``items[start:stop:step]``."""
    return items[start:stop:step]
