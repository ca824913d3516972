"""Whatever a server sends, and for however long, no more of it is read than anybody needs."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest

from orchestrator.dsl.models.messages import Message
from orchestrator.errors import EngineError
from orchestrator.runtime.engines.base import GenerateRequest, complete
from orchestrator.runtime.engines.endpoint import bounded, event_stream, reply
from orchestrator.runtime.engines.endpoint.client import http_library
from orchestrator.runtime.engines.endpoint.reply import Reply, UnfinishedError
from orchestrator.runtime.engines.openai import OpenAIEngine, OpenAIOptions
from orchestrator.runtime.kv.metrics import families
from tests.runtime.engines.answering import chunk

PIECE = b"x" * (1 << 16)


@dataclass
class Endless:
    """A server whose every answer goes on for as long as somebody reads, up to ``most`` bytes."""

    url: str = ""
    sent: int = 0
    most: int = 256 << 20


@contextmanager
def endless(head: str, piece: bytes, first: bytes = b"") -> Iterator[Endless]:
    told = Endless()

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(100_000)
            connection.sendall(f"HTTP/1.1 {head}\r\n\r\n".encode() + first)
            while told.sent < told.most:
                connection.sendall(piece)
                told.sent += len(piece)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        told.url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        threading.Thread(target=accept, daemon=True).start()
        yield told


async def failure(url: str, *, kv_hints: bool | None = False) -> EngineError:
    options = OpenAIOptions(base_url=url, key_env="NO_SUCH_KEY", timeout_s=10.0, patience_s=0.0, kv_hints=kv_hints)
    engine = OpenAIEngine("remote", "m", options)
    await engine.start()
    with pytest.raises(EngineError) as caught:
        await complete(engine, GenerateRequest("1", "default", (Message("user", "hi"),)))
    await engine.close()
    return caught.value


FEW = 16 << 20
"""More than is read, and what stands in the sockets' buffers: far less than such a server would send."""


@pytest.mark.parametrize(
    ("head", "piece", "code"),
    [
        ("400 Bad Request", PIECE, "ORCH-E014"),
        ("500 Oops\r\ncontent-type: application/json", b'{"error": ' * 6_000, "ORCH-E021"),
        ("429 Wait\r\ncontent-length: 1000000000000", PIECE, "ORCH-E017"),
        ("302 Found\r\nlocation: http://127.0.0.1:9/v1", PIECE, "ORCH-E008"),
        ("200 OK\r\ncontent-type: text/html", PIECE, "ORCH-E028"),
        ("200 OK\r\ncontent-encoding: br", PIECE, "ORCH-E019"),
        ("200 OK\r\ncontent-encoding: utf-8, zstd", PIECE, "ORCH-E019"),
        ("500 Oops\r\ncontent-encoding: gzip, gzip", PIECE, "ORCH-E019"),
        ("500 Oops\r\ncontent-encoding: gzip\r\ncontent-encoding: X-Deflate, deflate", PIECE, "ORCH-E019"),
        ("500 Oops\r\ncontent-encoding: aws-chunked", PIECE, "ORCH-E021"),
    ],
)
async def test_a_body_without_an_end(head: str, piece: bytes, code: str) -> None:
    with endless(head, piece) as server:
        error = await failure(server.url)
        assert server.sent < FEW
    assert error.code == code
    assert len(str(error)) < 2_000


@pytest.mark.parametrize("coding", ["UTF-8", "none", "chunked", "identity, identity", "", "utf-8, gzip"])
async def test_what_is_no_compression_is_read_as_it_is(coding: str) -> None:
    values = (chunk("fine", None), chunk("", "stop"))
    body = "".join(f"data: {json.dumps(each)}\n\n" for each in values).encode() + b"data: [DONE]\n\n"
    if "gzip" in coding:
        body = gzip.compress(body)
    head = f"200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: {coding}\r\ncontent-length: {len(body)}"
    with endless(head, b"", first=body) as server:
        server.most = 0
        engine = OpenAIEngine("e", "m", OpenAIOptions(server.url, key_env="NO_SUCH_KEY", kv_hints=False))
        await engine.start()
        got = await complete(engine, GenerateRequest("1", "default", (Message("user", "hi"),)))
        await engine.close()
    assert got.texts == ("fine",)


async def test_a_plain_reply_is_handed_over_as_it_comes() -> None:
    httpx = http_library()
    stream = httpx.ByteStream(b"data: [DONE]")
    response = httpx.Response(200, stream=stream, request=httpx.Request("POST", "http://127.0.0.1/v1"))
    await bounded.bounding(httpx)(response)
    assert response.stream is stream


async def test_a_body_that_expands() -> None:
    packed = gzip.compress(b"y" * (100 << 20))
    with endless("500 Oops\r\ncontent-encoding: gzip", PIECE, first=packed) as server:
        tracemalloc.start()
        try:
            assert (await failure(server.url)).code == "ORCH-E021"
            assert tracemalloc.get_traced_memory()[1] < 32 << 20
        finally:
            tracemalloc.stop()
        assert server.sent < FEW


async def test_metrics_without_an_end() -> None:
    with endless("200 OK\r\ncontent-type: text/plain", b"# more\n" * 10_000) as server:
        engine = OpenAIEngine("e", "m", OpenAIOptions(base_url=server.url, key_env="NO_SUCH_KEY"))
        await engine.start()
        await engine.close()
        assert server.sent < FEW
    assert not engine.hinted


async def test_what_stands_before_the_bound_counts() -> None:
    ours = "".join(f"{family.name} 0\n" for family in families({"0": {"pins": 0}})).encode()
    with endless("200 OK\r\ncontent-type: text/plain", b"# more\n" * 10_000, first=ours) as server:
        engine = OpenAIEngine("e", "m", OpenAIOptions(base_url=server.url, key_env="NO_SUCH_KEY"))
        await engine.start()
        await engine.close()
    assert engine.hinted


async def test_an_error_that_trickles_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "MOST_S", 0.2)
    over = threading.Event()

    def trickle(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(100_000)
            connection.sendall(b"HTTP/1.1 400 No\r\n\r\nbecause")
            while not over.wait(0.02):
                connection.sendall(b" of")

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=lambda: trickle(server.accept()[0]), daemon=True).start()
        error = await failure(f"http://127.0.0.1:{server.getsockname()[1]}/v1")
        over.set()
    assert (error.diagnostics[0].why or "").startswith("because of")


@pytest.mark.parametrize(
    "delta",
    [
        {"refusal": "no " * 10},
        {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": ""}}]},
        {"function_call": {"arguments": "1, " * 10}},
        {"reasoning": "hm " * 10},
        {"content": "ha " * 10},
    ],
    ids=lambda delta: next(iter(delta)),
)
def test_a_reply_without_an_end(delta: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reply, "MOST_CHARS", 10_000)
    growing, count = Reply(1), 0
    with pytest.raises(UnfinishedError, match="longer than"):
        for count in range(1_000):  # noqa: B007 - used below
            list(growing.feed({"choices": [{"index": 0, "delta": delta}]}))
    assert count < 999


def test_a_refusal_and_a_call_in_pieces() -> None:
    refusing, calling = Reply(1), Reply(1)
    for text in ("I ", "cannot"):
        list(refusing.feed(chunk(None, None, refusal=text)))
    for function in ({"name": "f", "arguments": "{"}, {"arguments": "}"}):
        list(calling.feed(chunk(None, None, tool_calls=[{"function": function}])))
    assert list(refusing.rest()) == [(0, "I cannot", "")]
    assert list(calling.rest()) == [(0, "f({})", "")]


async def test_of_a_text_that_is_no_reply_only_the_beginning_is_read() -> None:
    read = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(1_000):
            read += len(PIECE)
            yield PIECE

    with pytest.raises(event_stream.NoEventsError):
        async for _ in event_stream.values(pieces()):
            pass
    assert read < 1 << 20
