"""``orch explain``: where each op will run, what it should take and cost, why, what else was possible, and afterwards
how right that was."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.command import Command
from orchestrator.cli.failure import missing_target
from orchestrator.cli.options import debug_option, engine_options, json_option
from orchestrator.cli.planning import EngineOptions, Wanted, planned, planning_options, wanted
from orchestrator.cli.streams import deliver, deliver_json, deliver_json_text
from orchestrator.cli.terminal import width
from orchestrator.errors import PlanError, UsageError

if TYPE_CHECKING:
    from orchestrator.planner.explain import Format
    from orchestrator.planner.plan import Objective, Plan
    from orchestrator.planner.record import RunRecord
    from orchestrator.running.engines import Kind


@click.command(
    cls=Command,
    name="explain",
    epilog="\b\nExamples:\n"
    "  orch explain flow.py --model ./model\n"
    "  orch explain flow.py --cluster c.toml --what-if device=h100-sxm,count=4,rate=2.5\n"
    "  orch explain --diff old.json flow.py --cluster c.toml\n"
    "  orch explain --analyze run.json",
)
@click.argument("target", required=False)
@click.option("--format", "form", type=click.Choice(["text", "json", "dot"]), help="text (default), json or graphviz.")
@click.option("--every-op", is_flag=True, help="Also list prompts, projections and constants.")
@click.option(
    "--what-if",
    "scenarios",
    multiple=True,
    metavar="CHANGES",
    help="Plan again with device=TYPE,count=N,price=USD_PER_HOUR,rate=PER_S changed; may be repeated.",
)
@click.option("--diff", "sides", nargs=2, metavar="A B", help="Compare two plans: plan files or targets.")
@click.option(
    "--analyze",
    "record",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Compare what `orch run --record` wrote.",
)
@click.option(
    "--learned",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Forecast the pauses of conversations from this store of `orch run`; default: your own.",
)
@planning_options
@engine_options
@json_option
@debug_option
def command(  # noqa: PLR0917 - one parameter an option
    target: str | None,
    form: Format | None,
    every_op: bool,
    scenarios: tuple[str, ...],
    sides: tuple[str, str] | None,
    record: Path | None,
    learned: Path | None,
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
    """Plan TARGET and print the plan: every op's place, predicted time, tokens and cost.

    TARGET is FILE.py[:workflow], package.module:workflow, FILE.mlir, or a directory with an app.py. Nothing is
    started. What is unknown is shown as `?`, never as 0.
    """
    del debug
    mode = _mode(target, scenarios, sides, record, form, as_json=as_json)
    want = wanted(objective, rate, sla, no_calibration)
    engines = EngineOptions(model, engine, base_url, cluster_file)
    as_json = as_json or form == "json"
    if mode == "analyze":
        assert record is not None
        _analyze(record, want, as_json=as_json)
    elif mode == "diff":
        assert sides is not None
        _diff(sides, engines, want, as_json=as_json)
    elif mode == "what-if":
        assert target is not None
        _what_if(target, scenarios, engines, want, as_json=as_json)
    else:
        assert target is not None
        from orchestrator.cli.target import load_target
        from orchestrator.planner.explain import render

        _, _, plan = planned(load_target(target), engines, want)
        plan = _with_pin_worth(plan, learned, want)
        if as_json:
            deliver_json_text(plan.to_json())
        else:
            deliver(render(plan, form or "text", every_op=every_op, width=width()), end="")


def _with_pin_worth(plan: Plan, learned: Path | None, want: Wanted) -> Plan:
    """What the pins are worth, by the pauses that runs have learned. Raises LearningError for a store that is named."""
    if not plan.pins:
        return plan
    from orchestrator.cli.learned import pauses_learned
    from orchestrator.runtime.kv.worth import with_worth

    return with_worth(plan, pauses_learned(learned, by_default=want.calibrated))


def _mode(
    target: str | None,
    scenarios: tuple[str, ...],
    sides: tuple[str, str] | None,
    record: Path | None,
    form: Format | None,
    *,
    as_json: bool,
) -> str:
    """Which of the four reports is meant; raises ``UsageError`` ORCH-U002 when that is none or several."""
    modes = [name for name, given in (("what-if", scenarios), ("diff", sides), ("analyze", record)) if given]
    if len(modes) > 1:
        both = " and ".join(f"--{mode}" for mode in modes)
        raise UsageError("ORCH-U002", f"{both} are different reports", fix="ask for one of them")
    mode = modes[0] if modes else "plan"
    if mode in ("diff", "analyze") and target is not None:
        what = "--diff names both plans" if mode == "diff" else "the record holds its own plan"
        raise UsageError("ORCH-U002", f"{what}, so there is no place for TARGET `{target}`", fix="leave it out")
    if mode in ("plan", "what-if") and target is None:
        raise UsageError("ORCH-U002", "missing argument 'TARGET'", fix=missing_target("orch explain"))
    if mode != "plan" and form == "dot":
        raise UsageError("ORCH-U002", f"--{mode} has no graph", fix="leave out --format dot")
    if form in ("dot", "text") and as_json:
        raise UsageError("ORCH-U002", f"--json and --format {form} contradict each other", fix="leave one out")
    return mode


def _what_if(target: str, scenarios: tuple[str, ...], engines: EngineOptions, want: Wanted, *, as_json: bool) -> None:
    """Print each scenario beside the plan as it is; raises ``UsageError`` ORCH-U022 for one that cannot be applied."""
    from dataclasses import replace

    from orchestrator.cli.target import load_target
    from orchestrator.planner import whatif
    from orchestrator.planner.diff import diff, render_diff

    changes = [whatif.parse(text) for text in scenarios]
    planning, asked, plan = planned(load_target(target), engines, want)
    told: list[dict[str, Any]] = []
    for change in changes:
        cluster = whatif.changed_cluster(asked.cluster, change)
        try:
            other = planning.plan(replace(asked, cluster=cluster, rate_per_s=change.rate_per_s or asked.rate_per_s))
        except PlanError as error:
            told.append({"change": change.text, "errors": [each.as_dict() for each in error.diagnostics]})
            if not as_json:
                deliver(f"{'' if change is changes[0] else chr(10)}What if {change.text}: there is no such plan.")
                deliver(str(error))
            continue
        found = diff(plan, other)
        told.append({"change": change.text, "plan": other.model_dump(mode="json"), "diff": found.as_dict()})
        if not as_json:
            gap = "" if change is changes[0] else "\n"
            deliver(gap + render_diff(found, "as it is", change.text, width()), end="")
    if as_json:
        data = {"ok": True, "plan": plan.model_dump(mode="json"), "what_if": told}
        deliver_json(data)


def _diff(sides: tuple[str, str], engines: EngineOptions, want: Wanted, *, as_json: bool) -> None:
    from orchestrator.planner.diff import diff, render_diff

    before, after = (_plan_of(each, engines, want) for each in sides)
    found = diff(before, after)
    if as_json:
        deliver_json({"ok": True, **found.as_dict()})
    else:
        deliver(render_diff(found, *sides, width()), end="")


def _plan_of(text: str, engines: EngineOptions, want: Wanted) -> Plan:
    """The plan in a file, or of a target."""
    from orchestrator.cli.target import load_target
    from orchestrator.planner.plan import Plan

    if text.endswith(".json"):
        return Plan.load(Path(text))
    return planned(load_target(text), engines, want)[2]


def _analyze(path: Path, want: Wanted, *, as_json: bool) -> None:
    from orchestrator.planner.analyze import analyze, render_analysis
    from orchestrator.planner.record import RunRecord

    record = RunRecord.load(path)
    found = analyze(record)
    if as_json:
        deliver_json({"ok": True, **found.as_dict(), **_learned(record, want)})
        return
    deliver(render_analysis(found, width()), end="")
    told = _learned(record, want)
    learned = told["learned"]
    if learned["nothing_because"]:
        deliver(f"learned    nothing: {learned['nothing_because']}")
        return
    added = learned["added"]
    deliver(f"learned    {added} new model call{'s' * (added != 1)} for later plans, in {learned['file']}")
    for each in told["corrections"]:
        what = f"model calls on {each['device']} ({each['engine']})"
        deliver(f"from now   {what} are corrected ×{each['factor']:.2f} {each['origin']}")


def _learned(record: RunRecord, want: Wanted) -> dict[str, Any]:
    """Add what a record teaches to the calibration file, unless that is switched off; what that was, and comes of."""
    from orchestrator.planner.analyze import observations, why_not_learned
    from orchestrator.planner.observations import append, corrections, load, store_path

    store = store_path() if want.calibrated else None
    reason = why_not_learned(record) or ("" if store is not None else "the calibration is switched off")
    new = observations(record)
    if not new and not reason:
        reason = "no model call ran on a device whose figures are known"
    added = append(store, new) if store is not None and new else 0
    known = corrections(load(store)[0]) if store is not None else {}
    return {
        "learned": {"added": added, "file": str(store) if store else None, "nothing_because": reason or None},
        "corrections": [
            {"device": device, "engine": kind, "factor": each.factor, "origin": each.origin}
            for (device, kind), each in known.items()
        ],
    }
