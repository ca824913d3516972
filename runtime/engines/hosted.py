"""An engine in a process of Ray's: what runs there, and how its replies come from there.

A Ray hop costs far more than a token, so the host gathers what arrives within :data:`FLUSH_S` into one hop.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final

from orchestrator.errors import EngineError, OrchError
from orchestrator.runtime.engines.base import Chunk, Engine, EngineStats, GenerateRequest, KvControl
from orchestrator.runtime.kv.hints import KvHint

FLUSH_S: Final = 0.02
DIED: Final = "ORCH-E013"
LEAVE_S: Final = 0.5
"""An actor whose engine has died ends after this, when those whose requests were under way have been told."""


def put_last(folder: Path) -> None:
    """Let no ``torch.py`` of the user's be what an engine and its processes import: Ray puts their folder in front."""
    sys.path.sort(key=lambda each: each in {"", str(folder)})


class EngineHost:
    """What runs inside the actor: an engine in its process, and the batching of its chunks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pumps: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        await self._engine.start()

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[list[Chunk], None]:
        """Lists of chunks, one list per flush."""
        queue: asyncio.Queue[Chunk | None] = asyncio.Queue()
        pump = asyncio.create_task(self._pump(request, queue))
        self._pumps[request.request_id] = pump
        try:
            open_ = True
            while open_:
                batch = [await queue.get()]
                if batch[0] is not None and batch[0].usage is None:
                    await asyncio.sleep(FLUSH_S)
                while not queue.empty():
                    batch.append(queue.get_nowait())
                open_ = None not in batch
                if chunks := [chunk for chunk in batch if chunk is not None]:
                    yield chunks
            await pump
        except asyncio.CancelledError:
            if not pump.cancelled():
                raise
        finally:
            pump.cancel()
            if self._pumps.get(request.request_id) is pump:
                del self._pumps[request.request_id]

    async def abort(self, request_id: str) -> None:
        """Stop the request, if it still runs."""
        if pump := self._pumps.get(request_id):
            pump.cancel()

    async def stats(self) -> EngineStats:
        return await self._engine.stats()

    async def kv_report(self) -> dict[str, Any]:
        """What the engine says of its KV cache; nothing where it says nothing."""
        report = getattr(self._engine, "kv_report", None)
        return {} if report is None else dict(await report())

    async def release(self, session: str) -> None:
        await self._engine.release(session)

    async def extend(self, session: str, hint: KvHint) -> None:
        if isinstance(self._engine, KvControl):
            await self._engine.extend(session, hint)

    async def close(self) -> None:
        await self._engine.close()

    async def _pump(self, request: GenerateRequest, queue: asyncio.Queue[Chunk | None]) -> None:
        stream = self._engine.generate(request)
        try:
            await self._engine.start()  # Ray may have started the actor again since somebody did
            async for chunk in stream:
                queue.put_nowait(chunk)
        except EngineError as error:
            if error.code == DIED:
                asyncio.get_running_loop().call_later(LEAVE_S, os._exit, 1)
            raise
        finally:
            queue.put_nowait(None)
            await stream.aclose()


async def streamed(actor: Any, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
    """The reply of a host's actor; closing the generator aborts the request there. Raises what Ray raises."""
    import ray

    is_done = False
    try:
        async for reference in actor.generate.options(num_returns="streaming").remote(request):
            for chunk in await reference:
                is_done = is_done or chunk.usage is not None
                yield chunk
    finally:
        if not is_done and ray.is_initialized():
            actor.abort.remote(request.request_id)


def coded_in(error: BaseException) -> OrchError | None:
    """The coded error that an actor has raised, out of what Ray makes of it; None: there is none."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, OrchError) else None


def last_line(error: BaseException) -> str:
    """The last line of what Ray says of a failure; the first ones are a traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
