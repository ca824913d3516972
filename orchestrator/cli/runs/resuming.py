"""``orch runs resume``: go on with a run, here or wherever its code is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.keeping import Keeping, engine_words, store_option, store_url
from orchestrator.cli.options import debug_option, engine_options, json_option
from orchestrator.cli.planning import bound_options
from orchestrator.cli.run import TARGET, RunCommand
from orchestrator.cli.runs.opening import with_store
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.cli.target import Target
    from orchestrator.planner.plan import Objective
    from orchestrator.running.engines import Kind
    from orchestrator.runtime.journal.stores.base import Head, Store


class ResumeCommand(RunCommand):
    """Takes the options of the workflow's static parameters as ``orch run`` does; its inputs are the run's."""

    def target_of(self, args: Sequence[str]) -> str | None:
        """The second word that is neither an option nor an option's value."""
        words = list(self.plain_words(args))
        return words[1] if len(words) > 1 else None

    def format_inputs(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """None are given."""


@click.command(cls=ResumeCommand, name="resume")
@click.argument("run_id", metavar="ID")
@click.argument("target", required=False)
@engine_options
@bound_options
@click.option("--ray-address", metavar="HOST:PORT", help="Join this Ray cluster instead of starting Ray here.")
@click.option("--budget", metavar="BOUND", help="A new budget of the whole run, what it has spent included.")
@click.option(
    "--answer", "answers", multiple=True, metavar="OP=VALUE", help="Answer a question to a human ahead. Repeatable."
)
@click.option("--keep", "keep", multiple=True, metavar="OP", help="Go on with what a write gave that does not fit now.")
@click.option("--again", "again_", multiple=True, metavar="OP", help="Do such a write again.")
@click.option("--stream", is_flag=True, help="Show replies on stderr as they come.")
@store_option
@json_option
@debug_option
@click.pass_context
def resume_command(  # noqa: PLR0917 - one parameter an option
    ctx: click.Context,
    /,
    run_id: str,
    target: str | None,
    model: str | None,
    engine: Kind | None,
    base_url: str | None,
    cluster_file: Path | None,
    objective: Objective | None,
    rate: str | None,
    sla: str | None,
    no_calibration: bool,
    plan_file: Path | None,
    strict: bool,
    ray_address: str | None,
    budget: str | None,
    answers: tuple[str, ...],
    keep: tuple[str, ...],
    again_: tuple[str, ...],
    stream: bool,
    store: str | None,
    as_json: bool,
    debug: bool,
    **own: Any,
) -> int:
    """Go on with a run in this process, and print its result; nothing that completed is done again.

    TARGET is its workflow, as `orch run` takes it: a store does not say what code a process is to load. Without one
    the run becomes ready for any worker that has its workflow.
    """
    from orchestrator.cli.app import Case, Job
    from orchestrator.cli.engines import require_engine
    from orchestrator.cli.inputs import as_given
    from orchestrator.cli.job import How, run_job
    from orchestrator.cli.output import show_runs, tell_how_to_go_on
    from orchestrator.cli.planning import Choice, EngineOptions, wanted
    from orchestrator.cli.results import kept
    from orchestrator.cli.run import ending, limits_of_budget
    from orchestrator.cli.static import for_static, static_words

    del debug
    if both := sorted({*keep} & {*again_}):
        message = f"--keep and --again are given for `{both[0]}`"
        raise UsageError("ORCH-U002", message, fix="say one of them")
    if target is None:
        _require_target({"--budget": budget, "--answer": answers, "--keep": keep, "--again": again_})
        return _made_ready(run_id, store, as_json=as_json)
    found: Target = ctx.meta[TARGET]
    engines = EngineOptions(model, engine, base_url, cluster_file)
    choice = Choice(wanted(objective, rate, sla, no_calibration), plan_file, strict, ray_address)
    again = [target, *engine_words(model, engine, base_url, cluster_file, ray_address), *choice.words()]
    again += static_words(found.workflow, own)
    how = How(
        concurrency=1,
        limits=limits_of_budget(budget),
        answers=[as_given(each) for each in answers],
        ray_address=ray_address,
        stream=stream,
        keeping=Keeping(store_url(store), again, run_id, named=store),
        resumes=run_id,
        decisions={**dict.fromkeys(keep, "keep"), **dict.fromkeys(again_, "again")},
    )
    static = {name: value for name, value in own.items() if value is not None}
    workflow, _ = for_static(found.workflow, Job([Case(run_id, static)]))
    with_store(store, lambda opened: _require_to_go_on(opened, run_id, workflow.name))
    compiled = choice.compiled(workflow, engines, found)
    require_engine(compiled.plan)
    with kept(workflow.name) as results:
        outcomes, facts = run_job(compiled, Job([Case(run_id, {})]), how, results)
        tell_how_to_go_on(outcomes, how.keeping)
        error = outcomes[0].error
        if error is not None and not results.interrupted:
            raise error
        code = show_runs(workflow.name, outcomes, facts, as_json=as_json, many=False)
    return ending(code, results)


def _require_target(given: Mapping[str, object]) -> None:
    """Raise ``UsageError`` ORCH-U002 for options of an execution, where a worker is to execute the run."""
    meaningless = [name for name, value in given.items() if value]
    if meaningless:
        message = f"{meaningless[0]} has no meaning without the workflow's file, as a worker goes on with the run then"
        fix = "name the file behind the run's id; a question is answered with `orch runs answer`"
        raise UsageError("ORCH-U002", message, fix=fix)


async def _require_to_go_on(store: Store, run_id: str, workflow: str) -> None:
    """Raise ``RunError`` before any engine starts: ORCH-R023 for an unknown run, ORCH-R021 for one of another workflow,
    and ORCH-R033 for one that somebody has cancelled."""
    from orchestrator.cli.runs.showing import head_of
    from orchestrator.runtime.failures import other_workflow, run_over

    head = await head_of(store, run_id)
    if head.workflow != workflow:
        raise other_workflow(head.workflow, run_id, workflow)
    if head.status == "cancelled":
        raise run_over(head)


def _made_ready(run_id: str, store: str | None, *, as_json: bool) -> int:
    from orchestrator.cli.runs.listing import head_data
    from orchestrator.cli.runs.showing import head_of
    from orchestrator.cli.screen import say
    from orchestrator.cli.streams import deliver_json
    from orchestrator.runtime.coordinator import notices

    async def made_ready(opened: Store) -> Head:
        await notices.resume(opened, run_id)
        return await head_of(opened, run_id)

    head = with_store(store, made_ready)
    if as_json:
        deliver_json({"ok": True, "run": head_data(head)})
    else:
        say(f"{run_id} is {head.status}: a worker that has `{head.workflow}` goes on with it, or name its file here")
    return 0
