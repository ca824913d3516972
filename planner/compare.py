"""A plan against a run of it: for each op what was expected, what was measured, and where the plan was wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from orchestrator.planner import figures
from orchestrator.planner.interval import ZERO, Interval
from orchestrator.planner.plan import OpPlan, Plan
from orchestrator.planner.table import Column, table
from orchestrator.planner.token_price import Counted


class RecordLike(Protocol):
    """One execution of one op in a run."""

    @property
    def id(self) -> str: ...
    @property
    def seconds(self) -> float: ...
    @property
    def usage(self) -> Counted | None: ...


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of one op: the expected interval and the measured mean of its executions."""

    expected: Interval
    measured: float

    @property
    def verdict(self) -> Literal["as planned", "less", "more"]:
        if self.measured < self.expected.lo:
            return "less"
        return "more" if self.measured > self.expected.hi else "as planned"


@dataclass(frozen=True, slots=True)
class Compared:
    """One op of the plan, or of the run if the plan does not know it (``planned`` false)."""

    id: str
    what: str
    planned: bool
    executions: Difference
    seconds: Difference | None
    """``None`` when the op did not run."""
    tokens_in: Difference | None
    tokens_out: Difference | None
    cost_usd: Difference | None
    """``None`` when the price is unknown or the op is not a model call; see :func:`compare`."""

    @property
    def surprises(self) -> tuple[str, ...]:
        """The figures that fell outside of what was planned."""
        checked = {
            "executions": self.executions,
            "seconds": self.seconds,
            "tokens in": self.tokens_in,
            "tokens out": self.tokens_out,
            "cost": self.cost_usd,
        }
        return tuple(name for name, each in checked.items() if each is not None and each.verdict != "as planned")


def compare(plan: Plan, records: Iterable[RecordLike]) -> list[Compared]:
    """One row for each op of the plan in its order, then one for each op that only the run knows.

    Runs report no price, so a measured cost is the planned one scaled: by tokens where the engine charges for tokens,
    otherwise by seconds, both at the middle estimate's price.
    """
    by_id: dict[str, list[RecordLike]] = {}
    for record in records:
        by_id.setdefault(record.id, []).append(record)
    rows = [_compared(plan, op, by_id.pop(op.id, [])) for op in plan.ops]
    return rows + [_unplanned(op_id, ran) for op_id, ran in by_id.items()]


def render_comparison(rows: Sequence[Compared]) -> str:
    """The rows as a text table; surprises are named in the last column."""
    columns = (
        Column("op"),
        Column("what"),
        Column("×", right=True),
        Column("time measured"),
        Column("planned"),
        Column("tokens"),
        Column("planned"),
        Column("otherwise"),
    )
    return "\n".join(table(columns, [_cells(row) for row in rows], None)) + "\n"


def _compared(plan: Plan, op: OpPlan, ran: list[RecordLike]) -> Compared:
    executions = Difference(op.count, float(len(ran)))
    if not ran:
        return Compared(op.id, op.what, True, executions, None, None, None, None)
    seconds = Difference(op.seconds, _mean([record.seconds for record in ran]))
    used = [record.usage for record in ran if record.usage is not None]
    if not used or op.tokens_out == ZERO:
        return Compared(op.id, op.what, True, executions, seconds, None, None, None)
    into = Difference(op.tokens_in, _mean([usage.input_tokens for usage in used]))
    out = Difference(op.tokens_out, _mean([usage.output_tokens for usage in used]))
    return Compared(op.id, op.what, True, executions, seconds, into, out, _cost(plan, op, seconds, used))


def _cost(plan: Plan, op: OpPlan, seconds: Difference, used: Sequence[Counted]) -> Difference | None:
    if op.cost_usd is None:
        return None
    price = plan.cluster.engine(op.place.removeprefix("engine:")).token_price
    if price is not None:
        return Difference(op.cost_usd, _mean([price.of(usage) for usage in used]))
    if op.seconds.mid <= 0:
        return None
    return Difference(op.cost_usd, op.cost_usd.mid * seconds.measured / op.seconds.mid)


def _unplanned(op_id: str, ran: list[RecordLike]) -> Compared:
    seconds = Difference(ZERO, _mean([record.seconds for record in ran]))
    return Compared(op_id, "not in the plan", False, Difference(ZERO, float(len(ran))), seconds, None, None, None)


def _cells(row: Compared) -> list[str]:
    tokens, tokens_planned = "", ""
    if row.tokens_in and row.tokens_out:
        tokens = f"{figures.tokens(row.tokens_in.measured)}→{figures.tokens(row.tokens_out.measured)}"
        tokens_planned = f"{figures.tokens(row.tokens_in.expected.mid)}→{figures.tokens(row.tokens_out.expected.mid)}"
    return [
        row.id,
        row.what,
        f"{row.executions.measured:g}",
        figures.duration(row.seconds.measured) if row.seconds else "did not run",
        figures.spread(row.seconds.expected, figures.duration) if row.seconds and row.planned else "",
        tokens,
        tokens_planned,
        ", ".join(row.surprises),
    ]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
