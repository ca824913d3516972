"""The pure functions behind operators on symbolic values; the IR calls them ``builtin.eq``, ``builtin.add``, …

Like any tool they are called with keyword arguments: the names in the op's ``params``.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final

from orchestrator.dsl.tool import Tool

_BINARY = {
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge,
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "truediv": operator.truediv,
    "and": operator.and_, "or": operator.or_,
}  # fmt: skip


def _by_name(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def by_name(left: Any, right: Any) -> Any:
        return function(left, right)

    return by_name


def _list(**items: Any) -> list[Any]:
    return list(items.values())


def _tuple(**items: Any) -> tuple[Any, ...]:
    return tuple(items.values())


def _dict(**items: Any) -> dict[str, Any]:
    return items


def _not(value: bool) -> bool:
    return not value


def _narrow(value: Any) -> Any:
    return value


def _getitem(items: Any, key: Any) -> Any:
    return items[key]


def _slice(items: Any, start: int | None, stop: int | None, step: int | None) -> Any:
    return items[start:stop:step]


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{f"builtin.{name}": _by_name(function) for name, function in _BINARY.items()},
    "builtin.not": _not,
    "builtin.list": _list,
    "builtin.tuple": _tuple,
    "builtin.dict": _dict,
    "builtin.narrow": _narrow,
    "builtin.getitem": _getitem,
    "builtin.slice": _slice,
}

TOOLS: Final[dict[str, Tool[..., Any]]] = {
    name: Tool(function, name, effects="pure", cheap=True) for name, function in _FUNCTIONS.items()
}
"""The builtin tools by ``callee``."""
