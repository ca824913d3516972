"""Tools in Ray workers: the places ``ray-task`` and ``ray-actor``.

A task is one call of a function; cancelling the awaiting coroutine (which is what a timeout does) kills its worker.
It begins when a worker has it: waiting for a free CPU, or for a process to start, is not the call's time.
Actor-backed tools are called in one process that lives as long as the :class:`RayTools`, so that what the function's
module holds (a connection, an index) is made once. Such a process does one call at a time, and calls wait their turn
here: cancelling a call kills the process that runs it, and nobody else's call with it. After a death the next call
gets a new process. The user's exceptions come back with their type and text (:mod:`..tools.crossing`), whatever they
hold.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from orchestrator.dsl.source.location import definition_of, name_of
from orchestrator.runtime.ray.shipping import ship
from orchestrator.runtime.tools.crossing import Raised, packed, unpacked
from orchestrator.runtime.tools.errors import LostAttemptError, lost
from orchestrator.runtime.tools.raised import raised
from orchestrator.runtime.tools.worker import MAY_RUN_AGAIN, WORKER_VARIABLE
from orchestrator.runtime.turns import Turns


class RayTools:
    """Calls functions in the workers of the connected Ray (the runtime's ``Remote``)."""

    def __init__(self) -> None:
        self._hosts: dict[str, _Host] = {}

    async def call(
        self,
        op: str,
        place: str,
        fn: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        began: Callable[[], None] | None = None,
    ) -> Any:
        """The result of ``fn(*args, **kwargs)``, called in a worker; raises what ``fn`` raises."""
        ship(fn)
        if place == "ray-actor":
            host = self._hosts.setdefault(f"{fn.__module__}.{getattr(fn, '__qualname__', name_of(fn))}", _Host())
            async with host.turns.turn(1):
                return await host.call(op, fn, args, kwargs, began)
        import ray

        task = ray.remote(_call).options(name=op, max_retries=0, num_returns="streaming")
        answers = task.remote(fn, tuple(args), dict(kwargs), _file(fn))
        try:
            return await _result(op, answers, began)
        except asyncio.CancelledError:
            ray.cancel(answers, force=True)
            raise

    def close(self) -> None:
        """Stop the tools' actors; the session stays."""
        for host in self._hosts.values():
            host.stop()
        self._hosts.clear()


class _Host:
    """The process of one actor-backed tool, as seen from here."""

    def __init__(self) -> None:
        self.turns = Turns()
        self._actor: Any = None

    async def call(
        self,
        op: str,
        fn: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        began: Callable[[], None] | None,
    ) -> Any:
        import ray

        if self._actor is None:
            self._actor = ray.remote(_ToolHost).options(num_cpus=0).remote()
        call = self._actor.call.options(num_returns="streaming")
        try:
            return await _result(op, call.remote(fn, tuple(args), dict(kwargs), _file(fn)), began)
        except (asyncio.CancelledError, LostAttemptError):  # a method that runs cannot be interrupted
            self.stop()
            raise

    def stop(self) -> None:
        import ray

        actor, self._actor = self._actor, None
        if actor is not None:
            ray.kill(actor)


async def _result(op: str, answers: Any, began: Callable[[], None] | None) -> Any:
    """What a worker answers; the user's exceptions as they were raised, and ORCH-R041 where the worker died.

    Its first answer says that it begins: it is there, and has what it needs.
    """
    import ray

    try:
        await (await anext(answers))
        if began is not None:
            began()
        answer = await (await anext(answers))
    except ray.exceptions.RayTaskError as error:
        raise error.cause if isinstance(error.cause, Exception) else error from None
    except ray.exceptions.RayError as error:
        why = str(error).strip().splitlines()[0]
        raise lost(op, why) from error
    if isinstance(answer, Raised):
        raise unpacked(answer)
    return answer


def _file(fn: Callable[..., Any]) -> str | None:
    where = definition_of(fn)
    return None if where is None else where.file


class _ToolHost:
    """One worker process for one stateful tool."""

    def call(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], file: str | None
    ) -> Iterator[Any]:
        yield from _call(fn, args, kwargs, file)


def _call(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], file: str | None) -> Iterator[Any]:
    """None when it begins; then what ``fn`` returns, or what it raises in a form that arrives.

    ``file`` is where it was written.
    """
    yield None
    yield _outcome(fn, args, kwargs, file)


def _outcome(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], file: str | None) -> Any:
    os.environ[WORKER_VARIABLE] = MAY_RUN_AGAIN
    try:
        return fn(*args, **kwargs)
    except BaseException as error:  # noqa: BLE001 - whatever the tool raises is its outcome
        from ray import cloudpickle

        return packed(raised(error), cloudpickle.dumps, file)
