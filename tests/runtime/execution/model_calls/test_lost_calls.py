"""Calls of which nobody hears again: what they may have used, at most, counts against the budgets."""

from __future__ import annotations

import pytest

from orchestrator.errors import EngineError, RunError
from orchestrator.planner.token_price import TokenPrice
from orchestrator.runtime.engines import errors
from orchestrator.runtime.engines.base import Engine, Sampling, Usage
from orchestrator.runtime.execution.execution import Execution
from orchestrator.runtime.execution.lifecycle import result_of
from orchestrator.runtime.execution.perform import MOST_LOST
from orchestrator.runtime.journal.events import OpFailed, Reserved, Spent
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.journal.replay import replay
from orchestrator.runtime.kv.replicas import ReplicaSet
from orchestrator.runtime.program.builder import RegionBuilder
from orchestrator.runtime.program.program import Program
from orchestrator.runtime.program.specs import Generate, Limits
from orchestrator.runtime.services import Engines, Services
from tests.runtime.kv.replica_sets import Flaky

PROMPT = "one two three four"


def call(engine: Engine, limits: Limits | None = None) -> Execution:
    body = RegionBuilder("", 1)
    (reply,) = body.suspend("op", Generate("default", None, sampling=Sampling(max_tokens=40)), body.args, types=[str])
    price = TokenPrice(input_usd=1e-3, output_usd=1e-2, cached_usd=1e-3)
    program = Program("test", "hash", ("x",), body.finish([reply]), str, limits, prices={"main": price})
    return Execution(program, Services(Engines({"main": engine})), MemoryJournal(), "run")


def silent() -> EngineError:
    return errors.timed_out("the endpoint", 1.0)


def spent(execution: Execution) -> list[Usage]:
    return [event.usage for event in execution.events if isinstance(event, Spent)]


@pytest.mark.parametrize(
    "error", [silent(), errors.stream_broken("x", "reset"), errors.gateway_timed_out("x", "")], ids=lambda e: e.code
)
async def test_the_replica_that_fell_silent_is_billed_beside_the_one_that_answers(error: EngineError) -> None:
    run = call(ReplicaSet("main", [Flaky(error), Flaky()]), Limits(tokens=10_000))
    result = await result_of(run, (PROMPT,))
    most = next(event.most for event in run.events if isinstance(event, Reserved))
    assert spent(run) == [most]
    assert most.estimated
    assert most.output_tokens == 40
    assert result.usage.estimated
    assert result.usage.output_tokens == 80
    assert run.ledger.tokens == result.usage.input_tokens + result.usage.output_tokens
    assert result.cost_usd == pytest.approx(result.usage.input_tokens * 1e-3 + 80 * 1e-2)
    found = replay(run.program, run.events)
    assert found.spending.usage == result.usage
    assert not found.reserved


async def test_no_other_replica_is_asked_where_the_budget_does_not_bear_both() -> None:
    good = Flaky()
    run = call(ReplicaSet("main", [Flaky(silent()), good]), Limits(tokens=70))
    with pytest.raises(RunError, match="ORCH-R010"):
        await result_of(run, (PROMPT,))
    assert not good.requests
    assert len(spent(run)) == 1
    assert run.ledger.tokens == spent(run)[0].input_tokens + 40


async def test_every_replica_that_fell_silent_is_billed() -> None:
    run = call(ReplicaSet("main", [Flaky(silent()), Flaky(silent()), Flaky(silent())]))
    with pytest.raises(RunError, match="ORCH-E010"):
        await result_of(run, (PROMPT,))
    assert [usage.output_tokens for usage in spent(run)] == [40, 40, 40]


async def test_a_replica_that_refused_is_not_billed() -> None:
    run = call(ReplicaSet("main", [Flaky(errors.overloaded("x", "busy")), Flaky()]), Limits(tokens=70))
    assert (await result_of(run, (PROMPT,))).usage.output_tokens == 40
    assert not spent(run)


def dead() -> EngineError:
    return errors.engine_died("flaky", "killed", None)


async def test_a_reply_that_a_replica_took_with_it_is_made_again_by_another() -> None:
    run = call(ReplicaSet("main", [Flaky(dead(), after=2), Flaky()]))
    result = await result_of(run, (PROMPT,))
    assert result.value.startswith("one two three")
    assert [event.code for event in run.events if isinstance(event, OpFailed)] == ["ORCH-E013"]
    assert len(spent(run)) == 1, "what the first one has written is paid for"


async def test_a_call_that_takes_one_replica_after_the_other_with_it_fails() -> None:
    replicas = [Flaky(dead(), after=1) for _ in range(MOST_LOST + 3)]
    run = call(ReplicaSet("main", replicas))
    with pytest.raises(RunError, match="ORCH-E013"):
        await result_of(run, (PROMPT,))
    assert sum(len(each.requests) for each in replicas) == MOST_LOST + 1


async def test_a_reply_that_the_only_replica_took_with_it_is_lost() -> None:
    only = Flaky(dead(), after=1)
    run = call(ReplicaSet("main", [only]))
    with pytest.raises(RunError, match="ORCH-E013"):
        await result_of(run, (PROMPT,))
    assert len(only.requests) == 1


async def test_a_reply_that_broke_off_may_have_been_written_to_its_end() -> None:
    run = call(ReplicaSet("main", [Flaky(errors.stream_broken("x", "reset"), after=1)]))
    with pytest.raises(RunError, match="ORCH-E019"):
        await result_of(run, (PROMPT,))
    assert [(usage.output_tokens, usage.estimated) for usage in spent(run)] == [(40, True)]
