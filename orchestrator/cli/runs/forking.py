"""``orch runs fork``: a run that begins with what another one had done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import click

from orchestrator.cli.keeping import of_runs, store_option
from orchestrator.cli.options import debug_option, json_option
from orchestrator.cli.run import TARGET
from orchestrator.cli.runs.opening import with_store
from orchestrator.cli.runs.resuming import ResumeCommand
from orchestrator.cli.screen import say
from orchestrator.cli.streams import deliver_json

if TYPE_CHECKING:
    from orchestrator.cli.target import Target
    from orchestrator.runtime.journal.stores.base import Store


@click.command(cls=ResumeCommand, name="fork")
@click.argument("run_id", metavar="ID")
@click.argument("target")
@click.option("--from", "before", metavar="OP", help="Leave out this op and what came behind it; default: nothing.")
@click.option("--set", "changes", multiple=True, metavar="NAME=VALUE", help="Another input. Repeatable.")
@click.option("--as", "new_id", metavar="ID", help="A name of your own for the new run.")
@store_option
@json_option
@debug_option
@click.pass_context
def fork_command(  # noqa: PLR0917 - one parameter an option
    ctx: click.Context,
    /,
    run_id: str,
    target: str,
    before: str | None,
    changes: tuple[str, ...],
    new_id: str | None,
    store: str | None,
    as_json: bool,
    debug: bool,
    **own: Any,
) -> None:
    """Begin a run with what run ID had done, up to an op, with other inputs or other code; resume it to execute it.

    What depends on what is different is made again, and all else is taken. Something that was written in front of the
    op is not written otherwise by itself: the new run waits for a decision then.
    """
    from orchestrator.cli.app import Case, Job
    from orchestrator.cli.inputs import parameters_of, some_of
    from orchestrator.cli.static import for_static
    from orchestrator.compiler import compile as compile_workflow
    from orchestrator.runtime.coordinator.forking import fork
    from orchestrator.runtime.journal.artifacts.opening import artifacts_of

    del debug
    found: Target = ctx.meta[TARGET]
    static = {name: value for name, value in own.items() if value is not None}
    workflow, _ = for_static(found.workflow, Job([Case(run_id, static)]))
    program, inputs = compile_workflow(workflow).program, some_of(parameters_of(workflow), changes)
    name = uuid4().hex if new_id is None else new_id

    async def forked(opened: Store) -> None:
        await fork(opened, program, run_id, name, before=before, inputs=inputs, artifacts=artifacts_of(opened.url))

    with_store(store, forked)
    if as_json:
        deliver_json({"ok": True, "run_id": name, "forked_from": run_id})
    else:
        say(f"{name} is ready: {of_runs('resume', name, target, store=store)}")
