"""An engine whose actor dies is started again, once for all who wait, and not for ever. Its model is a stand-in."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from orchestrator.dsl.models.messages import Message
from orchestrator.errors import EngineError
from orchestrator.runtime.engines import errors
from orchestrator.runtime.engines.base import Chunk, Engine, EngineStats, GenerateRequest, Usage
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.engines.vllm import actor, version
from orchestrator.runtime.engines.vllm.actor import MOST_RESTARTS, RayVllm
from orchestrator.runtime.engines.vllm.options import VllmOptions
from orchestrator.runtime.engines.vllm.shared import SharedVllm
from orchestrator.runtime.kv.replicas import replicated
from orchestrator.runtime.ray.session import RaySession
from orchestrator.runtime.ray.shipping import ship

pytestmark = [pytest.mark.ray, pytest.mark.asyncio(loop_scope="session")]


ROOM = 1000


class StandIn:
    """Answers with its process id; does what the prompt says."""

    def __init__(self, name: str, model: str, options: object) -> None:
        self.folder = Path(model)

    async def start(self) -> None:
        await asyncio.sleep(0.1)
        (self.folder / f"started-{os.getpid()}").touch()

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[list[Chunk], None]:
        match request.messages[-1].content:
            case "die":
                os._exit(1)
            case "engine dies":
                raise errors.engine_died("stand-in", "its core is gone", None)
            case "wait":
                yield [Chunk(0, "waiting", 1)]
                await asyncio.sleep(600)
        yield [Chunk(0, str(os.getpid()), 1, "stop", Usage(1, 0, 1))]

    async def abort(self, request_id: str) -> None:
        """There is nothing to stop."""

    async def stats(self) -> EngineStats:
        return EngineStats(0, kv_capacity_tokens=ROOM)

    async def close(self) -> None:
        """There is nothing to close."""


async def answer(engine: Engine, prompt: str) -> str:
    request = GenerateRequest(prompt, "default", (Message("user", prompt),))
    return "".join([chunk.text async for chunk in engine.generate(request)])


@pytest_asyncio.fixture(loop_scope="session")
async def engine(ray_session: RaySession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(actor, "VllmHost", StandIn)
    monkeypatch.setattr(version, "require", lambda: None)
    monkeypatch.setattr(version, "on_cpu", lambda: True)
    ship(StandIn)
    made = RayVllm("stand-in", str(tmp_path))
    await made.start()
    yield made
    await made.close()


def starts(folder: Path) -> int:
    return len(list(folder.glob("started-*")))


@pytest.mark.parametrize("how", ["die", "engine dies"])
async def test_it_is_started_again_once_for_all_who_come(engine: RayVllm, tmp_path: Path, how: str) -> None:
    first = await answer(engine, "hello")
    under_way = engine.generate(GenerateRequest("w", "m", (Message("user", "wait"),)))
    assert (await anext(under_way)).text == "waiting"
    with pytest.raises(EngineError) as died:
        await answer(engine, how)
    assert died.value.code == "ORCH-E013"
    assert errors.is_transient(died.value)
    with pytest.raises(EngineError) as lost:
        async for _ in under_way:
            pass
    assert lost.value.code == "ORCH-E013"
    again = await asyncio.gather(*(answer(engine, "hello") for _ in range(5)))
    assert len(set(again)) == 1
    assert again[0] != first
    assert starts(tmp_path) == 2


async def test_one_that_keeps_stopping_stays_stopped(engine: RayVllm, tmp_path: Path) -> None:
    for _ in range(MOST_RESTARTS + 1):
        with pytest.raises(EngineError) as died:
            await answer(engine, "die")
        assert died.value.code == "ORCH-E013"
    with pytest.raises(EngineError, match=f"stopped {MOST_RESTARTS + 1} times in a row") as over:
        await answer(engine, "hello")
    assert over.value.code == "ORCH-E015"
    assert starts(tmp_path) == MOST_RESTARTS + 1


async def test_one_that_was_closed_is_not_started_again(engine: RayVllm) -> None:
    with pytest.raises(EngineError):
        await answer(engine, "die")
    await engine.close()
    with pytest.raises(EngineError, match="is closed"):
        await answer(engine, "hello")


async def test_other_replicas_take_its_calls_meanwhile(engine: RayVllm) -> None:
    replicas = replicated("two", [engine, ScriptedEngine(lambda request: "from the other")])
    with pytest.raises(EngineError):
        await answer(engine, "die")
    assert engine.is_restarting
    assert {await answer(replicas, "hello") for _ in range(4)} == {"from the other"}
    assert await answer(engine, "hello")


class Slow(StandIn):
    """Loads for ever."""

    async def start(self) -> None:
        await asyncio.sleep(600)


async def test_a_start_that_takes_too_long_names_the_option_to_raise(
    ray_session: RaySession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actor, "VllmHost", Slow)
    monkeypatch.setattr(version, "require", lambda: None)
    monkeypatch.setattr(version, "on_cpu", lambda: True)
    ship(Slow)
    with pytest.raises(EngineError) as caught:
        await RayVllm("slow", str(tmp_path), VllmOptions(start_timeout_s=0.5)).start()
    fix = caught.value.diagnostics[0].fix or ""
    assert re.findall(r"`(\w+)`", fix) == ["start_timeout_s"]


@pytest_asyncio.fixture(loop_scope="session")
async def shared(ray_session: RaySession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(actor, "VllmHost", StandIn)
    monkeypatch.setattr(version, "require", lambda: None)
    monkeypatch.setattr(version, "on_cpu", lambda: True)
    ship(StandIn)
    made = SharedVllm("stand-in", str(tmp_path))
    await made.start()
    yield made
    await made.close()


async def test_those_it_is_lent_to_ask_one_engine_and_may_close_it(shared: SharedVllm, tmp_path: Path) -> None:
    one, other = shared.lent(2), shared.lent(2)
    await asyncio.gather(one.start(), other.start())
    found = await answer(one, "hello")
    assert await answer(other, "hello") == found
    await one.close()
    assert await answer(other, "hello") == found
    assert starts(tmp_path) == 1
    with pytest.raises(EngineError) as closed:
        await answer(one, "hello")
    assert closed.value.code == "ORCH-E015"


async def test_one_that_dies_is_started_again_once_for_all_it_is_lent_to(shared: SharedVllm, tmp_path: Path) -> None:
    one, other = shared.lent(2), shared.lent(2)
    first = await answer(other, "hello")
    with pytest.raises(EngineError) as died:
        await answer(one, "die")
    assert errors.is_transient(died.value)
    again = {await answer(one, "hello")}
    for attempt in (1, 2):
        try:
            again.add(await answer(other, "hello"))
            break
        except EngineError as error:
            assert attempt == 1
            assert errors.is_transient(error)
    assert again != {first}
    assert len(again) == 1
    assert starts(tmp_path) == 2


async def test_one_that_is_stopped_is_gone_for_all_it_is_lent_to(shared: SharedVllm) -> None:
    lent = shared.lent(2)
    await shared.close()
    with pytest.raises(EngineError):
        await answer(lent, "hello")
    with pytest.raises(EngineError) as gone:
        await answer(lent, "hello")
    assert gone.value.code == "ORCH-E015"


async def test_each_process_admits_what_fits_into_its_share_of_the_room(shared: SharedVllm) -> None:
    assert (await shared.stats()).kv_capacity_tokens == ROOM
    assert (await shared.lent(4).stats()).kv_capacity_tokens == ROOM // 4
