"""Model calls: what they take out of their budgets, and what their attempts are called."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from orchestrator import chat, llm, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.runtime.engines.base import Chunk, EngineStats, FinishReason, GenerateRequest, Sampling, Usage
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.execution.execution import Execution
from orchestrator.runtime.execution.lifecycle import run_to_end
from orchestrator.runtime.journal.events import OpDone, OpFailed, Reserved, Spent, Token
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.kv.admission import AdmissionOptions, CapOptions
from orchestrator.runtime.kv.replicas import ReplicaOptions, ReplicaSet
from orchestrator.runtime.observe import Subscription
from orchestrator.runtime.program.builder import RegionBuilder
from orchestrator.runtime.program.program import Program
from orchestrator.runtime.program.specs import NO_POLICY, Generate, Limits, Policy
from orchestrator.runtime.runner import Runner
from orchestrator.runtime.services import Engines, Services
from tests.awaiting import until


def one_call(policy: Policy = NO_POLICY, limits: Limits | None = None, **spec: Any) -> Program:
    body = RegionBuilder("", 1)
    (reply,) = body.suspend("op", Generate("default", None, **spec), body.args, types=[str], policy=policy)
    return Program("test", "hash", ("x",), body.finish([reply]), str, limits)


async def test_a_call_that_is_cancelled_in_a_queue_takes_nothing_and_is_journaled_as_not_begun() -> None:
    engine = ScriptedEngine(["never"], seconds_per_reply=3600)
    one_at_a_time = ReplicaOptions(admission=AdmissionOptions(cap=CapOptions(programs=1, fixed=True)))
    replicas = ReplicaSet("main", [engine], one_at_a_time)
    services = Services(Engines({"main": replicas}))
    runs = [Execution(one_call(limits=Limits(tokens=500)), services, MemoryJournal(), name) for name in ("a", "b")]
    tasks = [asyncio.create_task(run_to_end(run, ("ask",))) for run in runs]
    await until(lambda: bool(engine.requests) and replicas.gates[0].state.waiting == 1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    (request,) = engine.requests
    asked, waited = sorted(runs, key=lambda run: not request.request_id.startswith(run.run_id))
    assert asked.ledger.tokens > 0  # the engine was at work
    assert waited.ledger.tokens == 0
    assert not [event for event in waited.events if isinstance(event, Spent)]
    assert [event.began for event in waited.events if isinstance(event, OpFailed)] == [False]


async def test_each_attempt_is_a_request_of_its_own() -> None:
    """An abort of one attempt names it, and a reader can tell the tokens of one from the other's."""
    said = iter(["not a number", "7"])
    engine = ScriptedEngine(lambda _: next(said))
    body = RegionBuilder("", 1)
    spec = Generate("default", None, returns=int, sampling=Sampling(schema={"type": "integer"}))
    (reply,) = body.suspend("count", spec, body.args, types=[int], policy=Policy(attempts=2, backoff_s=0.0))
    program = Program("test", "hash", ("x",), body.finish([reply]), int)
    feed = Subscription()
    engines = Engines({"main": engine})
    execution = Execution(program, Services(engines), MemoryJournal(), "run", listeners=[feed.push])
    assert await run_to_end(execution, ("how many?",)) == 7
    assert [request.request_id for request in engine.requests] == ["run/count#1", "run/count#2"]
    assert {request.session for request in engine.requests} == {"run/count"}
    tokens = [each for each in feed.drain() if isinstance(each, Token)]
    texts = {n: "".join(each.text for each in tokens if each.attempt == n) for n in (1, 2)}
    assert texts == {1: "not a number", 2: "7"}


class Uncounted:
    """An engine that reports a token for ten characters, and whose tokenizer nobody knows."""

    name, model, simulated = "main", "some/model", True

    def __init__(self) -> None:
        self.requests: list[GenerateRequest] = []

    async def start(self) -> None: ...

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        self.requests.append(request)
        size = sum(len(message.content) for message in request.messages)
        yield Chunk(0, "word " * 40, 0, "stop", Usage(size // 10, None, 20))

    async def stats(self) -> EngineStats:
        return EngineStats(running=0)

    async def release(self, session: str) -> None: ...

    async def close(self) -> None: ...


async def test_what_an_engine_has_counted_of_a_conversation_is_not_bounded_by_its_bytes_again() -> None:
    @workflow
    def talk(q: str) -> str:
        conversation = chat()
        for _ in range(6):
            _, conversation = conversation.say(q, max_tokens=100)
        return conversation.say(q, max_tokens=100).reply

    engine = Uncounted()
    cluster = Cluster(engines=(EngineSpec(name="main", kind="openai", model="some/model"),))
    async with Runner({"main": engine}) as runtime:
        result = await runtime.run(compile_workflow(talk, cluster), {"q": "word " * 60})
    reserved = [event.most.input_tokens for event in result.events if isinstance(event, Reserved)]
    used = [event.usage.input_tokens for event in result.events if isinstance(event, OpDone) and event.usage]
    assert all(most >= actual for most, actual in zip(reserved, used, strict=True))
    assert reserved[0] > 300  # its bytes
    assert reserved[-1] < sum(len(message.content) for message in engine.requests[-1].messages) / 3


async def test_samples_may_repeat_the_prompt_at_an_endpoint() -> None:
    @workflow
    def several(q: str) -> list[str]:
        return llm(q, samples=3, max_tokens=10)

    cluster = Cluster(engines=(EngineSpec(name="main", kind="openai", model="some/model"),))
    flow = compile_workflow(several, cluster)
    async with Runner({"main": Uncounted()}) as runtime:
        with pytest.raises(RunError, match="ORCH-R010"):
            await runtime.run(flow, {"q": "x" * 100}, budget="400 tokens")
    async with Runner({"main": ScriptedEngine(["a", "b", "c"])}) as runtime:
        await runtime.run(flow, {"q": "x" * 100}, budget="400 tokens")


class Wordless(Uncounted):
    """It answers with nothing, and counts nothing."""

    def __init__(self, reason: FinishReason) -> None:
        super().__init__()
        self.reason = reason

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        self.requests.append(request)
        yield Chunk(0, "", 0, self.reason)


@pytest.mark.parametrize("reason", ["stop", "content_filter", "refusal"])
async def test_an_answer_without_a_word_has_cost_its_prompt(reason: FinishReason) -> None:
    engine, spec = Wordless(reason), {"returns": int, "sampling": Sampling(schema={"type": "integer"})}
    program = one_call(Policy(attempts=2, backoff_s=0.0, on=("builtins.Exception",)), **spec)
    execution = Execution(program, Services(Engines({"main": engine})), MemoryJournal(), "run")
    with pytest.raises(RunError):
        await run_to_end(execution, ("how many? " * 10,))
    assert len(engine.requests) == 2
    spent = [event.usage for event in execution.events if isinstance(event, Spent)]
    assert [(usage.input_tokens >= 100, usage.output_tokens, usage.estimated) for usage in spent] == [
        (True, 0, True)
    ] * 2
    assert execution.ledger.tokens == sum(usage.input_tokens for usage in spent)
