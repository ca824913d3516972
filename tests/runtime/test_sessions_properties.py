"""Random workflows of conversations: hints change no result, and never say that something is over which goes on."""

from __future__ import annotations

import asyncio
import hashlib
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator import branch, chat, loop, map_, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.dsl.workflow import Workflow
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.planner.graph import read
from orchestrator.runtime.engines.base import GenerateRequest, Message, Usage
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.kv.hints import KvHint
from orchestrator.runtime.lowering import lower
from orchestrator.runtime.program import Program
from orchestrator.runtime.run import Runtime

CLUSTER = Cluster(engines=(EngineSpec(name="main", kind="scripted", model="scripted"),))


@tool(effects="idempotent")
async def wait(text: str) -> str:
    await asyncio.sleep(0)
    return text[-20:]


@tool(effects="pure")
def is_odd(text: str) -> bool:
    return hashlib.sha256(text.encode()).digest()[0] % 2 == 1


def reply(request: GenerateRequest) -> str:
    return hashlib.sha256(repr(request.messages).encode()).hexdigest()[:8]


class Watching(ScriptedEngine):
    """Knows which sessions are over, and objects to a turn whose prefix was given up before it came."""

    def __init__(self) -> None:
        super().__init__(self._reply)
        self.over: set[str] = set()
        self.sessions: dict[tuple[Message, ...], set[str]] = {}
        """By the conversation that each has the KV of."""
        self.objections: list[str] = []

    def _reply(self, request: GenerateRequest) -> str:
        assert request.kv is not None
        assert request.session is not None
        self.over.update(request.kv.supersedes)
        known = self.sessions.get(request.messages[:-1], set())
        if known and known <= self.over:
            self.objections.append(f"the prefix of {request.request_id} was in {known}")
        if request.session in self.over:
            self.objections.append(f"{request.request_id} is in {request.session}, which is over")
        text = reply(request)
        after = (*request.messages, Message("assistant", text))
        self.sessions.setdefault(after, set()).add(request.session)
        if request.kv.ends:
            self.over.add(request.session)
        return text

    async def release(self, session: str) -> None:
        self.over.add(session)

    async def extend(self, session: str, hint: KvHint) -> None:
        if session in self.over:
            self.objections.append(f"{session} is extended after its end")

    async def prefetch(self, request: GenerateRequest) -> Usage:
        return Usage(1, 0, 1)


def steps(seed: int, talk: Any, text: Any, depth: int) -> tuple[Any, Any]:
    """A few random steps on a conversation; tracing may take them twice, so they depend on the seed alone."""
    rng = Random(seed)
    for _ in range(rng.randint(1, 3)):
        kinds = ["turn", "turn", "wait", "fork", "compact"] + ["branch", "loop", "map", "samples"] * (depth > 0)
        inner, kind = rng.randrange(1 << 30), rng.choice(kinds)
        match kind:
            case "turn":
                text, talk = talk.say(text)
            case "wait":
                text = wait(text)
            case "fork":
                text = f"{text} {talk.say(wait(text)).reply}"
            case "compact":
                talk = chat(f"So far: {talk.say('summarise').reply}")
            case "branch":
                talk, text = _branch(inner, talk, text, depth, both=rng.random() < 0.5)
            case "loop":
                talk, text = loop(
                    lambda state, inner=inner: steps(inner, *state, depth - 1),
                    (talk, text),
                    max=rng.randint(1, 3),
                    until=lambda state: is_odd(state[1]),
                )
            case "map":
                texts = map_(lambda each, talk=talk, inner=inner: steps(inner, talk, each, 0)[1], [text, text + "!"])
                text = texts[0]
            case "samples":
                drafts, talks = talk.say(text, samples=2)
                pick = rng.randrange(2)
                talks, texts = map_(lambda t, d, inner=inner: steps(inner, t, d, depth - 1), talks, drafts)
                talk, text = talks[pick], texts[pick]
    return talk, text


def _branch(seed: int, talk: Any, text: Any, depth: int, *, both: bool) -> tuple[Any, Any]:
    return branch(
        is_odd(text),
        then=lambda: steps(seed, talk, text, depth - 1),
        otherwise=lambda: steps(seed + 1, talk, text, depth - 1) if both else (talk, text),
    )


def flow_of(seed: int) -> Workflow[..., Any]:
    @workflow
    def flow(question: str) -> str:
        _, text = steps(seed, chat("Be brief. " * 20), f"{question} {seed}", 2)
        return text

    return flow


def unhinted(flow: Workflow[..., Any]) -> Program:
    """The program of the level-1 module: no pass has seen it."""
    traced = flow.trace()
    return lower(read(traced.module), traced.bindings, returns=traced.returns, program_hash=traced.hash)


async def run(program: Program) -> tuple[str, Watching]:
    engine = Watching()
    async with Runtime({"main": engine}) as runtime:
        result = await runtime.run_program(program, ("q",), run_id="run")
        await asyncio.sleep(0)
    assert not result.warnings
    return result.value, engine


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 1 << 30))
def test_hints_change_no_result_and_end_nothing_that_goes_on(seed: int) -> None:
    flow = flow_of(seed)
    program = compile_workflow(flow, cluster=CLUSTER).program
    value, engine = asyncio.run(run(program))
    plain, _ = asyncio.run(run(unhinted(flow)))
    assert value == plain
    assert engine.objections == []
    assert {request.session for request in engine.requests} <= engine.over  # all of them are over in the end
