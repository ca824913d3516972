"""Async tools on the event loop: each in a task of its own, which a run can leave behind.

To the tool it is a task like any: a timeout or a task group in the tool cancels that task and not its run, and context
variables that the tool sets are its own. But there is no task of asyncio as long as none is needed: whoever waits for
the call steps it, which takes no turn of the event loop. It is moved to one of asyncio's when it waits for something
that cancelling may not end, such as another task, and when it goes on after it was cancelled.

A tool that is cancelled gets a moment to clean up. One that goes on all the same is *written off*, as a thread would
be: nobody waits for it any longer, neither its run nor the end of the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import CancelledError, _enter_task, _leave_task
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import copy_context
from types import CoroutineType, coroutine
from typing import Any, Final, NoReturn

from orchestrator.leaving import passes_through
from orchestrator.runtime.tools.loop_watch import calls_tools

GRACE_S: Final = 2.0
"""How long a cancelled tool may clean up."""

_written_off: Final[set[asyncio.Task[None]]] = set()
"""The event loop itself refers to tasks weakly."""
_log: Final = logging.getLogger(__name__)


@coroutine
def on_loop(work: Callable[[], Awaitable[Any]], op: str, warn: Callable[[str], None]) -> Generator[Any, Any, Any]:
    """What ``work``, a call of the async tool of ``op``, returns or raises, whatever that is; to be awaited.

    When this is cancelled it ends within :data:`GRACE_S`, and ``warn`` is told if the tool does not.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.current_task(loop)
    assert task is not None
    cancels = task.cancelling()
    call = _Call(work, op, loop)
    call.step(task)
    while not call.is_over:
        waits_for = call._fut_waiter
        if waits_for is not None and type(waits_for) is not asyncio.Future:
            yield from _moved(call, op, warn)
            break
        try:
            yield waits_for
        except GeneratorExit:
            call.close()
            raise
        except BaseException as error:
            if task.cancelling() > cancels:
                call.end(task, error)
                if not call.is_over:
                    yield from _clean_up(call.moved(), op, warn)
                raise
            call.step(task, error)
        else:
            call.step(task)
    if call._error is not None:
        call.fail()
    return call._value


async def _moved(call: _Call, op: str, warn: Callable[[str], None]) -> None:
    """Wait for a call that waits for something that cancelling may not end."""
    task = call.moved()
    try:
        await asyncio.wait((task,))
    except CancelledError:
        call.cancel()
        await _clean_up(task, op, warn)
        raise


async def _clean_up(task: asyncio.Task[None], op: str, warn: Callable[[str], None]) -> None:
    """Wait for what goes on with a cancelled call, but not for long.

    Being cancelled again changes nothing: scopes of anyio cancel at each turn of the event loop.
    """
    now = asyncio.get_running_loop().time
    ends_s = now() + GRACE_S
    while not task.done() and now() < ends_s:
        with suppress(CancelledError):
            await asyncio.wait((task,), timeout=ends_s - now())
    if not task.done():
        _write_off(task, op, warn)


class _Call(asyncio.Future[None]):
    """A call of a tool: to the tool the task that it runs in, to others a future that is done when the tool is.

    What is named as in ``asyncio.Task`` is for those who look into tasks, as anyio does.
    """

    __slots__ = ("_cancels", "_context", "_coro", "_error", "_fut_waiter", "_must_cancel", "_name", "_value", "is_over")

    @calls_tools
    def __init__(self, work: Callable[[], Awaitable[Any]], name: str, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._context = copy_context()
        made = self._context.run(work)
        self._coro = made if isinstance(made, CoroutineType) else _awaited(made)
        self._name = name
        self._value: Any = None
        self._error: BaseException | None = None
        self._fut_waiter: Any = None
        """What the tool waits for: a future, or None until the event loop has turned."""
        self._must_cancel = False
        """Whether it was cancelled while there was nothing to cancel: the next step tells it."""
        self._cancels = 0
        self.is_over = False

    def fail(self) -> NoReturn:
        """Raise what the tool has raised."""
        assert self._error is not None
        try:
            raise self._error
        finally:
            self._error = None  # its traceback holds this frame

    def end(self, task: asyncio.Task[Any], error: BaseException) -> None:
        """Tell the tool that its run is cancelled, whatever it makes of that."""
        self._cancels += 1
        try:
            self.step(task, error)
        except BaseException as failure:
            if passes_through(failure):
                raise

    def close(self) -> None:
        """Nobody will step it any more, and it may be that there is no event loop."""
        self._coro.close()

    def moved(self) -> asyncio.Task[None]:
        """A task of asyncio that goes on with the call to its end."""
        task = asyncio.Task(self._rest(), loop=self._loop)  # whatever factory the loop has
        task.add_done_callback(_looked_at)
        return task

    async def _rest(self) -> None:
        try:
            await self._steps()
        except BaseException as error:
            if passes_through(error):
                raise
            self._error = error

    @coroutine
    def _steps(self) -> Generator[Any, Any, None]:
        task = asyncio.current_task()
        assert task is not None
        while not self.is_over:
            try:
                yield self._fut_waiter
            except GeneratorExit:
                self.close()
                raise
            except BaseException as error:  # noqa: BLE001 - it is the tool's to handle
                self.step(task, error)
            else:
                self.step(task)

    @calls_tools
    def step(self, task: asyncio.Task[Any], error: BaseException | None = None) -> None:
        """Let the tool go on, within the ``task`` that runs, until it waits again or is over.

        Where it waits, it gets ``error`` if there is one. Raises what the tool raises.
        """
        loop = self._loop
        if self._must_cancel and not isinstance(error, CancelledError):
            error = CancelledError()
        self._must_cancel, self._fut_waiter = False, None
        _leave_task(loop, task)
        _enter_task(loop, self)  # type: ignore[arg-type]
        try:
            if error is None:
                self._fut_waiter = self._context.run(self._coro.send, None)
            else:
                self._fut_waiter = self._context.run(self._coro.throw, error)
        except BaseException as end:
            self.is_over = True
            self.set_result(None)
            if not isinstance(end, StopIteration):
                raise
            self._value = end.value
        finally:
            _leave_task(loop, self)  # type: ignore[arg-type]
            _enter_task(loop, task)
        if self._must_cancel and self._fut_waiter is not None and self._fut_waiter.cancel():
            self._must_cancel = False

    def cancel(self, msg: Any | None = None) -> bool:
        """Have ``CancelledError`` raised in the tool."""
        if self.is_over:
            return False
        self._cancels += 1
        self._must_cancel = self._fut_waiter is None or not self._fut_waiter.cancel(msg)
        return True

    def cancelling(self) -> int:
        """How often it was cancelled, less :meth:`uncancel`."""
        return self._cancels

    def uncancel(self) -> int:
        """Take one cancellation back; the number of those that are left."""
        self._cancels = max(0, self._cancels - 1)
        return self._cancels

    def get_coro(self) -> Coroutine[Any, Any, Any]:
        """As of a task."""
        return self._coro

    def get_name(self) -> str:
        """The id of the op, unless the tool has set another."""
        return self._name

    def set_name(self, value: object) -> None:
        """As of a task."""
        self._name = str(value)


async def _awaited(made: Awaitable[Any]) -> Any:
    return await made


def _looked_at(task: asyncio.Task[None]) -> None:
    """A Ctrl-C within it has gone through the event loop already: it is not to be logged as well."""
    if not task.cancelled():
        task.exception()


def _write_off(task: asyncio.Task[None], op: str, warn: Callable[[str], None]) -> None:
    said = f"the tool of `{op}` was cancelled and has not ended: it is left behind, and runs on (ORCH-R046)"
    _log.warning(said)
    warn(said)
    _written_off.add(task)
    task.add_done_callback(_written_off.discard)
    asyncio._unregister_task(task)  # whoever closes the loop waits for those that it knows
    task._log_destroy_pending = False  # type: ignore[attr-defined]
