"""Blocking tools in threads: so many at once for each tenant, and none that anybody has to wait for.

A thread cannot be stopped. Where nobody waits for a call any longer, because it was cancelled or took too long, its
thread is *written off*: another may start in its place, and its result is dropped. A tenant that has written off too
many that still run is refused, rather than let grow without limit. Tenants share idle threads and nothing else, so none
can starve another. The threads are daemons: the interpreter ends without them.

>>> async def call(threads: ToolThreads) -> int:
...     return await threads.call(lambda: 1 + 1, tenant="acme")
>>> asyncio.run(call(ToolThreads()))
2
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar, cast

from orchestrator.runtime.tools.errors import no_thread, too_many_written_off
from orchestrator.runtime.turns import Turns

T = TypeVar("T")

MOST_RUNNING: Final = 32
"""Calls of one tenant at once."""
MOST_WRITTEN_OFF: Final = 64
"""Calls of one tenant that nobody waits for and that still run."""
MOST_IDLE: Final = 32
IDLE_S: Final = 20.0
"""A thread that has had nothing to do for this long ends."""
_numbers: Final = count(1)

_Key = tuple[str | None, int]
"""A tenant, and how many workflows wait for its calls."""


class ToolThreads:
    """Threads for the blocking tools of a runtime, or for its checks. Called on one event loop at a time."""

    def __init__(self, *, most_running: int = MOST_RUNNING, most_written_off: int = MOST_WRITTEN_OFF) -> None:
        self._most_running = most_running
        self._most_written_off = most_written_off
        self._tenants: dict[_Key, _Tenant] = {}
        self._idle: list[_Thread] = []
        self._lock = threading.Lock()
        """It guards ``_idle``, which threads leave by themselves."""
        self._closed = False

    async def call(
        self,
        work: Callable[[], T],
        *,
        tenant: str | None = None,
        depth: int = 0,
        admitted: Callable[[], Awaitable[None]] | None = None,
        began: Callable[[], None] | None = None,
    ) -> T:
        """What ``work`` returns or raises, whatever that is; ``began`` is told when waiting for a thread is over.

        ``admitted`` is awaited when its turn has come, before that.

        ``depth`` counts the workflows that wait for this call in threads of their own. Each depth has its own bound,
        because a tool that waits for a workflow must not keep that workflow's tools from a thread.
        Raises ORCH-R040 for a tenant that has written off too many calls, and where no thread can be started.
        """
        key = tenant, depth
        mine = self._tenants.setdefault(key, _Tenant())
        try:
            self._admit(tenant, mine)
            await mine.enter(self._most_running)
        except BaseException:
            self.forget(key)
            raise
        job = _Job(work, asyncio.get_running_loop(), key)
        try:
            if admitted is not None:
                await admitted()
            self._admit(tenant, mine)
            self._start(job, began)
            await job.done
        finally:
            if job.is_started and not job.is_over:
                job.is_written_off = True
                mine.written_off.append(job)
            mine.leave()
            self.forget(key)
        if job.error is not None:
            try:
                raise job.error
            finally:
                job.error = None  # its traceback holds this frame
        return cast(T, job.value)

    def admit(self, *, tenant: str | None = None, depth: int = 0) -> None:
        """Raise ORCH-R040 now where a call would be refused."""
        if (mine := self._tenants.get((tenant, depth))) is not None:
            self._admit(tenant, mine)

    def close(self) -> None:
        """Let idle threads end, and the others as soon as their call is over."""
        self._closed = True
        with self._lock:
            idle, self._idle = self._idle, []
        for thread in idle:
            thread.jobs.put(None)

    def _admit(self, tenant: str | None, mine: _Tenant) -> None:
        if len(mine.written_off) >= self._most_written_off:
            mine.written_off = [job for job in mine.written_off if not job.is_over]
            if len(mine.written_off) >= self._most_written_off:
                raise too_many_written_off(tenant, len(mine.written_off))

    def forget(self, key: _Key) -> None:
        """Keep nothing of calls that have ended, nor of a tenant that has no others."""
        mine = self._tenants.get(key)
        if mine is None:
            return
        mine.written_off = [job for job in mine.written_off if not job.is_over]
        if mine.is_idle and not mine.written_off:
            del self._tenants[key]

    def _start(self, job: _Job, began: Callable[[], None] | None) -> None:
        with self._lock:
            thread = self._idle.pop() if self._idle else None
        if thread is None:
            thread = _Thread(self)
            try:
                thread.start()
            except RuntimeError as error:  # the system gives no more
                raise no_thread(str(error)) from error
        if began is not None:
            began()
        job.is_started = True
        thread.jobs.put(job)

    def rest(self, thread: _Thread) -> bool:
        """Called by a thread that has nothing to do: whether to wait for more."""
        with self._lock:
            if self._closed or len(self._idle) >= MOST_IDLE:
                return False
            self._idle.append(thread)
            return True

    def leave(self, thread: _Thread) -> bool:
        """Called by a thread that has waited for long: whether it may end, which it may not if a call is coming."""
        with self._lock:
            if thread in self._idle:
                self._idle.remove(thread)
                return True
            return False


class _Job:
    """One call."""

    __slots__ = ("done", "error", "is_over", "is_started", "is_written_off", "loop", "tenant", "value", "work")

    def __init__(self, work: Callable[[], Any], loop: asyncio.AbstractEventLoop, tenant: _Key) -> None:
        self.work = work
        self.loop = loop
        self.tenant = tenant
        self.done: asyncio.Future[None] = loop.create_future()
        self.value: Any = None
        self.error: BaseException | None = None
        self.is_started = False
        self.is_over = False
        self.is_written_off = False

    def run(self) -> None:
        """Make the call; in its thread."""
        process = os.getpid()
        try:
            self.value = self.work()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the call's outcome
            self.error = error
        if os.getpid() != process:  # the tool has forked, and this is the copy: the run goes on in the original
            os._exit(0)
        self.is_over = True

    def tell(self) -> None:
        """Wake who waits; on the event loop."""
        if not self.done.done():
            self.done.set_result(None)


class _Thread(threading.Thread):
    """Makes one call after the other."""

    def __init__(self, pool: ToolThreads) -> None:
        super().__init__(name=f"orch-tool-{next(_numbers)}", daemon=True)
        self.jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._pool = pool

    def run(self) -> None:
        while (job := self._next()) is not None:
            job.run()
            if job.is_written_off:
                with suppress(RuntimeError):  # the event loop is closed
                    job.loop.call_soon_threadsafe(self._pool.forget, job.tenant)
                return
            rests = self._pool.rest(self)  # before the result is known, so that the next call finds this thread
            with suppress(RuntimeError):  # the event loop is closed: nobody waits
                job.loop.call_soon_threadsafe(job.tell)
            del job
            if not rests:
                return

    def _next(self) -> _Job | None:
        while True:
            try:
                return self.jobs.get(timeout=IDLE_S)
            except Empty:
                if self._pool.leave(self):
                    return None


class _Tenant(Turns):
    """The calls of one tenant."""

    __slots__ = ("written_off",)

    def __init__(self) -> None:
        super().__init__()
        self.written_off: list[_Job] = []
