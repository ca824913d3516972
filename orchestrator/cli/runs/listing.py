"""``orch runs list``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, get_args

import click

from orchestrator.cli.command import Command
from orchestrator.cli.keeping import store_option
from orchestrator.cli.options import debug_option, json_option
from orchestrator.cli.runs.opening import with_store
from orchestrator.cli.screen import printable, say
from orchestrator.cli.streams import deliver, deliver_json
from orchestrator.errors import UsageError
from orchestrator.planner.figures import duration
from orchestrator.runtime.journal.stores.base import Status

if TYPE_CHECKING:
    from orchestrator.runtime.journal.stores.base import Head, Store

_SHOWN_WHY: Final = 60
"""Characters of a name, and of why a run is as it is; ``--json`` has all of them."""


@click.command(cls=Command, name="list")
@click.option("--status", "statuses", multiple=True, type=click.Choice(get_args(Status)), help="Of these. Repeatable.")
@click.option("--workflow", metavar="NAME", help="Of this workflow.")
@click.option("--tenant", metavar="NAME", help="Of this tenant.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="So many at most.")
@click.option("--before", metavar="CURSOR", help="The page behind another one, which names it.")
@store_option
@json_option
@debug_option
def list_command(  # noqa: PLR0917 - one parameter an option
    statuses: tuple[Status, ...],
    workflow: str | None,
    tenant: str | None,
    limit: int,
    before: str | None,
    store: str | None,
    as_json: bool,
    debug: bool,
) -> None:
    """List runs, the latest first."""
    del debug
    cursor = None if before is None else _cursor(before)

    async def found(opened: Store) -> Sequence[Head]:
        return await opened.heads(status=statuses, workflow=workflow, tenant=tenant, before=cursor, limit=limit)

    heads = with_store(store, found)
    next_page = f"{heads[-1].created_at!r},{heads[-1].run_id}" if len(heads) == limit else None
    if as_json:
        deliver_json({"ok": True, "runs": [head_data(each) for each in heads], "next": next_page})
        return
    now = time.time()
    for each in heads:
        why = printable(each.why or "").replace("\n", " ")
        workflow_name = printable(each.workflow).replace("\n", " ")[:_SHOWN_WHY]
        age = duration(max(now - each.created_at, 0.0))
        deliver(f"{each.run_id}  {each.status:<9}  {age:>6} ago  {workflow_name}  {why[:_SHOWN_WHY]}".rstrip())
    if next_page is not None:
        say(f"more: --before {next_page}", dim=True)
    elif not heads:
        say("no such runs", dim=True)


def head_data(head: Head) -> dict[str, Any]:
    """What is known of a run, for JSON."""
    return asdict(head)


def _cursor(text: str) -> tuple[float, str]:
    at, comma, run_id = text.partition(",")
    try:
        if comma:
            return float(at), run_id
    except ValueError:
        pass
    raise UsageError("ORCH-U002", f"--before: `{text}` names no page", fix="take what the page before it says")
