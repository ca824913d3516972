"""Generators as tools: their items are shown as they come, and the result is the list of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from functools import partial
from typing import Any

import pytest

from orchestrator import Retry, stream, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError, TraceError
from orchestrator.events import Done, Item
from orchestrator.runtime.journal.events import ToolItem
from orchestrator.runtime.observe import Subscription
from orchestrator.runtime.runner import Runner
from orchestrator.runtime.tools import streamed
from orchestrator.testing import fake
from tests.dsl.recording import record


@tool(effects="pure")
def count(to: int) -> Iterator[int]:
    yield from range(to)


@tool(effects="pure", cheap=True)
def count_cheaply(to: int) -> Generator[int, None, str]:
    yield from range(to)
    return "what it returns is nobody's"


@tool(effects="pure", isolation="process")
def count_apart(to: int) -> Iterator[int]:
    yield from range(to)


@tool(effects="idempotent")
async def count_slowly(to: int) -> AsyncIterator[int]:
    for number in range(to):
        await asyncio.sleep(0)
        yield number


@tool(effects="idempotent", isolation="thread")
async def count_in_a_thread(to: int) -> AsyncIterator[int]:
    for number in range(to):
        await asyncio.sleep(0)
        yield number


class Counter:
    def __init__(self, by: int) -> None:
        self.by = by

    @tool(effects="pure")
    def steps(self, to: int) -> Iterator[int]:
        yield from range(0, to, self.by)

    def __call__(self, to: int) -> Iterator[int]:
        yield from range(0, to, self.by)


def scaled(to: int, by: int) -> Iterator[int]:
    yield from (number * by for number in range(to))


def observed(function: Callable[..., Any]) -> tuple[Any, list[ToolItem]]:
    """What a workflow of one call gives, and the items that an observer sees."""

    @workflow
    def flow(to: int) -> list[int]:
        return function(to)  # type: ignore[no-any-return]

    async def run() -> tuple[Any, list[ToolItem]]:
        feed = Subscription()
        async with Runner(observers=[feed]) as runtime:
            result = await runtime.run(compile_workflow(flow), {"to": 3})
        return result.value, [entry for entry in feed.drain() if isinstance(entry, ToolItem)]

    return asyncio.run(run())


@pytest.mark.parametrize("function", [count, count_slowly, count_in_a_thread], ids=lambda each: each.name)
def test_items_are_shown_as_they_come(function: Any) -> None:
    value, items = observed(function)
    assert value == [0, 1, 2]
    assert [(item.op, item.number, item.value) for item in items] == [
        (f"{function.name}_1", n + 1, n) for n in range(3)
    ]


@pytest.mark.parametrize("function", [count_cheaply, count_apart], ids=lambda each: each.name)
def test_elsewhere_the_result_comes_at_once(function: Any) -> None:
    assert observed(function)[0] == [0, 1, 2]


def test_methods_partials_and_objects() -> None:
    assert observed(Counter(2).steps)[0] == [0, 2]
    assert observed(tool(Counter(2), name="by_two", effects="pure"))[0] == [0, 2]
    assert observed(tool(partial(scaled, by=10), effects="pure"))[0] == [0, 10, 20]


def test_outside_of_a_workflow_a_tool_is_the_generator() -> None:
    made = count(2)
    assert next(iter(made)) == 0
    assert [*count(2)] == [0, 1]


def test_the_type_of_the_result_is_a_list() -> None:
    @workflow
    def flow(to: int) -> list[int]:
        return count(to)  # type: ignore[return-value]

    assert record(flow)["count_1"].results[0].type == "list[int]"


def test_streams_have_them_too() -> None:
    @workflow
    def flow(to: int) -> list[int]:
        return count(to)  # type: ignore[return-value]

    with stream(flow, 2) as events:
        found = [event for event in events if isinstance(event, (Item, Done))]
    assert found[:2] == [Item("count_1", 0, "count_1", 1), Item("count_1", 1, "count_1", 2)]


def test_a_failure_in_the_middle_is_one_of_the_tool_and_begins_anew() -> None:
    attempts: list[int] = []

    @tool(effects="idempotent", retry=Retry(2, backoff_s=0))
    def shaky() -> Iterator[str]:
        attempts.append(1)
        yield "a"
        if len(attempts) == 1:
            raise OSError("down")
        yield "b"

    @workflow
    def flow() -> list[str]:
        return shaky()  # type: ignore[return-value]

    with fake():
        assert flow() == ["a", "b"]
    assert len(attempts) == 2


def test_items_are_checked_as_any_result() -> None:
    @tool(effects="pure")
    def wrong() -> Iterator[int]:
        yield "a"  # type: ignore[misc]

    @workflow
    def flow() -> list[int]:
        return wrong()  # type: ignore[return-value]

    with fake(), pytest.raises(RunError, match="ORCH-R002"):
        flow()


def test_fakes_may_be_generators_or_give_lists() -> None:
    @workflow
    def flow(to: int) -> list[int]:
        return count(to)  # type: ignore[return-value]

    with fake(tools={"count": lambda to: [7]}):
        assert flow(1) == [7]

    def two(to: int) -> Iterator[int]:
        yield from (8, 9)

    with fake(tools={"count": two}):
        assert flow(1) == [8, 9]


def test_what_a_generator_declares_is_what_it_yields() -> None:
    @tool(effects="pure")
    def wrong(to: int) -> list[int]:
        yield to  # type: ignore[misc]

    @tool(effects="pure")
    def lazy(to: int) -> Iterator[int]:
        return iter(range(to))

    for each, fix in ((wrong, "-> Iterator"), (lazy, "yield the items")):
        with pytest.raises(TraceError, match="ORCH-D002") as caught:
            _traced(each)
        assert fix in str(caught.value)


def _traced(each: Any) -> object:
    @workflow
    def flow(to: int) -> list[int]:
        return each(to)  # type: ignore[no-any-return]

    return record(flow)


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_a_generator_without_an_end_fails_at_its_bound(isolation: Any) -> None:
    with pytest.raises(RunError, match=r"ORCH-R005.*more than 3 items"):
        observed(tool(endless, effects="reads", isolation=isolation, max_items=3))


def endless(to: int) -> Iterator[int]:
    while True:
        yield to


def test_an_async_generator_that_yields_too_much_is_closed() -> None:
    closed: list[bool] = []

    @tool(effects="reads", max_items=2)
    async def ticks(to: int) -> AsyncIterator[int]:
        try:
            while True:
                yield to
        finally:
            closed.append(True)

    with pytest.raises(RunError, match="ORCH-R005"):
        observed(ticks)
    assert closed == [True]


def test_a_generator_that_declares_no_bound_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "MOST_ITEMS", 5)
    with pytest.raises(RunError, match=r"more than 5 items(.|\n)*declare the tool's max_items="):
        observed(tool(endless, effects="reads"))
