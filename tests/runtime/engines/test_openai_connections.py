"""Connections to an endpoint: used again, and each in the event loop that it was opened in."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from anyio._backends._asyncio import SocketStream

from orchestrator import llm, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.dsl.models.messages import Message
from orchestrator.errors import EngineError
from orchestrator.runtime.engines.base import GenerateRequest, complete
from orchestrator.runtime.engines.openai import OpenAIEngine, OpenAIOptions
from orchestrator.runtime.runner import Runner
from tests.runtime.engines.answering import chunk, serving, usage


@contextmanager
def keeping_alive(*, ends: bool = True) -> Iterator[tuple[str, list[int]]]:
    """The URL of a server that keeps connections open, and a list with an entry for each of them.

    One that never ``ends`` a response goes on when everything has been said.
    """
    connections: list[int] = []
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            connections.append(self.client_address[1])

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for event in (json.dumps(chunk("fine", "stop")), json.dumps(usage()), "[DONE]"):
                data = f"data: {event}\n\n".encode()
                self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
                self.wfile.flush()
            if not ends:
                over.wait()
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *args: object) -> None:
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", connections
    finally:
        over.set()
        server.shutdown()
        server.server_close()


def engine_at(url: str) -> OpenAIEngine:
    return OpenAIEngine("remote", "m", OpenAIOptions(base_url=url, key_env="NO_SUCH_KEY", kv_hints=False))


def request() -> GenerateRequest:
    return GenerateRequest("1", "default", (Message("user", "hi"),))


@workflow
def asks(question: str) -> str:
    return llm(f"{question}")


async def test_calls_one_after_the_other_share_a_connection() -> None:
    with keeping_alive() as (url, connections):
        engine = engine_at(url)
        await engine.start()
        for _ in range(5):
            assert (await complete(engine, request())).texts == ("fine",)
        await engine.close()
    assert len(connections) == 1


async def test_a_reply_is_there_when_it_is_complete_though_its_response_does_not_end() -> None:
    with keeping_alive(ends=False) as (url, _):
        engine = engine_at(url)
        await engine.start()
        async with asyncio.timeout(30):
            assert (await complete(engine, request())).texts == ("fine",)
        await engine.close()


def test_runs_may_follow_each_other_in_different_event_loops() -> None:
    compiled = compile_workflow(asks)
    with keeping_alive() as (url, _):
        runtime = Runner({"default": engine_at(url)})
        for _ in range(3):
            assert asyncio.run(runtime.run(compiled, {"question": "how?"})).value == "fine"
        asyncio.run(runtime.close())


async def test_a_closed_engine_says_that_it_stays_closed() -> None:
    engine = engine_at("http://localhost:9/v1")
    await engine.start()
    await engine.close()
    await engine.start()
    with pytest.raises(EngineError, match="is closed") as caught:
        await complete(engine, request())
    assert caught.value.diagnostics[0].fix == "make a new one: this one stays closed"


async def test_user_and_password_are_sent_and_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with serving([chunk("fine", "stop"), usage()]) as endpoint, caplog.at_level(logging.DEBUG):
        engine = engine_at(endpoint.url.replace("//", "//me:hu%20sh@") + "?key=secret")
        await engine.start()
        await complete(engine, request())
        await engine.close()
    assert endpoint.headers[0]["authorization"] == "Basic " + base64.b64encode(b"me:hu sh").decode()
    assert endpoint.paths == ["/v1/chat/completions?key=secret"]
    assert any("key=***" in each for each in caplog.messages)
    for each in caplog.messages:
        assert "secret" not in each
        assert "hu" not in each.replace("http", "")


async def test_a_connection_that_was_cut_as_soon_as_it_was_made_is_an_unreachable_endpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(SocketStream, "_raw_socket", property(lambda _: None))  # as uvloop has it of such a connection
    with serving([chunk("fine", "stop"), usage()]) as endpoint:
        engine = OpenAIEngine("main", "m", OpenAIOptions(endpoint.url, kv_hints=False))
        await engine.start()
        with pytest.raises(EngineError, match="was cut as soon as it was made") as caught:
            await complete(engine, GenerateRequest("r", "m", (Message("user", "hi"),)))
        await engine.close()
    assert caught.value.code == "ORCH-E008"
    assert endpoint.asked == []
