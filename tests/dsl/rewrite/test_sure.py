"""Names that hold something wherever they are read: behind ``while True``, and behind ``:=`` on the right of a test."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.errors import TraceError
from tests.dsl.rewrite.both import compiled, noting, same


def _positive(number: int) -> int | None:
    return number if number > 0 else None


def _double(number: int) -> int:
    return number * 2


def _write(number: int) -> int:
    return number * 2


def _numbers(number: int) -> list[int]:
    return list(range(number))


def _fails(number: int) -> int:
    if number > 3:
        raise ValueError(f"{number} is too big")
    return number


positive, double, numbers = (noting(each, effects="pure") for each in (_positive, _double, _numbers))
write, fails = noting(_write), noting(_fails)


def in_and(number: int) -> int:
    if (first := positive(number)) and (second := positive(first - 1)) and (third := positive(second - 1)):
        return first + second + third
    return -1


def in_and_behind_a_value(number: int) -> int:
    if number > 1 and (doubled := write(number)) > 4:
        return doubled + write(doubled)
    return 0


def in_or(number: int) -> int:
    if not (number > 0) or (doubled := double(number)) > 5:
        return 0
    return doubled


def in_ternary(number: int) -> int:
    return doubled if number > 1 and (doubled := double(number)) > 2 else number


def in_arms_of_a_ternary(number: int) -> int:
    either = (one := double(number)) if number > 2 else (one := number)
    return either + one


def in_chain(number: int) -> bool:
    return 0 < (doubled := double(number)) < (more := double(doubled)) and more != 8


def in_elif_in_a_loop(number: int) -> int:
    total = 0
    for each in numbers(number):
        if each > 2 and (found := positive(each)):
            total += found
        elif each == 1 and (found := positive(each + 5)):
            total += found * 10
    return total


def in_while(number: int) -> int:
    total, left = 0, number
    while (one := positive(left)) and (two := positive(one + 1)) and total < 20:
        total += two
        left = one - 1
    return total


def in_try(number: int) -> int:
    try:
        if number > 1 and (found := fails(number)):
            return found
    except ValueError:
        return -1
    return 0


def in_guard(number: int) -> int:
    match numbers(number):
        case [first, *rest] if (doubled := double(len(rest))) > 2:
            return first + doubled
        case _:
            return -1


def over_a_name_that_is_bound(number: int) -> int:
    found = 7
    if number > 1 and (found := double(number)) > 5:
        return found
    return found


def in_function_within(number: int) -> int:
    def inner(value: int) -> int:
        if value > 1 and (found := double(value)):
            return found
        return -1

    return inner(number) + inner(number + 1)


def in_comprehension(number: int) -> list[int]:
    return [found for each in numbers(number) if (found := positive(each - 1))]


def in_comprehension_behind_and(number: int) -> list[int]:
    return [b for each in numbers(number) if each and (a := write(each)) > 2 and (b := positive(a - 3)) and b != 3]


def in_nested_comprehension(number: int) -> list[list[int]]:
    return [[more, x, y] for x in numbers(number) for y in numbers(x) if (more := write(y)) > 1]


def in_dict_comprehension(number: int) -> dict[str, int]:
    return {f"{at}": found for at, each in enumerate(numbers(number)) if (found := positive(each))}


def in_generator(number: int) -> int:
    return sum(found for each in numbers(number) if (found := positive(each)))


def in_comprehension_over_known(number: int) -> list[int]:
    total = 0
    sums = [total := total + each for each in [double(number), 2, 3] if each > 1]
    return [*sums, total]


def endless(number: int) -> int:
    while True:
        number = double(number) + 1
        if number > 20:
            result = number
            break
    return result


def endless_with_two_ends(number: int) -> int:
    while True:
        number = double(number) + 1
        if number > 20:
            result = number
            break
        if number == 7:
            result = write(number)
            break
    return result


def endless_with_return(number: int) -> int:
    while True:
        number = double(number) + 1
        if number == 7:
            return write(number)
        if number > 20:
            result = number
            break
    return result


def endless_with_failure(number: int) -> int:
    while True:
        try:
            fails(number)
        except ValueError:
            result = number
            break
        number += 1
    return result


def endless_in_a_loop(number: int) -> int:
    total = 0
    for each in numbers(number):
        while True:
            each = each + double(1)  # noqa: PLW2901
            if each > 4:
                last = each
                break
        total += last
    return total


PROGRAMS = [
    in_and, in_and_behind_a_value, in_or, in_ternary, in_arms_of_a_ternary, in_chain, in_elif_in_a_loop, in_while,
    in_try, in_guard, over_a_name_that_is_bound, in_function_within, in_comprehension, in_comprehension_behind_and,
    in_nested_comprehension, in_dict_comprehension, in_generator, in_comprehension_over_known, endless,
    endless_with_two_ends, endless_with_return, endless_with_failure, endless_in_a_loop,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_means_what_it_means_in_python(program: Any) -> None:
    for number in range(5):
        same(program, number)


def read_where_not_bound(number: int) -> int:
    if double(number) > 2 and (found := double(number)) > 5:
        return found
    return found


def read_behind_a_comprehension(number: int) -> int:
    kept = [found for each in numbers(number) if (found := positive(each))]
    return len(kept) + found


def handed_from_item_to_item(number: int) -> list[int]:
    total = 0
    return [total := total + each for each in numbers(number)]


def break_that_does_not_bind(number: int) -> int:
    while True:
        number = double(number) + 1
        if number > 20:
            result = number
            break
        if number == 7:
            break
    return result


REFUSED = [
    (read_where_not_bound, "bind `found`"),
    (read_behind_a_comprehension, "write a `for` loop"),
    (handed_from_item_to_item, "write a `for` loop"),
    (break_that_does_not_bind, "bind `result`"),
]


@pytest.mark.parametrize(("program", "fix"), REFUSED, ids=lambda each: getattr(each, "__name__", ""))
def test_what_may_hold_nothing_is_refused(program: Any, fix: str) -> None:
    with pytest.raises(TraceError) as caught:
        compiled(program, 3)
    (found,) = caught.value.diagnostics
    assert (found.code, fix in (found.fix or "")) == ("ORCH-D051", True)


def test_a_lambda_binds_nothing_for_others() -> None:
    def program(number: int) -> int:
        return max(numbers(number), key=lambda each: each > 1 and (found := positive(each)) and found)

    with pytest.raises(TraceError) as caught:
        compiled(program, 3)
    assert caught.value.code == "ORCH-D050"
