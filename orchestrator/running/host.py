"""What a session's runs live on: an event loop in a thread, and what they need of their cluster, started once.

It outlives the :class:`~orchestrator.running.session.Session` by as long as it takes to stop what was started, and the
interpreter closes those that nobody has closed.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from orchestrator.dsl.source.location import user_location
from orchestrator.errors import RunError
from orchestrator.running.loop_thread import Call, LoopThread
from orchestrator.running.opened import Opened

if TYPE_CHECKING:
    from orchestrator.compiler import Compiled
    from orchestrator.runtime.runner import Runner

T = TypeVar("T")

_log: Final = logging.getLogger("orchestrator")


class Logged:
    """Says in the log what is being started."""

    def starting(self, what: str) -> None:
        """Something that takes a while begins."""
        _log.info("starting %s", what)

    def started(self, what: str, seconds: float) -> None:
        """It is there."""
        _log.info("started %s in %.1f s", what, seconds)

    def note(self, text: str) -> None:
        """Something that the user should know."""
        _log.warning(text)


class Host:
    """For any thread."""

    def __init__(self) -> None:
        self._opened: asyncio.Task[Opened] | None = None
        """Only touched on the loop."""
        self._runs: set[asyncio.Task[Any]] = set()
        """Likewise."""
        self._lock = threading.Lock()
        self._thread: LoopThread | None = None
        self._is_closed = False
        self._process = os.getpid()

    def check(self) -> None:
        """Raise ORCH-R070 after :meth:`close`, and what :meth:`check_process` raises."""
        self.check_process()
        if self._is_closed:
            fix = "run inside its `with` block, or make another Session"
            raise RunError("ORCH-R070", "the session is closed", where=user_location(), fix=fix)

    def check_process(self) -> None:
        """Raise ORCH-R071 in a process that was forked from this one."""
        if self._process != os.getpid():
            raise self.elsewhere("the session belongs to the process that this one was forked from")

    def elsewhere(self, message: str) -> RunError:
        """ORCH-R071."""
        return RunError(
            "ORCH-R071",
            message,
            where=user_location(),
            why="no other process has its event loop and its engines",
            fix="make a Session in each process: in the lifespan of the application, or when a worker starts",
        )

    def begin(self, work: Callable[[], Coroutine[Any, Any, T]], context: Context) -> Call[T]:
        """Begin a run. Raises what :meth:`check` raises."""
        with self._lock:
            self.check()
            if self._thread is None:
                self._thread = LoopThread("orch-session")
                _open.add(self)
            return self._thread.begin(partial(self._tracked, work), context)

    def check_not_here(self) -> None:
        """Raise ORCH-R073 on the loop, where nobody may wait for a run without ``await``."""
        if self._thread is not None and self._thread.is_here:
            raise RunError(
                "ORCH-R073",
                "the session is waited for on its own event loop",
                where=user_location(),
                why="an async or cheap tool runs there, and waiting stops every run of the session",
                fix="write `await session.arun(...)` in an async tool, or make the tool a plain `def`",
            )

    async def ready(self, compiled: Compiled, open_: Callable[[], Coroutine[Any, Any, Opened]]) -> Runner:
        """The runtime, once what ``compiled`` needs has started; the first time ``open_`` makes it. On the loop."""
        if self._opened is None or _has_failed(self._opened):
            self._opened = asyncio.create_task(open_())
        opened = await asyncio.shield(self._opened)
        try:
            await opened.start(compiled)
        finally:
            atexit.unregister(_close_all)
            atexit.register(_close_all)  # before what has been started here meanwhile, such as Ray, stops itself
        return opened.runtime

    def close(self) -> None:
        """Cancel its runs, and return when everything has been stopped; safe to call again, and in a fork."""
        if self._process != os.getpid() or self._is_closed:
            return
        self.check_not_here()
        with self._lock:
            thread, was_closed = self._thread, self._is_closed
            self._is_closed = True
        if thread is None or was_closed:
            return
        try:
            with suppress(RuntimeError):  # it was given up in the same moment
                thread.begin(self._shut, copy_context()).result()
        finally:
            thread.stop()
            _open.discard(self)

    def give_up(self) -> None:
        """:meth:`close`, without waiting for it: the session is garbage."""
        if self._process != os.getpid() or self._is_closed or self._thread is None:
            return
        self._is_closed = True
        thread = self._thread

        def over(_: object) -> None:
            thread.stop()
            _open.discard(self)

        def shut() -> None:
            asyncio.ensure_future(self._shut()).add_done_callback(over)

        with suppress(RuntimeError):
            thread.soon(shut)

    async def _tracked(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        task = asyncio.current_task()
        assert task is not None
        self._runs.add(task)
        try:
            return await work()
        finally:
            self._runs.discard(task)

    async def _shut(self) -> None:
        runs = list(self._runs)
        for run in runs:
            run.cancel()
        if runs:
            await asyncio.wait(runs)
        if self._opened is not None:
            await asyncio.wait([self._opened])
            if not _has_failed(self._opened):
                await self._opened.result().close()


def _has_failed(opening: asyncio.Task[Opened]) -> bool:
    """Whether nothing was opened, which was said to the runs that waited for it."""
    return opening.done() and (opening.cancelled() or opening.exception() is not None)


_open: Final[set[Host]] = set()
"""Those with a thread."""


def _close_all() -> None:
    for host in list(_open):
        host.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open.clear)
