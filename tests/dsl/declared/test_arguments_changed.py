"""`orch check` warns of a tool that changes what it is given, and of no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from orchestrator import tool, workflow
from orchestrator.dsl.declared.arguments_changed import changed_arguments
from orchestrator.testing import fake


@dataclass
class Cart:
    total: int
    items: list[str]


def appends(xs: list[str], x: str) -> int:
    xs.append(x)
    return len(xs)


def sets_an_item(table: dict[str, list[int]]) -> None:
    table["a"] = []


def changes_an_item(table: dict[str, list[int]]) -> None:
    table["a"].append(1)


def deletes(xs: list[str]) -> None:
    del xs[0]


def sets_a_field(cart: Cart) -> None:
    cart.total = 1


def changes_a_field(cart: Cart) -> None:
    for item in ("a", "b"):
        cart.items.append(item)


async def waits(xs: list[str]) -> None:
    xs.sort()


def returns_it(xs: list[str]) -> list[str]:
    xs.append("x")
    return xs


def returns_it_with_more(xs: list[str]) -> tuple[list[str], int]:
    xs.append("x")
    return xs, len(xs)


def copies(xs: list[str]) -> int:
    xs = list(xs)
    xs.append("x")
    return len(xs)


def has_a_local(xs: list[str]) -> int:
    found = []
    for x in xs:
        found.append(x)  # noqa: PERF402
    return len(found)


def has_a_local_of_a_function(xs: list[str]) -> int:
    def count(xs: list[str]) -> int:
        xs.append("x")
        return len(xs)

    return count([*xs])


def reads(xs: list[str], table: dict[str, int]) -> str:
    return xs[0] + str(table.get("a")) + ",".join(xs)


CHANGING = [appends, sets_an_item, changes_an_item, deletes, sets_a_field, changes_a_field, waits]
KEEPING = [returns_it, returns_it_with_more, copies, has_a_local, has_a_local_of_a_function, reads]


@pytest.mark.parametrize("function", CHANGING, ids=lambda each: each.__name__)
def test_a_change_of_an_argument_is_told_with_its_line_and_what_to_do(function: Callable[..., Any]) -> None:
    (warning,) = changed_arguments(tool(function))
    first = function.__code__.co_firstlineno
    assert warning.code == "ORCH-D058"
    assert warning.where is not None
    assert first < warning.where.line <= first + 3
    assert warning.fix is not None
    assert "return the new" in warning.fix


@pytest.mark.parametrize("function", KEEPING, ids=lambda each: each.__name__)
def test_nothing_is_said_where_the_caller_misses_nothing(function: Callable[..., Any]) -> None:
    assert list(changed_arguments(tool(function))) == []


def test_a_tool_is_given_a_copy() -> None:
    adds = tool(appends, effects="pure")

    @workflow
    def counts(text: str) -> list[int]:
        xs = [text]
        return [adds(xs, "b"), len(xs), adds(xs, "c")]

    with fake():
        assert counts("a") == [2, 1, 2]
