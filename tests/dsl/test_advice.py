"""The fix that an error recommends works: each case is a workflow that is wrong, and the same as its error advises."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Any, Literal, NamedTuple
from uuid import UUID

import jinja2
import pytest
from pydantic import BaseModel, Field

from orchestrator import branch, call, llm, loop, map_, narrow, tool, workflow
from orchestrator.errors import TraceError
from orchestrator.testing import fake
from tests.dsl.diagnosing import the_error
from tests.dsl.recording import record


class Row(BaseModel):
    name: str

    @property
    def shout(self) -> str:
        return self.name.upper()


class Order(BaseModel):
    row: Row | None = None
    kind: Literal["naïf", 'a"b'] = "naïf"
    count: int = 2


@tool(effects="pure")
def bigger(a: int, b: int) -> int:
    return max(a, b)


@tool(effects="pure")
def shouted(row: Row) -> str:
    return row.shout


def number(x: str) -> int:
    return llm(x, returns=int)


CASES: list[tuple[Callable[[str], Any], str, Callable[[str], Any], object]] = [
    (
        lambda x: "a" if number(x) else "b",
        "use branch(number(x) != 0, then=..., otherwise=...)",
        lambda x: branch(number(x) != 0, then=lambda: "a", otherwise=lambda: "b"),
        "a",
    ),
    (lambda x: not number(x), "use `number(x) == 0`, which builds an expression", lambda x: number(x) == 0, False),
    (lambda x: not x, "use `x == \"\"`, which builds an expression", lambda x: x == "", False),
    (lambda x: str(bool(x)), "use `x != \"\"`, which builds an expression", lambda x: x != "", True),
    (
        lambda x: number(x) and number(x),
        "use `(a != 0) & (b != 0)`, which builds an expression",
        lambda x: (number(x) != 0) & (number(x) != 0),
        True,
    ),
    (
        lambda x: x == "a" or x == "q",
        "use `a | b`, which builds an expression",
        lambda x: (x == "a") | (x == "q"),
        True,
    ),
    (
        lambda x: 0 < number(x) < 9,
        "use `(a < b) & (b < c)`, which builds an expression",
        lambda x: (number(x) > 0) & (number(x) < 9),
        True,
    ),
    (
        lambda x: x in ("a", "q"),
        "use `(x == a) | (x == b)`, which builds an expression, or test it in a tool that returns bool",
        lambda x: (x == "a") | (x == "q"),
        True,
    ),
    (
        lambda x: max(number(x), 2),
        "compute it in a tool that takes the values: @tool(effects='pure')",
        lambda x: bigger(number(x), 2),
        3,
    ),
    (
        lambda x: llm(x, returns=Order).row.name,  # type: ignore[union-attr]
        "decide first: branch(value == None, then=lambda: ..., otherwise=lambda: narrow(value, Row).name)",
        lambda x: _named(llm(x, returns=Order).row),
        "nobody",
    ),
    (
        lambda x: llm(x, returns=Row).shout,
        "use `.shout` inside a tool: @tool(effects='pure')",
        lambda x: shouted(llm(x, returns=Row)),
        "ADA",
    ),
    (lambda x: "n = " + number(x), 'write an f-string: f"n = {llm_1}"', lambda x: f"n = {number(x)}", "n = 3"),  # type: ignore[operator]
    (
        lambda x: llm(x, returns=Order).kind == "naif",
        "did you mean 'naïf'?",
        lambda x: llm(x, returns=Order).kind == "naïf",
        True,
    ),
    (lambda x: map_(bigger.fn, range(3)), "", lambda x: map_(lambda n: n, list(range(3))), [0, 1, 2]),  # type: ignore[arg-type]
    (
        lambda x: loop(lambda s: {"n": s["n"]}, {"n": 1, "m": 2}, max=1),
        "return the next state in the same structure as `init`",
        lambda x: loop(lambda s: {"n": s["n"], "m": s["m"]}, {"n": 1, "m": 2}, max=1)["n"],
        1,
    ),
    (
        lambda x: [llm(each) for each in llm(x, samples=2)],
        "use map_(fn, values)",
        lambda x: map_(lambda each: llm(f"{each}"), llm(x, samples=2)),
        ['{"name": "Ada"}'] * 2,
    ),
    (
        lambda x: [llm(each) for each in _words(x)],
        "use map_(fn, values, limit=...), or index a fixed item with [0]",
        lambda x: [map_(lambda each: f"{each}!", _words(x), limit=4), _words(x)[0]],
        [["q!"], "q"],
    ),
    (
        lambda x: ", ".join([x, _words(x)[0]]),
        '", ".join(f"{value}" for value in values)',
        lambda x: ", ".join(f"{value}" for value in [x, _words(x)[0]]),
        "q, q",
    ),
    (
        lambda x: len(_words(x)),
        "compute it in a tool that takes the list: @tool(effects='pure')",
        lambda x: _count(_words(x)),
        1,
    ),
    (
        lambda x: "q" in _words(x),
        "test it in a tool that returns bool: @tool(effects='pure')",
        lambda x: _has(_words(x), "q"),
        True,
    ),
    (
        lambda x: [llm(x) for _ in range(number(x))],  # type: ignore[call-overload]
        "repeat with loop(max=...) instead of range()",
        lambda x: loop(lambda s: (s[0] + 1, s[1]), (0, number(x)), max=9, until=lambda s: s[0] >= s[1])[0],
        3,
    ),
    (
        lambda x: [1, 2, 3, 4][number(x)],
        "convert or index inside a tool",
        lambda x: _item([1, 2, 3, 4], number(x)),
        4,
    ),
    (
        lambda x: loop(lambda s: s + 1, 0),
        "loop(body, init, max=5, until=...)",
        lambda x: loop(lambda s: s + 1, 0, max=5, until=lambda s: s >= 2),
        2,
    ),
    (
        lambda x: Row(name=x),
        "build a model of symbolic values as an op: call(Model, field=value)",
        lambda x: call(Row, name=x),
        Row(name="q"),
    ),
    (lambda x: [_count(x)], "convert it in a tool", lambda x: [_count(_words(x))], [1]),  # type: ignore[arg-type]
    (lambda x: llm(json.dumps({"q": f"{x}"})), "", lambda x: llm(_as_json(x)), '{"name": "Ada"}'),
    (lambda x: llm(f"{x!a}"), "", lambda x: llm(f"{x}"), '{"name": "Ada"}'),
    (lambda x: f"{x!a}", "", lambda x: f"{x}", "q"),
]  # fmt: skip


@tool(effects="pure")
def _as_json(x: str) -> str:
    return json.dumps({"q": x})


@tool(effects="pure")
def _words(x: str) -> list[str]:
    return x.split()


@tool(effects="pure")
def _count(items: list[str]) -> int:
    return len(items)


@tool(effects="pure")
def _has(items: list[str], item: str) -> bool:
    return item in items


@tool(effects="pure")
def _item(items: list[int], at: int) -> int:
    return items[at]


def _named(row: Row | None) -> str:
    return branch(row == None, then=lambda: "nobody", otherwise=lambda: narrow(row, Row).name)  # noqa: E711


def reply(messages: Any) -> str:
    return '{"name": "Ada"}'


@pytest.mark.parametrize("case", range(len(CASES)))
def test_following_the_advice(case: int) -> None:
    wrong, fix, right, expected = CASES[case]

    def flow(x: str) -> Any:
        return wrong(x)

    def better(x: str) -> Any:
        return right(x)

    with pytest.raises(TraceError) as caught:
        record(workflow(flow))
    first = caught.value.diagnostics[0]
    assert first.where is not None
    assert first.where.file == __file__
    assert fix in (first.fix or "")
    answers = {"int": "3", "Row": '{"name": "Ada"}', "Order": "{}"}
    with fake(lambda messages: _fitting(engine.requests[-1].sampling.schema, answers)) as engine:
        assert workflow(better)("q") == expected


def _fitting(schema: Any, answers: dict[str, str]) -> str:
    if schema is None or "anyOf" in schema:
        return answers["Row"]
    return answers[{"integer": "int"}.get(schema["type"], schema.get("title", ""))]


def test_code_of_a_template_engine_is_not_where_the_mistake_is() -> None:
    def flow(names: list[str]) -> str:
        template = jinja2.Template("{% for name in names %}{{ name }}{% endfor %}")
        return llm(template.render(names=names))  # D005

    assert the_error(flow).message.startswith("iterating over `names`")


class Colour(Enum):
    RED = "rot"
    BLUE = (1, "blau")


class Size(IntEnum):
    SMALL = 1


class Word(StrEnum):
    YES = "ja"


class Point(NamedTuple):
    x: int
    where: date


@pytest.mark.parametrize(
    "value",
    [
        Colour.RED, Size.SMALL, Word.YES, date(2026, 1, 2), datetime(2026, 1, 2, tzinfo=UTC), timedelta(seconds=90),
        UUID(int=7), Decimal("1.50"), Path("/a/b"), Row(name="é"), [Row(name="a"), None], {"a": [date(2026, 1, 2)]},
        Point(1, date(2026, 1, 2)), (1, [Word.YES]), float("inf"), -0.0, 10**30, "a\u2028\0", [[]], {}, [1, "a", None],
    ],
    ids=repr,
)  # fmt: skip
def test_constants_arrive_as_they_are(value: Any) -> None:
    @tool(effects="idempotent")
    def keep(given: Any) -> Any:
        return given

    def flow(x: str) -> Any:
        return keep(value)

    with fake():
        kept = workflow(flow)("x")
    assert kept == value
    assert type(kept) is type(value)
    assert repr(kept) == repr(value) or isinstance(value, datetime)  # whose time zone is a class of another name


class Hidden(BaseModel):
    shown: int
    secret: str = Field(default="s", exclude=True)


class Text(str):
    pass


@pytest.mark.parametrize(
    "value",
    [
        Hidden(shown=1, secret="changed"),
        [Hidden(shown=1, secret="x")],
        Text("a"),
        {1, 2},
        {1: "a"},
        b"\xff",
        1 + 2j,
        ...,
    ],
    ids=repr,
)
def test_constants_that_would_not_are_refused(value: Any) -> None:
    def flow(x: str) -> Any:
        return f"{branch(x == 'q', lambda: [value, 1], lambda: [])}"  # type: ignore[arg-type]  # D013

    error = the_error(flow)
    assert error.fix
    assert "JSON" in (error.why or "")


@pytest.mark.parametrize(
    ("function", "written"), [(str.upper, "str.upper(x)"), (math.sqrt, "math.sqrt(x)"), (len, "return len(x)")]
)
def test_a_function_of_c_is_written_as_python_finds_it(function: Any, written: str) -> None:
    def flow(x: str) -> Any:
        return call(function, x)  # D002

    assert (the_error(flow).fix or "").endswith(written)
