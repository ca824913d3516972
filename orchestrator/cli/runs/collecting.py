"""``orch runs gc``: remove what is kept no longer."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING

import click

from orchestrator.cli.command import Command
from orchestrator.cli.keeping import store_option
from orchestrator.cli.options import debug_option, json_option
from orchestrator.cli.runs.opening import with_store
from orchestrator.cli.screen import say
from orchestrator.cli.streams import deliver_json
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.runtime.journal.stores.base import Store


@click.command(cls=Command, name="gc", epilog="Example:  orch runs gc --days 90 --tenant acme=365 --tenant trial=7")
@click.option("--days", type=click.FloatRange(min=0), metavar="DAYS", help="Keep runs for so long after their end.")
@click.option("--tenant", "tenants", multiple=True, metavar="NAME=DAYS", help="Those of a tenant. Repeatable.")
@store_option
@json_option
@debug_option
def gc_command(days: float | None, tenants: tuple[str, ...], store: str | None, as_json: bool, debug: bool) -> None:
    """Remove runs that have been over for long, and then the large values that no run refers to.

    A run that is not over is kept, however old it is, and without --days or --tenant every run is.
    """
    del debug
    by_tenant = dict(_tenant(each) for each in tenants)
    if days is not None and isnan(days):
        raise UsageError("ORCH-U002", "--days: nan is no number of days", fix="write --days 90")

    async def collect(opened: Store) -> tuple[int, int]:
        import asyncio

        from orchestrator.runtime.journal.artifacts.opening import artifacts_of
        from orchestrator.runtime.journal.retention import Retention, enforce, remove_expired

        artifacts = await asyncio.to_thread(artifacts_of, opened.url)
        if artifacts is None:
            return await remove_expired(opened, Retention(days, by_tenant)), 0
        return await enforce(opened, artifacts, Retention(days, by_tenant))

    runs, values = with_store(store, collect)
    if as_json:
        deliver_json({"ok": True, "runs": runs, "artifacts": values})
    else:
        say(f"removed {runs} run{'s' * (runs != 1)} and {values} large value{'s' * (values != 1)}")


def _tenant(text: str) -> tuple[str, float]:
    name, equals, days = text.rpartition("=")
    try:
        if equals and float(days) >= 0:
            return name, float(days)
    except ValueError:
        pass
    raise UsageError("ORCH-U002", f"--tenant: `{text}` does not say for how long", fix="write --tenant acme=365")
