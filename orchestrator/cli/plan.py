"""``orch plan``: make a plan that can be checked in, and check that a later one is no worse."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.command import Command
from orchestrator.cli.failure import missing_target
from orchestrator.cli.options import check_writable, debug_option, engine_options, json_option
from orchestrator.cli.planning import EngineOptions, Wanted, planned, planning_of, planning_options, wanted
from orchestrator.cli.screen import say
from orchestrator.cli.streams import deliver, deliver_json, deliver_json_text
from orchestrator.cli.terminal import width
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.planner.plan import Objective, Plan
    from orchestrator.running.engines import Kind

COMMANDS = {"predict": "orchestrator.cli.predict", "serve": "orchestrator.cli.serving_plan"}
"""Commands of their own behind ``orch plan``, imported on use."""
TOLERANCE = "5%"


class PlanCommand(Command):
    """Plans a target, unless the first word is one of :data:`COMMANDS`."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """The context of whichever command is meant."""
        if not args or args[0] not in COMMANDS:
            return super().make_context(info_name, args, parent, **extra)
        meant = import_module(COMMANDS[args[0]]).command
        assert isinstance(meant, click.Command)
        return meant.make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)


@click.command(
    cls=PlanCommand,
    name="plan",
    epilog="\b\nExamples:\n"
    "  orch plan flow.py --cluster c.toml --objective cost --sla 8s --out plan.json\n"
    "  orch plan --check plan.json --tolerance 5%\n"
    "  orch plan predict --rows measured.csv --out predicted.csv\n"
    "  orch plan serve llama-3.1-70b --cluster c.toml --isl 4000 --osl 500",
)
@click.argument("target", required=False)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write the plan there, as JSON.")
@click.option(
    "--check",
    "checked_in",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Plan as that plan was made; fail when p95 or cost got worse.",
)
@click.option(
    "--tolerance", default=TOLERANCE, show_default=True, metavar="SHARE", help="How much worse --check lets pass."
)
@planning_options
@engine_options
@json_option
@debug_option
def command(  # noqa: PLR0917 - one parameter an option
    target: str | None,
    out: Path | None,
    checked_in: Path | None,
    tolerance: str,
    objective: Objective | None,
    rate: str | None,
    sla: str | None,
    no_calibration: bool,
    model: str | None,
    engine: Kind | None,
    base_url: str | None,
    cluster_file: Path | None,
    as_json: bool,
    debug: bool,
) -> None:
    """Plan TARGET; print the plan, or write it to a file that can be checked in.

    TARGET is FILE.py[:workflow], package.module:workflow, FILE.mlir, or a directory with an app.py. Nothing is
    started. With --check, the cluster, objective, rate and SLA are those of the checked-in plan unless they are
    given, and so are TARGET and what was learned from measured runs. `orch plan predict --help` prices rows of a
    table, and `orch plan serve --help` plans one model on given devices instead.
    """
    from orchestrator.cli.quantities import share
    from orchestrator.cli.target import load_target
    from orchestrator.planner.explain import render
    from orchestrator.planner.portable import portable

    del debug
    check_writable(out, "--out")
    want = wanted(objective, rate, sla, no_calibration)
    engines = EngineOptions(model, engine, base_url, cluster_file)
    allowed = share(tolerance, "--tolerance")
    if checked_in is not None:
        plan = _check(target, checked_in, allowed, engines, want, as_json=as_json)
    elif target is None:
        raise UsageError("ORCH-U002", "missing argument 'TARGET'", fix=missing_target("orch plan"))
    else:
        plan = planned(load_target(target), engines, want)[2].model_copy(update={"target": target})
    if out is not None:
        portable(plan, out).save(out)
        say(f"wrote {out}: {_summary(plan)}")
    if checked_in is None and as_json:
        deliver_json_text(plan.to_json())
    elif checked_in is None and out is None:
        deliver(render(plan, width=width()), end="")


def _check(
    text: str | None, file: Path, tolerance: float, engines: EngineOptions, want: Wanted, *, as_json: bool
) -> Plan:
    """The plan of today; raises ``PlanError`` ORCH-P030 to P033 when it is worse than the one in ``file``."""
    from orchestrator.cli.target import load_target
    from orchestrator.planner.check import check
    from orchestrator.planner.diff import diff, render_diff
    from orchestrator.planner.plan import Plan
    from orchestrator.planner.portable import located

    before = located(Plan.load(file), file)
    text = text or before.target
    if not text:
        fix = f"name it: `orch plan TARGET --check {file}`"
        raise UsageError("ORCH-U002", f"{file} does not say which workflow it is a plan of", fix=fix)
    target = load_target(text)
    cluster = engines.cluster(target) if engines.given else before.cluster
    asked, _ = want.asked(cluster, like=before)
    after = planning_of(target.workflow).plan(asked).model_copy(update={"target": text})
    if before.ir_hash != after.ir_hash:
        say(f"note: the workflow has changed since {file} was made")
    found = diff(before, after)
    if not as_json:
        deliver(render_diff(found, str(file), "now", width()), end="")
    check(before, after, tolerance)
    if as_json:
        deliver_json({"ok": True, "tolerance": tolerance, **found.as_dict()})
    else:
        deliver(f"ok         p95 and cost are within {tolerance:.1%} of {file}")
    return after


def _summary(plan: Plan) -> str:
    from orchestrator.planner.figures import dollars, duration

    cost = "cost unknown" if plan.cost_usd is None else dollars(plan.cost_usd.mid)
    return f"{duration(plan.seconds.mid)}, p95 {duration(plan.p95_s or 0.0)}, {cost}"
