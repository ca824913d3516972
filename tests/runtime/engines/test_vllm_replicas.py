"""Two real vLLM engines as replicas: one is drained, comes back, and its process is killed while it keeps sessions."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from orchestrator.dsl.models.messages import Message
from orchestrator.errors import EngineError
from orchestrator.runtime.engines.base import Engine, GenerateRequest, Sampling, Usage, complete
from orchestrator.runtime.engines.vllm import version
from orchestrator.runtime.engines.vllm.options import VllmOptions
from orchestrator.runtime.kv.hints import KvHint
from orchestrator.runtime.kv.replicas import ReplicaSet, replicated
from tests.conftest import MODEL

if TYPE_CHECKING:
    from orchestrator.runtime.engines.vllm.actor import RayVllm
    from orchestrator.runtime.ray.session import RaySession

pytestmark = [pytest.mark.vllm, pytest.mark.ray, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]
LONG = "List the names of all singers ordered by their age. " * 12
BRIEF = Sampling(temperature=0.0, max_tokens=4)
PROGRAMS = 6


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def doomed(ray_session: RaySession) -> AsyncIterator[RayVllm]:
    """An engine of this module's own; its last test kills it."""
    if version.installed() is None:
        pytest.skip("vLLM is not installed")
    from orchestrator.runtime.engines.vllm.actor import RayVllm

    engine = RayVllm("doomed", str(MODEL), VllmOptions(max_num_seqs=8, extra={"max_num_batched_tokens": 64}))
    await engine.start()
    yield engine
    await engine.close()


def children_of(_host: object) -> list[int]:
    """Of the process that it is called in."""
    return [each.pid for each in multiprocessing.active_children() if each.pid is not None]


async def kill(engine: RayVllm) -> None:
    """The process that computes, as the kernel kills one that has taken too much memory."""
    (core,) = await engine._running_actor().__ray_call__.remote(children_of)
    os.kill(core, signal.SIGKILL)


async def turn(engine: Engine, program: int, number: int) -> Usage:
    """One more turn of a session, whose tool is expected back long after this test."""
    said = f"Program {program}. {LONG[: len(LONG) // 2]}" * number
    hint = KvHint(program=f"run-{program}", turns_left=3.0, tool="run_sql", pause_s=(20.0,))
    request = GenerateRequest(f"{program}/{number}", "default", (Message("user", said),), BRIEF, f"s{program}", hint)
    async with asyncio.timeout(200):  # an engine may be started for it, beside other tests
        return (await complete(engine, request)).usage


async def pins(engine: Any) -> int:
    return int((await engine.kv_report())["pins"])


def at(replicas: ReplicaSet, index: int) -> list[int]:
    """Programs whose session is there."""
    homes = [replicas.router.home(f"s{program}") for program in range(PROGRAMS)]
    return [program for program, home in enumerate(homes) if home is not None and home[1] == index]


async def test_seeds_and_long_prompts(doomed: RayVllm) -> None:
    seeded = Sampling(temperature=1.0, top_p=0.9, seed=7, max_tokens=8)
    reply = await complete(doomed, GenerateRequest("seeded", "default", (Message("user", LONG),), seeded))
    assert reply.usage.input_tokens > 64
    assert reply.usage.output_tokens > 0


async def test_a_drained_replica_keeps_nothing_and_no_session_is_lost(doomed: RayVllm, vllm_engine: Engine) -> None:
    replicas = replicated("two", [vllm_engine, doomed])
    before = await pins(vllm_engine), await pins(doomed)
    await asyncio.gather(*(turn(replicas, program, 1) for program in range(PROGRAMS)))
    stayed, moved = at(replicas, 0), at(replicas, 1)
    assert stayed and moved
    assert (await pins(vllm_engine), await pins(doomed)) == (before[0] + len(stayed), before[1] + len(moved))

    under_way = asyncio.create_task(turn(replicas, moved[0], 2))
    await asyncio.sleep(0)
    await replicas.drain(1)
    assert (await asyncio.gather(under_way, *(turn(replicas, program, 2) for program in moved[1:] + stayed)))[-1]
    await turn(replicas, moved[0], 3)  # its second turn had begun where it was
    for program in range(PROGRAMS):
        usage = await turn(replicas, program, 4)
        assert usage.cached_tokens > usage.input_tokens // 3, "kept where the session is now"
    assert at(replicas, 0) == list(range(PROGRAMS))
    await asyncio.gather(*replicas._telling)
    assert (await pins(vllm_engine), await pins(doomed)) == (before[0] + PROGRAMS, before[1])

    replicas.undrain(1)
    for program in range(PROGRAMS):
        await replicas.release(f"s{program}")
        replicas.finish(f"run-{program}")
    assert await pins(vllm_engine) == before[0]


async def test_sessions_kept_by_an_engine_that_is_killed_go_on_elsewhere(doomed: RayVllm, vllm_engine: Engine) -> None:
    replicas = replicated("two", [vllm_engine, doomed])
    await asyncio.gather(*(turn(replicas, program, 1) for program in range(PROGRAMS)))
    kept = at(replicas, 1)
    assert kept and await pins(doomed) >= len(kept)

    endless = Sampling(temperature=2.0, samples=8, max_tokens=400)
    stream = doomed.generate(GenerateRequest("killed", "default", (Message("user", LONG),), endless))
    await anext(stream)
    await kill(doomed)
    with pytest.raises(EngineError) as died:
        async with asyncio.timeout(60):
            async for _ in stream:
                pass
    assert died.value.code == "ORCH-E013"
    fix = died.value.diagnostics[0].fix
    assert fix is not None
    assert Path(fix.removeprefix("the engine's log is ")).is_file()

    for program in range(PROGRAMS):
        assert (await turn(replicas, program, 2)).output_tokens > 0
    assert at(replicas, 0) == list(range(PROGRAMS))
    assert (await turn(doomed, kept[0], 3)).output_tokens > 0, "it has been started again"
    for program in range(PROGRAMS):
        await replicas.release(f"s{program}")
