"""A model behind HTTP that can be killed: a server of OpenAI's chat completions that names what it was asked.

Whoever asks says by ``user`` which process it is. The server writes into the effects when it begins a call and when it
has ended one, with the tokens that the call takes at most and those that it took: what is paid for.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from benchmarks.arms.effects import Effects
from benchmarks.durability.programs import BUSY_S, NAME, model_op, named

MOST_TOKENS: Final = 64
"""Of a reply that the request does not bound."""


async def serve(effects: Effects, port: int) -> None:
    """Answer until the process is killed."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await _answer(effects, reader, writer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", port, backlog=256)
    effects.record("engine", "ready")
    await server.serve_forever()


async def _answer(effects: Effects, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    lengths = [line.partition(":")[2] for line in head.split("\r\n") if line.startswith("content-length:")]
    if not lengths:
        writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        return
    reply = await _call(effects, json.loads(await reader.readexactly(int(lengths[0]))))
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
    for event in reply:
        writer.write(b"data: " + event.encode() + b"\n\n")
    await writer.drain()


async def _call(effects: Effects, body: Mapping[str, Any]) -> list[str]:
    """The events of a stream."""
    prompt = "|".join(each["content"] for each in body["messages"])
    name = named(model_op(prompt), prompt)
    asked, said = len(prompt.split()), 1
    caller, most = int(body["user"]), asked + (body.get("max_tokens") or MOST_TOKENS)
    effects.record(name, "model", seen=NAME.findall(prompt), pid=caller, tokens=most)
    await asyncio.sleep(BUSY_S)
    effects.record(name, "model", ended=True, pid=caller, tokens=asked + said)
    delta = {"index": 0, "delta": {"content": name}, "finish_reason": "stop"}
    usage = {"prompt_tokens": asked, "completion_tokens": said}
    return [json.dumps({"choices": [delta]}), json.dumps({"choices": [], "usage": usage}), "[DONE]"]
