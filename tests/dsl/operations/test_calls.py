"""Builtin functions with symbolic arguments give, and raise, what Python does."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.dsl.operations import SymbolicRange, builtin_call, has_builtin
from orchestrator.dsl.tracing.tracer import Value
from tests.dsl.diagnosing import the_error
from tests.dsl.operations.parity import assert_agrees, run

INT, FLOAT, TEXT, INTS = (int, 7), (float, -2.5), (str, "a,b"), (list[int], [3, 1, 2])
CASES: list[tuple[Callable[..., Any], dict[str, tuple[Any, Any]]]] = [
    (len, {"x": TEXT}),
    (len, {"x": INTS}),
    (len, {"x": (dict[str, int], {"a": 1})}),
    (str, {"x": INT}),
    (str, {"x": (list[int], [1, 2])}),
    (str, {"x": (bool, True)}),
    (repr, {"x": TEXT}),
    (int, {"x": (str, " 12 ")}),
    (int, {"x": (str, "twelve")}),
    (int, {"x": FLOAT}),
    (int, {"x": (str, "ff"), "base": (int, 16)}),
    (float, {"x": (str, "1e3")}),
    (float, {"x": (str, "")}),
    (bool, {"x": (str, "")}),
    (bool, {"x": INTS}),
    (abs, {"x": INT}),
    (abs, {"x": FLOAT}),
    (round, {"x": FLOAT}),
    (round, {"x": (float, 2.675), "ndigits": (int, 2)}),
    (round, {"x": (int, 1234), "ndigits": (int, -2)}),
    (divmod, {"x": INT, "y": (int, -2)}),
    (divmod, {"x": INT, "y": (int, 0)}),
    (pow, {"x": INT, "y": (int, 2)}),
    (pow, {"x": INT, "y": (int, 2), "z": (int, 5)}),
    (min, {"x": INTS}),
    (max, {"x": INTS}),
    (max, {"x": (list[int], [])}),
    (min, {"x": INT, "y": (int, 2)}),
    (max, {"x": TEXT, "y": (str, "b")}),
    (sum, {"x": INTS}),
    (sum, {"x": (list[float], [0.1] * 10)}),
    (sum, {"x": INTS, "start": (int, 10)}),
    (any, {"x": (list[bool], [False, True])}),
    (all, {"x": (list[str], ["a", ""])}),
    (all, {"x": (list[bool], [])}),
    (sorted, {"x": INTS}),
    (sorted, {"x": (list[str], ["b", "A"])}),
    (sorted, {"x": TEXT}),
    (list, {"x": TEXT}),
    (list, {"x": (dict[str, int], {"b": 1, "a": 2})}),
    (tuple, {"x": INTS}),
    (set, {"x": INTS}),
    (frozenset, {"x": INTS}),
    (dict, {"x": (dict[str, int], {"a": 1})}),
    (dict, {"x": (list[tuple[str, int]], [("a", 1)])}),
    (ord, {"x": (str, "é")}),
    (ord, {"x": TEXT}),
    (chr, {"x": (int, 233)}),
    (chr, {"x": (int, -1)}),
    (hex, {"x": INT}),
    (bin, {"x": INT}),
    (oct, {"x": INT}),
    (math.floor, {"x": FLOAT}),
    (math.ceil, {"x": FLOAT}),
    (math.sqrt, {"x": FLOAT}),
    (math.isnan, {"x": FLOAT}),
    (format, {"x": FLOAT, "spec": (str, ">8.1f")}),
    (format, {"x": INT, "spec": (str, "q")}),
]


@pytest.mark.parametrize("case", range(len(CASES)), ids=lambda case: f"{CASES[case][0].__name__}-{case}")
def test_it_agrees_with_python(case: int) -> None:
    function, arguments = CASES[case]
    assert has_builtin(function)
    assert_agrees(lambda *args: builtin_call(function, args, {}), function, **arguments)


def _listed(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: builtin_call(function, args, {})


@pytest.mark.parametrize("function", [enumerate, reversed, zip])
def test_what_is_an_iterator_in_python_is_a_list(function: Any) -> None:
    assert_agrees(_listed(function), lambda x: list(function(x)), x=INTS)


def test_zip_of_several_and_its_strictness() -> None:
    assert run(lambda x, y: builtin_call(zip, (x, y, [1, 2]), {}), x=INTS, y=TEXT) == [(3, "a", 1), (1, ",", 2)]
    assert_agrees(
        lambda x, y: builtin_call(zip, (x, y), {"strict": True}),
        lambda x, y: list(zip(x, y, strict=True)),
        x=INTS,
        y=(list[int], [1]),
    )


def test_keyword_arguments() -> None:
    assert run(lambda x: builtin_call(sorted, (x,), {"reverse": True}), x=INTS) == [3, 2, 1]
    assert run(lambda x: builtin_call(max, (x,), {"default": 9}), x=(list[int], [])) == 9
    assert run(lambda x: builtin_call(min, (x,), {"default": None}), x=(list[int], [])) is None
    assert run(lambda x: builtin_call(enumerate, (x,), {"start": 1}), x=TEXT) == [(1, "a"), (2, ","), (3, "b")]
    assert run(lambda x: builtin_call(sum, (x,), {"start": 4}), x=INTS) == 10
    assert run(lambda x: builtin_call(dict, (x,), {"b": 2}), x=(dict[str, int], {"a": 1})) == {"a": 1, "b": 2}


def test_containers_that_tracing_knows_are_pythons_own() -> None:
    def flow(x: int) -> Any:
        assert builtin_call(len, ([x, x],), {}) == 2
        pairs = builtin_call(zip, ([x, 2], [3, x]), {})
        (first, _), *_ = list(pairs)
        assert isinstance(first, Value)
        return builtin_call(max, ([x, 3],), {}) + builtin_call(sum, ((x, 1),), {})

    assert run(flow, x=INT) == 7 + 8


def test_a_range_counts_and_is_a_list_where_one_is_used() -> None:
    def flow(x: int) -> Any:
        numbers = builtin_call(range, (1, x, 2), {})
        assert isinstance(numbers, SymbolicRange)
        assert (numbers.start, numbers.step) == (1, 2)
        return [numbers, builtin_call(len, (numbers,), {}), numbers[1], builtin_call(list, (numbers,), {})]

    assert run(flow, x=INT) == [[1, 3, 5], 3, 3, [1, 3, 5]]


def test_methods_as_functions() -> None:
    assert has_builtin(str.upper)
    assert has_builtin(", ".join)
    assert not has_builtin([].append)
    assert run(lambda x: builtin_call(str.upper, (x,), {}), x=TEXT) == "A,B"
    assert run(lambda x: builtin_call("-".join, (x,), {}), x=TEXT) == "a-,-b"


def test_a_function_without_an_op_is_an_error() -> None:
    def flow(x: str) -> Any:
        return builtin_call(open, (x,), {})  # D006

    assert "open() needs concrete arguments" in the_error(flow).message


def test_wrong_types_are_errors() -> None:
    def length(x: int) -> Any:
        return builtin_call(len, (x,), {})  # D014

    def texts(x: list[str]) -> Any:
        return builtin_call(sum, (x,), {})  # D014

    def unordered(x: list[dict[str, int]]) -> Any:
        return builtin_call(sorted, (x,), {})  # D014

    def mixed(x: list[int | str]) -> Any:
        return builtin_call(max, (x,), {})  # D014

    def optional(x: str | None) -> Any:
        return builtin_call(int, (x,), {})  # D010

    def keyed(x: list[int]) -> Any:
        return builtin_call(max, (x,), {"key": lambda each: -each, "default": 1})  # D012

    def crowded(x: int) -> Any:
        return builtin_call(abs, (x, x), {})  # D012

    for function in (length, texts, unordered, mixed, keyed, crowded):
        the_error(function)
    assert the_error(optional).fix == "`x` may be None: decide first, with `if x is not None:`"
