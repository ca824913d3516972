"""A run whose events are read while it goes on, by a thread or by a task."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from orchestrator.dsl.source.location import user_location
from orchestrator.errors import RunError
from orchestrator.events import Event
from orchestrator.running.feed import RunFeed
from orchestrator.running.host import Host
from orchestrator.running.loop_thread import Call, alarm
from orchestrator.runtime.result import RunResult

R = TypeVar("R")


class Running(Protocol):
    """What a run is running on, kept while its stream is: a :class:`~orchestrator.running.session.Session`."""

    @property
    def host(self) -> Host:
        """The event loop that it lives on."""
        ...

    def close(self) -> None:
        """Stop everything, and return when it has stopped."""
        ...

    async def aclose(self) -> None:
        """The same, beside the event loop."""
        ...


class _Streamed(Generic[R]):
    def __init__(self, session: Running, call: Call[RunResult[R]], feed: RunFeed) -> None:
        self.owns_session = False
        """Whether the session is closed with it."""
        self._session = session
        self._call = call
        self._feed = feed
        self._is_over = False
        """It has been read to its end, or closed."""
        call.ended.add_done_callback(lambda _: feed.end())

    @property
    def result(self) -> RunResult[R]:
        """The run's result, once it is over; raises what the run raised, and ORCH-R072 while it goes on."""
        if not self._call.ended.done():
            fix = "read it to its end first: `for event in stream: …`"
            raise RunError("ORCH-R072", "the stream has no result yet: its run goes on", where=user_location(), fix=fix)
        return self._call.ended.result()

    @property
    def dropped(self) -> int:
        """Events that were dropped, because nobody read them and too many others came."""
        return self._feed.dropped

    def _end(self) -> None:
        """Raise what the run raised, or that there is no further event, the first time and from then on."""
        first, self._is_over = not self._is_over, True
        if first:
            self._call.ended.result()

    def __del__(self) -> None:
        if not self._is_over:
            self._call.cancel()


class Stream(_Streamed[R]):
    """Events of a run, for a ``for`` loop in any thread. What the run raises, the loop raises at its end.

    Leaving a ``with`` block, :meth:`close`, or forgetting the stream cancels a run that is not over.
    """

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        self._session.host.check_process()
        self._session.host.check_not_here()
        while not self._is_over:
            nothing_more_comes = self._feed.is_over  # asked first: something may come in between
            event = self._feed.take()
            if event is not None:
                return event
            if nothing_more_comes:
                self._finish()
                break
            arrived = threading.Event()
            self._feed.when_there_is_more(arrived.set)
            try:
                arrived.wait()
            except BaseException:  # of a signal
                self.close()
                raise
        raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Cancel the run, unless it is over, and wait for that."""
        if self._is_over:
            return
        self._is_over = True
        self._call.cancel()
        try:
            self._call.ended.exception()
        finally:
            if self.owns_session:
                self._session.close()

    def _finish(self) -> None:
        if self.owns_session:
            self._session.close()
        self._end()


class AsyncStream(_Streamed[R]):
    """Events of a run, for an ``async for`` loop on any event loop; otherwise like :class:`Stream`."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        self._session.host.check_process()
        while not self._is_over:
            nothing_more_comes = self._feed.is_over
            event = self._feed.take()
            if event is not None:
                return event
            if nothing_more_comes:
                await self._finish()
                break
            arrived, wake = alarm()
            self._feed.when_there_is_more(wake)
            await arrived
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Cancel the run, unless it is over, and wait for that."""
        if self._is_over:
            return
        self._is_over = True
        self._call.cancel()
        try:
            await self._call.end()
        finally:
            if self.owns_session:
                await self._session.aclose()

    async def _finish(self) -> None:
        if self.owns_session:
            await self._session.aclose()
        self._end()
