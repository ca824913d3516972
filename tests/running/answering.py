"""Workflows and engines that the tests of running share."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from typing import Any

from orchestrator import llm, workflow
from orchestrator.runtime.engines.base import Chunk, GenerateRequest
from orchestrator.runtime.engines.scripted import ScriptedEngine


class Counted(ScriptedEngine):
    """Counts how often it is started and closed, and tells on which loop it is asked."""

    def __init__(self, script: Any) -> None:
        super().__init__(script)
        self.starts = self.closes = 0
        self.loops: set[int] = set()
        self.began = threading.Event()
        self.ended = threading.Event()

    async def start(self) -> None:
        self.starts += 1

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        self.loops.add(id(asyncio.get_running_loop()))
        self.began.set()
        try:
            async for chunk in super().generate(request):
                yield chunk
        finally:
            self.ended.set()

    async def close(self) -> None:
        self.closes += 1


def echo(request: GenerateRequest) -> str:
    return request.messages[-1].content


def hanging() -> Counted:
    async def reply(request: GenerateRequest) -> str:
        await asyncio.sleep(3600)
        return "never"

    return Counted(reply)


@workflow
def answer(question: str, tone: str = "kind") -> str:
    return llm(f"{tone} {question}", name="say")


@workflow
def double(n: int) -> int:
    return n * 2
