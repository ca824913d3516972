# ruff: noqa: PERF401 - programs as people write them
"""The value of ``pop`` can be used wherever the name can be given what is left."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.errors import TraceError
from tests.dsl.rewrite.both import compiled, noting, same


def _numbers(number: int) -> list[int]:
    return list(range(number))


def _table(number: int) -> dict[str, int]:
    return {str(each): each for each in range(number)}


def _add(numbers: list[int], number: int) -> int:
    return sum(numbers) * 100 + number


numbers, table, add = (noting(each, effects="pure") for each in (_numbers, _table, _add))


def in_a_branch(number: int) -> list[int]:
    left = numbers(number)
    last = -1
    if number > 2:
        last = left.pop()
    return [last, *left]


def in_a_loop(number: int) -> list[int]:
    todo, seen = [number], []
    while todo and len(seen) < 6:
        each = todo.pop(0)
        seen.append(each)
        if each > 1:
            todo.append(each - 1)
            todo.append(each // 2)
    return seen


def in_an_expression(number: int) -> int:
    left = numbers(number)
    return (left.pop() * 10 + left.pop(0) if len(left) > 1 else -1) + len(left)


def in_a_test(number: int) -> int:
    left = numbers(number)
    if number > 1 and left.pop() == 2:
        return 100 + len(left)
    return len(left)


def of_known_in_a_region(number: int) -> list[int]:
    left, taken = [1, 2, 3], []
    for each in numbers(number):
        if each > 0 and left:
            taken.append(left.pop())
    return [*taken, -1, *left]


def of_a_dict(number: int) -> dict[str, int]:
    left = table(number)
    if number > 2:
        left["new"] = left.pop("1")
    left["default"] = left.pop("3", 7)
    left.pop("0", None)
    return left


def of_a_known_dict(number: int) -> int:
    left, total = {"a": 1, "b": 2}, 0
    for key in ["a", "c", "b"]:
        if number > 2:
            total += left.pop(key, 10)
    return total + len(left)


def that_fails(number: int) -> int:
    left = table(number)
    try:
        taken = left.pop("3")
    except KeyError:
        taken = -1
    return taken + len(left)


def in_a_function_within(number: int) -> int:
    left = numbers(number)

    def take() -> int:
        return left.pop() if left else -1

    return take() * 10 + take()


PROGRAMS = [
    in_a_branch, in_a_loop, in_an_expression, in_a_test, of_known_in_a_region, of_a_dict, of_a_known_dict, that_fails,
    in_a_function_within,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_means_what_it_means_in_python(program: Any) -> None:
    for number in range(5):
        same(program, number)


def beside_what_it_changes(number: int) -> int:
    left = numbers(number)
    return add(left, left.pop())


def put_where_it_was(number: int) -> list[int]:
    left = numbers(number)
    left.append(left.pop(0))
    return left


def in_place_of_itself(number: int) -> list[int]:
    left = numbers(number)
    left += [left.pop(0)]
    return left


def for_each_item(number: int) -> list[int]:
    left = numbers(number)
    return [left.pop() for _ in numbers(2)]


def with_another_name(number: int) -> int:
    left = numbers(number)
    other = left
    return left.pop() + len(other)


REFUSED = [beside_what_it_changes, put_where_it_was, in_place_of_itself, for_each_item, with_another_name]


@pytest.mark.parametrize("program", REFUSED, ids=lambda program: program.__name__)
def test_is_refused_where_the_object_would_be_seen(program: Any) -> None:
    with pytest.raises(TraceError) as caught:
        compiled(program, 3)
    assert caught.value.code == "ORCH-D052"


def test_the_fix_works() -> None:
    def program(number: int) -> list[int]:
        left = numbers(number)
        last = left.pop(0)
        left.append(last)
        return [add(left, last), *left]

    same(program, 3)
