"""Everything that may be given wrongly to a public function, one row a kind: a code, the user's line, and a fix."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from orchestrator import (
    Budget,
    Retry,
    ask,
    branch,
    call,
    chat,
    llm,
    loop,
    map_,
    options,
    race,
    react,
    tool,
    vote,
    workflow,
)
from orchestrator.dsl.codes import CODES
from orchestrator.dsl.models.llm import LATE
from orchestrator.errors import OrchError, TraceError
from orchestrator.testing import fake

HUGE = 1 << 70
NO_COUNTS = [0, -1, 2.5, math.nan, math.inf, "3", True, [3], HUGE, object, lambda: 3]
NO_NUMBERS = [-1, math.nan, math.inf, "0.5", True, [0.5], object]
NO_TEXTS = ["", " ", 5, b"m", ["m"], object, "\ud800"]
NO_NAMES_OF_TOOLS = [*NO_TEXTS, "a/b", "a[0]", "a\nb", " a", "x" * 300]
NO_NAMES = [*NO_NAMES_OF_TOOLS, "a.b", "a#2"]
NO_POLICIES = {
    "retry": [0, -1, 2.5, "3", True, HUGE, [3], Retry(attempts=0), Retry(backoff_s=math.nan), Retry(on="OSError")],
    "timeout": [0, -1, math.nan, math.inf, "5", "soon", True, [5], timedelta(0), timedelta(-1)],
    "budget": ["", "much", "2 euros", 5, 0.02, True, Budget(), Budget(usd=-1), Budget(tokens=math.nan), [1]],
}


@tool(effects="pure")
def same(x: str) -> str:
    return x


async def waits(x: str) -> str:
    return x


def yields(x: str) -> Any:
    yield x


Row = Callable[[str], Any]


def each(use: Callable[[Any, str], Any], *wrong: Any) -> list[Row]:
    """A row for each wrong value."""
    return [partial(use, value) for value in wrong]


def each_option(use: Callable[..., Any], table: dict[str, list[Any]]) -> list[Row]:
    """A row for each wrong value of each option."""
    return [partial(use, **{name: value}) for name, values in table.items() for value in values]


OF_MODELS: dict[str, list[Any]] = {
    "temperature": NO_NUMBERS, "top_p": [*NO_NUMBERS, 0, 1.5], "max_tokens": NO_COUNTS, "samples": NO_COUNTS,
    "seed": [2.5, "1", True, HUGE, -HUGE, math.nan], "model": NO_TEXTS, "name": NO_NAMES,
    "stop": ["", [""], [1], 5, {"a": 1}, ["a", None], "\ud800"], "temprature": [1],
    "returns": [5, "str", [str], object(), Callable[..., int], lambda: str], **NO_POLICIES,
}  # fmt: skip
OF_TOOLS: dict[str, list[Any]] = {
    "effects": ["prue", "", None, 5, ["pure"]], "kind": ["search", None, 5], "name": NO_NAMES_OF_TOOLS,
    "cheap": ["yes", 1, None, object], "isolation": ["fibre", True, 5, ["process"]], "key": [5, "nope", "", ["nope"]],
    "memory": [-1, 0, "lots", math.nan, True, [1], HUGE, "1 GiB"], "check": [5, "x", [waits]],
    "typical_s": NO_NUMBERS, "pause_features": ["x", 5, ["y"], [5]], **NO_POLICIES,
}  # fmt: skip
NO_FUNCTIONS = [None, 5, "x", waits, yields]

ROWS: list[Row] = [
    *each_option(llm, OF_MODELS),
    *each_option(lambda x, **wrong: chat().say(x, **wrong), OF_MODELS),
    *each(lambda wrong, _: llm(wrong), None, 5, b"x", ["x"], object(), same, "\ud800"),
    *each(lambda wrong, x: llm(f"{x}{wrong}"), "\udc00"),
    *each(lambda wrong, x: llm(x, system=wrong), 5, b"x", ["x"], object(), "\udfff"),
    *each(lambda wrong, x: chat(wrong), 5, ["x"], object()),
    *each(lambda wrong, x: chat(model=wrong), *NO_TEXTS),
    *each(lambda wrong, _: ask(wrong), None, 5, b"x"),
    *each(lambda wrong, x: ask(x, choices=wrong), "yes", [], [1], ["a", "a"], [""], 5, {"a": 1}),
    *each_option(ask, {"name": NO_NAMES, "model": ["m"], **NO_POLICIES}),
    *each_option(
        lambda x, **wrong: _with_options(x, wrong),
        {"temperature": [-1], "model": [5], "seed": [HUGE], "samples": [3], "retry": [2], "stop": [5]},
    ),
    *each(lambda wrong, x: branch(wrong, lambda: x, lambda: x), None, 5, "yes", [True], object(), same, lambda: True),
    *each(lambda wrong, x: branch(True, wrong, lambda: x), *NO_FUNCTIONS, lambda y: y, same),
    *each_option(
        lambda x, **wrong: branch(True, lambda: x, lambda: x, **wrong), {"name": NO_NAMES, "limit": [3], **NO_POLICIES}
    ),
    *each(lambda wrong, x: loop(lambda s: s, x, max=wrong), *NO_COUNTS, None),
    *each(lambda wrong, x: loop(wrong, x, max=2), *NO_FUNCTIONS, lambda: 1, lambda a, b: a),
    *each(lambda wrong, x: loop(lambda s: s, x, max=2, until=wrong), 5, True, "x", waits, lambda: True, lambda s: s),
    *each(lambda wrong, x: loop(lambda s: s, wrong, max=2), object(), same, lambda: 1, yields("x")),
    *each(lambda wrong, x: map_(same, [x], limit=wrong), *NO_COUNTS),
    *each(lambda wrong, x: map_(same, [x], concurrency=wrong), *NO_COUNTS),
    *each(lambda wrong, x: map_(same, wrong), None, 5, "x", object(), yields("x"), range(3), {"a"}, same, {"a": "b"}),
    *each(lambda wrong, x: map_(wrong, [x]), *NO_FUNCTIONS, lambda: 1, lambda a, b: a),
    lambda x: map_(same),
    lambda x: map_(lambda a, b: a, [x], [x, x]),
    lambda x: race(),
    *each(lambda wrong, x: race(wrong), *NO_FUNCTIONS, lambda y: y, [lambda: 1]),
    *each_option(lambda x, **wrong: race(lambda: x, **wrong), {"name": NO_NAMES, "max": [3], **NO_POLICIES}),
    *each(lambda wrong, x: vote(wrong), None, 5, "x", {"a": 1}, {1, 2}, object),
    *each(lambda wrong, x: vote([x], key=wrong), 5, "x", [same]),
    *each(lambda wrong, x: vote([x], name=wrong), *NO_NAMES),
    *each(lambda wrong, x: react(x, wrong), None, 5, "x", same, {"same": same}, [5], [None], yields("x")),
    *each(lambda wrong, x: react(x, [same], max_steps=wrong), *NO_COUNTS, None),
    *each_option(
        lambda x, **wrong: react(x, [same], **wrong),
        {"temperature": NO_NUMBERS, "name": NO_NAMES, "steps": [3], **NO_POLICIES},
    ),
    *each(call, None, 5, "x", len, str.upper, lambda y: y, [same]),
    *each(lambda wrong, x: tool(wrong, name="t")(x), 5, "x", len, lambda y: y, [same]),
    *each_option(lambda x, **wrong: tool(waits, **wrong)(x), OF_TOOLS),
    *each_option(
        lambda x, **wrong: same.options(**wrong)(x),
        {"name": NO_NAMES, "effects": ["once"], "timeout_s": [5], **NO_POLICIES},
    ),
    *each(lambda wrong, x: same(*wrong), (), (1,), ("a", "b"), (None,)),
    lambda x: same(y=x),
    lambda x: same(x, x=x),
    lambda x: sub(x, x),
    lambda x: sub(y=x),
    lambda x: sub(5),
]


@workflow
def sub(x: str) -> str:
    return llm(x)


def _with_options(x: str, wrong: Any) -> str:
    with options(**wrong):
        return llm(x)


def errors_of(function: Callable[[str], Any]) -> list[Any]:
    def flow(x: str) -> Any:
        return function(x)

    with pytest.raises(TraceError) as caught, fake():
        workflow(flow)("x")
    return caught.value.diagnostics


@pytest.mark.parametrize("row", range(len(ROWS)))
def test_every_misuse_has_a_code_a_place_and_a_fix(row: int) -> None:
    for diagnostic in errors_of(ROWS[row]):
        assert diagnostic.code in CODES
        assert diagnostic.fix
        assert diagnostic.where is not None
        assert diagnostic.where.file == __file__
        assert "ufdd" not in ascii(str(diagnostic))
        assert "<object object at" not in diagnostic.message


NUMERIC = [
    "temperature",
    "top_p",
    "max_tokens",
    "seed",
    "samples",
    "retry",
    "timeout",
    "budget",
    "stop",
    "model",
    "name",
]
SYMBOLIC: list[Row] = [
    *each(lambda name, x: llm(x, **{name: x}), *(name for name in NUMERIC if name not in LATE)),
    lambda x: llm(x, name=f"about {x}"),
    lambda x: llm(x, stop=[x]),
    lambda x: chat(model=x),
    lambda x: ask(x, choices=["a", x]),
    lambda x: map_(same, [x], limit=x),  # type: ignore[arg-type]
    lambda x: map_(same, [x], concurrency=x),  # type: ignore[arg-type]
    lambda x: loop(lambda s: s, x, max=x),  # type: ignore[arg-type]
    lambda x: _with_options(x, {"max_tokens": x}),
    lambda x: same.options(name=x)(x),
    lambda x: same.options(timeout=x)(x),
]


@pytest.mark.parametrize("row", range(len(SYMBOLIC)))
def test_an_option_is_known_before_the_workflow_runs(row: int) -> None:
    (diagnostic,) = errors_of(SYMBOLIC[row])
    assert diagnostic.code in ("ORCH-D041", "ORCH-D021", "ORCH-D020")
    assert "`x`" in diagnostic.message or "symbolic value" in diagnostic.message


def plain(x: str) -> str:
    return x


plain_workflow: Any = workflow(plain)
OF_WORKFLOWS: dict[str, list[Any]] = {
    "name": NO_NAMES_OF_TOOLS, "model": NO_TEXTS, "slo": ["soon", 5, True, "p0 < 1s", ["p95 < 1s"]],
    "budget": NO_POLICIES["budget"], "timeout": [5], "sla": ["p95 < 1s"], "modle": ["m"],
}  # fmt: skip
DECLARATIONS: list[Row] = [
    *each_option(lambda x, **wrong: workflow(plain, **wrong).trace(), OF_WORKFLOWS),
    *each(lambda wrong, x: workflow(wrong).trace(), 5, "x", yields, len, lambda x: x),
    *each(lambda wrong, x: workflow(rewrite=False)(wrong).trace(), waits, partial(waits, x="x")),
    *each(lambda wrong, x: plain_workflow(*wrong), (), (5,), ("a", "b")),
    lambda x: plain_workflow.run(y="a"),
    lambda x: asyncio.run(plain_workflow.arun()),
]


@pytest.mark.parametrize("row", range(len(DECLARATIONS)))
def test_every_wrong_declaration_or_direct_call(row: int) -> None:
    with pytest.raises(OrchError) as caught:
        DECLARATIONS[row]("x")
    for diagnostic in caught.value.diagnostics:
        assert diagnostic.fix
        assert diagnostic.code.startswith(("ORCH-D", "ORCH-R007"))
