"""Going on with the runs of a store, together with any number of other processes.

A coordinator claims runs that are ready, of the workflows that it was given and at the versions that it has: those that
nobody has begun, those whose owner is dead or silent, those whose moment has come, those that somebody has answered. It
says of a run that it cannot execute what that waits for.

>>> async with Runner(engines, store=store, longest_sleep_s=SHORT_SLEEP_S) as runtime:  # doctest: +SKIP
...     await Coordinator(runtime, [compile(answer)]).run()
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from orchestrator.errors import JournalError, OrchError, SuspendedError, described
from orchestrator.runtime.coordinator.owner import RETRY_S, Owner, why_aside
from orchestrator.runtime.journal.recorder import TAKEN_OVER
from orchestrator.runtime.journal.stores.failed import is_of_store

if TYPE_CHECKING:
    from orchestrator.compiler import Compiled
    from orchestrator.runtime.journal.stores.base import Head, Status
    from orchestrator.runtime.runner import Runner

CONCURRENCY: Final = 16
"""So many runs are executed at once."""
SHORT_SLEEP_S: Final = 10.0
"""A sleep that is over within this is waited for in the process."""
_READY: Final[tuple[Status]] = ("ready",)
_LISTED: Final = 50
_LOOK_S: Final = 0.05
"""So often it is looked whether something has begun that is to be handed over."""
_HANDED_OVER: Final = "its owner has ended"
_log: Final = logging.getLogger(__name__)


class Coordinator:
    """Executes runs of the runtime's store until it is stopped; the runtime is closed by whoever opened it."""

    def __init__(self, runtime: Runner, workflows: Iterable[Compiled], *, concurrency: int = CONCURRENCY) -> None:
        assert runtime.owner is not None, "the runs of a coordinator are in a store"
        self._runtime = runtime
        self._owner: Owner = runtime.owner
        self._concurrency = concurrency
        self._compiled = {(each.program.name, each.program.fingerprint): each for each in workflows}
        self._holds: dict[str, set[str]] = {}
        for name, version in self._compiled:
            self._holds.setdefault(name, set()).add(version)
        self._running: set[asyncio.Task[None]] = set()
        self._stopping = False
        self.executed = 0
        """How many runs it has claimed."""

    def stop(self) -> None:
        """Claim nothing any more, and have :meth:`run` hand over what is executed. May be called in a signal's handler
        of the event loop."""
        self._stopping = True
        if self._owner.changed is not None:
            self._owner.changed.set()

    async def run(self) -> None:
        """Execute runs until :meth:`stop`; cancelled, it hands over as well."""
        changed = self._owner.changed = asyncio.Event()
        self._owner.listen()
        try:
            while not self._stopping:
                changed.clear()
                try:
                    is_full = await self._claim()
                except Exception as error:  # noqa: BLE001 - the store may be back in a moment
                    _log.warning("%s cannot claim runs: %s", self._owner.name, described(error))
                    await asyncio.sleep(RETRY_S)
                    continue
                if not is_full:
                    await changed.wait()
        finally:
            self._owner.changed = None
            while self._running:  # what was claimed a moment ago begins yet
                await self._owner.hand_over(_HANDED_OVER)
                await asyncio.sleep(_LOOK_S)

    async def _claim(self) -> bool:
        """Claim what there is room for; whether there may be more to claim at once."""
        free = self._concurrency - len(self._running)
        if free <= 0:
            return False
        claimed = await self._owner.claim(self._holds, limit=free)
        self.executed += len(claimed)
        for head in claimed:
            task = asyncio.create_task(self._execute(head))
            self._running.add(task)
            task.add_done_callback(self._ended)
        if not claimed:
            await self._say_what_others_wait_for()
        return len(claimed) == free

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if self._owner.changed is not None:
            self._owner.changed.set()

    async def _execute(self, head: Head) -> None:
        compiled = self._compiled[head.workflow, head.version]
        try:
            await self._runtime.resume(compiled, head.run_id)
        except SuspendedError as suspended:
            _log.info("%s", suspended.message)
        except OrchError as error:
            _log.log(
                logging.WARNING if isinstance(error, JournalError) else logging.INFO,
                "run %s is not executed here any more: %s", head.run_id, error.message,
            )  # fmt: skip
            if is_of_store(error):  # the run is none the worse: it is claimed again when that is back
                await asyncio.sleep(RETRY_S)
            elif error.code != TAKEN_OVER:
                await self._put_aside(head, error)
        except Exception as error:  # noqa: BLE001 - one run's defect is none of the others'
            _log.exception("run %s", head.run_id)
            await self._put_aside(head, error)

    async def _put_aside(self, claimed: Head, error: Exception) -> None:
        """A run that could not even begin is not claimed again and again. Of one that has begun its log says what it
        has become, and it may be ready by now for what somebody has said of it.
        """
        run_id = claimed.run_id
        try:
            if self._owner.holds(run_id):
                await self._owner.give_back(run_id)
            now = await self._owner.store.head(run_id)
            if now is not None and now.rows == claimed.rows:
                await self._owner.store.set_status(run_id, "suspended", why_aside(error), of=_READY)
        except Exception as second:  # noqa: BLE001 - whoever claims it next comes to the same
            _log.warning("run %s: %s", run_id, described(second))

    async def _say_what_others_wait_for(self) -> None:
        for head in await self._owner.store.heads(status=_READY, limit=_LISTED):
            if head.why is None and (head.workflow, head.version) not in self._compiled:
                why = f"waits for a worker that has version {head.version} of `{head.workflow}`"
                await self._owner.store.set_status(head.run_id, "ready", why, of=_READY)
