"""``orch runs replay``: a run from its log, with the code of today."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.against_live import live_run
from orchestrator.cli.keeping import store_option
from orchestrator.cli.options import debug_option, json_option
from orchestrator.cli.run import TARGET
from orchestrator.cli.runs.opening import with_store
from orchestrator.cli.runs.resuming import ResumeCommand
from orchestrator.cli.runs.showing import head_of
from orchestrator.cli.screen import printable
from orchestrator.cli.streams import deliver, deliver_json

if TYPE_CHECKING:
    from orchestrator.cli.against_live import LiveRun
    from orchestrator.cli.target import Target
    from orchestrator.runtime.journal.stores.base import Store


@click.command(cls=ResumeCommand, name="replay")
@click.argument("run_id", metavar="ID")
@click.argument("target")
@store_option
@json_option
@debug_option
@click.pass_context
def replay_command(  # noqa: PLR0917 - one parameter an option
    ctx: click.Context, /, run_id: str, target: str, store: str | None, as_json: bool, debug: bool, **own: Any
) -> int:
    """Play run ID from its log with TARGET as it is now, execute nothing, and say where that differs.

    Ends with 0 where everything is answered from the log, and with 1 where something would be executed or decided.
    """
    from orchestrator.cli.app import Case, Job
    from orchestrator.cli.static import for_static
    from orchestrator.compiler import compile as compile_workflow
    from orchestrator.runtime.journal.artifacts.opening import artifacts_of
    from orchestrator.runtime.rehearsal import rehearse

    del debug, target
    found: Target = ctx.meta[TARGET]
    static = {name: value for name, value in own.items() if value is not None}
    workflow, _ = for_static(found.workflow, Job([Case(run_id, static)]))
    program = compile_workflow(workflow).program

    async def played(opened: Store) -> tuple[bool, LiveRun]:
        rehearsed = await rehearse(program, opened, run_id, artifacts_of(opened.url))
        return rehearsed.is_over, live_run((await head_of(opened, run_id)).status, rehearsed)

    is_whole, played_run = with_store(store, played)
    if as_json:
        deliver_json({"ok": True, "from_log": is_whole, "run": asdict(played_run)})
    else:
        deliver(printable(f"{run_id}: everything is answered from its log" if is_whole else str(played_run)))
    return 0 if is_whole else 1
