"""An engine that objects when something is said to be over which goes on."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from orchestrator.dsl.models.messages import Message
from orchestrator.dsl.workflow import Workflow
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.planner.graph import read
from orchestrator.runtime.engines.base import GenerateRequest, Usage
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.kv.hints import KvHint
from orchestrator.runtime.program.lowering import lower
from orchestrator.runtime.program.program import Program
from orchestrator.runtime.runner import Runner

CLUSTER = Cluster(engines=(EngineSpec(name="main", kind="scripted", model="scripted"),))


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
        self.open: list[int] = []
        """At the start of each turn, how many sessions are not over, its own included."""

    def _reply(self, request: GenerateRequest) -> str:
        assert request.kv is not None
        assert request.session is not None
        self.over.update(request.kv.supersedes)
        known = self.sessions.get(request.messages[:-1], set())
        if known and known <= self.over:
            self.objections.append(f"the prefix of {request.request_id} was in {known}")
        if request.session in self.over:
            self.objections.append(f"{request.request_id} is in {request.session}, which is over")
        begun = {each.session for each in self.requests} | {request.session}
        self.open.append(len(begun - self.over))
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


def unhinted(flow: Workflow[..., Any]) -> Program:
    """The program of the level-1 module: no pass has seen it."""
    traced = flow.trace()
    return lower(read(traced.module), traced.bindings, returns=traced.returns, program_hash=traced.hash)


async def run(program: Program) -> tuple[str, Watching]:
    engine = Watching()
    async with Runner({"main": engine}) as runtime:
        result = await runtime.run_program(program, ("q",), run_id="run")
        await asyncio.sleep(0)
    assert not result.warnings
    return result.value, engine
