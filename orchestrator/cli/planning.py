"""What commands share that plan, and those that run a plan: from a target and options to plans."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from orchestrator.errors import PlanError, UsageError

if TYPE_CHECKING:
    from orchestrator.cli.target import Target
    from orchestrator.compiler import Compiled
    from orchestrator.dsl.workflow import Workflow
    from orchestrator.planner.cluster import Cluster
    from orchestrator.planner.observations import Corrections
    from orchestrator.planner.plan import Objective, Plan
    from orchestrator.planner.planning import Asked, Planning
    from orchestrator.running.engines import Kind

Command = TypeVar("Command", bound=Callable[..., Any])

objective_option = click.option(
    "--objective",
    type=click.Choice(["latency", "cost", "throughput", "energy"]),
    help="What to plan for: least time (default), least cost, most runs a second, least energy.",
)
rate_option = click.option("--rate", metavar="RATE", help='Runs that arrive, "2.5/s" or "30/min": prices the waiting.')
sla_option = click.option("--sla", metavar="TIME", help='What 95 % of the runs must stay below, like "8s".')
calibration_option = click.option(
    "--no-calibration",
    is_flag=True,
    help="Neither use nor add to what earlier runs taught (ORCH_CALIBRATION=off, ORCH_LEARNED=off).",
)


plan_option = click.option(
    "--plan",
    "plan_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Run as this plan of `orch plan --out` says; what the code has changed since is planned again.",
)
strict_option = click.option("--strict", is_flag=True, help="Refuse a --plan that does not fit as it stands.")


def bound_options(command: Command) -> Command:
    """:func:`planning_options`, ``--plan`` and ``--strict``."""
    for option in (strict_option, plan_option):
        command = option(command)
    return planning_options(command)


def planning_options(command: Command) -> Command:
    """``--objective``, ``--rate``, ``--sla`` and ``--no-calibration``."""
    for option in (calibration_option, sla_option, rate_option, objective_option):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What the command line says about who answers."""

    model: str | None
    engine: Kind | None
    base_url: str | None
    cluster_file: Path | None
    policy: str | None = None

    @property
    def given(self) -> bool:
        """Whether it says anything."""
        return any((self.model, self.engine, self.base_url, self.cluster_file))

    def cluster(self, target: Target) -> Cluster:
        """The cluster for a target, whose app may have a model of its own. Raises ``UsageError`` and ``PlanError``."""
        from orchestrator.cli.engines import EngineChoice

        choice = EngineChoice(self.model, self.engine, self.base_url, self.cluster_file, policy=self.policy)
        return choice.for_app(target.app).cluster()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks of a plan; ``None`` where it says nothing."""

    objective: Objective | None = None
    rate_per_s: float | None = None
    sla_s: float | None = None
    calibrated: bool = True

    def asked(self, cluster: Cluster, like: Plan | None = None) -> tuple[Asked, list[str]]:
        """What to plan on ``cluster``, and what is wrong with the calibration file.

        What is not said is as in the plan ``like``, its corrections included.
        """
        from orchestrator.planner.observations import corrections_in
        from orchestrator.planner.planning import Asked

        corrections, problems = known_corrections() if self.calibrated and like is None else ({}, [])
        if like is not None and self.calibrated:
            corrections = corrections_in(like)
        objective = self.objective or (like.objective if like else "latency")
        rate_per_s = self.rate_per_s or (like.rate_per_s if like else None)
        sla_s = self.sla_s or (like.sla_s if like else None)
        sited = like if like is not None and cluster == like.cluster else None
        return Asked(cluster, objective, rate_per_s, sla_s, corrections, sited), problems


def wanted(objective: Objective | None, rate: str | None, sla: str | None, no_calibration: bool) -> Wanted:
    """The parsed options. Raises ``UsageError`` ORCH-U002."""
    from orchestrator.cli.quantities import per_second, seconds

    return Wanted(objective, per_second(rate, "--rate"), seconds(sla, "--sla"), not no_calibration)


@dataclass(frozen=True, slots=True)
class Choice:
    """What the command line says of the plan to run: one of a file, or what to plan for."""

    want: Wanted = field(default_factory=Wanted)
    file: Path | None = None
    strict: bool = False
    ray_address: str | None = None

    def compiled(self, workflow: Workflow[..., Any], engines: EngineOptions, target: Target) -> Compiled:
        """The workflow by that plan; what the code has changed since the plan was made is told.

        Raises ``UsageError`` ORCH-U002 for options that contradict each other, and what planning raises.
        """
        from orchestrator.cli.screen import say
        from orchestrator.compiler import compile_as

        if self.file is None:
            if self.strict:
                raise UsageError("ORCH-U002", "--strict is about a plan, and none is given", fix="add --plan FILE")
            cluster = engines.cluster(target)
            try:
                asked, problems = self.want.asked(cluster)
            except PlanError as unreadable:  # what earlier runs taught: a run does without
                asked, problems = replace(self.want, calibrated=False).asked(cluster)[0], [str(unreadable)]
            for each in problems:
                say(f"warning: {each}", colour="yellow")
            return compile_as(workflow, asked)
        asked = self._kept(self.file, engines, target)
        found = compile_as(workflow, asked)
        for note in found.plan.notes:
            if asked.kept is not None and note not in asked.kept.notes:
                say(f"note: {note}")
        return found

    def words(self) -> list[str]:
        """The options as words of a command."""
        want = self.want
        given: dict[str, object] = {
            "--plan": self.file,
            "--objective": want.objective,
            "--rate": None if want.rate_per_s is None else f"{Decimal(repr(want.rate_per_s)):f}/s",
            "--sla": None if want.sla_s is None else f"{Decimal(repr(want.sla_s)):f}s",
        }
        flags = {"--strict": self.strict, "--no-calibration": not want.calibrated}
        words = [word for name, value in given.items() if value is not None for word in (name, str(value))]
        return words + [name for name, value in flags.items() if value]

    def _kept(self, file: Path, engines: EngineOptions, target: Target) -> Asked:
        from orchestrator.planner.binding import at_home, is_local, require_machine
        from orchestrator.planner.machine import detect
        from orchestrator.planner.plan import Plan
        from orchestrator.planner.planning import Asked
        from orchestrator.planner.portable import located

        want = self.want
        aims = {"--objective": want.objective, "--rate": want.rate_per_s, "--sla": want.sla_s}
        if given := [name for name, value in aims.items() if value is not None]:
            message = f"{given[0]} is what a plan is made for, and --plan is made already"
            fix = f"leave one of them out, or plan again with `orch plan TARGET {given[0]} … --out FILE`"
            raise UsageError("ORCH-U002", message, fix=fix)
        if engines.model or engines.engine or engines.base_url or engines.policy:
            message = "--plan already says what the engines are, so --model, --engine, --base-url and --policy cannot"
            raise UsageError("ORCH-U021", message, fix="leave them out; --cluster may say what there is to run on")
        plan = located(Plan.load(file), file)
        if engines.cluster_file is not None:
            plan = at_home(plan, engines.cluster(target), str(engines.cluster_file))
        elif self.ray_address is None:
            here = detect()
            if is_local(plan):
                plan = at_home(plan, here, "this machine")
            if self.strict:
                require_machine(plan, here)
        return Asked(plan.cluster, plan.objective, plan.rate_per_s, plan.sla_s, kept=plan, strict=self.strict)


def planning_of(workflow: Workflow[..., Any]) -> Planning:
    """Trace and optimise a workflow. Raises what that raises."""
    from orchestrator.passes.pipeline import run_pipeline
    from orchestrator.planner.planning import Planning

    traced = workflow.trace()
    level2, _ = run_pipeline(traced.module)
    return Planning(level2, traced.hash)


def planned(target: Target, engines: EngineOptions, want: Wanted) -> tuple[Planning, Asked, Plan]:
    """The plan of a target, and what another one of it takes."""
    planning = planning_of(target.workflow)
    asked, problems = want.asked(engines.cluster(target))
    plan = planning.plan(asked)
    return planning, asked, plan.model_copy(update={"warnings": (*plan.warnings, *problems)})


def known_corrections() -> tuple[Corrections, list[str]]:
    """What earlier runs taught, and a sentence for each line of the file that is not an observation."""
    from orchestrator.planner.observations import corrections, load, store_path

    path = store_path()
    if path is None:
        return {}, []
    found, problems = load(path)
    return corrections(found), problems
