"""A run's log in a store: what happens is written down at once as text, and made durable with what others append.

A row holds lines: a number is the version of those behind it, one that begins with ``m`` a message, or with ``M`` the
name of a large one (:mod:`~orchestrator.runtime.journal.artifacts.apart`), and any other is an event
(:mod:`~orchestrator.runtime.journal.lines.wire`). A snapshot is the lines that still count
(:mod:`~orchestrator.runtime.journal.lines.live`). It is written when it is less than half of what has to be read
without it, so nothing is stored again where nothing has been superseded, as in a long chat; this is looked at when as
much as still counts has been written since. So to open a run is to read at most about three times of what is still
going on.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Final, NamedTuple

from orchestrator.errors import JournalError
from orchestrator.runtime.journal.artifacts.apart import Apart, message_lines, message_of
from orchestrator.runtime.journal.artifacts.base import Artifacts
from orchestrator.runtime.journal.events import (
    Answered,
    Asked,
    Decided,
    Event,
    ItemDone,
    OpCaught,
    OpDone,
    OpSettled,
    RunDone,
    RunFailed,
    TimerSet,
    TurnDone,
)
from orchestrator.runtime.journal.lines.chats import Chats, mentioned
from orchestrator.runtime.journal.lines.line import VERSION
from orchestrator.runtime.journal.lines.live import Live, Remembered
from orchestrator.runtime.journal.lines.paths import UnknownPathError, paths_of
from orchestrator.runtime.journal.lines.stored import loads
from orchestrator.runtime.journal.lines.wire import Wire
from orchestrator.runtime.journal.stores.base import Change, Claim, FencedError, Row, Store
from orchestrator.runtime.journal.stores.failed import advice, in_a_line
from orchestrator.runtime.journal.values.tree import NotKeptError
from orchestrator.runtime.program.program import Program

SNAPSHOT_BYTES: Final = 64 * 1024
"""Behind fewer bytes than this no snapshot is taken."""
_RETRY_S: Final = (0.02, 1.0)
"""The first and the longest pause between two attempts to write to a store that fails."""
TAKEN_OVER: Final = "ORCH-R103"
_CANCELLED: Final = "ORCH-R024"
_SUSPENDS: Final = frozenset({"ORCH-R020", "ORCH-R104"})
"""Failures that wait for a person."""
_LONGEST_WHY: Final = 2000
"""Characters of what stands with the head of a run; its log has all of it."""
_LASTING: Final = (OpDone, TurnDone, ItemDone, OpCaught, OpSettled, Asked, Answered, TimerSet, Decided)
"""What they say is there when the run is resumed, and does not happen again. What begins, fails, or was spent may be
said again at every resumption, though nothing comes of the run."""
_log: Final = logging.getLogger(__name__)


class _Behind(NamedTuple):
    """A row that is written when the large values in it are durable."""

    data: bytes
    change: Change | None
    large: Mapping[str, bytes]
    is_snapshot: bool


class Recorder:
    """Writes the events of one run to a store, and reads those that still count.

    A store that fails suspends the run: whoever waits for its log goes on waiting, for ``patience_s`` at most, and what
    was appended is tried again.
    """

    def __init__(
        self, store: Store, program: Program, *, patience_s: float, artifacts: Artifacts | None = None
    ) -> None:
        self._store = store
        self._patience_s = patience_s
        self._chats = Chats()
        self.apart = None if artifacts is None else Apart(store, artifacts)
        """The large values of the run."""
        self._wire = Wire(program, self._chats, self.apart)
        self._live = Live(_remembered(program), self.apart)
        self._tail_bytes = self._snapshot_bytes = 0
        self._look_bytes = SNAPSHOT_BYTES
        """With more than so much behind the last snapshot, it is looked whether another one is worth it."""
        self._has_version = False
        self._behind: deque[_Behind] = deque()
        """What has to wait for large values, its own or those of what is in front of it."""
        self._putting: asyncio.Task[None] | None = None
        self.claim: Claim | None = None
        """The right to write."""
        self.is_behind_death = False
        """Whether an owner has died since something has come of the run."""

    async def first(self, event: Event) -> tuple[bytes, Collection[str]]:
        """What a run's log begins with, and the large values that it names, which are durable.

        Raises ``NotKeptError`` for an input that has no text.
        """
        data = self._text(event)
        if self.apart is None:
            return data, ()
        large = self.apart.take_fresh()
        await self.apart.put(large)
        self.apart.referred(large)
        return data, large.keys()

    def read(self, rows: Sequence[Row]) -> list[Event]:
        """The events that still count, of rows from the last snapshot on.

        Raises ``ValueError`` for what cannot be read, and ``UnknownPathError`` where another program wrote it.
        """
        version = VERSION
        for row in rows:
            if row.is_snapshot:
                self._snapshot_bytes, self._tail_bytes = len(row.data), 0
            else:
                self._tail_bytes += len(row.data)
            for text in row.data.decode(errors="surrogatepass").split("\n"):
                if text[:1] == "[":
                    self._live.read(text, version)
                elif text[:1] in ("m", "M"):
                    self._chats.add(message_of(text, self.apart))
                elif text:
                    version = int(text)
            if row.is_snapshot:
                self._snapshot_bytes += self._beside()
            else:
                self._tail_bytes += self._beside()
        return self.events()

    @property
    def earlier_rows(self) -> int:
        """So many rows of the log are of earlier versions of the program, whose results may still fit."""
        line = self._live.run_line("version")
        return 0 if line is None else int(loads(line.text)[-1])

    def go_on_from(self, lines: Sequence[str], messages: Iterable[str], version: str) -> None:
        """Begin the log of this version with what counts of an earlier one: the lines, and the messages that they
        name."""
        assert self.claim is not None
        texts = list(messages)
        for each in texts:
            self._chats.add(loads(each))
        for each in lines:
            self._live.read(each)
        text = [str(VERSION), *message_lines(texts, self.apart, is_new=False), *lines, ""]
        data = "\n".join(text).encode(errors="surrogatepass")
        self._store.snapshot(self.claim, data)
        self._store.append(self.claim, b"", change=Change(version=version))
        self._has_version, self._snapshot_bytes, self._tail_bytes = True, len(data), 0

    def events(self) -> list[Event]:
        """What the lines that count say."""
        return [self._wire.read(data) for data in self._live.data()]

    def append(self, run_id: str, event: Event) -> None:
        """Write an event down. Raises ``NotKeptError`` for a value that has no text, and ``FencedError``."""
        assert self.claim is not None
        try:
            data = self._text(event)
        except NotKeptError:
            if not isinstance(event, (TurnDone, ItemDone, RunDone)):
                raise
            data = b""  # it is found again from what is inside
        change = None if isinstance(event, OpDone) else _change(event)
        if self.is_behind_death and data and _is_progress(event):
            self.is_behind_death, change = False, replace(change or Change(), has_progressed=True)
        self._tail_bytes += len(data) + self._beside()
        self._write(run_id, data, change)
        if self._tail_bytes > self._look_bytes:
            self._take_snapshot(run_id)

    def barrier(self, run_id: str) -> Awaitable[None] | None:
        """What to wait for until everything written down is durable; None if it is."""
        if self._behind:
            return self._all_durable(run_id)
        try:
            waiting = self._store.barrier(run_id)
        except FencedError as error:
            raise taken_over(run_id) from error
        return None if waiting is None else self._in_the_end(run_id, self._store.barrier, waiting)

    async def load(self, run_id: str) -> Sequence[Event]:
        """Nothing: whoever has a recorder has read what there is."""
        return ()

    async def _all_durable(self, run_id: str) -> None:
        while self._behind:
            self._putting = self._put_on(run_id)
            await asyncio.shield(self._putting)  # who waits may be cancelled, and others wait as well
        waiting = self.barrier(run_id)
        if waiting is not None:
            await waiting

    def _put_on(self, run_id: str) -> asyncio.Task[None]:
        if self._putting is not None and not self._putting.done():
            return self._putting
        putting = asyncio.create_task(self._put(run_id))
        putting.add_done_callback(lambda task: task.cancelled() or task.exception())  # whoever waits is told it
        return putting

    async def _put(self, run_id: str) -> None:
        """Append what is behind large values, in order, as soon as these are durable."""
        while self._behind:
            row = self._behind[0]
            if row.large:
                await self._in_the_end(run_id, partial(self._keep, row.large))
            self._append(run_id, row.data, row.change, row.is_snapshot)
            self._behind.popleft()

    async def _keep(self, large: Mapping[str, bytes], run_id: str) -> None:
        assert self.apart is not None
        await self.apart.refer(run_id, large)

    async def _in_the_end(
        self, run_id: str, work: Callable[[str], Awaitable[None] | None], waiting: Awaitable[None] | None = None
    ) -> None:
        """Do ``work``, which is ``waiting`` already or begins anew, as long as the store may fail."""
        pause, since = _RETRY_S[0], 0.0
        while True:
            try:
                if waiting is None:
                    waiting = work(run_id)
                if waiting is not None:
                    await waiting
            except FencedError as error:
                raise taken_over(run_id) from error
            except Exception as error:
                waiting = None
                if not since:
                    since = monotonic()
                    _log.warning(
                        "run %s waits for its store, %.3g s at most, and goes on by itself: %s; %s",
                        run_id, self._patience_s, in_a_line(error), advice(error).fix,
                    )  # fmt: skip
                if monotonic() > since + self._patience_s:
                    raise
                await asyncio.sleep(pause)
                pause = min(2 * pause, _RETRY_S[1])
            else:
                if since:
                    _log.warning("run %s goes on: its store is back after %.3g s", run_id, monotonic() - since)
                return

    def _write(self, run_id: str, data: bytes, change: Change | None = None, *, is_snapshot: bool = False) -> None:
        """Append a row, as soon as what is large in it is durable."""
        large = {} if self.apart is None else self.apart.take_fresh()
        if large or self._behind:
            self._behind.append(_Behind(data, change, large, is_snapshot))
            self._putting = self._put_on(run_id)
        else:
            self._append(run_id, data, change, is_snapshot)

    def _append(self, run_id: str, data: bytes, change: Change | None, is_snapshot: bool) -> None:
        assert self.claim is not None
        try:
            if is_snapshot:
                self._store.snapshot(self.claim, data)
            else:
                self._store.append(self.claim, data, change=change)
        except FencedError as error:
            raise taken_over(run_id) from error

    def _beside(self) -> int:
        """So much of what was written or read just now stands beside the log."""
        return 0 if self.apart is None else self.apart.take_beside()

    def _text(self, event: Event) -> bytes:
        text = self._live.add(self._wire.write(event))
        if self._has_version and not self._chats.has_fresh:
            return f"{text}\n".encode(errors="surrogatepass")
        parts = [] if self._has_version else [str(VERSION)]
        self._has_version = True
        parts += message_lines(self._chats.take_fresh(), self.apart)
        return "\n".join([*parts, text, ""]).encode(errors="surrogatepass")

    def _take_snapshot(self, run_id: str) -> None:
        """Write a snapshot, if that halves what has to be read."""
        texts = self._live.texts()
        size = sum(len(text) + len(state or "") for text, state in texts)
        if not self._halves(size):  # whatever the messages are
            return
        named: set[int] = set()
        for text, state in texts:
            named |= self.apart.mentioned(text) if self.apart is not None else mentioned(text)
            named |= mentioned(state or "")
        messages = self._chats.keep(named)
        size += sum(map(len, messages))
        if not self._halves(size):
            return
        lines = [*message_lines(messages, self.apart), *self._live.lines()]
        if self.apart is not None:
            self.apart.forget_but(lines)
        data = "\n".join([str(VERSION), *lines, ""]).encode(errors="surrogatepass")
        self._write(run_id, data, is_snapshot=True)
        self._beside()  # the size has it
        self._snapshot_bytes, self._tail_bytes = size, 0
        self._look_bytes = max(SNAPSHOT_BYTES, size)

    def _halves(self, size: int) -> bool:
        """Whether a snapshot of this size halves what has to be read; if not, it is looked again when that may be."""
        if 2 * size <= self._snapshot_bytes + self._tail_bytes:
            return True
        self._look_bytes = self._tail_bytes + size
        return False


def taken_over(run_id: str) -> JournalError:
    return JournalError(
        TAKEN_OVER,
        f"run {run_id} is executed elsewhere now",
        why="its owner was silent for longer than its lease, and another one has taken it over",
        fix="nothing: it goes on there",
    )


def _change(event: Event) -> Change | None:
    """What an event means for the head of the run."""
    if isinstance(event, RunDone):
        return Change("done")
    if not isinstance(event, RunFailed):
        return None
    message = event.message[:_LONGEST_WHY]
    if event.code == _CANCELLED:
        return Change("cancelled", message)
    return Change("suspended" if event.code in _SUSPENDS else "failed", f"{event.code}: {message}")


def _is_progress(event: Event) -> bool:
    """Whether the run has come further with it, for good."""
    return isinstance(event, _LASTING) and not (isinstance(event, OpSettled) and event.verdict == "did not happen")


def _remembered(program: Program) -> Remembered | None:
    """Whether what has become of an op counts beyond what is around it; None where that never does."""
    if not program.once_tools:
        return None

    def remembered(path: str, is_lost: bool) -> bool:
        try:
            frame, op = paths_of(program).read(path)
            found = paths_of(program).op(frame, op)
        except UnknownPathError:
            return False
        return found.is_once and (is_lost or (paths_of(program).frame(frame)[1].key, op) in program.kept_once)

    return remembered
