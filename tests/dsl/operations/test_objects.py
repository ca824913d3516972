"""Dates, enumerations, models, numbers, bytes, JSON, and orders by a key."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator import workflow
from orchestrator.dsl.operations import builtin_call, method
from orchestrator.errors import RunError
from tests.dsl.diagnosing import the_error
from tests.dsl.operations.parity import assert_agrees, run


class Row(BaseModel):
    name: str
    score: float | None = None


class Level(Enum):
    LOW = 1
    HIGH = "high"


MOMENT = (datetime, datetime(2024, 2, 29, 12, 30, 5, tzinfo=UTC))
DAY, SPAN, ROW = (date, date(2024, 2, 29)), (timedelta, timedelta(days=1, seconds=30)), (Row, Row(name="n"))
ROWS = (list[Row], [Row(name="b", score=1), Row(name="a", score=1), Row(name="c", score=3)])
CASES: list[tuple[Callable[[Any], Any], tuple[Any, Any]]] = [
    *((lambda x, name=name: getattr(x, name), MOMENT) for name in ("year", "month", "day", "hour", "microsecond")),
    *((lambda x, name=name: getattr(x, name)(), MOMENT) for name in ("isoformat", "date", "time", "timestamp")),
    (lambda x: x.strftime("%Y-%m"), MOMENT),
    (lambda x: x + timedelta(days=1), MOMENT),
    (lambda x: x.weekday(), DAY),
    (lambda x: (x - date(2024, 1, 1)).days, DAY),
    (lambda x: x < date(2025, 1, 1), DAY),
    (lambda x: x.total_seconds(), SPAN),
    (lambda x: x * 2 + timedelta(1), SPAN),
    (lambda x: x.isoformat(), (time, time(1, 2))),
    (lambda x: x.value, (Level, Level.HIGH)),
    (lambda x: x.name, (Level, Level.LOW)),
    (lambda x: x.model_dump(), ROW),
    (lambda x: x.model_dump_json(exclude_none=True), ROW),
    (lambda x: x.is_integer(), (float, 2.0)),
    (lambda x: x.bit_length(), (int, 9)),
    (lambda x: x.decode(), (bytes, b"x")),
    (lambda x: x * 2 + Decimal("0.5"), (Decimal, Decimal("1.1"))),
    (lambda x: -x // 2, (Decimal, Decimal("3"))),
]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_it_agrees_with_python(case: int) -> None:
    function, argument = CASES[case]
    assert_agrees(function, function, x=argument)


@pytest.mark.parametrize("text", ['{"a": [1]}', "3", '"x"', "{"])
def test_json_is_read(text: str) -> None:
    assert_agrees(lambda x: builtin_call(json.loads, (x,), {}), json.loads, x=(str, text))


def test_json_is_written() -> None:
    value = (dict[str, list[int]], {"b": [1], "a": []})
    assert_agrees(lambda x: builtin_call(json.dumps, (x,), {}), json.dumps, x=value)
    assert run(lambda x: builtin_call(json.dumps, (x,), {"sort_keys": True}), x=value) == '{"a": [], "b": [1]}'

    def model(x: list[Row]) -> Any:
        return builtin_call(json.dumps, (x,), {})  # D010

    assert "model_dump_json" in (the_error(model).fix or "")


@pytest.mark.parametrize("function", [min, max, sorted])
@pytest.mark.parametrize("key", [lambda row: row.score, lambda row: row.name, lambda row: (row.score, row.name)])
def test_orders_by_a_key(function: Any, key: Callable[[Any], Any]) -> None:
    scored = (list[Scored], [Scored(name=row.name, score=row.score or 0) for row in ROWS[1]])
    assert_agrees(
        lambda x: builtin_call(function, (x,), {"key": key}),
        lambda x: function(x, key=key),
        x=scored,
    )


class Scored(BaseModel):
    name: str
    score: float


def test_equal_keys_keep_their_order_backwards_too() -> None:
    pairs = (list[tuple[str, int]], [("a", 1), ("b", 2), ("c", 1)])
    key = lambda pair: pair[1]  # noqa: E731
    assert_agrees(
        lambda x: builtin_call(sorted, (x,), {"key": key, "reverse": True}),
        lambda x: sorted(x, key=key, reverse=True),
        x=pairs,
    )


def test_keys_without_an_order_are_an_error() -> None:
    def flow(x: list[Row]) -> Any:
        return builtin_call(max, (x,), {"key": lambda row: row.score})  # D014

    the_error(flow)


@pytest.mark.parametrize(("left", "right"), [(2, 3), (2, -1), (2.0, 0.5), (-2.0, 2)])
def test_powers(left: float, right: float) -> None:
    assert_agrees(lambda x, y: x**y, lambda x, y: x**y, x=(type(left), left), y=(type(right), right))


def test_a_power_that_is_no_real_number_is_a_failure() -> None:
    with pytest.raises(RunError, match="complex number"):
        run(lambda x, y: x**y, x=(float, -2.0), y=(float, 0.5))


def test_of_a_value_of_any_type_a_method_is_that_of_its_class() -> None:
    def keys(x: Any) -> Any:
        found: Any = method(x, "keys")
        return found()

    assert run(keys, x=(Any, {"a": 1})) == ["a"]
    with pytest.raises(RunError, match="has no attribute 'keys'"):
        run(keys, x=(Any, ["a"]))


def test_where_the_source_is_not_compiled_a_field_of_any_type_is_not_called() -> None:
    @workflow(rewrite=False)
    def flow(x: Any) -> Any:
        return x.keys()  # D006

    assert "narrow(value, str)" in (the_error(flow).fix or "")
