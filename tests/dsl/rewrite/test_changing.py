# ruff: noqa: BLE001 - programs as people write them
"""Tuples that grow, sets that lose what they have, and failures that are asked for their class, as in Python."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dsl.rewrite.both import noting, same


def _numbers(number: int) -> list[int]:
    return list(range(number))


def _distinct(number: int) -> set[int]:
    return set(range(number))


def _several(number: int) -> tuple[int, ...]:
    return tuple(range(number))


class DeniedError(LookupError):
    pass


def _fails(number: int) -> int:
    if number == 1:
        raise ValueError("one")
    if number == 2:
        raise DeniedError("two")
    if number == 3:
        raise ZeroDivisionError("three")
    return number


numbers, distinct, several = (noting(each, effects="pure") for each in (_numbers, _distinct, _several))
fails = noting(_fails)


def tuple_that_grows(number: int) -> tuple[int, ...]:
    found = ()
    for each in numbers(number):
        found += (each * 2,)
    return found


def tuple_that_grows_on_one_path(number: int) -> tuple[int, ...]:
    found = (1, 2)
    for each in numbers(number):
        if each > 1:
            found += (each, each)
    return found


def tuple_put_together(number: int) -> tuple[int, ...]:
    found = several(number)
    turns = 0
    while turns < number:
        turns += 1
        found = (*found, turns)
    return (*found, len(found))


def tuple_of_one_length(number: int) -> int:
    pair = (0, 1)
    for _ in numbers(number):
        pair = (pair[1], pair[0] + pair[1])
    return pair[0]


def list_of_a_tuple(number: int) -> list[int]:
    found = [7, *several(number)]
    found.extend(several(number))
    return found


def text_that_grows(number: int) -> str:
    found = "<"
    for each in numbers(number):
        found += "x" if each else "y"
    return found


def set_without_one(number: int) -> list[int]:
    found = distinct(number)
    for each in [1, 2]:
        if number > 2:
            found.remove(each)
        found.discard(each + 7)
    return sorted(found)


def set_that_has_it_not(number: int) -> int:
    found = distinct(number)
    try:
        found.remove(3)
    except KeyError:
        return -1
    return len(found)


def known_set_in_a_region(number: int) -> list[int]:
    found = {1, 2, 3}
    if number in (1, 2, 3):
        found.remove(number)
    return sorted(found)


def class_of_an_error(number: int) -> str:
    said = ""
    for each in numbers(number):
        try:
            fails(each)
        except Exception as error:
            if isinstance(error, ValueError):
                said += "v"
            elif isinstance(error, (LookupError, TypeError)):
                said += "l"
            else:
                said += "?"
    return said


def class_of_an_error_and_more(number: int) -> str:
    try:
        fails(number)
    except Exception as error:
        if isinstance(error, Exception) and not isinstance(error, DeniedError):
            return f"failed: {error}"
        return "denied"
    return "well"


def class_of_an_error_matched(number: int) -> str:
    try:
        fails(number)
    except Exception as error:
        match error:
            case ValueError():
                return "v"
            case KeyError() | LookupError():
                return "l"
        return "?"
    return "well"


PROGRAMS = [
    tuple_that_grows, tuple_that_grows_on_one_path, tuple_put_together, tuple_of_one_length, list_of_a_tuple,
    text_that_grows, set_without_one, set_that_has_it_not, known_set_in_a_region, class_of_an_error,
    class_of_an_error_and_more, class_of_an_error_matched,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_means_what_it_means_in_python(program: Any) -> None:
    for number in range(5):
        same(program, number)
