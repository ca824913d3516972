"""Whether a plan got worse than one that was checked in: the gate behind ``orch plan --check``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from orchestrator.errors import Diagnostic, PlanError, SourceLoc
from orchestrator.planner.diff import OpChange, PlanDiff, diff, names
from orchestrator.planner.figures import dollars, duration
from orchestrator.planner.plan import OpPlan, Plan
from orchestrator.planner.tail import p95_s

TOLERANCE: Final = 0.05


def check(before: Plan, after: Plan, tolerance: float = TOLERANCE) -> PlanDiff:
    """What changed from ``before`` to ``after``.

    Raises :class:`PlanError` with everything that is worse by more than ``tolerance`` (a share: 0.05 is 5 %): ORCH-P030
    the p95, ORCH-P031 the cost, ORCH-P032 a cost that was known and no longer is. Each names the ops that did it.
    ORCH-P033 when the plans are of different workflows.
    """
    if before.workflow != after.workflow:
        raise PlanError(
            "ORCH-P033",
            f"the checked-in plan is of `{before.workflow}`, the target is `{after.workflow}`",
            fix=f"check `{before.workflow}`, or make a plan of `{after.workflow}` with --out",
        )
    found = diff(before, after)
    worse = [*_slower(found, tolerance), *_dearer(found, tolerance)]
    if worse:
        raise PlanError.collect(worse)
    return found


def _slower(found: PlanDiff, tolerance: float) -> Iterator[Diagnostic]:
    before, after = (each.p95_s if each.p95_s is not None else p95_s(each) for each in (found.before, found.after))
    if after <= before * (1 + tolerance):
        return
    slower = [op for op in found.changed if op.seconds > 0] or sorted(
        (op for op in found.ops if op.high_seconds > 0), key=lambda op: -op.high_seconds
    )
    yield Diagnostic(
        "ORCH-P030",
        f"the predicted p95 got worse: {duration(before)} → {duration(after)} ({_relative(before, after, tolerance)})",
        _where(slower),
        why=f"slower than in the checked-in plan: {names(slower)}" if slower else _elsewhere(found),
        fix="make it faster again, or accept it: make the plan again with --out and check it in",
    )


def _dearer(found: PlanDiff, tolerance: float) -> Iterator[Diagnostic]:
    before, after = found.before.cost_usd, found.after.cost_usd
    if before is None:
        return
    if after is None:
        unpriced = [op.after for op in found.ops if op.after is not None and op.after.cost_usd is None]
        yield Diagnostic(
            "ORCH-P032",
            f"the predicted cost of 1,000 runs was {dollars(1000 * before.mid)} and is unknown now",
            why=f"no price is known for {', '.join(op.id for op in unpriced[:3])}{' …' if len(unpriced) > 3 else ''}",
            fix="give usd_per_hour, or the prices per token, in the cluster file",
        )
    elif after.mid > before.mid * (1 + tolerance):
        dearer = sorted((op for op in found.ops if (op.cost_usd or 0.0) > 0), key=lambda op: -(op.cost_usd or 0.0))
        named = ", ".join(f"{op.id} (+{dollars(1000 * (op.cost_usd or 0.0))})" for op in dearer[:3])
        yield Diagnostic(
            "ORCH-P031",
            f"the predicted cost of 1,000 runs got worse: {dollars(1000 * before.mid)} → {dollars(1000 * after.mid)} "
            f"({_relative(before.mid, after.mid, tolerance)})",
            _where(dearer),
            why=f"dearer than in the checked-in plan: {named}",
            fix="make it cheaper again, or accept it: make the plan again with --out and check it in",
        )


def _relative(before: float, after: float, tolerance: float) -> str:
    more = f"+{after / before - 1:.1%}" if before > 0 else "from nothing"
    return f"{more}; {tolerance:.1%} is allowed"


def _where(ops: Sequence[OpChange]) -> SourceLoc | None:
    """The user's line of the op that did the most."""
    op: OpPlan | None = ops[0].after if ops else None
    file, _, line = op.source.rpartition(":") if op is not None else ("", "", "")
    return SourceLoc(file, int(line)) if file and line.isdigit() else None


def _elsewhere(found: PlanDiff) -> str:
    """Why no op is to blame: what is between them, or how often they run."""
    if found.before.rate_per_s != found.after.rate_per_s:
        return "runs arrive at another rate"
    return "no single op got slower; the order of the ops or the number of repetitions changed"
