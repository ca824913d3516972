"""Idempotency keys of a tool that must run at most once: one parameter, or several together."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from orchestrator import Retry, branch, loop, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import TraceError, UnsettledError
from orchestrator.runtime.runner import Runner
from tests.runtime.payments import compiled

seen: list[tuple[int, str, str]] = []


@tool(effects="once", key=("order", "number", "nonce"), retry=Retry(attempts=3, backoff_s=0))
async def charge(number: int, order: str = "", nonce: str = "") -> int:
    seen.append((number, order, nonce))
    if sum(each[0] == number for each in seen) < 3:
        raise ConnectionError("lost")
    return number


@workflow
def all_given(n: int) -> int:
    return charge(n, "a", "b")


@workflow
def made(n: int) -> tuple[int, int]:
    return charge(n, "a"), charge(n + 1)


@pytest.fixture(autouse=True)
def _afresh() -> None:
    seen.clear()


async def test_what_the_workflow_passes_is_the_key_in_every_attempt() -> None:
    async with Runner() as runtime:
        assert (await runtime.run(compile_workflow(all_given), {"n": 1})).value == 1
    assert seen == [(1, "a", "b")] * 3


async def test_texts_that_it_leaves_out_are_made_for_each_call() -> None:
    async with Runner() as runtime:
        assert (await runtime.run(compile_workflow(made), {"n": 1})).value == (1, 2)
    assert len(seen) == 6
    partly, wholly = sorted(set(seen))
    assert partly[1] == "a"
    assert partly[2]
    assert wholly[1] == wholly[2] != partly[2]


async def test_a_key_is_the_same_in_every_attempt_and_resume_of_one_call_and_in_no_other() -> None:
    keys: list[str] = []

    @tool(effects="once", key="key", timeout=0.1, retry=Retry(attempts=2, backoff_s=0))
    async def pay(cents: int, key: str = "") -> int:
        keys.append(key)
        if len(keys) <= 4:
            await asyncio.sleep(3600)
        return cents

    def flow(cents: int) -> int:
        return pay(pay(cents))

    flow_ = compiled(flow)
    async with Runner() as runtime:
        for again in (False, True):
            with pytest.raises(UnsettledError):
                await (runtime.resume(flow_, "r") if again else runtime.run(flow_, {"cents": 5}, run_id="r"))
        result = await runtime.resume(flow_, "r")
        assert (result.value, result.unsettled) == (5, ())
        first, second = keys[0], keys[-1]
        assert keys == [first] * 5 + [second]
        assert first != second
        await runtime.run(flow_, {"cents": 5}, run_id="another")
    assert len(set(keys)) == 4


async def test_a_key_of_the_users_own_is_passed_on_as_it_is() -> None:
    keys: list[str] = []

    @tool(effects="once", key="order", retry=2)
    def pay(order: str, cents: int) -> int:
        keys.append(order)
        return cents

    def flow(cents: int) -> int:
        return pay("A-17", cents)

    async with Runner() as runtime:
        await runtime.run(compiled(flow), {"cents": 5})
    assert keys == ["A-17"]


async def test_a_retry_around_a_call_with_a_key_keeps_the_key() -> None:
    keys: list[str] = []
    flaky = iter([OSError("network"), None])

    @tool(effects="once", key="key")
    async def pay(cents: int, key: str) -> int:
        keys.append(key)
        return cents

    @tool(effects="idempotent")
    async def report(cents: int) -> int:
        if (error := next(flaky)) is not None:
            raise error
        return cents

    def flow(cents: int) -> int:
        return branch(
            cents > 0,
            then=lambda: loop(lambda n: report(pay(n)), cents, max=1),  # type: ignore[call-arg]
            otherwise=lambda: cents,
            retry=Retry(attempts=2, backoff_s=0),
        )

    async with Runner() as runtime:
        assert (await runtime.run(compiled(flow), {"cents": 5})).value == 5
    assert len(keys) == 2
    assert len(set(keys)) == 1


def _problems(key: Any) -> list[tuple[str, str | None]]:
    def pay(order: str, number: int, cents: int = 0) -> int:
        return cents

    paying = tool(pay, effects="once", key=key)

    def flow(n: int) -> int:
        return paying("a", n, n)

    with pytest.raises(TraceError) as caught:
        workflow(flow).trace()
    assert {each.code for each in caught.value.diagnostics} == {"ORCH-D043"}
    return [(each.message, each.fix) for each in caught.value.diagnostics]


@pytest.mark.parametrize("key", [(), [], 7, lambda order: order, b"order", {"order"}])
def test_what_names_no_parameter_is_no_key(key: Any) -> None:
    ((message, fix),) = _problems(key)
    assert "names no parameter" in message
    assert 'key=("order", "number")' in (fix or "")


def test_each_parameter_is_looked_at() -> None:
    wrong, default = _problems(["order", "numbr", "number", "cents"])
    assert wrong == ("tool `pay`: key='numbr' is none of its parameters", "did you mean 'number'?")
    assert default == ("the key of tool `pay` is a text, and `cents` is int", "leave out the default of `cents`")
