"""An event loop in a thread of its own, and calls of coroutines there from any thread and any other event loop.

Whoever waits for a call and is interrupted (Ctrl-C in a thread, cancellation of a task) cancels it, and goes on once it
has ended: what it has started is stopped by then.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import signal
import threading
from asyncio import CancelledError
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from contextvars import Context
from functools import partial
from typing import Any, Generic, TypeVar

from orchestrator.event_loop import run
from orchestrator.runtime.failures import interrupted

T = TypeVar("T")


class Call(Generic[T]):
    """A coroutine that runs on the loop of a :class:`LoopThread`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.ended: Future[T] = Future()
        """Its result, or what it raised; ORCH-R035 where it was cancelled."""
        self._loop = loop
        self._task: asyncio.Task[T] | None = None

    def begin(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        """Begin; on the loop."""
        self._task = self._loop.create_task(work())
        self._task.add_done_callback(self._end)

    def cancel(self) -> None:
        """Have it stop; from any thread, without waiting for that."""
        if not self.ended.done() and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._cancel)

    def result(self) -> T:
        """Wait for it, in a thread that runs no event loop that others need."""
        try:
            with _interruptible():
                concurrent.futures.wait([self.ended])
        except BaseException:  # of a signal: nothing else comes from waiting
            self.cancel()
            concurrent.futures.wait([self.ended])
            raise
        return self.ended.result()

    async def outcome(self) -> T:
        """Wait for it, on any event loop."""
        try:
            await self.end()
        except CancelledError:
            self.cancel()
            await self.end()
            raise
        return self.ended.result()

    async def end(self) -> None:
        """Return when it has ended, however, on any event loop."""
        arrived, wake = alarm()
        self.ended.add_done_callback(lambda _: wake())
        await arrived

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _end(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self.ended.set_exception(interrupted())
        elif (error := task.exception()) is not None:
            self.ended.set_exception(error)
        else:
            self.ended.set_result(task.result())


class LoopThread:
    """The thread and its loop; :meth:`stop` ends both."""

    def __init__(self, name: str) -> None:
        """Raises ``OSError`` where the system has nothing left for one."""
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)
        self._is_there = threading.Event()
        self._failure: BaseException | None = None
        self._thread.start()
        self._is_there.wait()
        if self._failure is not None:
            raise self._failure

    @property
    def is_here(self) -> bool:
        """Whether this is the thread."""
        return threading.current_thread() is self._thread

    def begin(self, work: Callable[[], Coroutine[Any, Any, T]], context: Context) -> Call[T]:
        """Begin ``work`` on the loop, in ``context``. Raises ``RuntimeError`` once it has been stopped."""
        call: Call[T] = Call(self._loop)
        self._loop.call_soon_threadsafe(partial(call.begin, work), context=context)
        return call

    def soon(self, what: Callable[[], object]) -> None:
        """Call ``what`` on the loop."""
        self._loop.call_soon_threadsafe(what)

    def stop(self) -> None:
        """End the loop, whatever is on it, and the thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._over.set)
        if not self.is_here:
            self._thread.join()

    def _live(self) -> None:
        try:
            run(self._until_over())
        except BaseException as error:
            if self._is_there.is_set():
                raise
            self._failure = error
            self._is_there.set()

    async def _until_over(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        self._is_there.set()
        await self._over.wait()


def alarm() -> tuple[asyncio.Future[None], Callable[[], None]]:
    """Something to await on this event loop, and what ends that, from any thread."""
    loop = asyncio.get_running_loop()
    arrived: asyncio.Future[None] = loop.create_future()

    def end() -> None:
        if not arrived.done():
            arrived.set_result(None)

    def wake() -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
            loop.call_soon_threadsafe(end)

    return arrived, wake


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C interrupt a wait that stands in the way of the event loop whose runner would be told of it."""
    handler = signal.getsignal(signal.SIGINT)
    runner = getattr(getattr(handler, "func", None), "__self__", None)
    if not isinstance(runner, asyncio.Runner) or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
