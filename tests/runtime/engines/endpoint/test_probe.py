"""Servers that take hints are told from those that do not by asking once."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from typing import Any

import pytest

from orchestrator.dsl.models.messages import Message
from orchestrator.runtime.engines.base import GenerateRequest, complete
from orchestrator.runtime.engines.endpoint import probe
from orchestrator.runtime.engines.endpoint.probe import metrics_url
from orchestrator.runtime.engines.openai import OpenAIEngine, OpenAIOptions
from orchestrator.runtime.kv.hints import KvHint
from orchestrator.runtime.kv.metrics import families
from tests.runtime.engines.answering import Endpoint, chunk, serving, usage

OURS = "\n".join(f"{family.name} 0" for family in families({"0": {"pins": 0, "hit_tokens": 0}}))
STOCK = "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running 0.0\n"


async def sent(endpoint: Endpoint, **options: Any) -> dict[str, Any]:
    engine = OpenAIEngine("e", "m", OpenAIOptions(base_url=endpoint.url, key_env="NO_SUCH_KEY", **options))
    await engine.start()
    request = GenerateRequest(
        "1", "default", (Message("user", "hi"),), session="run/1", kv=KvHint(program="run", turns_left=2.0)
    )
    await complete(engine, request)
    await engine.close()
    return {**endpoint.asked[-1], "header": endpoint.headers[-1].get("x-session-id")}


@pytest.mark.parametrize(
    ("page", "options", "told"),
    [
        (OURS, {}, True),
        (STOCK, {}, False),
        (None, {}, False),
        ("", {}, False),
        (OURS, {"kv_hints": False}, False),
        (None, {"kv_hints": True}, True),
    ],
)
async def test_who_is_told_about_sessions(page: str | None, options: dict[str, Any], told: bool) -> None:
    with serving([chunk("hi", "stop"), usage()]) as endpoint:
        if page is not None:
            endpoint.pages["/metrics"] = page
        body = await sent(endpoint, **options)
    assert ("vllm_xargs" in body) is told
    assert body["header"] == ("run/1" if told else None)
    if told:
        assert body["vllm_xargs"]["orch_program"] == "run"


async def test_a_server_that_is_not_there_is_missed_by_the_first_request_only() -> None:
    engine = OpenAIEngine("e", "m", OpenAIOptions(base_url="http://127.0.0.1:9/v1"))
    await engine.start()
    assert not engine.hinted
    await engine.close()


def test_where_metrics_are() -> None:
    assert metrics_url("http://h/team/v1") == "http://h/team/metrics"
    assert metrics_url("http://h") == "http://h/metrics"


def test_a_page_that_never_ends_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def trickle(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n")
            while not over.wait(0.02):
                connection.sendall(b"# more\n")

    monkeypatch.setattr(probe, "TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=lambda: trickle(server.accept()[0]), daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"

        async def start() -> bool:
            engine = OpenAIEngine("e", "m", OpenAIOptions(base_url=url, key_env="NO_SUCH_KEY"))
            async with asyncio.timeout(20):
                await engine.start()
            await engine.close()
            return engine.hinted

        assert not asyncio.run(start())
        over.set()
