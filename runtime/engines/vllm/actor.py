"""The vLLM engine in a Ray actor, and its client.

Requests are answered by a streaming generator (:mod:`orchestrator.runtime.engines.hosted`); closing the client's
generator tells the actor to abort.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

from orchestrator.errors import EngineError, OrchError
from orchestrator.runtime.engines import errors
from orchestrator.runtime.engines.base import Chunk, EngineStats, GenerateRequest, Usage, complete
from orchestrator.runtime.engines.hosted import DIED, EngineHost, coded_in, last_line, put_last, streamed
from orchestrator.runtime.engines.vllm import version
from orchestrator.runtime.engines.vllm.local import LocalVllm
from orchestrator.runtime.engines.vllm.options import VllmOptions
from orchestrator.runtime.kv.hints import KvHint

_log = logging.getLogger(__name__)
MAX_REQUESTS = 10_000
CLOSE_TIMEOUT_S = 20.0
MOST_RESTARTS = 3


class VllmHost(EngineHost):
    """What runs inside the actor."""

    def __init__(self, name: str, model: str, options: VllmOptions) -> None:
        put_last(Path.cwd())
        super().__init__(LocalVllm(name, model, options))


class RayVllm:
    """An :class:`~orchestrator.runtime.engines.base.Engine` whose model lives in a Ray actor.

    Requests that are under way when the actor, or the engine in it, dies fail with ORCH-E013, which is worth a retry.
    Another one is started at once; all that come meanwhile wait for the same start, and one that has died more than
    :data:`MOST_RESTARTS` times without a reply in between stays dead (ORCH-E015).
    """

    simulated = False
    _max_restarts = 0
    """So often Ray starts the actor again, for whoever has it."""

    def __init__(self, name: str, model: str, options: VllmOptions | None = None) -> None:
        version.require()
        self.name = name
        self.model = model
        self.options = options or VllmOptions()
        self._actor: Any = None
        self._closed = False
        self._has_died = False
        self._restarts = 0
        """So often it was started again since the last reply."""
        self._restarting: asyncio.Task[None] | None = None
        self._seeds_ignored = version.on_cpu()
        """And nobody has been told yet."""

    async def start(self) -> None:
        """Create the actor and load the model; a failure leaves nothing running. Raises ORCH-E015 if it was closed."""
        if self._closed:
            raise errors.not_running(self.name, is_closed=True)
        if self._actor is not None:
            return
        import ray

        gpus = self.options.num_gpus
        if gpus is None:
            gpus = 0 if version.on_cpu() else self.options.tensor_parallel_size
        host = ray.remote(VllmHost).options(
            num_cpus=0, num_gpus=gpus, max_concurrency=MAX_REQUESTS, max_restarts=self._max_restarts
        )
        self._actor = host.remote(self.name, self.model, self.options)
        try:
            await asyncio.wait_for(self._call("start"), self.options.start_timeout_s)
        except TimeoutError:
            await self._stop()
            what, option = f"the engine `{self.name}`", "start_timeout_s"
            raise errors.timed_out(what, self.options.start_timeout_s, option=option) from None
        except OrchError:
            await self._stop()
            raise
        except asyncio.CancelledError:  # busy with loading, the actor would not hear a request to close
            self._kill()
            raise

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        """Stream the reply; closing the generator aborts the request in the actor."""
        import ray

        actor = await self._available_actor()
        if request.sampling.seed is not None and self._seeds_ignored:
            self._seeds_ignored = False
            _log.warning(
                "the engine `%s` ignores seeds: vLLM's CPU build cannot combine them with long prompts", self.name
            )
        try:
            async with aclosing(streamed(actor, request)) as chunks:
                async for chunk in chunks:
                    if chunk.usage is not None:
                        self._restarts = 0
                    yield chunk
        except ray.exceptions.RayError as error:
            raise self._coded(error, actor) from error

    async def stats(self) -> EngineStats:
        """The actor's counts."""
        self._running_actor()
        found: EngineStats = await self._call("stats")
        return found

    async def kv_report(self) -> dict[str, Any]:
        """What the engine says of its KV cache and of hints; see :meth:`LocalVllm.kv_report`."""
        self._running_actor()
        found: dict[str, Any] = await self._call("kv_report")
        return found

    async def release(self, session: str) -> None:
        """Let go of the session's KV cache; stock vLLM has no way to."""
        if self._actor is not None and self.options.keeps_kv:
            await self._call("release", session)

    async def prefetch(self, request: GenerateRequest) -> Usage:
        """Compute the prefix that a later turn begins with."""
        return (await complete(self, request)).usage or Usage()

    async def extend(self, session: str, hint: KvHint) -> None:
        """More is known of the session's pause than when its turn began."""
        if self._actor is not None and self.options.keeps_kv:
            await self._call("extend", session, hint)

    async def close(self) -> None:
        """Stop the engine, then the actor."""
        self._closed = True
        if self._restarting is not None:
            self._restarting.cancel()
            await asyncio.gather(self._restarting, return_exceptions=True)
        await self._stop()

    async def _stop(self) -> None:
        if self._actor is None:
            return
        import ray

        with suppress(TimeoutError, ray.exceptions.RayError):  # killed below in any case
            await asyncio.wait_for(asyncio.wrap_future(self._actor.close.remote().future()), CLOSE_TIMEOUT_S)
        self._kill()

    def _kill(self) -> None:
        import ray

        actor, self._actor = self._actor, None
        if actor is not None:
            ray.kill(actor)

    @property
    def is_restarting(self) -> bool:
        """Whether requests would wait until it has started again; other replicas may be there at once."""
        return self._restarting is not None and not self._restarting.done()

    def _restart(self) -> None:
        """Begin to start another actor, unless that is under way or has been done too often."""
        if self._closed or self.is_restarting or self._restarts >= MOST_RESTARTS:
            return
        self._restarts += 1
        _log.warning("the engine `%s` has stopped, and is started again", self.name)
        self._restarting = asyncio.get_running_loop().create_task(self.start())
        self._restarting.add_done_callback(lambda task: task.cancelled() or task.exception())  # told to who waits

    async def _available_actor(self) -> Any:
        """The actor; another one if it has died. What it raises is not ``SILENT``: nobody has the request yet."""
        if self._actor is None and self._has_died:
            self._restart()
        if self._restarting is not None and not self._restarting.done():
            try:
                await asyncio.shield(self._restarting)
            except EngineError as error:
                if error.code not in errors.SILENT:
                    raise
                raise errors.not_back(self.name, error.message) from error
        if self._actor is None and self._has_died and not self._closed:
            raise errors.keeps_stopping(self.name, self._restarts + 1)
        return self._running_actor()

    def _running_actor(self) -> Any:
        if self._actor is None:
            raise errors.not_running(self.name, is_closed=self._closed)
        return self._actor

    async def _call(self, method: str, *args: object) -> Any:
        import ray

        actor = self._actor
        try:
            return await getattr(actor, method).remote(*args)
        except ray.exceptions.RayError as error:
            raise self._coded(error, actor) from error

    def _coded(self, error: Exception, actor: Any) -> OrchError:
        """The coded form of what ``actor`` failed with; one whose engine has died is of no use any more."""
        import ray

        coded = coded_in(error)
        is_dead = isinstance(error, ray.exceptions.RayActorError) if coded is None else coded.code == DIED
        if is_dead and actor is self._actor:
            self._has_died = True
            self._kill()
            self._restart()
        if coded is not None:
            return coded
        if isinstance(error, ray.exceptions.RayTaskError):  # what has raised it in there runs on
            return errors.rejected(self.name, last_line(error))
        return errors.engine_died(self.name, last_line(error), None)
