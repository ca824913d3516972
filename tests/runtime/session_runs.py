"""Runs with one scripted engine that keeps what it is told about sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from orchestrator import chat, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.dsl.workflow import Workflow
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.runtime.engines.base import GenerateRequest, Usage, sent
from orchestrator.runtime.engines.scripted import Reply, ScriptedEngine
from orchestrator.runtime.execution.execution import Execution
from orchestrator.runtime.execution.lifecycle import run_to_end
from orchestrator.runtime.human import Answers
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.kv.durations import DurationModel
from orchestrator.runtime.kv.hints import KvHint
from orchestrator.runtime.services import Services

PREFIX = "Answer from the rows alone, briefly, and never guess what they do not tell. " * 3
CLUSTER = Cluster(engines=(EngineSpec(name="main", kind="scripted", model="scripted"),))


class Engine(ScriptedEngine):
    """A scripted engine that keeps what it is told."""

    def __init__(self, script: Callable[[GenerateRequest], Reply]) -> None:
        super().__init__(script)
        self.released: list[str] = []

    async def release(self, session: str) -> None:
        self.released.append(session)

    @property
    def hints(self) -> list[KvHint]:
        return [request.kv for request in self.requests if request.kv is not None]


class Controlled(Engine):
    """One that takes hints between turns."""

    def __init__(self, script: Callable[[GenerateRequest], Reply], prefetch_s: float = 0.0) -> None:
        super().__init__(script)
        self.extended: list[tuple[str, KvHint]] = []
        self.told = asyncio.Event()
        self.prefetched: list[GenerateRequest] = []
        self.prefetch_s = prefetch_s
        self.cut = 0

    async def extend(self, session: str, hint: KvHint) -> None:
        self.extended.append((session, hint))
        self.told.set()

    async def prefetch(self, request: GenerateRequest) -> Usage:
        self.prefetched.append(request)
        sent()
        try:
            await asyncio.sleep(self.prefetch_s)
        except asyncio.CancelledError:
            self.cut += 1
            raise
        return Usage(100, 0, 1)


class OneEngine:
    """The engines of a runtime that has one, without admission in front of it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def pick(self, name: str | None, model: str) -> tuple[str, Engine]:
        return "main", self.engine

    async def started(self, name: str) -> Engine:
        return self.engine

    def finish(self, program: str) -> None:
        """There is no admission."""


class Run:
    """One run, and what can be seen of it."""

    def __init__(self, flow: Any, engine: Engine, durations: DurationModel | None = None, **given: Any) -> None:
        self.flow: Workflow[..., Any] = flow if isinstance(flow, Workflow) else workflow(flow)
        compiled = compile_workflow(self.flow, cluster=CLUSTER)
        services = Services(OneEngine(engine), Answers(given.pop("answers", {})), durations=durations)  # type: ignore[arg-type]
        self.execution = Execution(compiled.program, services, MemoryJournal(), "run-1", **given)

    async def result(self, *inputs: object) -> Any:
        try:
            return await run_to_end(self.execution, inputs)
        finally:
            await self.execution.services.background.close()


def text(request: GenerateRequest) -> str:
    return request.messages[-1].content


@tool(effects="idempotent")
async def look_up(what: str) -> str:
    return f"about {what}"


@tool(effects="idempotent")
async def linger(what: str) -> str:
    await asyncio.sleep(0.25)
    return what


def prefetching(question: str) -> str:
    rows = linger(question)
    return chat(PREFIX).say(rows).reply
