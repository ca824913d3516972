"""A server of chat completions in front of the simulator, so that the contract of engines runs over real HTTP."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import aclosing, contextmanager, suppress
from typing import Any

from orchestrator.dsl.models.messages import Message
from orchestrator.errors import EngineError
from orchestrator.runtime.engines.base import Engine, GenerateRequest, Sampling

STATUSES = {"ORCH-E011": (400, "the maximum context length is exceeded"), "ORCH-E012": (404, "no such model")}


@contextmanager
def chat_server(engine: Engine) -> Iterator[str]:
    """The base URL of a server, in a thread of its own, that answers with what ``engine`` generates."""
    loop = asyncio.new_event_loop()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await _answer(engine, reader, writer)
        writer.close()

    async def listen() -> asyncio.Server:
        return await asyncio.start_server(handle, "127.0.0.1", 0)

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(listen(), loop).result()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _answer(engine: Engine, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    lengths = [line.partition(":")[2] for line in head.split("\r\n") if line.startswith("content-length:")]
    if not lengths:
        writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        return
    body = json.loads(await reader.readexactly(int(lengths[0])))
    try:
        async with aclosing(engine.generate(_request(body))) as chunks:
            is_first = True
            async for chunk in chunks:
                if is_first:
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
                    is_first = False
                delta = {"index": chunk.sample, "delta": {"content": chunk.text}, "finish_reason": chunk.finish_reason}
                _send(writer, {"choices": [delta]})
                if chunk.usage is not None:
                    used = chunk.usage
                    counts = {"prompt_tokens": used.input_tokens, "completion_tokens": used.output_tokens}
                    details = {"prompt_tokens_details": {"cached_tokens": used.cached_tokens}}
                    _send(writer, {"choices": [], "usage": counts | details})
                await writer.drain()
        writer.write(b"data: [DONE]\n\n")
    except EngineError as error:
        status, message = STATUSES.get(error.code, (500, error.message))
        payload = json.dumps({"error": {"message": message, "code": status}}).encode()
        writer.write(f"HTTP/1.1 {status} x\r\ncontent-length: {len(payload)}\r\nconnection: close\r\n\r\n".encode())
        writer.write(payload)
    await writer.drain()


def _send(writer: asyncio.StreamWriter, event: dict[str, Any]) -> None:
    writer.write(b"data: " + json.dumps(event).encode() + b"\n\n")


def _request(body: dict[str, Any]) -> GenerateRequest:
    schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
    sampling = Sampling(
        body.get("temperature"),
        body.get("top_p"),
        body.get("max_tokens"),
        tuple(body.get("stop", ())),
        body.get("seed"),
        body.get("n", 1),
        schema,
    )
    messages = tuple(Message(each["role"], each["content"]) for each in body["messages"])
    return GenerateRequest("request", body["model"], messages, sampling)
