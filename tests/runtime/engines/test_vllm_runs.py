"""Runs on a real vLLM: tokens reach observers, cancellation reaches the engine, a death is an error and not a hang."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from orchestrator import llm, race, tool, workflow
from orchestrator.compiler import Compiled
from orchestrator.compiler import compile as compile_workflow
from orchestrator.dsl.models.messages import Message
from orchestrator.errors import EngineError
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.runtime.engines.base import Chunk, Engine, GenerateRequest
from orchestrator.runtime.engines.vllm import version
from orchestrator.runtime.journal.events import Token
from orchestrator.runtime.observe import Subscription
from orchestrator.runtime.ray.session import RaySession
from orchestrator.runtime.runner import Runner
from tests.conftest import MODEL

pytestmark = [pytest.mark.vllm, pytest.mark.ray, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]
LONG = "List the names of all singers ordered by their age. " * 12


def compiled(flow: object) -> Compiled:
    spec = EngineSpec(name="vllm", kind="vllm", model=str(MODEL))
    return compile_workflow(flow, Cluster(engines=(spec,)))  # type: ignore[arg-type]


async def idle(engine: Engine) -> bool:
    for _ in range(200):
        if (await engine.stats()).running == 0:
            return True
        await asyncio.sleep(0.05)
    return False


@workflow
def streaming(question: str) -> str:
    return llm(question, temperature=0, max_tokens=40)


@workflow
def endless(question: str) -> list[str]:
    return llm(question, temperature=2.0, samples=8, max_tokens=400)


async def test_tokens_reach_observers_as_they_are_made(vllm_engine: Engine) -> None:
    feed = Subscription()
    result = await Runner({"vllm": vllm_engine}).run(compiled(streaming), {"question": LONG}, observers=[feed])
    pieces = [each.text for each in feed.drain() if isinstance(each, Token)]
    assert "".join(pieces) == result.value
    assert len(pieces) > 1
    assert not result.simulated


async def test_cancelling_a_run_aborts_its_requests(vllm_engine: Engine) -> None:
    before = (await vllm_engine.stats()).aborted
    feed = Subscription()
    runtime = Runner({"vllm": vllm_engine}, observers=[feed])
    running = asyncio.create_task(runtime.run(compiled(endless), {"question": LONG}))
    async for entry in feed:
        if isinstance(entry, Token):
            break
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await idle(vllm_engine)
    assert (await vllm_engine.stats()).aborted == before + 1


_generating = asyncio.Event()


@tool(effects="idempotent")
async def once_the_other_generates(question: str) -> list[str]:
    await _generating.wait()
    return [question]


@workflow
def hurried(question: str) -> list[str]:
    return race(
        lambda: llm(question, temperature=2.0, samples=8, max_tokens=400), lambda: once_the_other_generates(question)
    )


class _Signal(Subscription):
    """Says when the first token arrives."""

    def push(self, entry: Any) -> None:
        if isinstance(entry, Token):
            _generating.set()


async def test_the_loser_of_a_race_is_aborted(vllm_engine: Engine) -> None:
    before = (await vllm_engine.stats()).aborted
    result = await Runner({"vllm": vllm_engine}).run(compiled(hurried), {"question": LONG}, observers=[_Signal()])
    assert result.value == [LONG]
    assert await idle(vllm_engine)
    assert (await vllm_engine.stats()).aborted == before + 1


class _Mute:
    """In the place of an engine's host: one chunk, then nothing."""

    async def generate(self, request: GenerateRequest) -> AsyncIterator[list[Chunk]]:
        yield [Chunk(0, "a", 1)]
        await asyncio.sleep(3600)

    async def abort(self, request_id: str) -> None:
        """Nothing runs."""


async def test_the_death_of_the_actor_ends_the_stream(ray_session: RaySession) -> None:
    import ray

    from orchestrator.runtime.engines.vllm.actor import RayVllm

    if version.installed() is None:
        pytest.skip("vLLM is not installed")
    engine = RayVllm("main", str(MODEL))
    engine._actor = ray.remote(_Mute).options(num_cpus=0).remote()
    stream = engine.generate(GenerateRequest("1", "default", (Message("user", "hi"),)))
    assert (await anext(stream)).text == "a"
    ray.kill(engine._actor)
    with pytest.raises(EngineError) as died:
        async with asyncio.timeout(30):
            await anext(stream)
    assert died.value.code == "ORCH-E013"
