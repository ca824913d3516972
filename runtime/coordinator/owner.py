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
from contextlib import suppress
from typing import Final
from uuid import uuid4

from orchestrator.errors import described
from orchestrator.runtime.events import Event, RunStarted
from orchestrator.runtime.failures import not_kept, other_version, unreadable
from orchestrator.runtime.journal.artifacts.base import Artifacts
from orchestrator.runtime.journal.paths import UnknownPathError
from orchestrator.runtime.journal.recorder import Recorder
from orchestrator.runtime.journal.stores.base import LEASE_S, Change, Claim, Head, NewRun, Store
from orchestrator.runtime.journal.values.tree import NotKeptError, NotReadError
from orchestrator.runtime.program import Program

BEATS: Final = 3
"""So often a lease is renewed while it lasts."""
_log: Final = logging.getLogger(__name__)


class Owner:
    """Claims runs of a store for this process, in one event loop."""

    def __init__(self, store: Store, *, artifacts: Artifacts | None = None, lease_s: float = LEASE_S) -> None:
        self.store = store
        self._artifacts = artifacts
        self.name = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._lease_s = lease_s
        self._held: dict[str, tuple[Claim, Head]] = {}
        """Runs that are claimed, and what they were before."""
        self._beating: asyncio.Task[None] | None = None

    async def begin(self, program: Program, started: RunStarted, key: str | None) -> Recorder | Head:
        """Add a run and claim it: its log; or the head of the run that has this key.

        Raises ``KeyError`` for the id of another run, and ORCH-R101 for an input that cannot be kept.
        """
        recorder = self._recorder(program)
        run = NewRun(started.run_id, started.workflow, started.program, started.tenant or "", key)
        try:
            data = recorder.first(started)
        except NotKeptError as error:
            raise not_kept(f"an input of `{program.name}`", error, None) from error
        head = await self.store.create(run, data, owner=self.name, lease_s=self._lease_s)
        if head.run_id != started.run_id or head.owner != self.name or head.rows != 1:
            return head
        recorder.claim = Claim(head.run_id, head.epoch)
        self._hold(recorder.claim, head)
        return recorder

    async def take(self, program: Program, run_id: str) -> tuple[Recorder, list[Event]] | None:
        """Claim a run that there is: its log, and the events of it that count; None where somebody executes it, or
        there is none.

        Raises ORCH-R021 where another version of the workflow wrote it, and ORCH-R102 where it cannot be read.
        """
        claimed = await self.store.claim(self.name, run_id=run_id, lease_s=self._lease_s)
        if not claimed:
            return None
        claim, head = claimed[0]
        self._hold(claim, head)
        if head.version != program.fingerprint:
            await self.give_back(run_id)
            raise other_version(program.name, run_id, head.version, program.fingerprint)
        try:
            loaded = await self.store.load(run_id)
            assert loaded is not None
            recorder = self._recorder(program)
            recorder.claim = claim
            return recorder, await asyncio.to_thread(recorder.read, loaded.rows)  # large values may be anywhere
        except (UnknownPathError, NotReadError, ValueError) as error:
            await self.give_back(run_id)
            raise unreadable(run_id, error) from error
        except BaseException:
            await self.give_back(run_id)
            raise

    def release(self, run_id: str) -> None:
        """The run is not executed here any more. What it has become is in its log."""
        self._held.pop(run_id, None)
        if not self._held and self._beating is not None:
            self._beating.cancel()
            self._beating = None

    async def close(self) -> None:
        """End the heartbeat; whatever is still claimed runs out."""
        self._held.clear()
        if self._beating is not None:
            self._beating.cancel()
            with suppress(asyncio.CancelledError):
                await self._beating
            self._beating = None

    async def give_back(self, run_id: str) -> None:
        """The run is not executed after all: it is what it was before it was claimed."""
        claim, head = self._held[run_id]
        status = "ready" if head.status == "running" else head.status
        self.store.append(claim, b"", change=Change(status, head.why, head.wake_at))
        if (waiting := self.store.barrier(claim.run_id)) is not None:
            await waiting
        self.release(run_id)

    def _recorder(self, program: Program) -> Recorder:
        return Recorder(self.store, program, patience_s=self._lease_s, artifacts=self._artifacts)

    def _hold(self, claim: Claim, head: Head) -> None:
        self._held[claim.run_id] = claim, head
        if self._beating is None or self._beating.done():
            self._beating = asyncio.create_task(self._beat())

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._lease_s / BEATS)
            try:
                await self.store.renew(self.name, self._lease_s)
            except Exception as error:  # noqa: BLE001 - the next beat may reach it; what is appended says if not
                _log.warning("the leases of %s could not be renewed: %s", self.name, described(error))
