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
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import weakref
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from orchestrator.dsl.location import definition_of, name_of
from orchestrator.runtime import failures
from orchestrator.runtime.tools.by_value import dumps, is_importable
from orchestrator.runtime.tools.crossing import unpacked
from orchestrator.runtime.tools.turns import Turns
from orchestrator.runtime.tools.worker import HEAD, WORKER_VARIABLE, Answer, Call, Reference

MOST_RUNNING: Final = max(4, os.cpu_count() or 1)
"""Calls of one tenant at once."""
MOST_IDLE: Final = MOST_RUNNING
START_S: Final = 60.0
END_S: Final = 5.0
LOOK_S: Final = 0.25
"""How often somebody looks whether a worker that is waited for still lives."""
_START: Final = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from orchestrator.runtime.tools.worker import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)

Owner = tuple[str | None, str | None]
"""Whom a worker may serve again: a tenant, and one function where its memory is bounded, as others would fill it."""


class ToolProcesses:
    """Worker processes for the isolated tools of a runtime. For one event loop."""

    def __init__(self, *, most_running: int = MOST_RUNNING) -> None:
        self._most_running = most_running
        self._tenants: dict[str | None, Turns] = {}
        self._spare: _Worker | None = None
        self._idle: list[tuple[Owner, _Worker]] = []
        """Those that have served, the latest last."""
        self._workers: set[_Worker] = set()
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
        admitted: Callable[[], Awaitable[None]] | None = None,
        began: Callable[[], None] | None = None,
    ) -> Any:
        """What ``fn`` returns or raises in a worker; ``began`` is told when waiting for one is over, and ``admitted``
        awaited before that, when its turn has come.

        Raises ``RunError``: ORCH-R041 when the worker dies, ORCH-R042 when it takes more memory than it may, ORCH-R043
        for what cannot be sent there or back, ORCH-R044 when no worker can be started.
        """
        work = _pickled(op, fn, tuple(args), dict(kwargs or {}))
        turns = self._tenants.setdefault(tenant, Turns())
        owner = tenant, None if memory_bytes is None else f"{fn.__module__}.{name_of(fn)}"
        try:
            await turns.enter(self._most_running)
            try:
                if admitted is not None:
                    await admitted()
                return await self._call(op, Call(work, memory_bytes, _file(fn)), owner, began)
            finally:
                turns.leave()
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
                worker.kill()
                self._reap(worker)
                raise
            if answer is not None:
                break
            how = await self._end(worker)
            if has_begun or is_last:
                raise failures.process_died(op, how)
        assert answer is not None
        if answer.kind == "memory":
            self._reap(worker)
            raise failures.out_of_memory(op, call.memory_bytes)
        self._rest(owner, worker)
        return _result(op, answer)

    async def _take(self, op: str, owner: Owner) -> _Worker:
        """A worker that has served nobody else, ready for a call."""
        for index in reversed(range(len(self._idle))):
            if self._idle[index][0] == owner:
                worker = self._idle.pop(index)[1]
                if worker.is_alive:
                    return worker
                self._reap(worker)
        while True:
            is_spare = self._spare is not None
            try:
                worker, self._spare = self._spare or self._new(), None
            except OSError as error:
                raise failures.no_process(op, str(error)) from error
            self.prepare()
            try:
                async with asyncio.timeout(START_S):
                    is_ready = await worker.ready()
            except TimeoutError:
                raise failures.no_process(op, f"it was not ready within {START_S:g} s") from None
            except BaseException:
                worker.kill()
                self._reap(worker)
                raise
            if is_ready:
                return worker
            how = await self._end(worker)
            if not is_spare:  # one that was kept ready may have died since
                raise failures.no_process(op, failures.how_it_ended(how))

    def _rest(self, owner: Owner, worker: _Worker) -> None:
        if self._closed:
            self._reap(worker)
            return
        self._idle.append((owner, worker))
        if len(self._idle) > MOST_IDLE:
            self._reap(self._idle.pop(0)[1])

    def _new(self) -> _Worker:
        worker = _Worker()
        self._workers.add(worker)
        return worker

    def _reap(self, worker: _Worker) -> None:
        """Kill a worker, and let the system forget it when it is gone."""
        worker.kill()
        if worker.is_alive:
            asyncio.get_running_loop().call_later(0.05, self._reap, worker)
        else:
            self._workers.discard(worker)

    async def _end(self, worker: _Worker) -> int:
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


class _Worker:
    """One process, as seen from here."""

    def __init__(self) -> None:
        """Start it; raises ``OSError``."""
        self._channel, theirs = socket.socketpair()
        held, self._lifeline = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, json.dumps(sys.path), str(theirs.fileno()), str(held)],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), held),
                start_new_session=True,
                env={**os.environ, WORKER_VARIABLE: "1"},
            )
        except BaseException:
            self._channel.close()
            os.close(self._lifeline)
            raise
        finally:
            theirs.close()
            os.close(held)
        self._channel.setblocking(False)
        self._is_ready = self._is_killed = self._is_awaited = False
        self._parent = os.getpid()

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    @property
    def exit_code(self) -> int:
        code = self._process.returncode
        return -signal.SIGKILL if code is None else code

    def wait(self, timeout_s: float) -> None:
        """Wait until it is gone; raises ``subprocess.TimeoutExpired``."""
        self._process.wait(timeout_s)

    async def ready(self) -> bool:
        """Wait until it takes calls; False if it never will."""
        if not self._is_ready:
            with self._awaited():
                self._is_ready = await self._receive() is not None
        return self._is_ready

    async def answer(self, op: str, call: Call, begins: Callable[[], None]) -> Answer | None:
        """Have a call made; None when the worker ended without an answer."""
        with self._awaited():
            return await self._answer(op, call, begins)

    async def _answer(self, op: str, call: Call, begins: Callable[[], None]) -> Answer | None:
        loop = asyncio.get_running_loop()
        data = pickle.dumps(call)
        try:
            await loop.sock_sendall(self._channel, HEAD.pack(len(data)) + data)
        except (BrokenPipeError, ConnectionResetError):
            return None
        try:
            async with asyncio.timeout(START_S) as loading:
                received = await self._receive()
                if received == b"":
                    loading.reschedule(None)
                    begins()
                    received = await self._receive()
        except TimeoutError:
            if not loading.expired():
                raise
            raise failures.no_process(op, f"its module was not imported within {START_S:g} s") from None
        if received is None:
            return None
        answer: Answer = pickle.loads(received)
        return answer

    async def _receive(self) -> bytes | None:
        head = await self._exactly(HEAD.size)
        return None if head is None else await self._exactly(HEAD.unpack(head)[0])

    async def _exactly(self, count: int) -> bytes | None:
        loop = asyncio.get_running_loop()
        data = bytearray()
        while len(data) < count:
            try:
                part = await loop.sock_recv(self._channel, min(count - len(data), 1 << 20))
            except ConnectionResetError:
                return None
            if not part:
                return None
            data += part
        return bytes(data)

    def kill(self) -> None:
        """Kill it and what its tools have started, before its number can be another's."""
        if self._is_killed or os.getpid() != self._parent:
            return
        self._is_killed = True
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        os.close(self._lifeline)
        self._hang_up()
        if not self._is_awaited:  # an event loop forgets a closed socket, and whoever waits for it
            self._channel.close()

    @contextmanager
    def _awaited(self) -> Iterator[None]:
        """In here the channel ends as soon as the process does, even where something that it forked holds it open."""
        self._is_awaited = True
        self._look()
        try:
            yield
        finally:
            self._next_look.cancel()
            self._is_awaited = False
            if self._is_killed:
                self._channel.close()

    def _look(self) -> None:
        self._next_look = asyncio.get_running_loop().call_later(LOOK_S, self._look)
        if self._has_died():
            self._hang_up()

    def _has_died(self) -> bool:
        """Whether it has; its number stays its own, so that what it has started can be killed."""
        if self._process.returncode is not None:
            return True
        try:
            return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    def _hang_up(self) -> None:
        """End the channel; what has arrived can still be read."""
        with suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)


def _kill_all(workers: set[_Worker]) -> None:
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
            raise failures.not_sendable(f"the result of `{op}`", f"{type(error).__name__}: {error}", None) from error
    if answer.raised is not None:
        raise unpacked(answer.raised)
    what = f"the result of `{op}`" if answer.kind == "unsendable" else f"what `{op}` is called with"
    raise failures.not_sendable(what, answer.why, None)


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
        raise failures.not_sendable(what, f"{type(error).__name__}: {error}", where) from error


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
