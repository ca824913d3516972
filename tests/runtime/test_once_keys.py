"""Several parameters that are an idempotency key together."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator import Retry, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import TraceError
from orchestrator.runtime.run import Runtime

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
    async with Runtime() as runtime:
        assert (await runtime.run(compile_workflow(all_given), {"n": 1})).value == 1
    assert seen == [(1, "a", "b")] * 3


async def test_texts_that_it_leaves_out_are_made_for_each_call() -> None:
    async with Runtime() as runtime:
        assert (await runtime.run(compile_workflow(made), {"n": 1})).value == (1, 2)
    assert len(seen) == 6
    partly, wholly = sorted(set(seen))
    assert partly[1] == "a"
    assert partly[2]
    assert wholly[1] == wholly[2] != partly[2]


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
