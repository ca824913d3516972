"""Reservations never let spending exceed a budget, and failing to reserve changes nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import llm, map_, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import BudgetError
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.runtime.engines.base import GenerateRequest
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.execution.model_calls.budget import Ledger, Need
from orchestrator.runtime.program.specs import Limits
from orchestrator.runtime.runner import Runner

STEPS = st.lists(st.tuples(st.integers(0, 50), st.floats(0, 1)), max_size=20)


@given(STEPS, st.integers(0, 200), st.integers(0, 200))
def test_no_ledger_of_the_chain_is_ever_overdrawn(steps: list[tuple[int, float]], outer: int, inner: int) -> None:
    run = Ledger(Limits(tokens=outer))
    op = Ledger(Limits(tokens=inner), run)
    for worst, share in steps:
        before = (run.tokens, op.tokens)
        try:
            op.reserve("op", Need(worst, 0.0), None)
        except BudgetError:
            assert (run.tokens, op.tokens) == before
            assert before[0] + worst > outer or before[1] + worst > inner
            continue
        op.settle(Need(worst, 0.0), Need(int(worst * share), 0.0))
        assert run.tokens <= outer
        assert op.tokens <= inner


def test_the_error_names_the_op_what_it_needs_and_what_is_left() -> None:
    ledger = Ledger(Limits(usd=0.02))
    ledger.charge_own(Need(0, 0.015))
    with pytest.raises(BudgetError) as raised:
        ledger.reserve("llm_3", Need(0, 0.01), None)
    assert raised.value.code == "ORCH-R010"
    assert "`llm_3`" in raised.value.message
    assert "$0.010000" in raised.value.message
    assert "$0.005000" in raised.value.message


def test_what_calls_beside_it_have_reserved_is_said_until_they_have_ended() -> None:
    run = Ledger(Limits(tokens=100))
    Ledger(Limits(), run).reserve("llm_1", Need(90, 0.0), None)
    with pytest.raises(BudgetError) as raised:
        run.reserve("llm_2", Need(20, 0.0), None)
    assert "have reserved 90 tokens" in (raised.value.diagnostics[0].why or "")
    Ledger(Limits(), run).settle(Need(90, 0.0), Need(85, 0.0))
    with pytest.raises(BudgetError) as raised:
        run.reserve("llm_2", Need(20, 0.0), None)
    assert "reserved" not in (raised.value.diagnostics[0].why or "")


async def test_fewer_at_once_fit_where_several_do_not() -> None:
    async def repeat(request: GenerateRequest) -> str:
        await asyncio.sleep(0)
        return request.messages[-1].content

    async def answers(concurrency: int | None) -> Any:
        @workflow(budget="1500 tokens")
        def flow(words: list[str]) -> list[str]:
            return map_(lambda word: llm(f"about {word}"), words, limit=5, concurrency=concurrency)

        cluster = Cluster(engines=(EngineSpec(name="main", kind="scripted", model="scripted"),))
        async with Runner({"main": ScriptedEngine(repeat)}) as runtime:
            return (await runtime.run(compile_workflow(flow, cluster), {"words": ["a", "b", "c"]})).value

    with pytest.raises(BudgetError) as raised:
        await answers(None)
    assert "concurrency=1" in (raised.value.diagnostics[0].fix or "")
    assert await answers(1) == ["about a", "about b", "about c"]


def test_tokens_left_is_the_tightest_of_the_chain() -> None:
    run = Ledger(Limits(tokens=100))
    assert Ledger(Limits(tokens=30), run).tokens_left() == 30
    assert Ledger(Limits(usd=1.0), run).tokens_left() == 100
    assert Ledger(Limits()).tokens_left() is None
