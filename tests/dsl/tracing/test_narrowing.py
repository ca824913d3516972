# ruff: noqa: RET503, RET505 - programs as people write them
"""A test says what the names in it are: where it holds, where it does not, and whether another can be."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, Flag
from typing import Any, Literal

import pytest

from orchestrator.errors import TraceError
from tests.dsl.rewrite.both import compiled, noting, same


@dataclass
class Row:
    name: str
    size: int


class Colour(Enum):
    RED = "red"
    BLUE = "blue"
    GREEN = "green"


class Right(Flag):
    READ = 1
    WRITE = 2


def _find(number: int) -> Row | None:
    return Row("n" * number, number) if number > 1 else None


def _text(number: int) -> str | None:
    return "a" * number if number else None


def _kind(number: int) -> Literal["bug", "question"]:
    return "bug" if number % 2 else "question"


def _colour(number: int) -> Colour:
    return list(Colour)[number % 3]


def _perhaps_colour(number: int) -> Colour | None:
    return list(Colour)[number % 3] if number else None


def _right(number: int) -> Right:
    return Right(number % 4)


def _odd(number: int) -> bool:
    return bool(number % 2)


def _upper(text: str) -> str:
    return text.upper()


def _named(colour: Colour) -> str:
    return colour.name


def _rows(number: int) -> list[Row | None]:
    return [_find(each) for each in range(number)]


find, text, kind, colour, perhaps_colour, right, odd, named, rows = (
    noting(each, effects="pure")
    for each in (_find, _text, _kind, _colour, _perhaps_colour, _right, _odd, _named, _rows)
)
upper = noting(_upper)


def and_truth(number: int) -> str:
    found = text(number)
    if found and len(found) > 2:
        return upper(found)
    return "short"


def and_truths_of_two(number: int) -> str:
    found, row = text(number), find(number)
    if found and row and number > 2:
        return upper(found) + upper(row.name)
    return "nothing"


def and_effect(number: int) -> str:
    row = find(number)
    if row and upper(row.name) != "NNN":
        return row.name
    return "nothing"


def not_and(number: int) -> str:
    found = text(number)
    if not (found and len(found) > 2):
        return "short"
    return upper(found)


def or_not(number: int) -> str:
    found = text(number)
    if not found or len(found) < 3 or upper(found) == "AAA":
        return "short"
    return upper(found)


def and_or(number: int) -> str:
    found, row = text(number), find(number)
    if row is not None and (found is None or len(found) < row.size + 1):
        return upper(row.name)
    return "nothing"


def ternary(number: int) -> str:
    found = text(number)
    return upper(found) if found and len(found) > 2 else "short"


def kept_test(number: int) -> str:
    row = find(number)
    is_big = row and row.size > 2
    if is_big:
        return upper(row.name)
    return "small"


def while_not_none(number: int) -> int:
    row = find(number)
    turns = 0
    while row is not None and row.size > 1 and turns < 5:
        turns += len(upper(row.name))
        row = find(row.size - 1)
    return turns


def while_of_what_stays(number: int) -> list[str]:
    row = find(number)
    names = []
    while row and len(names) < 2:
        names.append(upper(row.name))
    return names


def in_comprehension(number: int) -> list[str]:
    return [upper(row.name) for row in rows(number) if row and row.size > 2]


def in_comprehension_over_known(number: int) -> list[str]:
    return [upper(row.name) for row in [find(1), find(number)] if row is not None and row.size > 2]


def of_another_name_in_comprehension(number: int) -> list[str]:
    found = text(number)
    return [upper(found) for _ in rows(number) if found is not None]


def in_loop_and_try(number: int) -> str:
    found, said = text(number), ""
    for row in rows(number):
        try:
            if row and found and row.size + len(found) > 5:
                said += upper(row.name)
        except Exception:  # noqa: BLE001 - the user's
            said = "failed"
    return said


def literal(number: int) -> str:
    which = kind(number)
    if which == "bug":
        said = upper("b")
    elif which == "question":
        said = upper("q")
    return said


def literal_in_turn(number: int) -> str:
    which = kind(number)
    if which == "bug":
        return upper("b")
    if which in ("question",):
        return upper("q")


def enum(number: int) -> str:
    which = colour(number)
    if which == Colour.RED:
        said = upper("r")
    elif which is Colour.BLUE:
        said = upper("b")
    elif which is Colour.GREEN:
        said = upper("g")
    return said


def enum_of_the_rest(number: int) -> str:
    which = colour(number)
    if which != Colour.RED:
        if which in (Colour.BLUE, Colour.GREEN):
            said = named(which)
    else:
        said = f"{named(which)}!"
    return said


def enum_or_none(number: int) -> str:
    which = perhaps_colour(number)
    if which is None:
        return "none"
    elif which is Colour.RED or which is Colour.BLUE:
        said = named(which)
    elif which is Colour.GREEN:
        said = upper("g")
    return said


def truth_value(number: int) -> str:
    is_odd = odd(number)
    if is_odd:
        said = upper("o")
    elif not is_odd:
        said = upper("e")
    return said


def truth_value_by_identity(number: int) -> str:
    is_odd = odd(number)
    if is_odd is True:
        said = upper("o")
    elif is_odd is False:
        said = upper("e")
    return said


def truth_value_matched(number: int) -> str:
    match odd(number):
        case True:
            said = upper("o")
        case False:
            said = upper("e")
    return said


def in_a_loop(number: int) -> str:
    said = ""
    for row in rows(number):
        which = colour(row.size if row else 0)
        if which == Colour.RED:
            part = "r"
        elif which == Colour.BLUE:
            part = "b"
        elif which == Colour.GREEN:
            part = upper("g")
        said += part
    return said


PROGRAMS = [
    and_truth, and_truths_of_two, and_effect, not_and, or_not, and_or, ternary, kept_test, while_not_none,
    while_of_what_stays, in_comprehension, in_comprehension_over_known, of_another_name_in_comprehension,
    in_loop_and_try, literal, literal_in_turn, enum, enum_of_the_rest, enum_or_none, truth_value,
    truth_value_by_identity, truth_value_matched, in_a_loop,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_means_what_it_means_in_python(program: Any) -> None:
    for number in range(5):
        same(program, number)


def flags(number: int) -> str:
    which = right(number)
    if which == Right.READ:
        said = "r"
    elif which == Right.WRITE:
        said = "w"
    return said


def flags_matched(number: int) -> str:
    match right(number):
        case Right.READ:
            said = "r"
        case Right.WRITE:
            said = "w"
    return said


def one_of_three(number: int) -> str:
    which = colour(number)
    if which is Colour.RED:
        said = "r"
    elif which is Colour.BLUE:
        said = "b"
    return said


@pytest.mark.parametrize("program", [flags, flags_matched, one_of_three], ids=lambda program: program.__name__)
def test_what_may_be_something_else_binds_no_name(program: Any) -> None:
    with pytest.raises(TraceError) as caught:
        compiled(program, 0)
    assert caught.value.code == "ORCH-D051"
