"""Async tools on the event loop: each in a task of its own, which a run can leave behind.

A tool that is cancelled gets a moment to clean up. One that goes on all the same is *written off*, as a thread would
be: nobody waits for it any longer, neither its run nor the end of the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from orchestrator.runtime.loop_watch import calls_tools
from orchestrator.runtime.raised import passes_through

GRACE_S: Final = 2.0
"""How long a cancelled tool may clean up."""

_written_off: Final[set[asyncio.Task[None]]] = set()
"""The event loop itself refers to tasks weakly."""
_log: Final = logging.getLogger(__name__)


async def on_loop(work: Callable[[], Awaitable[Any]], op: str, warn: Callable[[str], None]) -> Any:
    """What ``work``, a call of the async tool of ``op``, returns or raises, whatever that is.

    When this is cancelled it ends within :data:`GRACE_S`, and ``warn`` is told if the tool does not.
    """
    loop = asyncio.get_running_loop()
    call = _Call(work, loop.create_future())
    task = asyncio.Task(call.run(), loop=loop)  # whatever factory the loop has
    try:
        await call.over
    except asyncio.CancelledError:
        task.cancel()
        try:
            await asyncio.wait((task,), timeout=GRACE_S)
        finally:
            if not task.done():
                _write_off(task, op, warn)
        raise
    if call.error is not None:
        try:
            raise call.error
        finally:
            call.error = None  # its traceback holds this frame
    return call.value


class _Call:
    """One call of a tool, and what has become of it: for some of what tools raise, a task would end the event loop."""

    __slots__ = ("error", "over", "value", "work")

    def __init__(self, work: Callable[[], Awaitable[Any]], over: asyncio.Future[None]) -> None:
        self.work = work
        self.over = over
        self.value: Any = None
        self.error: BaseException | None = None

    @calls_tools
    async def run(self) -> None:
        """Make the call."""
        try:
            self.value = await self.work()
        except BaseException as error:
            self.error = error
            if passes_through(error):
                raise
        finally:
            if not self.over.done():
                self.over.set_result(None)


def _write_off(task: asyncio.Task[None], op: str, warn: Callable[[str], None]) -> None:
    said = f"the tool of `{op}` was cancelled and has not ended: it is left behind, and runs on (ORCH-R046)"
    _log.warning(said)
    warn(said)
    _written_off.add(task)
    task.add_done_callback(_written_off.discard)
    asyncio._unregister_task(task)  # whoever closes the loop waits for those that it knows
    task._log_destroy_pending = False  # type: ignore[attr-defined]
