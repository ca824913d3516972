"""The calls of an op that several engines share go where the plan says, and stay where their KV is."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest

from orchestrator import chat, llm, map_, workflow
from orchestrator.compiler import Compiled
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import EngineError, RunError
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.planner.graph import read
from orchestrator.planner.plan import Share
from orchestrator.runtime.engines.base import Chunk, GenerateRequest, Usage
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.journal.events import OpDone
from orchestrator.runtime.program.lowering import lower
from orchestrator.runtime.program.specs import Limits
from orchestrator.runtime.runner import Runner
from tests.runtime.session_runs import PREFIX, linger

GONE = EngineError("ORCH-E013", "the engine stopped")


def engine(name: str, **price: float) -> EngineSpec:
    return EngineSpec(name=name, kind="scripted", model="scripted", **price)  # type: ignore[arg-type]


CLUSTER = Cluster(engines=(engine("large"), engine("small")))


class Asked(ScriptedEngine):
    """Says its name, and counts; fails while it is told to."""

    def __init__(self, name: str) -> None:
        super().__init__(lambda _: name, name=name)
        self.calls = self.starts = 0
        self.error: EngineError | None = None
        self.start_error: EngineError | None = None
        self.says_first = False

    async def start(self) -> None:
        self.starts += 1
        if self.start_error is not None:
            raise self.start_error

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        self.calls += 1
        if self.error is not None and not self.says_first:
            raise self.error
        async for chunk in super().generate(request):
            yield chunk
            if self.error is not None:
                raise self.error


class Warmed(Asked):
    """Takes prefetches, too."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.prefetched = 0

    async def prefetch(self, request: GenerateRequest) -> Usage:
        self.prefetched += 1
        return Usage(1)

    async def extend(self, session: str, hint: object) -> None:
        """It keeps nothing."""


def shared(flow: Any, large: float = 0.75, cluster: Cluster = CLUSTER, **ops: float) -> Compiled:
    """A workflow whose model calls `large` and `small` share, the former taking that part, of some ops another one."""
    compiled = compile_workflow(flow, cluster)

    def shares(op: str) -> dict[str, object]:
        part = ops.get(op, large)
        both = (Share(engine="large", share=part), Share(engine="small", share=1 - part))
        return {"shares": both, "place": "engine:large"}

    planned = [op.model_copy(update=shares(op.id)) if op.kind == "decode" else op for op in compiled.plan.ops]
    plan = compiled.plan.model_copy(update={"ops": tuple(planned)})
    program = lower(
        read(compiled._level2), compiled.bindings, returns=compiled.returns, program_hash=compiled.hash, plan=plan
    )
    return replace(compiled, plan=plan, program=program)


@workflow
def single(question: str) -> str:
    return llm(question, name="say")


@workflow
def talking(question: str) -> list[str]:
    first, talk = chat().say(question, name="first")
    second, talk = talk.say(first, name="second")
    return [first, second, talk.say(second, name="third").reply]


@workflow
def prefetching(question: str) -> str:
    rows = linger(question)
    return chat(PREFIX).say(rows).reply


@workflow
def wide(questions: list[str]) -> list[str]:
    return map_(lambda each: llm(each, name="say"), questions, limit=20)


async def test_runs_take_their_first_calls_to_the_engines_by_their_shares_and_say_where() -> None:
    compiled = shared(single)
    async with Runner({name: Asked(name) for name in ("large", "small")}) as runtime:
        results = [await runtime.run(compiled, {"question": "?"}) for _ in range(40)]
    said = [result.value for result in results]
    assert Counter(said) == {"large": 30, "small": 10}
    assert said == [result.ops[0].place.removeprefix("engine:") for result in results]
    assert said[:4] * 10 == said


async def test_a_conversation_stays_at_its_engine_whatever_the_shares_of_its_later_turns() -> None:
    """Those that cannot choose count, and others would make up for them."""
    compiled = shared(talking, large=0.5, second=0.1, third=0.9)
    async with Runner({name: Asked(name) for name in ("large", "small")}) as runtime:
        said = [(await runtime.run(compiled, {"question": "?"})).value for _ in range(10)]
    assert all(len(set(each)) == 1 for each in said)
    assert Counter(each[0] for each in said) == {"large": 5, "small": 5}


async def test_the_executions_of_an_op_in_a_run_stay_together_and_the_next_runs_make_up_for_them() -> None:
    compiled = shared(wide)
    async with Runner({name: Asked(name) for name in ("large", "small")}) as runtime:
        said = [(await runtime.run(compiled, {"questions": ["?"] * 5})).value for _ in range(16)]
    assert all(len(set(each)) == 1 for each in said)
    assert Counter(each[0] for each in said) == {"large": 12, "small": 4}


@pytest.mark.parametrize("how", ["stops", "does not start"])
async def test_an_engine_that_is_down_leaves_its_calls_to_the_others_and_no_run_fails(how: str) -> None:
    compiled = shared(talking)
    large, small = Asked("large"), Asked("small")
    if how == "stops":
        large.error = GONE
    else:
        large.start_error = EngineError("ORCH-E001", "it has no memory")
    async with Runner({"large": large, "small": small}) as runtime:
        said = [(await runtime.run(compiled, {"question": "?"})).value for _ in range(8)]
    assert said == [["small"] * 3] * 8
    assert small.calls == 24
    assert large.calls + large.starts <= 2  # it was not tried again and again


async def test_a_reply_that_an_engine_took_with_it_is_made_again_by_another() -> None:
    compiled = shared(single)
    large, small = Asked("large"), Asked("small")
    large.error, large.says_first = GONE, True
    async with Runner({"large": large, "small": small}) as runtime:
        done = await runtime.run(compiled, {"question": "?"})
    assert done.value == "small"
    assert small.calls == 1
    assert [op.attempts for op in done.ops if op.usage is not None] == [2]


async def test_an_error_of_the_call_itself_is_no_reason_to_try_another_engine() -> None:
    compiled = shared(single)
    large, small = Asked("large"), Asked("small")
    large.error = EngineError("ORCH-E011", "the prompt is too long")
    async with Runner({"large": large, "small": small}) as runtime:
        with pytest.raises(RunError, match="too long"):
            await runtime.run(compiled, {"question": "?"})
    assert small.calls == 0


async def test_where_all_engines_of_an_op_are_down_the_last_error_is_told() -> None:
    compiled = shared(single)
    large, small = Asked("large"), Asked("small")
    large.error = small.error = GONE
    async with Runner({"large": large, "small": small}) as runtime:
        with pytest.raises(RunError, match="stopped"):
            await runtime.run(compiled, {"question": "?"})
    assert (large.calls, small.calls) == (1, 1)


async def test_a_prefetch_goes_where_its_call_will_go() -> None:
    """It does not count: the call that it is for does."""
    compiled = shared(prefetching, large=0.5)
    engines = {name: Warmed(name) for name in ("large", "small")}
    async with Runner(engines) as runtime:
        for _ in range(4):
            before = {name: each.prefetched for name, each in engines.items()}
            said = (await runtime.run(compiled, {"question": "?"})).value
            warmed = [name for name, each in engines.items() if each.prefetched > before[name]]
            assert warmed == [said]
    assert {name: each.calls for name, each in engines.items()} == {"large": 2, "small": 2}


async def test_a_budget_in_dollars_needs_the_price_of_each_engine_that_shares() -> None:
    priced = {"usd_per_million_input_tokens": 1.0, "usd_per_million_output_tokens": 1.0}
    compiled = shared(single, cluster=Cluster(engines=(engine("large", **priced), engine("small"))))
    async with Runner({name: Asked(name) for name in ("large", "small")}) as runtime:
        with pytest.raises(RunError, match="what engine `small` charges is unknown"):
            await runtime.run(compiled, {"question": "?"}, budget=Limits(usd=1.0))


async def test_a_call_of_one_engine_says_nothing_about_it() -> None:
    compiled = compile_workflow(single, CLUSTER)
    async with Runner({name: Asked(name) for name in ("large", "small")}) as runtime:
        result = await runtime.run(compiled, {"question": "?"})
    done = [event for event in result.events if isinstance(event, OpDone)]
    assert [event.engine for event in done] == [None]
    assert result.ops[0].place == f"engine:{result.value}"
