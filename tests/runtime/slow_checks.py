"""Validators that wait until a test lets them go on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, field_validator

from orchestrator import Happened, tool, workflow
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.human import Answers
from orchestrator.runtime.runner import Runner

CLUSTER = Cluster(engines=(EngineSpec(name="main", kind="scripted", model="scripted"),))


class Gate:
    """What validators wait at, until the event loop opens it."""

    begun = threading.Event()
    opened = threading.Event()


def waits(value: Any) -> Any:
    Gate.begun.set()
    if not Gate.opened.wait(30):
        raise ValueError("the event loop stood still")
    return value


class Slow(BaseModel):
    n: int

    @field_validator("n")
    @classmethod
    def _waits(cls, value: int) -> int:
        return int(waits(value))


SlowInt = Annotated[int, AfterValidator(waits)]


def found(n: int) -> Happened[int]:
    return Happened(n)


@tool(effects="once", check=found, timeout=0.1)
async def lost(n: int) -> SlowInt:
    """Takes too long; its check says that it happened, and what that gave is checked at the gate."""
    await asyncio.sleep(60)
    return n


@workflow
def losing(n: int) -> int:
    return lost(n)


@asynccontextmanager
async def running() -> AsyncIterator[Runner]:
    human = Answers({"ask_1": {"n": 3}})
    engine = ScriptedEngine(lambda _: '{"n": 3}')
    async with asyncio.timeout(60), Runner({"main": engine}, human=human) as runtime:
        yield runtime


@contextmanager
def closed_gate() -> Iterator[None]:
    """Everybody waits in there until the gate is opened, at the latest at the end."""
    Gate.begun.clear()
    Gate.opened.clear()
    yield
    Gate.opened.set()
