"""A budget in dollars is refused before the first call where nobody knows what a call costs."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator import Budget, branch, llm, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.execution.model_calls.pricing import require_prices
from orchestrator.runtime.program.program import Region
from orchestrator.runtime.program.specs import Limits
from orchestrator.runtime.runner import Runner
from orchestrator.testing import fake

FREE = EngineSpec(name="main", kind="scripted", model="m")
PRICED = FREE.model_copy(update={"usd_per_million_input_tokens": 1.0, "usd_per_million_output_tokens": 2.0})


@workflow
def plain(q: str) -> str:
    return llm(q, name="ask")


@workflow(budget="$0.5")
def bounded(q: str) -> str:
    return llm(q, name="ask")


@workflow
def bounded_inside(q: str) -> str:
    return branch(
        q == "never",
        then=lambda: branch(q == "?", then=lambda: llm(q, name="ask"), otherwise=lambda: q),
        otherwise=lambda: q,
        budget="$0.25, 400 tokens",
    )


@workflow
def bounded_call(q: str) -> str:
    return llm(q, name="ask", budget=Budget(usd=0.1))


async def run(flow: Any, spec: EngineSpec, budget: Any = None) -> list[Any]:
    engine = ScriptedEngine(["yes"])
    async with Runner({"main": engine}) as runtime:
        try:
            await runtime.run(compile_workflow(flow, Cluster(engines=(spec,))), {"q": "hi"}, budget=budget, run_id="r")
        finally:
            assert bool(engine.requests) == bool(await runtime.journal.load("r")) or flow is bounded_inside
    return engine.requests


@pytest.mark.parametrize(
    ("flow", "budget", "usd"),
    [
        (bounded, None, "$0.5"), (bounded_inside, None, "$0.25"), (bounded_call, None, "$0.1"),
        (plain, "2 cents", "$0.02"), (plain, Limits(usd=3.0), "$3"), (plain, Budget(usd=3.0, tokens=5), "$3"),
    ],
)  # fmt: skip
async def test_a_dollar_budget_without_a_price_is_refused_at_the_start(flow: Any, budget: Any, usd: str) -> None:
    with pytest.raises(RunError) as raised:
        await run(flow, FREE, budget)
    (problem,) = raised.value.diagnostics
    assert problem.code == "ORCH-R011"
    assert usd in problem.message
    assert "`main`" in problem.message
    assert problem.where is not None
    assert problem.where.file == __file__
    assert "usd_per_million_input_tokens" in (problem.fix or "")
    assert "tokens" in (problem.fix or "")


async def test_half_a_price_is_none() -> None:
    half = FREE.model_copy(update={"usd_per_million_input_tokens": 1.0})
    with pytest.raises(RunError, match="ORCH-R011"):
        await run(bounded, half)


@pytest.mark.parametrize("flow", [plain, bounded, bounded_call])
async def test_a_dollar_budget_with_a_price_is_kept(flow: Any) -> None:
    assert await run(flow, PRICED)


async def test_other_budgets_need_no_price() -> None:
    assert await run(bounded, FREE, "2000 tokens, 1 min")  # in place of the workflow's own


async def test_replies_that_are_faked_cost_nothing() -> None:
    with fake(["yes"]):
        assert (await bounded._execute({"q": "hi"})).cost_usd == 0.0


@pytest.mark.parametrize(
    "budget", ["soon", "0 tokens", Limits(tokens=-1), Budget(usd=float("nan")), Limits(seconds=True)]
)
async def test_a_budget_that_is_none_is_refused(budget: Any) -> None:
    with pytest.raises(RunError) as raised:
        await run(plain, PRICED, budget)
    assert raised.value.code == "ORCH-R028"
    assert raised.value.diagnostics[0].fix


async def test_a_reply_without_max_tokens_is_bounded_by_the_dollars_that_are_left() -> None:
    (request,) = await run(plain, PRICED, "$0.0001")
    assert request.sampling.max_tokens == 49


async def test_a_program_is_searched_for_its_calls_once(monkeypatch: pytest.MonkeyPatch) -> None:
    program = compile_workflow(bounded_inside).program
    for _ in range(2):
        with pytest.raises(RunError, match=r"\$0\.25"):
            require_prices(program, None)
        monkeypatch.setattr(Region, "ops", None)
