"""Tools in processes of their own, which can be killed: ``@tool(isolation="process", memory="512 MiB")``.

A worker is a fresh interpreter, not a fork, so it inherits neither locks nor threads. One is kept ready as long as a
program needs any, because starting one takes a tenth of a second; a worker that has served a tenant serves no other. A
call that is cancelled or takes too long kills its worker with everything the tool has started, and the next call gets
another. Workers end with this process, however it ends: their lifeline is a pipe that closes with it.

Functions travel by name where a worker can import them, so that what their module holds is made once; those of a
script, of a notebook and nested ones travel by value.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from orchestrator.dsl.source.location import definition_of, name_of
from orchestrator.runtime.tools import errors
from orchestrator.runtime.tools.by_value import dumps, is_importable
from orchestrator.runtime.tools.crossing import unpacked
from orchestrator.runtime.tools.worker import Answer, Call, Reference
from orchestrator.runtime.tools.worker_process import START_S, WorkerProcess
from orchestrator.runtime.turns import Turns

MOST_RUNNING: Final = max(4, os.cpu_count() or 1)
"""Calls of one tenant at once."""
MOST_IDLE: Final = MOST_RUNNING
END_S: Final = 5.0
STARTS: Final = 4
"""So many workers are tried for a call while each is killed before it is ready: that says nothing of the next one."""

Owner = tuple[str | None, str | None]
"""Whom a worker may serve again: a tenant, and one function where its memory is bounded, as others would fill it."""


class ToolProcesses:
    """Worker processes for the isolated tools of a runtime. For one event loop."""

    def __init__(self, *, most_running: int = MOST_RUNNING) -> None:
        self._most_running = most_running
        self._tenants: dict[str | None, Turns] = {}
        self._spare: WorkerProcess | None = None
        self._idle: list[tuple[Owner, WorkerProcess]] = []
        """Those that have served, the latest last."""
        self._workers: set[WorkerProcess] = set()
        self._closed = False
        weakref.finalize(self, _kill_all, self._workers)

    def prepare(self) -> None:
        """Have a worker ready soon, if there is none."""
        if self._spare is None and not self._closed:
            with suppress(OSError):  # whoever needs one is told
                self._spare = self._new()

    async def call(
        self,
        op: str,
        fn: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        tenant: str | None = None,
        memory_bytes: int | None = None,
        may_run_again: bool = False,
        admitted: Callable[[], Awaitable[None]] | None = None,
        began: Callable[[], None] | None = None,
    ) -> Any:
        """What ``fn`` returns or raises in a worker; ``began`` is told when waiting for one is over, and ``admitted``
        awaited before that, when its turn has come. ``may_run_again`` is said in
        :class:`~orchestrator.runtime.tools.worker.Call`.

        Raises ``RunError``: ORCH-R041 when the worker dies, ORCH-R042 when it takes more memory than it may, ORCH-R043
        for what cannot be sent there or back, ORCH-R044 when no worker can be started.
        """
        work = _pickled(op, fn, tuple(args), dict(kwargs or {}))
        turns = self._tenants.setdefault(tenant, Turns())
        owner = tenant, None if memory_bytes is None else f"{fn.__module__}.{name_of(fn)}"
        try:
            async with turns.turn(self._most_running):
                if admitted is not None:
                    await admitted()
                return await self._call(op, Call(work, memory_bytes, _file(fn), may_run_again), owner, began)
        finally:
            if turns.is_idle:
                self._tenants.pop(tenant, None)

    async def close(self) -> None:
        """Kill all workers, and return when they are gone."""
        self._closed = True
        self._spare = None
        self._idle.clear()
        workers = list(self._workers)
        await asyncio.gather(*(self._end(worker) for worker in workers))

    async def _call(self, op: str, call: Call, owner: Owner, began: Callable[[], None] | None) -> Any:
        """Have a call made; again if the worker was dying and the call had not begun, but only once."""
        has_begun = False

        def begins() -> None:
            nonlocal has_begun
            has_begun = True
            if began is not None:
                began()

        for is_last in (False, True):
            worker = await self._take(op, owner)
            try:
                answer = await worker.answer(op, call, begins)
            except BaseException:
                self._reap(worker)
                raise
            if answer is not None:
                break
            how = await self._end(worker)
            if has_begun or is_last:
                raise errors.process_died(op, how)
        assert answer is not None
        if answer.kind == "memory":
            self._reap(worker)
            raise errors.out_of_memory(op, call.memory_bytes)
        self._rest(owner, worker)
        return _result(op, answer)

    async def _take(self, op: str, owner: Owner) -> WorkerProcess:
        """A worker that has served nobody else, ready for a call."""
        for index in reversed(range(len(self._idle))):
            if self._idle[index][0] == owner:
                worker = self._idle.pop(index)[1]
                if worker.is_alive:
                    return worker
                self._reap(worker)
        was_kept = self._spare is not None  # it may have died since
        for tries in range(STARTS):
            try:
                worker, self._spare = self._spare or self._new(), None
            except OSError as error:
                raise errors.no_process(op, str(error)) from error
            self.prepare()
            try:
                async with asyncio.timeout(START_S):
                    is_ready = await worker.ready()
            except BaseException as error:
                self._reap(worker)
                if not isinstance(error, TimeoutError):
                    raise
                raise errors.no_process(op, f"it was not ready within {START_S:g} s") from None
            if is_ready:
                return worker
            how = await self._end(worker)
            is_hopeless = how >= 0 and (tries > 0 or not was_kept)
            if is_hopeless or self._closed or tries == STARTS - 1:
                raise errors.no_process(op, errors.how_it_ended(how))
        raise AssertionError("the last one is ready, or why it is not was raised")

    def _rest(self, owner: Owner, worker: WorkerProcess) -> None:
        if self._closed:
            self._reap(worker)
            return
        self._idle.append((owner, worker))
        if len(self._idle) > MOST_IDLE:
            self._reap(self._idle.pop(0)[1])

    def _new(self) -> WorkerProcess:
        worker = WorkerProcess()
        self._workers.add(worker)
        return worker

    def _reap(self, worker: WorkerProcess) -> None:
        """Kill a worker, and let the system forget it when it is gone."""
        worker.kill()
        if worker.is_alive:
            asyncio.get_running_loop().call_later(0.05, self._reap, worker)
        else:
            self._workers.discard(worker)

    async def _end(self, worker: WorkerProcess) -> int:
        """Kill a worker if it has not ended by itself; its exit code, or minus the signal."""
        worker.kill()
        wait_s = 0.001
        loop = asyncio.get_running_loop()
        until = loop.time() + END_S
        while worker.is_alive and loop.time() < until:
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, 0.05)
        self._workers.discard(worker)
        return worker.exit_code


def _kill_all(workers: set[WorkerProcess]) -> None:
    for worker in workers:
        worker.kill()
    for worker in workers:
        with suppress(subprocess.TimeoutExpired):
            worker.wait(1.0)


def _result(op: str, answer: Answer) -> Any:
    if answer.kind == "value":
        try:
            return pickle.loads(answer.value)
        except Exception as error:
            raise errors.not_sendable(f"the result of `{op}`", f"{type(error).__name__}: {error}", None) from error
    if answer.raised is not None:
        raise unpacked(answer.raised)
    what = f"the result of `{op}`" if answer.kind == "unsendable" else f"what `{op}` is called with"
    raise errors.not_sendable(what, answer.why, None)


def _pickled(op: str, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    try:
        return dumps((_reference(fn) or fn, args, kwargs))
    except Exception as error:  # pickling runs the user's code
        try:
            dumps((args, kwargs))
        except Exception:  # noqa: BLE001 - see above
            what = f"an argument of `{op}`"
        else:
            what = f"the function of `{op}`"
        where = definition_of(fn)
        raise errors.not_sendable(what, f"{type(error).__name__}: {error}", where) from error


def _file(fn: Callable[..., Any]) -> str | None:
    where = definition_of(fn)
    return None if where is None else where.file


def _reference(fn: Callable[..., Any]) -> Reference | None:
    """Where a worker finds ``fn``; None if it can only be sent by value."""
    module, name = getattr(fn, "__module__", None), getattr(fn, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or not is_importable(module):
        return None
    reference = Reference(module, name)
    try:
        return reference if reference.find() is fn else None
    except (ImportError, AttributeError):  # nested, renamed or deleted
        return None
