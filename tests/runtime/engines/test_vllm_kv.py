"""KV caches kept between turns by a real vLLM: its server with two flags, and the engine that the runtime starts."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.dsl.models.messages import Message
from orchestrator.runtime.engines.base import (
    DEFAULT_MODEL,
    Engine,
    GenerateRequest,
    KvControl,
    Sampling,
    Usage,
    complete,
)
from orchestrator.runtime.engines.openai import OpenAIEngine, OpenAIOptions
from orchestrator.runtime.kv.hints import KvHint
from tests.conftest import vllm_server

pytestmark = [pytest.mark.vllm, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

BLOCKS = 64
BLOCK_TOKENS = 32
FLAGS = ["--scheduler-cls", "orchestrator.kv.Scheduler", "--additional-config", '{"orchestrator_kv": {"budget": 0.9}}']
SMALL = ["--num-gpu-blocks-override", str(BLOCKS), "--max-model-len", "1024", "--no-enable-log-requests"]
BRIEF = Sampling(temperature=0.0, max_tokens=8)
PAUSE = KvHint(program="run-1", turns_left=3.0, tool="run_sql", pause_s=(20.0,))
"""Much longer than these tests take: only a pin that ends otherwise is gone in between."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with vllm_server(tmp_path_factory.mktemp("kv"), [*FLAGS, *SMALL]) as url:
        yield url


@pytest.fixture(scope="module")
def client(server: str) -> OpenAIEngine:
    return OpenAIEngine("tiny", "tiny", OpenAIOptions(base_url=server))


def prompt(name: str, words: int = 250) -> tuple[Message, ...]:
    """Several hundred tokens that no other name shares."""
    return (Message("user", " ".join(f"{name}{number}" for number in range(words))[: 4 * words]),)


async def ask(engine: Engine, name: str, session: str | None = None, hint: KvHint | None = None) -> Usage:
    request = GenerateRequest(f"{name}-{session}", DEFAULT_MODEL, prompt(name), BRIEF, session, hint)
    return (await complete(engine, request)).usage


async def press(engine: Engine, name: str) -> None:
    """Fill the whole KV space with what others ask, one after another."""
    tokens = 0
    while tokens < BLOCKS * BLOCK_TOKENS:
        usage = await ask(engine, f"{name}-{tokens}")
        assert usage.cached_tokens < usage.input_tokens // 2
        tokens += usage.input_tokens


def metrics(server: str) -> dict[str, float]:
    with urllib.request.urlopen(server.removesuffix("/v1") + "/metrics", timeout=10) as answer:
        lines = [line for line in answer.read().decode().splitlines() if line.startswith("orchestrator_kv_")]
    return {name.removeprefix("orchestrator_kv_"): float(value) for name, value in map(str.split, lines)}


def posted(server: str, headers: dict[str, str], **body: Any) -> int:
    """Cached tokens of a chat completion, asked for as any client might."""
    asked = {"model": "tiny", "max_tokens": 8, "temperature": 0, **body}
    request = urllib.request.Request(
        f"{server}/chat/completions", json.dumps(asked).encode(), {"Content-Type": "application/json", **headers}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        usage = json.load(answer)["usage"]
    return int((usage["prompt_tokens_details"] or {}).get("cached_tokens") or 0)


async def test_a_server_with_the_scheduler_is_known_by_its_metrics(
    client: OpenAIEngine, openai_engine: OpenAIEngine
) -> None:
    await client.start()
    assert client.hinted
    assert not openai_engine.hinted  # vLLM's own scheduler


async def test_a_pinned_session_finds_its_prefix_after_others_filled_the_memory(
    server: str, client: OpenAIEngine
) -> None:
    await client.start()
    first = await ask(client, "kept", "s1", PAUSE)
    plain = await ask(client, "lost")
    assert metrics(server)['pinned_tokens{engine="0"}'] > 0
    await press(client, "others")
    again = await ask(client, "kept", "s1", PAUSE)
    assert again.input_tokens - again.cached_tokens <= BLOCK_TOKENS
    assert first.cached_tokens < BLOCK_TOKENS
    without = await ask(client, "lost")
    assert without.cached_tokens < plain.input_tokens // 2
    found = metrics(server)
    assert found['hints_total{engine="0",outcome="pinned"}'] == 2
    assert found['hints_total{engine="0",outcome="consumed"}'] == 1
    assert found['hit_tokens_total{engine="0"}'] == first.cached_tokens + again.cached_tokens
    assert found['pinned_bytes{engine="0"}'] > found['pinned_tokens{engine="0"}'] > 0


async def test_a_header_and_flat_arguments_are_all_that_a_client_sends(server: str, client: OpenAIEngine) -> None:
    await client.start()
    turn = [{"role": "user", "content": prompt("plainly")[0].content}]
    headers, xargs = {"X-Session-ID": "s2"}, {"orch_tool": "search", "orch_pause_s": [20.0], "orch_program": "run-2"}
    await asyncio.to_thread(posted, server, headers, messages=turn, vllm_xargs=xargs)
    await press(client, "further")
    cached = await asyncio.to_thread(posted, server, headers, messages=turn, vllm_xargs={**xargs, "orch_release": 1})
    assert cached >= BLOCK_TOKENS * 8
    found = metrics(server)
    assert found['hints_total{engine="0",outcome="consumed"}'] == 2


async def test_a_reply_that_ends_at_a_stop_string_is_kept_too(server: str, client: OpenAIEngine) -> None:
    """vLLM's front end finds stop strings and aborts the request."""
    await client.start()
    pinned = 'hints_total{engine="0",outcome="pinned"}'
    asked, before = prompt("stop", words=100), metrics(server).get(pinned, 0.0)
    whole = await complete(client, GenerateRequest("whole", DEFAULT_MODEL, asked, Sampling(0.0, max_tokens=60)))
    cut = Sampling(0.0, max_tokens=200, stop=(whole.texts[0][30],))
    reply = await complete(client, GenerateRequest("cut", DEFAULT_MODEL, asked, cut, "s4", PAUSE))
    assert reply.finish_reasons == ("stop",)
    for _ in range(100):
        if metrics(server).get(pinned, 0.0) > before:
            return
        await asyncio.sleep(0.1)
    pytest.fail("nothing was pinned")


async def test_an_idle_engine_lets_go_of_pins_in_time(server: str, client: OpenAIEngine) -> None:
    await client.start()
    before = metrics(server).get('hints_total{engine="0",outcome="expired"}', 0)
    await ask(client, "shortly", "s3", KvHint(program="run-3", turns_left=1.0, pause_s=(0.1,), pin_ttl_s=0.3))
    for _ in range(100):
        await asyncio.sleep(0.1)
        if metrics(server).get('hints_total{engine="0",outcome="expired"}', 0) > before:
            return
    pytest.fail("the pin outlives its TTL while the engine is idle")


@pytest.mark.ray
async def test_the_runtimes_own_engine_keeps_releases_and_extends(vllm_engine: Engine) -> None:
    assert isinstance(vllm_engine, KvControl)
    usage = await ask(vllm_engine, "own", "s1", PAUSE)
    stats = await vllm_engine.stats()
    assert stats.waiting == 0
    assert stats.kv_used_fraction == 0.0
    assert stats.kv_capacity_tokens is not None and stats.kv_capacity_tokens > usage.input_tokens
    report = await vllm_engine.kv_report()  # type: ignore[attr-defined]
    assert report["pinned_tokens"] >= usage.input_tokens // BLOCK_TOKENS * BLOCK_TOKENS
    await vllm_engine.extend("s1", KvHint(pause_s=(300.0,)))
    await vllm_engine.release("s1")
    after = await vllm_engine.kv_report()  # type: ignore[attr-defined]
    assert after["pinned_tokens"] == report["pinned_tokens"] - full_blocks(usage) * BLOCK_TOKENS
    assert after["outcomes"]["released"] == report["outcomes"].get("released", 0) + 1


def full_blocks(usage: Usage) -> int:
    """Of a turn's prompt and reply; nothing is computed for the last token."""
    return (usage.input_tokens + usage.output_tokens - 1) // BLOCK_TOKENS


@pytest.mark.ray
async def test_a_prefetched_prefix_is_found(vllm_engine: Engine) -> None:
    assert isinstance(vllm_engine, KvControl)
    one = Sampling(temperature=0.0, max_tokens=1)
    hint = KvHint(program="run-5", prefetch=True)
    fetched = await vllm_engine.prefetch(GenerateRequest("early", DEFAULT_MODEL, prompt("early"), one, "s5", hint))
    usage = await ask(vllm_engine, "early", "s5", KvHint(program="run-5", turns_left=0.0))
    assert fetched.output_tokens == 1
    assert usage.input_tokens - usage.cached_tokens <= BLOCK_TOKENS
