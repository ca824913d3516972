"""``orch runs watch``: a run's history as it is written, from any process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import click

from orchestrator.cli.command import Command
from orchestrator.cli.failure import FAILED
from orchestrator.cli.keeping import store_option
from orchestrator.cli.options import debug_option
from orchestrator.cli.runs.opening import with_store
from orchestrator.cli.runs.showing import head_lines, head_of, step_line
from orchestrator.cli.streams import deliver

if TYPE_CHECKING:
    from orchestrator.runtime.journal.stores.base import Store

LOOK_S: Final = 0.5
"""So often the store is asked what there is that is new."""


@click.command(cls=Command, name="watch")
@click.argument("run_id", metavar="ID")
@store_option
@debug_option
def watch_command(run_id: str, store: str | None, debug: bool) -> int:
    """Follow a run until it is over, or waits for a person: a line for each step that something is said of.

    Ctrl-C ends the watching, and not the run. The exit code is 0 if the run is done, else 1.
    """
    del debug

    async def follow(opened: Store) -> str:
        from orchestrator.runtime.journal.reading.described import Versions
        from orchestrator.runtime.journal.reading.timeline import Reading
        from orchestrator.runtime.journal.stores.base import OVER

        head = await head_of(opened, run_id)
        reading, versions = Reading(), Versions(opened)
        stopped, seen = (*OVER, "suspended", "paused"), 0
        while True:
            head = await head_of(opened, run_id)  # before the rows, so that none of its last ones is missed
            async for row in opened.history(run_id, after=seen):
                seen = row.number
                for step in reading.row(row, await versions.of(row)):
                    deliver(step_line(step, reading.timeline.began or head.created_at))
            if head.status in stopped or (head.status == "waiting" and head.wake_at is None):
                for line in head_lines(head, reading.timeline):
                    deliver(line)
                return head.status
            await asyncio.sleep(LOOK_S)

    return 0 if with_store(store, follow) == "done" else FAILED
