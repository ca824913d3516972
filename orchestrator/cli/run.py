"""``orch run``: run a workflow, once or many times, or an application directory, on engines started for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.command import Command
from orchestrator.cli.keeping import keeping_options
from orchestrator.cli.options import check_writable, debug_option, engine_options, json_option, policy_option
from orchestrator.cli.planning import bound_options
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.cli.app import App, Job
    from orchestrator.cli.inputs import Parameter
    from orchestrator.cli.job import How
    from orchestrator.cli.results import Results
    from orchestrator.cli.target import Target
    from orchestrator.compiler import Compiled
    from orchestrator.planner.plan import Objective
    from orchestrator.running.engines import Kind
    from orchestrator.runtime.program.specs import Limits

CONCURRENCY = 4
"""Runs in flight at once."""
TARGET = "orchestrator.target"
"""Key of the loaded target in click's ``meta``."""


class RunCommand(Command):
    """Loads the target before it parses, so that an application's own options are parsed and shown as well."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Find the target among the words first; one that cannot be loaded keeps nobody from the help."""
        from orchestrator.cli.target import load_target
        from orchestrator.errors import OrchError

        text = self.target_of(args)
        if text is not None:
            try:
                ctx.meta[TARGET] = load_target(text)
            except OrchError:
                if not {"-h", "--help"} & set(args):
                    raise
        return super().parse_args(ctx, args)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The command's parameters, the application's, and an option for each static parameter of the workflow."""
        own = super().get_params(ctx)
        return [*own, *_app_options(ctx), *_static_options(ctx, own)]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The inputs of a workflow, or the application's options, stand in a section of their own, first."""
        self.format_inputs(ctx, formatter)
        sections = {"Options": super().get_params(ctx)}
        if own := _app_options(ctx):
            sections = {f"Options of {ctx.meta[TARGET].text}": own, **sections}
        for title, parameters in sections.items():
            options = (each for each in parameters if isinstance(each, click.Option))
            with formatter.section(title):
                formatter.write_dl([record for each in options if (record := each.get_help_record(ctx)) is not None])

    def format_inputs(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Say what the workflow takes."""
        from orchestrator.cli.inputs import parameters_of

        target: Target | None = ctx.meta.get(TARGET)
        if target is None or target.app is not None or target.workflow.boundary.problems:
            return
        inputs = [
            (f"-i {each.name}=…", f"{each.type_name}{_may_be_left_out(each)}")
            for each in parameters_of(target.workflow)
        ]
        static = _static_options(ctx, super().get_params(ctx))
        inputs += [(f"{each.opts[0]} {each.metavar}", "the workflow is compiled for it") for each in static]
        with formatter.section(f"Inputs of {target.text}"):
            formatter.write_dl(inputs or [("none", "")])

    def target_of(self, args: Sequence[str]) -> str | None:
        """The first word that is neither an option nor an option's value."""
        return next(self.plain_words(args), None)

    def plain_words(self, args: Sequence[str]) -> Iterator[str]:
        """The words that are neither."""
        options = [each for each in self.params if isinstance(each, click.Option)]
        takes_value = {name for each in options if not each.is_flag for name in each.opts}
        words = iter(args)
        for word in words:
            if word == "--":
                yield from words
            elif not word.startswith("-") or word == "-":
                yield word
            elif word in takes_value:
                next(words, None)


def _may_be_left_out(parameter: Parameter) -> str:
    if parameter.is_secret:
        from orchestrator.runtime.journal.lines.secrets import variable_of

        return f", or the environment's {variable_of(parameter.name)}"
    return "" if parameter.required else ", may be left out"


@click.command(
    cls=RunCommand,
    name="run",
    epilog="\b\nExamples:\n"
    "  orch run examples/text2sql\n"
    "  orch run flow.py:answer -i question='How many?' -m ./model\n"
    "  orch run flow.py:answer -i question='How many?' --cluster c.toml --objective cost --sla 8s\n"
    "  orch run flow.py:answer -i question='How many?' --plan plan.json --strict\n\n"
    "Traces go where OTEL_TRACES_EXPORTER (otlp, console) and OTEL_EXPORTER_OTLP_ENDPOINT say, as in any program with "
    "OpenTelemetry.",
)
@click.argument("target")
@click.argument("words", nargs=-1)
@click.option(
    "-i",
    "--input",
    "pairs",
    multiple=True,
    metavar="NAME=VALUE",
    help="One input, JSON where it is no text; NAME=@FILE reads a file. Repeatable.",
)
@click.option(
    "--inputs",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE.jsonl",
    help="A run for each line, which is a JSON object of inputs.",
)
@engine_options
@policy_option
@bound_options
@click.option("--ray-address", metavar="HOST:PORT", help="Join this Ray cluster instead of starting Ray here.")
@click.option("--budget", metavar="BOUND", help='Stop a run before it exceeds this: "$0.02", "400k tokens", "2 min".')
@click.option(
    "--answer",
    "answers",
    multiple=True,
    metavar="OP=VALUE",
    help="Answer a question to a human ahead; turns[3]/OP for one execution. Repeatable.",
)
@click.option(
    "--concurrency", type=click.IntRange(min=1), metavar="N", help="Runs in flight at once; default: 4, or the app's."
)
@click.option(
    "--record",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write plan and measurements there, for `orch explain --analyze FILE`.",
)
@click.option(
    "--learned",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Learn the pauses of conversations there; default: your own store (ORCH_LEARNED=FILE or off).",
)
@keeping_options
@click.option("--detach", is_flag=True, help="Leave the run to the workers of the store (`orch worker`).")
@click.option("--stream", is_flag=True, help="Show replies on stderr as they come, one below the other.")
@json_option
@debug_option
@click.pass_context
def command(  # noqa: PLR0917 - one parameter an option
    ctx: click.Context,
    /,
    target: str,
    words: tuple[str, ...],
    pairs: tuple[str, ...],
    file: Path | None,
    model: str | None,
    engine: Kind | None,
    base_url: str | None,
    cluster_file: Path | None,
    policy: str | None,
    objective: Objective | None,
    rate: str | None,
    sla: str | None,
    no_calibration: bool,
    plan_file: Path | None,
    strict: bool,
    ray_address: str | None,
    budget: str | None,
    answers: tuple[str, ...],
    concurrency: int | None,
    record: Path | None,
    learned: Path | None,
    store: str | None,
    ephemeral: bool,
    run_id: str | None,
    key: str | None,
    detach: bool,
    stream: bool,
    as_json: bool,
    debug: bool,
    **own: Any,
) -> int:
    """Run TARGET and print its result.

    TARGET is FILE.py[:workflow], package.module:workflow, FILE.mlir, or a directory with an app.py. WORDS are the
    input of a workflow that takes one text, or what the directory's app makes of them.
    """
    from orchestrator.cli.detaching import leave_to_workers, require_detachable
    from orchestrator.cli.failure import FAILED
    from orchestrator.cli.inputs import as_given
    from orchestrator.cli.job import How, run_job
    from orchestrator.cli.keeping import engine_words, keeping_of
    from orchestrator.cli.learned import pauses_to_learn
    from orchestrator.cli.output import show_job, show_runs, summary, tell_how_to_go_on
    from orchestrator.cli.planning import Choice, EngineOptions, wanted
    from orchestrator.cli.record import save_record
    from orchestrator.cli.results import kept
    from orchestrator.cli.screen import say
    from orchestrator.cli.static import for_static
    from orchestrator.cli.tracing import traced
    from orchestrator.running.engines import guessed_models

    del debug
    check_writable(record, "--record")
    found: Target = ctx.meta[TARGET]
    app: App | None = found.app
    engines = EngineOptions(model, engine, base_url, cluster_file, policy)
    choice = Choice(wanted(objective, rate, sla, no_calibration), plan_file, strict, ray_address)
    again = [target, *engine_words(model, engine, base_url, cluster_file, ray_address), *choice.words()]
    again += _static(found, own)
    several = file is not None or app is not None
    keeping = keeping_of(store, ephemeral=ephemeral, run_id=run_id, key=key, many=several, again=again)
    how = How(
        concurrency=concurrency or (app.concurrency if app else CONCURRENCY),
        limits=limits_of_budget(budget),
        answers=[as_given(each) for each in answers],
        ray_address=ray_address,
        stream=stream,
        keeping=keeping,
    )
    if detach:
        require_detachable(how, record)
    job = _job(found, words, pairs, file, own)
    try:
        workflow, job = for_static(found.workflow, job)
        compiled = choice.compiled(workflow, engines, found)
        if detach:
            return leave_to_workers(compiled, job, how, target, as_json=as_json, many=several)
        _require_all(compiled, how)
        for note in guessed_models(compiled.plan):
            say(f"note: {note}", dim=True)
        with (
            traced(),
            pauses_to_learn(compiled.plan, learned) as durations,
            kept(found.workflow.name) as results,
        ):
            outcomes, facts = run_job(compiled, job, how, results, durations)
            tell_how_to_go_on(outcomes, keeping)
            failures = [each.error for each in outcomes if each.error is not None]
            if failures and len(failures) == len(outcomes) and not results.interrupted:
                say(summary(outcomes, facts), dim=True)
                raise failures[0]
            recorded = record is None or save_record(record, found.workflow, outcomes, facts, how.concurrency)
            if app is not None:
                code = show_job(app.report(job, outcomes, facts), as_json=as_json)
            else:
                code = show_runs(found.workflow.name, outcomes, facts, as_json=as_json, many=file is not None)
        return ending(code or (0 if recorded else FAILED), results)
    finally:
        job.close()


def ending(code: int, results: Results) -> int:
    """The exit code, where Ctrl-C may have come."""
    from orchestrator.cli.failure import INTERRUPTED

    return INTERRUPTED if results.interrupted else code


def _require_all(compiled: Compiled, how: How) -> None:
    """Raise what is wrong with a run before anything is started for it."""
    from orchestrator.cli.engines import require_engine
    from orchestrator.runtime.execution.model_calls.pricing import require_prices
    from orchestrator.runtime.program.kept import require_kept

    require_engine(compiled.plan)
    require_prices(compiled.program, how.limits or compiled.program.budget)
    if how.keeping is not None:
        require_kept(compiled.program)


def _app_options(ctx: click.Context) -> list[click.Parameter]:
    target: Target | None = ctx.meta.get(TARGET)
    return list(target.app.options) if target and target.app else []


def _static_options(ctx: click.Context, known: Sequence[click.Parameter]) -> list[click.Option]:
    from orchestrator.cli.static import static_options

    target: Target | None = ctx.meta.get(TARGET)
    if target is None or target.app is not None:
        return []
    taken = {name for each in known for name in each.opts}
    return [each for each in static_options(target.workflow) if each.opts[0] not in taken]


def _job(target: Target, words: Sequence[str], pairs: Sequence[str], file: Path | None, own: Mapping[str, Any]) -> Job:
    from orchestrator.cli.app import Case, Job
    from orchestrator.cli.inputs import as_given, from_command_line, from_file, parameters_of

    words, pairs = [as_given(each) for each in words], [as_given(each) for each in pairs]
    if target.app is not None:
        if pairs or file:
            option = "--input" if pairs else "--inputs"
            fix = f"see what it takes with `orch run {target.text} --help`"
            raise UsageError("ORCH-U002", f"the app of `{target.text}` makes its own inputs: no {option}", fix=fix)
        return target.app.prepare(own, words)
    parameters = parameters_of(target.workflow)
    static = [f"{name}={as_given(text)}" for name, text in own.items() if text is not None]
    if file is None:
        return Job([Case(target.workflow.name, from_command_line(parameters, [*pairs, *static], words))])
    if pairs or words:
        raise UsageError("ORCH-U002", "--inputs gives all inputs, so there can be no others", fix="leave one out")
    return Job([Case(f"{file.name}:{number}", inputs) for number, inputs in from_file(parameters, file).items()])


def _static(target: Target, own: Mapping[str, Any]) -> list[str]:
    from orchestrator.cli.static import static_words

    return [] if target.app is not None else static_words(target.workflow, own)


def limits_of_budget(text: str | None) -> Limits | None:
    """What ``--budget`` says. Raises ``UsageError`` ORCH-U002."""
    if text is None:
        return None
    from orchestrator.dsl.declared.policy import PolicyError, parse_budget
    from orchestrator.runtime.program.specs import Limits

    try:
        budget = parse_budget(text)
    except PolicyError as wrong:
        raise UsageError("ORCH-U002", f"--budget: {wrong}", fix=wrong.fix) from wrong
    return Limits(budget.usd, budget.tokens, budget.seconds)
