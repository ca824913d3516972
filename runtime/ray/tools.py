"""Tools in Ray workers: the places ``ray-task`` and ``ray-actor``.

A task is one call of a function; cancelling the awaiting coroutine (which is what a timeout does) kills its worker.
Actor-backed tools are called in one process that lives as long as the :class:`RayTools`, so that what the function's
module holds (a connection, an index) is made once. The user's exceptions come back as they were raised.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from orchestrator.runtime.engines import errors
from orchestrator.runtime.ray.shipping import ship


class RayTools:
    """Calls functions in the workers of the connected Ray (the runtime's ``Remote``)."""

    def __init__(self) -> None:
        self._actors: dict[str, Any] = {}

    async def call(
        self, op: str, place: str, fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """The result of ``fn(*args, **kwargs)``, called in a worker; raises what ``fn`` raises."""
        import ray

        ship(fn)
        if place == "ray-actor":
            reference = self._actor(fn).call.remote(fn, tuple(args), dict(kwargs))
        else:
            task = ray.remote(_call).options(name=op, max_retries=0)
            reference = task.remote(fn, tuple(args), dict(kwargs))
        try:
            return await reference
        except asyncio.CancelledError:
            self._cancel(reference, place, fn)
            raise
        except ray.exceptions.RayTaskError as error:
            raise error.cause if isinstance(error.cause, Exception) else error from None
        except ray.exceptions.RayError as error:
            raise errors.engine_died(f"ray worker of {op}", str(error).strip().splitlines()[0], None) from error

    def close(self) -> None:
        """Stop the tools' actors; the session stays."""
        import ray

        for actor in self._actors.values():
            ray.kill(actor)
        self._actors.clear()

    def _actor(self, fn: Callable[..., Any]) -> Any:
        import ray

        key = f"{fn.__module__}.{fn.__qualname__}"
        if key not in self._actors:
            self._actors[key] = ray.remote(_ToolHost).options(num_cpus=0).remote()
        return self._actors[key]

    def _cancel(self, reference: Any, place: str, fn: Callable[..., Any]) -> None:
        """A running synchronous method cannot be interrupted, so a cancelled actor tool loses its actor."""
        import ray

        if place == "ray-actor":
            ray.kill(self._actors.pop(f"{fn.__module__}.{fn.__qualname__}"))
        else:
            ray.cancel(reference, force=True)


class _ToolHost:
    """One worker process for one stateful tool."""

    def call(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return fn(*args, **kwargs)


def _call(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return fn(*args, **kwargs)
