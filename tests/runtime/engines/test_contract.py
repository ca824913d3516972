"""One contract, run over every engine that can run here."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from orchestrator.dsl.models.messages import Message
from orchestrator.errors import EngineError
from orchestrator.runtime.engines.base import Engine, GenerateRequest, Sampling, complete
from orchestrator.runtime.engines.openai import OpenAIEngine, OpenAIOptions
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.engines.sim import SimEngine, SimOptions
from orchestrator.runtime.engines.vllm import version
from orchestrator.runtime.kv.replicas import ReplicaSet
from tests.runtime.engines.chat_server import chat_server

pytestmark = pytest.mark.asyncio(loop_scope="session")
LONG = "List the names of all singers ordered by their age. " * 12
SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}},
    "required": ["ok"],
    "additionalProperties": False,
}


@pytest_asyncio.fixture(loop_scope="session")
async def endpoint_engine() -> AsyncIterator[Engine]:
    simulated = SimEngine(model="tiny", options=SimOptions(time_scale=0, context_tokens=8192))
    with chat_server(simulated) as url:
        engine = OpenAIEngine("endpoint", "tiny", OpenAIOptions(base_url=url, key_env="NO_SUCH_KEY"))
        await engine.start()
        yield engine
        await engine.close()


@pytest.fixture(
    params=[
        "sim",
        "scripted",
        "replicas",
        "endpoint",
        pytest.param("vllm", marks=[pytest.mark.vllm, pytest.mark.ray, pytest.mark.slow]),
        pytest.param("openai", marks=[pytest.mark.vllm, pytest.mark.slow]),
    ]
)
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "endpoint":
        return request.getfixturevalue("endpoint_engine")
    if request.param in ("vllm", "openai"):
        return request.getfixturevalue(f"{request.param}_engine")
    if request.param == "scripted":
        return ScriptedEngine(lambda r: {"ok": True} if r.sampling.schema else "one two three four " * 20)
    simulated = SimOptions(time_scale=0, context_tokens=8192)
    if request.param == "replicas":
        return ReplicaSet("two", [SimEngine("sim", options=simulated), SimEngine("sim", options=simulated)])
    return SimEngine(options=simulated)


def request(content: str = LONG, model: str = "default", **sampling: object) -> GenerateRequest:
    chosen = Sampling(**{"max_tokens": 24, "temperature": 0.0, **sampling})
    return GenerateRequest(uuid.uuid4().hex, model, (Message("user", content),), chosen)


async def idle(engine: Engine) -> bool:
    for _ in range(100):
        if (await engine.stats()).running == 0:
            return True
        await asyncio.sleep(0.05)
    return False


async def test_the_last_chunk_and_only_it_carries_usage(engine: Engine) -> None:
    chunks = [chunk async for chunk in engine.generate(request())]
    assert [c.usage is not None for c in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].usage.output_tokens > 0
    assert sum(c.tokens for c in chunks) in (0, chunks[-1].usage.output_tokens)
    assert chunks[-1].ttft_s is not None
    assert sum(c.finish_reason is not None for c in chunks) == 1


@pytest.mark.parametrize("temperature", [0.0, 1.0])
async def test_samples_each_end_once(engine: Engine, temperature: float) -> None:
    asked = request(samples=3, temperature=temperature)
    ends = [c.sample async for c in engine.generate(asked) if c.finish_reason is not None]
    assert sorted(ends) == [0, 1, 2]


async def test_greedy_is_deterministic(engine: Engine) -> None:
    first, second = await complete(engine, request()), await complete(engine, request())
    assert first.texts == second.texts


async def test_a_seed_fixes_the_sample(engine: Engine) -> None:
    if engine.name == "vllm" and version.on_cpu():
        pytest.skip("vLLM's CPU build gets no seeds: they end its worker when a prefill is chunked")
    first = await complete(engine, request(temperature=1.0, seed=7))
    assert (await complete(engine, request(temperature=1.0, seed=7))).texts == first.texts


async def test_max_tokens_cuts(engine: Engine) -> None:
    reply = await complete(engine, request(max_tokens=2))
    assert reply.usage.output_tokens == 2
    assert reply.finish_reasons == ("length",)


async def test_stop_strings_are_not_in_the_reply(engine: Engine) -> None:
    whole = (await complete(engine, request())).texts[0]
    stop = whole[len(whole) // 2]
    reply = await complete(engine, request(stop=(stop,)))
    assert reply.texts[0] == whole[: whole.index(stop)]
    assert reply.finish_reasons == ("stop",)


async def test_a_schema_is_kept(engine: Engine) -> None:
    reply = await complete(engine, request(schema=SCHEMA, max_tokens=200))
    assert isinstance(json.loads(reply.texts[0])["ok"], bool)


async def test_closing_the_stream_frees_the_engine(engine: Engine) -> None:
    stream = engine.generate(request(max_tokens=400, temperature=1.5, samples=2))
    await anext(stream)
    await stream.aclose()
    assert await idle(engine)


async def test_concurrent_requests_do_not_mix(engine: Engine) -> None:
    alone = [(await complete(engine, request(f"{i} {LONG}"))).texts for i in range(4)]
    together = await asyncio.gather(*(complete(engine, request(f"{i} {LONG}")) for i in range(4)))
    assert [reply.usage.output_tokens > 0 for reply in together] == [True] * 4
    assert len(set(alone)) == len({reply.texts for reply in together})


async def test_the_second_identical_prompt_hits_the_cache(engine: Engine) -> None:
    if isinstance(engine, ScriptedEngine):
        pytest.skip("a script has no cache")
    asked = replace(request("cache " + LONG), session="s")
    await complete(engine, asked)
    assert (await complete(engine, asked)).usage.cached_tokens > 0


async def test_unknown_model(engine: Engine) -> None:
    if isinstance(engine, ScriptedEngine):
        pytest.skip("a script answers for any model")
    with pytest.raises(EngineError) as caught:
        await complete(engine, request(model="no-such-model"))
    assert caught.value.code == "ORCH-E012"


async def test_too_long_a_prompt(engine: Engine) -> None:
    if isinstance(engine, ScriptedEngine):
        pytest.skip("a script has no window")
    with pytest.raises(EngineError) as caught:
        await complete(engine, request("word " * 40_000))
    assert caught.value.code == "ORCH-E011"
    assert await idle(engine)


async def test_close_is_idempotent_and_final(engine: Engine) -> None:
    if engine.name in ("vllm", "openai"):
        pytest.skip("the engine is shared by the session")
    await engine.close()
    await engine.close()
    with pytest.raises(EngineError) as caught:
        await complete(engine, request())
    assert caught.value.code == "ORCH-E015"
