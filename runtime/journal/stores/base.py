"""Where runs are kept: the protocol of a store, and what it says of a run.

A run is a *head* (which workflow, whose, how far, who executes it) and a *log*: rows of bytes, each of them what one
run appended between two commits. A store never looks into a row; what stands there is
:mod:`orchestrator.runtime.journal.lines.wire`'s.

Whoever executes a run has *claimed* it. A claim is a number, the *epoch*, from one sequence of the whole store; the
statement that moves the head of a log fails for any other number. So an owner that was paused and wakes up cannot
write, however long its write was on the way, and even where the run was removed meanwhile and its id is another's. A
claim lasts as long as its lease, which the owner renews, and is over at once where the store sees that the owner's
process is dead.

Others tell a run something (an answer, a verdict, that it be cancelled) by a *notice*, which needs no claim. Whoever
has claimed the run takes it, and the row that says so removes it.

One suite of tests runs over every store: ``tests/runtime/journal/stores/contract.py``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol

Status = Literal["ready", "running", "waiting", "suspended", "paused", "done", "failed", "cancelled"]
"""``ready`` may be claimed by anybody who has the code; ``running`` is claimed; ``waiting`` has a time at which it is
ready, or waits for an answer; ``suspended`` and ``paused`` need a person; the others are over: ``failed`` may be gone
on with, and nobody claims a run that is ``cancelled``."""

OVER: Final = ("done", "failed", "cancelled")
IDLE: Final[tuple[Status, ...]] = ("ready", "waiting", "suspended", "paused", "done", "failed", "cancelled")
"""A run with one of these is executed by nobody."""
LEASE_S: Final = 15.0
DEATHS: Final = 3
"""A run is put aside when so many of its owners have died or fallen silent, and nothing has come of it in between."""
ALONE: Final = DEATHS - 1
"""Of runs with so many deaths an owner has one at a time, so that the next death says which one is to blame."""
LETHAL: Final = (
    f"ORCH-R107: {DEATHS} processes in a row have died or fallen silent while they executed it, and nothing has come of"
    " it in between; `orch runs show` says what was under way: mend that, then `orch runs resume`"
)
"""Why it is put aside."""


@dataclass(frozen=True, slots=True)
class NewRun:
    """What a run begins with."""

    run_id: str
    workflow: str
    version: str
    """It names the program that executes it (:attr:`orchestrator.runtime.program.program.Program.fingerprint`)."""
    tenant: str = ""
    key: str | None = None
    """Two runs of one tenant and workflow with the same key are the same run."""


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of a run without its log."""

    run_id: str
    workflow: str
    version: str
    tenant: str
    key: str | None
    status: Status
    why: str | None
    """What it waits for, or is suspended or has failed for."""
    wake_at: float | None
    """Unix time in seconds at which a waiting run is ready; None where it waits for a notice."""
    owner: str | None
    """Who has claimed it."""
    epoch: int
    """Of the last claim; 0 where nobody has claimed it yet."""
    created_at: float
    """Unix time in seconds."""
    updated_at: float
    rows: int
    """How many rows were appended to its log."""
    log_bytes: int
    """What they hold."""
    notices: int
    """How many wait to be taken."""
    deaths: int = 0
    """So many of its owners have died or fallen silent, and nothing has come of it since the first of them did."""


class Claim(NamedTuple):
    """The right to execute a run."""

    run_id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of the head, together with what is appended; None leaves it."""

    status: Status | None = None
    """Anything but ``running`` gives the claim back. A run that is to wait for a person or a notice becomes ready
    instead where a notice that wakes it is there and not taken."""
    why: str | None = None
    wake_at: float | None = None
    version: str | None = None
    has_progressed: bool = False
    """Something has come of the run since an owner of it has died."""


class Notice(NamedTuple):
    """What somebody tells a run."""

    number: int
    data: bytes


class Row(NamedTuple):
    """A row of a log."""

    number: int
    """It counts from 1 in each run."""
    is_snapshot: bool
    """What is before it need not be read."""
    at: float
    """Unix time in seconds of its commit."""
    data: bytes


@dataclass(frozen=True, slots=True)
class Loaded:
    """A run, and what has to be read of its log: everything from its last snapshot on."""

    head: Head
    rows: Sequence[Row]


class FencedError(Exception):
    """Somebody else has claimed the run, or it is gone: nothing more will be written, and nothing was of what the
    barrier was for, unless a commit of that had failed before: then nobody can tell.
    """


class Store(Protocol):
    """Keeps runs. Its methods raise whatever the thing behind it raises, which is no failure of the run; a caller may
    try again. Coroutines of one store run in one event loop; several stores, in several processes, share what they
    keep.
    """

    @property
    def url(self) -> str:
        """What opens it again: ``sqlite:///…``, ``postgresql://…``, ``memory:``; without a password."""

    async def create(
        self,
        run: NewRun,
        data: bytes,
        *,
        owner: str | None = None,
        lease_s: float = LEASE_S,
        artifacts: Collection[str] = (),
    ) -> Head:
        """Add a run with the first row of its log, claimed by ``owner``, or ready for anybody if that is None; and note
        that it refers to ``artifacts``, in the same transaction.

        Durable when it returns. The head of the run that has this key already, if there is one, and then nothing is
        added: its ``run_id`` is another one, or it has the same id, tenant, workflow and key. Raises ``KeyError``
        where a run has this id and is not that one.
        """

    async def claim(
        self,
        owner: str,
        *,
        lease_s: float = LEASE_S,
        run_id: str | None = None,
        holds: Mapping[str, Collection[str] | None] | None = None,
        limit: int = 1,
    ) -> Sequence[tuple[Claim, Head]]:
        """Claim runs that are ready, the oldest first. First of all, waiting runs whose time has come become ready, as
        do those of another owner that is dead, or silent for longer than its lease, whoever may claim them; one that
        has lost ``DEATHS`` owners like this is suspended as ``LETHAL``. Of runs that have lost ``ALONE``, an owner
        gets one at a time.

        ``holds`` has the versions of each workflow that may be claimed, None for any version; without it, any workflow.
        ``run_id`` claims this one, also where it is waiting, suspended, paused, failed or done, or claimed by ``owner``
        already, which gets another epoch; nothing is claimed where somebody else executes it, or has cancelled it. A
        claim clears ``why`` and ``wake_at``, and the deaths of a run that was neither ready nor running, as somebody
        wants it to go on. The heads are those before the claim, but for owner and epoch.
        """

    async def renew(self, owner: str, lease_s: float = LEASE_S) -> Collection[str]:
        """Renew the lease of everything that ``owner`` has claimed; the ids of those runs."""

    def append(self, claim: Claim, data: bytes, *, change: Change | None = None, taken: Collection[int] = ()) -> None:
        """Add to a run's log, and remove the notices that are taken. What is appended before the next commit is one
        row.

        Writes nothing by itself: :meth:`barrier` says when, and whether. Nothing is lost by a failed commit: the next
        one tries again. Empty ``data`` adds no row. Raises :class:`FencedError` where a newer claim has appended.
        """

    def snapshot(self, claim: Claim, data: bytes) -> None:
        """Add a row that stands for everything appended before it. As :meth:`append`, which it keeps the order with;
        a change without data that is appended right behind it is durable with it, or not at all."""

    def barrier(self, run_id: str) -> Awaitable[None] | None:
        """What to wait for until everything appended to the run is durable; None if it is.

        Raises :class:`FencedError` where the claim is lost, and then drops what was appended.
        """

    async def head(self, run_id: str) -> Head | None:
        """What is known of a run, whose log may be damaged; None for an unknown one."""

    async def load(self, run_id: str) -> Loaded | None:
        """A run from its last snapshot on; None for an unknown one. Raises ``JournalError`` ORCH-R095 where some of
        that is damaged or missing."""

    def history(self, run_id: str, *, after: int = 0) -> AsyncIterator[Row]:
        """Every row that is kept, snapshots too, in order, from the one behind ``after``."""

    async def heads(
        self,
        *,
        status: Collection[Status] = (),
        workflow: str | None = None,
        tenant: str | None = None,
        before: tuple[float, str] | None = None,
        limit: int = 50,
    ) -> Sequence[Head]:
        """Runs, the latest first. ``before`` is ``(created_at, run_id)`` of the last one of the page before."""

    async def send(self, run_id: str, data: bytes, *, wakes: bool = True) -> bool:
        """Leave a notice; durable when it returns. False for an unknown run.

        ``wakes``: a run that is waiting or suspended becomes ready for it; one that is paused does not.
        """

    async def notices(self, run_id: str) -> Sequence[Notice]:
        """What was left for a run, in order; none for an unknown one."""

    async def notices_of(self, owner: str) -> Mapping[str, Sequence[Notice]]:
        """What was left for each run that ``owner`` has claimed, in order; runs without anything are left out."""

    async def set_status(
        self, run_id: str, status: Status, why: str | None = None, *, of: Collection[Status] = IDLE
    ) -> bool:
        """Change the status of a run that nobody executes and that has a status ``of`` these now, and clear
        ``wake_at``, and its deaths unless it has the status already; False where it has another one than ``of`` these,
        or there is no such run. Raises ``ValueError`` for ``running``, which only a claim gives and takes.
        """

    async def wait(self, timeout_s: float) -> None:
        """Return when there may be a run to claim or a notice to take, or after ``timeout_s``.

        What happened since it returned last makes it return at once, so nothing is missed between a look and the wait.
        One task of a process waits at a time.
        """

    async def put_program(self, version: str, data: bytes) -> None:
        """Keep what describes a version of a workflow, once."""

    async def program(self, version: str) -> bytes | None:
        """What was kept of a version."""

    async def refer(self, run_id: str, artifacts: Collection[str]) -> None:
        """Note that a run's log refers to artifacts; durable when it returns, and harmless when repeated."""

    async def referred(self, artifacts: Collection[str]) -> Collection[str]:
        """Those of the artifacts that some run refers to."""

    async def remove(self, run_ids: Collection[str]) -> int:
        """Remove runs that nobody executes, with their logs, notices and references; how many there were."""

    async def close(self) -> None:
        """Commit what was appended, give back what nobody renews any more, and close."""
