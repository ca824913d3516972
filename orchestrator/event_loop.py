"""The event loop of runs that this package starts itself: a direct call of a workflow, and ``orch run``.

It is uvloop, which wakes sleeping ops sooner and costs less per wake-up. Two things of asyncio's own
:func:`asyncio.run` are different, because tools are other people's code: the event loop goes on when one stops it or
leaves a callback on it that exits, and the threads of ``asyncio.to_thread`` and of DNS look-ups are daemons, so that
none of them keeps the process.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import cache
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from orchestrator.errors import described
from orchestrator.leaving import passes_through

T = TypeVar("T")

MOST_THREADS: Final = 32

_log: Final = logging.getLogger(__name__)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end. Ctrl-C cancels it, which stops what it has started."""
    with closing(work), asyncio.Runner(loop_factory=_loop_class()) as runner:
        runner.get_loop().set_default_executor(DaemonThreads())
        return runner.run(work)


@cache
def _loop_class() -> type[asyncio.AbstractEventLoop]:
    import uvloop

    class Lasting(uvloop.Loop):  # type: ignore[misc,unused-ignore]
        """An event loop that runs until its work is done, although a tool, or a callback of one, stops it or exits."""

        def run_until_complete(self, future: Any) -> Any:
            task = asyncio.ensure_future(future, loop=self)
            while True:
                try:
                    return super().run_until_complete(task)
                except (RuntimeError, SystemExit) as error:
                    if task.done() or self.is_running() or self.is_closed() or passes_through(error):
                        raise
                    what = "has stopped" if isinstance(error, RuntimeError) else f"left {described(error)} on"
                    _log.warning("a tool %s the event loop, which goes on", what)

    return Lasting


class DaemonThreads(ThreadPoolExecutor):
    """An executor for an event loop whose threads nobody waits for. (asyncio takes no executor of another class.)"""

    def __init__(self, most: int = MOST_THREADS) -> None:
        super().__init__(1)
        self._most = most
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._free = threading.Semaphore(0)
        self._started = 0

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Call ``fn`` in a thread."""
        future: Future[T] = Future()
        self._jobs.put((future, lambda: fn(*args, **kwargs)))
        if not self._free.acquire(blocking=False) and self._started < self._most:
            self._started += 1
            threading.Thread(target=self._work, name="orch-loop", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let idle threads end; those at work end with the process."""
        for _ in range(self._started):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, call = job
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except StopIteration as error:  # no future takes one, and its awaiter would wait for ever
                    future.set_exception(_stopped(error))
                except BaseException as error:  # noqa: BLE001 - whoever awaits the call is told
                    future.set_exception(error)
            del job, future, call
            self._free.release()


def _stopped(error: StopIteration) -> RuntimeError:
    stopped = RuntimeError("a call in a thread raised StopIteration")
    stopped.__cause__ = error
    return stopped
