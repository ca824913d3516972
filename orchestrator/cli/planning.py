"""What ``orch plan`` and ``orch explain`` share: from a target and options to plans."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from orchestrator.cli.target import Target
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

    @property
    def given(self) -> bool:
        """Whether it says anything."""
        return any((self.model, self.engine, self.base_url, self.cluster_file))

    def cluster(self, target: Target) -> Cluster:
        """The cluster for a target, whose app may have a model of its own. Raises ``UsageError`` and ``PlanError``."""
        from orchestrator.cli.engines import EngineChoice

        choice = EngineChoice(self.model, self.engine, self.base_url, self.cluster_file)
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
