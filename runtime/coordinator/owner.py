"""A process's hold on the runs that it executes: claims, and the heartbeat that keeps them.

A claim lasts as long as its lease, and all leases of an owner are renewed by one statement. Where the process dies the
store sees it, or the lease runs out; either way somebody else claims the run, and from then on nothing of this owner's
is written any more.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Final, Protocol
from uuid import uuid4

from orchestrator.errors import JournalError, OrchError, RunError, described
from orchestrator.runtime.coordinator import notices
from orchestrator.runtime.execution.at_most_once.once import UNSAID, settle
from orchestrator.runtime.failures import (
    UNREADABLE,
    lost_under_another,
    not_kept,
    other_version,
    other_workflow,
    run_exists,
    unreadable,
)
from orchestrator.runtime.journal.artifacts.base import Artifacts
from orchestrator.runtime.journal.events import Event, RunStarted
from orchestrator.runtime.journal.lines.live import Live
from orchestrator.runtime.journal.reading.carried import UNFINISHED
from orchestrator.runtime.journal.recorder import Recorder, taken_over
from orchestrator.runtime.journal.stores.base import (
    LEASE_S,
    Change,
    Claim,
    FencedError,
    Head,
    NewRun,
    Notice,
    Status,
    Store,
)
from orchestrator.runtime.journal.stores.failed import is_of_store, told
from orchestrator.runtime.journal.values.tree import NotKeptError
from orchestrator.runtime.journal.versions.version_change import (
    History,
    LostUnderAnotherError,
    carried,
    messages_of,
    read_history,
)
from orchestrator.runtime.program.program import Program
from orchestrator.runtime.run_ids import require_names

OVER_WELL: Final = ("done",)
"""A run that has given its result is not executed by another version."""
RETRY_S: Final = 1.0
"""So long is waited before a store that has failed is asked again."""
CLAIMED_AGAIN: Final = ("ready", "running")
"""What a run was that would be ready once it is given back."""
GIVEN_UP_S: Final = 1.0
"""So long whoever was cancelled waits for a store to take a run back. If it never answers, the lease runs out."""
PATIENCE: Final = 40
"""For so many leases a run waits for a store that fails. After the first one somebody else may go on with it, and then
nothing of this one is written; but there may be nobody else."""
BEATS: Final = 3
"""So often a lease is renewed while it lasts."""
_log: Final = logging.getLogger(__name__)


def why_aside(error: BaseException) -> str:
    """What a run that is put aside for an error says of it."""
    return f"{error.code}: {error.message}" if isinstance(error, OrchError) else described(error)


@dataclass(frozen=True, slots=True)
class Taken:
    """A run that was claimed."""

    log: Recorder
    events: Sequence[Event]
    """Those of its log that count."""
    history: History | None
    """What earlier versions of its workflow have done."""


class Attended(Protocol):
    """A run that is executed here."""

    def take(self, left: Sequence[Notice]) -> None:
        """What was left for the run, also what was left before."""

    def stop(self, status: Status, why: str) -> None:
        """Give the run back soon."""

    def lost(self) -> None:
        """Somebody else executes the run now."""

    async def ended(self) -> None:
        """Return when the run is not executed any more."""


class Owner:
    """Claims runs of a store for this process, in one event loop."""

    def __init__(self, store: Store, *, artifacts: Artifacts | None = None, lease_s: float = LEASE_S) -> None:
        self.store = store
        self._artifacts = artifacts
        self.name = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._lease_s = lease_s
        self._held: dict[str, tuple[Claim, Head]] = {}
        """Runs that are claimed, and what they were before."""
        self._claims = self._claiming = 0
        """Calls of the store that may claim something: how many there were, and how many are under way."""
        self._told: dict[str, Sequence[Notice]] = {}
        """What was left for runs that are about to be executed."""
        self._attended: dict[str, Attended] = {}
        """Those of them that are executed."""
        self._beating: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None
        self.changed: asyncio.Event | None = None
        """It is set whenever there may be a run to claim, where somebody waits for that."""

    async def begin(self, program: Program, started: RunStarted, key: str | None) -> Recorder | Head:
        """Add a run and claim it: its log; or the head of the run that has this key.

        Raises ``RunError`` ORCH-R029 for the id of another run, ORCH-R101 for an input that cannot be kept, and
        ORCH-R106 for names that are none.
        """
        recorder = self._recorder(program)
        with self._may_claim():
            head = await self._created(recorder, program, started, key, owner=self.name)
        if head.run_id != started.run_id or head.owner != self.name or head.rows != 1:
            return head
        recorder.claim = Claim(head.run_id, head.epoch)
        self._hold(recorder.claim, head)
        return recorder

    async def add(self, program: Program, started: RunStarted, key: str | None) -> Head:
        """Add a run that anybody may claim; its head, or that of the run that has this key. Raises as :meth:`begin`."""
        return await self._created(self._recorder(program), program, started, key, owner=None)

    async def _created(
        self, recorder: Recorder, program: Program, started: RunStarted, key: str | None, *, owner: str | None
    ) -> Head:
        require_names(started.run_id, started.tenant or "", key)
        run = NewRun(started.run_id, started.workflow, started.program, started.tenant or "", key)
        try:
            data, large = await recorder.first(started)
        except NotKeptError as error:
            raise not_kept(f"an input of `{program.name}`", error, None) from error
        try:
            with told(self.store.url):
                return await self.store.create(run, data, owner=owner, lease_s=self._lease_s, artifacts=large)
        except KeyError:
            raise run_exists(started.run_id) from None

    async def claim(self, holds: Mapping[str, Collection[str]], *, limit: int) -> list[Head]:
        """Claim runs that anybody may go on with: what they were before. Each is to be taken (:meth:`take`)."""
        with self._may_claim():
            claimed = await self.store.claim(self.name, lease_s=self._lease_s, holds=holds, limit=limit)
        for claim, head in claimed:
            self._hold(claim, head)
        return [head for _, head in claimed]

    async def take(self, program: Program, run_id: str, *, as_it_is: bool = False) -> Taken | None:
        """Claim a run that there is; None where somebody executes it or has cancelled it, or there is none.

        A run of another version of the workflow goes on with this one, unless it is to be taken ``as_it_is``: then
        that is ORCH-R021, as is a run of another workflow. Raises ORCH-R102 where its log cannot be read, and ORCH-R020
        where nobody knows whether something happened that this version has not got.
        """
        with told(self.store.url):
            return await self._take(program, run_id, as_it_is)

    async def _take(self, program: Program, run_id: str, as_it_is: bool) -> Taken | None:
        try:
            with self._may_claim():
                claimed = await self.store.claim(self.name, run_id=run_id, lease_s=self._lease_s)
        except BaseException:
            self._let_go(run_id)
            raise
        if not claimed:
            self._let_go(run_id)
            return None
        claim, head = claimed[0]
        self._hold(claim, head)
        try:
            if head.workflow != program.name:
                raise other_workflow(head.workflow, run_id, program.name)
            recorder = self._recorder(program)
            recorder.claim = claim
            recorder.is_behind_death = head.deaths > 0
            if head.version == UNFINISHED:
                raise ValueError("it is not whole: whoever imported or forked it has died before it was")
            if head.version != program.fingerprint and head.status not in OVER_WELL:
                if as_it_is:
                    raise other_version(program.name, run_id, head.version, program.fingerprint)
                taken = await self._with_another_version(recorder, program, head)
            else:
                taken = await self._as_it_is(recorder, program, run_id)
            if head.notices:
                settled = await self._settled(program, recorder, claim, taken.events)
                taken = replace(taken, events=[*taken.events, *settled])
            return taken
        except UNREADABLE as error:
            failure = unreadable(run_id, error)
            await self.give_back_for(run_id, failure)
            raise failure from error
        except BaseException as error:
            await self.give_back_for(run_id, error)
            raise

    async def _as_it_is(self, recorder: Recorder, program: Program, run_id: str) -> Taken:
        loaded = await self.store.load(run_id)
        assert loaded is not None
        events = await asyncio.to_thread(recorder.read, loaded.rows)  # large values may be anywhere
        if not recorder.earlier_rows:
            return Taken(recorder, events, None)
        history = await read_history(program, self.store, run_id, recorder.earlier_rows, recorder.apart)
        return Taken(recorder, events, history)

    async def _with_another_version(self, recorder: Recorder, program: Program, head: Head) -> Taken:
        """Have the log go on behind what counts of the version that wrote it."""
        loaded = await self.store.load(head.run_id)
        assert loaded is not None
        before = Live()
        before.read_rows(loaded.rows)
        rows = loaded.head.rows
        history = await read_history(program, self.store, head.run_id, rows, recorder.apart)
        try:
            lines = list(carried(program, before, head.version, rows, history))
            recorder.go_on_from(lines, messages_of(lines, history), program.fingerprint)
        except LostUnderAnotherError as error:
            raise lost_under_another(str(error), head.run_id, head.version) from error
        return Taken(recorder, recorder.events(), history)

    def release(self, run_id: str) -> None:
        """The run is not executed here any more. What it has become is in its log."""
        for each in (self._held, self._told, self._attended):
            each.pop(run_id, None)
        if not self._attended and self.changed is None and self._listening is not None:
            self._listening.cancel()
            self._listening = None

    async def close(self) -> None:
        """End the heartbeat; whatever is still claimed runs out."""
        self._held.clear()
        self._attended.clear()
        for task in (self._beating, self._listening):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        self._beating = self._listening = None

    async def give_back(self, run_id: str, change: Change | None = None, *, taken: Collection[int] = ()) -> None:
        """The run is not executed any more: it is what ``change`` says, or what it was before it was claimed. Notices
        that have led to this are ``taken`` with it.

        Raises ``JournalError`` ORCH-R103 where somebody else has claimed it.
        """
        claim, head = self._held[run_id]
        if change is None:
            change = Change("ready" if head.status == "running" else head.status, head.why, head.wake_at)
        try:
            with told(self.store.url):
                self.store.append(claim, b"", change=change, taken=taken)
                if (waiting := self.store.barrier(claim.run_id)) is not None:
                    await _soon(waiting)
        except FencedError as error:
            raise taken_over(run_id) from error
        finally:
            self.release(run_id)

    async def give_back_for(self, run_id: str, error: BaseException) -> None:
        """The run could not even begin: it is what it was, or put aside where this process claims whatever is ready and
        would come to the same again and again."""
        _, head = self._held[run_id]
        is_lasting = isinstance(error, Exception) and not is_of_store(error)
        if self.changed is None or head.status not in CLAIMED_AGAIN or not is_lasting:
            await self.give_back(run_id)
        else:
            await self.give_back(run_id, Change("suspended", why_aside(error)))

    def holds(self, run_id: str) -> bool:
        """Whether this process has claimed the run, as far as it knows."""
        return run_id in self._held

    def attend(self, run_id: str, run: Attended) -> None:
        """The run is executed, and told what is left for it."""
        self._attended[run_id] = run
        run.take(self._told.pop(run_id, ()))
        self.listen()

    def listen(self) -> None:
        """Tell runs that are executed what is left for them, and whoever has set ``changed``."""
        if self._listening is None or self._listening.done():
            self._listening = asyncio.create_task(self._listen())

    async def look(self, run_id: str) -> None:
        """Tell a run what is left for it."""
        held, run = self._held.get(run_id), self._attended.get(run_id)
        if held is not None and run is not None:
            run.take(await self.store.notices(run_id))

    def took(self, run_id: str, notice: int) -> None:
        """A notice is done with; who executes the run next finds it again if that is not durable."""
        held = self._held.get(run_id)
        if held is not None:
            with suppress(FencedError):  # whoever appends to the log is told
                self.store.append(held[0], b"", taken=(notice,))

    async def hand_over(self, why: str) -> None:
        """Give all runs back that are executed, for others to go on with; returns when they are."""
        while runs := list(self._attended.values()):
            for each in runs:
                each.stop("ready", why)
            await asyncio.gather(*(each.ended() for each in runs))

    def _let_go(self, run_id: str) -> None:
        """Hold no claim to a run that was to be executed here and is not: the heartbeat gives it back."""
        if run_id not in self._attended:
            self.release(run_id)

    async def _settled(
        self, program: Program, recorder: Recorder, claim: Claim, events: Sequence[Event]
    ) -> list[Event]:
        """What was left for a run that says what has become of its ops; it is written into its log."""
        found: list[Event] = []
        left = self._told[claim.run_id] = await self.store.notices(claim.run_id)
        for notice in left:
            try:
                said = notices.read(notice.data)
                if not isinstance(said, notices.Settlement):
                    continue
                found.append(
                    await settle(
                        program,
                        recorder,
                        claim.run_id,
                        said.op,
                        events=[*events, *found],
                        result=said.value if said.verdict == "happened" else UNSAID,
                        failed=said.message,
                        did_not_happen=said.verdict == "did not happen",
                    )
                )
            except (RunError, ValueError) as error:
                if isinstance(error, JournalError):
                    raise
                _log.warning("run %s: what somebody has said of it was refused: %s", claim.run_id, described(error))
            self.store.append(claim, b"", taken=(notice.number,))
        return found

    def _recorder(self, program: Program) -> Recorder:
        return Recorder(self.store, program, patience_s=PATIENCE * self._lease_s, artifacts=self._artifacts)

    def _hold(self, claim: Claim, head: Head) -> None:
        self._held[claim.run_id] = claim, head
        self._begin_beating()

    @contextmanager
    def _may_claim(self) -> Iterator[None]:
        """The store may have claimed something for this owner, also where it fails, or nobody waits for it any more."""
        self._claiming += 1
        self._claims += 1
        try:
            yield
        except BaseException:
            self._begin_beating()
            raise
        finally:
            self._claiming -= 1

    def _begin_beating(self) -> None:
        beating = self._beating
        if beating is None or beating.done() or beating.get_loop() is not asyncio.get_running_loop():
            self._beating = asyncio.create_task(self._beat())

    async def _beat(self) -> None:
        """Renew what is claimed until nothing is, and give back what is not executed here: a run whose log failed
        could not say that it is not, and a claim that was made may never have been told of."""
        while True:
            await asyncio.sleep(self._lease_s / BEATS)
            try:
                held, begun, is_quiet = dict(self._held), self._claims, not self._claiming
                renewed = set(await self.store.renew(self.name, self._lease_s))
                for run_id in held.keys() - renewed:
                    if self._held.get(run_id) == held[run_id] and run_id in self._attended:
                        self._attended[run_id].lost()
                if not is_quiet or self._claims != begun:
                    continue  # what is renewed may be on its way to be held
                for run_id in renewed - held.keys():
                    await self._leave(run_id)
                if not self._held and self._claims == begun:
                    return
            except Exception as error:  # noqa: BLE001 - the next beat may reach it; what is appended says if not
                _log.warning("the leases of %s could not be renewed: %s", self.name, described(error))

    async def _leave(self, run_id: str) -> None:
        """Let others go on with a run that is claimed and not executed here."""
        try:
            if (waiting := self.store.barrier(run_id)) is not None:
                await waiting  # what it has become may be on its way
            head = await self.store.head(run_id)
            if head is None or head.owner != self.name or run_id in self._held or self._claiming:
                return
            self.store.append(Claim(run_id, head.epoch), b"", change=Change("ready"))
            if (waiting := self.store.barrier(run_id)) is not None:
                await waiting
        except FencedError:  # somebody does already
            return

    async def _listen(self) -> None:
        while True:
            try:
                await self.store.wait(self._lease_s)
                if self.changed is not None:
                    self.changed.set()
                attended = dict(self._attended)
                for run_id, left in (await self.store.notices_of(self.name)).items() if attended else ():
                    if run_id in attended and self._attended.get(run_id) is attended[run_id]:
                        attended[run_id].take(left)
            except Exception as error:  # noqa: BLE001 - it is tried again; whoever appends is told
                _log.warning("%s could not look for notices: %s", self.name, described(error))
                await asyncio.sleep(RETRY_S)


async def _soon(waiting: Awaitable[None]) -> None:
    """Wait, though not for long where the task is cancelled: nobody can do so twice."""
    task = asyncio.current_task()
    is_cancelled = task is not None and task.cancelling() > 0
    future = asyncio.ensure_future(waiting)
    future.add_done_callback(lambda done: done.cancelled() or done.exception())  # it may be after that
    await asyncio.wait({future}, timeout=GIVEN_UP_S if is_cancelled else None)
    if future.done():
        future.result()
