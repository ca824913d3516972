"""Replicas for tests, and what they are asked."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from orchestrator.dsl.models.messages import Message
from orchestrator.errors import EngineError
from orchestrator.runtime.engines.base import Chunk, GenerateRequest, Usage
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.engines.sim import SimEngine, SimOptions
from orchestrator.runtime.kv.admission import AdmissionOptions, CapOptions
from orchestrator.runtime.kv.hints import KvHint
from orchestrator.runtime.kv.replicas import ReplicaOptions


def slots(programs: int) -> ReplicaOptions:
    return ReplicaOptions(AdmissionOptions(CapOptions(programs=programs, fixed=True)))


def sim(**options: object) -> SimEngine:
    return SimEngine(options=SimOptions(**{"time_scale": 0.01, "reply_tokens": 30, **options}))  # type: ignore[arg-type]


def ask(program: str, session: str = "", text: str = "hello " * 40, **hint: object) -> GenerateRequest:
    known = KvHint(program=program, program_arrival_s=0.0, **hint)  # type: ignore[arg-type]
    return GenerateRequest(f"{program}/{session}", "default", (Message("user", text),), session=session, kv=known)


class Flaky(ScriptedEngine):
    """Fails before its reply, or in the middle of it."""

    def __init__(self, error: EngineError | None = None, *, after: int = 0) -> None:
        super().__init__(lambda _: "one two three four five six " * 10, name="flaky")
        self.error = error
        self.after = after

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        sent = 0
        async for chunk in super().generate(request):
            if self.error is not None and sent >= self.after:
                raise self.error
            sent += 1
            yield chunk


class Hinted(SimEngine):
    """Takes hints besides turns."""

    def __init__(self) -> None:
        super().__init__(options=SimOptions(time_scale=0))
        self.hints: list[str] = []

    async def prefetch(self, request: GenerateRequest) -> Usage:
        self.hints.append(f"prefetch {request.session}")
        return Usage(7)

    async def extend(self, session: str, hint: KvHint) -> None:
        self.hints.append(f"extend {session}")

    async def release(self, session: str) -> None:
        self.hints.append(f"release {session}")


class Deaf(Hinted):
    """Takes no hint."""

    async def release(self, session: str) -> None:
        raise ConnectionError("gone")
