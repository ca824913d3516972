"""A vLLM engine in a Ray actor that several processes use at once.

One process starts it and stops it, and lends it to the others. When its actor dies, or the engine in it, Ray starts the
actor again, for everybody; whoever asks loads the model, once, and the others wait for that. Requests that were under
way fail with ORCH-E013 everywhere, which is worth a retry.

>>> engine = SharedVllm("main", "./model")                                              # doctest: +SKIP
>>> await engine.start()                                                                # doctest: +SKIP
>>> worker.run.remote(engine.lent(sharers=3))                                           # doctest: +SKIP
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from time import monotonic
from typing import Any, Final

from orchestrator.runtime.engines import errors
from orchestrator.runtime.engines.base import EngineStats
from orchestrator.runtime.engines.vllm.actor import RayVllm

FOR_EVER: Final = -1
LOOK_S: Final = 0.5
"""So often it is looked whether an actor is back."""


class SharedVllm(RayVllm):
    """The engine as its owner has it; :meth:`lent` makes what others have."""

    _max_restarts = FOR_EVER
    _host: Any = None
    """The actor of an engine that somebody else starts and stops."""
    _sharers = 1

    def lent(self, sharers: int) -> SharedVllm:
        """The engine for one of so many processes, to be sent there. Closing it there leaves it running."""
        other = SharedVllm(self.name, self.model, self.options)
        other._host = other._actor = self._running_actor()
        other._sharers = sharers
        return other

    async def start(self) -> None:
        """Start the engine, or wait until one that was lent is there again. Raises ORCH-E015 where it is gone."""
        if self._host is None:
            await super().start()
            return
        if self._closed:
            raise errors.not_running(self.name, is_closed=True)
        if self._actor is None:
            await self._back()
            self._actor = self._host

    async def stats(self) -> EngineStats:
        """The actor's counts. Of the room for KV each process has its share: what it admits, it admits alone."""
        found = await super().stats()
        room = found.kv_capacity_tokens
        return found if room is None else replace(found, kv_capacity_tokens=room // self._sharers)

    async def _back(self) -> None:
        """Wait until the actor runs, and its engine."""
        import ray

        end = monotonic() + self.options.start_timeout_s
        while True:
            try:
                await self._host.start.remote()
                return
            except ray.exceptions.ActorUnavailableError:
                if monotonic() > end:
                    raise errors.timed_out(
                        f"the engine `{self.name}`", self.options.start_timeout_s, option="start_timeout_s"
                    ) from None
                await asyncio.sleep(LOOK_S)
            except ray.exceptions.RayActorError as error:
                raise errors.not_running(self.name, is_closed=True) from error
            except ray.exceptions.RayTaskError as error:
                raise self._coded(error, None) from error

    async def _stop(self) -> None:
        if self._host is None:
            await super()._stop()
        else:
            self._actor = None

    def _kill(self) -> None:
        if self._host is None:
            super()._kill()
        else:
            self._actor = None
