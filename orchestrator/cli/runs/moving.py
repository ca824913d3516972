"""``orch runs export`` and ``import``: a run in one file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import click

from orchestrator.cli.command import Command
from orchestrator.cli.keeping import store_option
from orchestrator.cli.options import check_writable, debug_option, json_option
from orchestrator.cli.runs.opening import with_store
from orchestrator.cli.screen import say
from orchestrator.cli.streams import deliver_json
from orchestrator.whole_file import written_whole

if TYPE_CHECKING:
    from orchestrator.runtime.journal.stores.base import Head, Store


@click.command(cls=Command, name="export")
@click.argument("run_id", metavar="ID")
@click.option(
    "-o", "--output", "file", type=click.Path(path_type=Path), required=True, metavar="FILE", help="The file."
)
@store_option
@json_option
@debug_option
def export_command(run_id: str, file: Path, store: str | None, as_json: bool, debug: bool) -> None:
    """Write a run with everything that is kept of it to a file, which only you can read."""
    del debug
    check_writable(file, "--output")

    async def write(opened: Store) -> None:
        from orchestrator.runtime.journal.artifacts.opening import artifacts_of
        from orchestrator.runtime.journal.reading.carried import exported

        artifacts = await asyncio.to_thread(artifacts_of, opened.url)
        with written_whole(file, is_private=True) as out:
            async for line in exported(opened, artifacts, run_id):
                out.write(line)

    with_store(store, write)
    if as_json:
        deliver_json({"ok": True, "run_id": run_id, "file": str(file)})
    else:
        say(f"{run_id} is in {file}")


@click.command(cls=Command, name="import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@store_option
@json_option
@debug_option
def import_command(file: Path, store: str | None, as_json: bool, debug: bool) -> None:
    """Add the run of a file to the store. Nothing is overwritten, and a run that is not over is paused."""
    del debug
    from orchestrator.runtime.journal.reading import carried

    with file.open("rb") as lines:
        run = carried.read(lines)

    async def add(opened: Store) -> Head:
        from orchestrator.runtime.journal.artifacts.opening import artifacts_of

        artifacts = await asyncio.to_thread(artifacts_of, opened.url)
        return await carried.imported(opened, artifacts, run, owner=f"import:{uuid4().hex}")

    head = with_store(store, add, may_make=True)
    if as_json:
        from orchestrator.cli.runs.listing import head_data

        deliver_json({"ok": True, "run": head_data(head)})
    else:
        say(f"{head.run_id} of `{head.workflow}` is here: {head.status}")
