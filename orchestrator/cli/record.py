"""``orch run --record``: the plan and what the runs of it measured, in one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.cli.failure import as_orch_error, tell
from orchestrator.cli.planning import known_corrections, planning_of
from orchestrator.errors import OrchError
from orchestrator.planner.planning import Asked
from orchestrator.planner.record import OpMeasured, RunMeasured, RunRecord, Tokens

if TYPE_CHECKING:
    from orchestrator.cli.app import Facts, Outcome
    from orchestrator.dsl.workflow import Workflow
    from orchestrator.runtime.journal.records import OpRecord
    from orchestrator.runtime.result import RunResult


def save_record(
    path: Path, workflow: Workflow[..., Any], outcomes: Sequence[Outcome], facts: Facts, concurrency: int
) -> bool:
    """Write a record of the runs that succeeded; one that cannot be made or written is told, and costs nobody the
    results."""
    results = [outcome.result for outcome in outcomes if outcome.result is not None]
    try:
        plan = facts.plan
        if plan.p95_s is None:  # where nothing was to be chosen it is only placed
            asked = Asked(plan.cluster, corrections=known_corrections()[0])
            plan = planning_of(workflow).complete(plan, asked)
        record = RunRecord(
            plan=plan,
            concurrency=min(concurrency, max(len(outcomes), 1)),
            simulated=facts.simulated,
            failed=len(outcomes) - len(results),
            runs=tuple(map(_run, results)),
        )
        record.save(path)
    except (OSError, OrchError) as failure:
        tell(as_orch_error(failure))
        return False
    return True


def _run(result: RunResult) -> RunMeasured:
    done = tuple(_op(op) for op in result.ops if op.done)
    return RunMeasured(run_id=result.run_id, seconds=result.seconds, cost_usd=result.cost_usd, ops=done)


def _op(op: OpRecord) -> OpMeasured:
    usage = None
    if op.usage is not None:
        usage = Tokens(
            input_tokens=op.usage.input_tokens,
            cached_tokens=op.usage.cached_tokens,
            output_tokens=op.usage.output_tokens,
        )
    return OpMeasured(
        id=op.id, frame=op.frame, place=op.place, seconds=op.seconds, attempts=max(op.attempts, 1), usage=usage
    )
