"""Two plans side by side: what moved, what got slower or dearer, op by op and in total.

Op by op, seconds are of one run (of one execution times the executions expected) and USD, which are often tiny, are
printed for a thousand of them. Loops, maps and the like are left out, for they take what the ops inside them take.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pydantic_core import to_jsonable_python

from orchestrator.planner import figures
from orchestrator.planner.interval import Interval
from orchestrator.planner.plan import OpPlan, Plan
from orchestrator.planner.table import Column, fitted, table

_NOTHING: Final = 1e-12
_COLUMNS: Final = (
    Column("op", least=12),
    Column("where", rank=3),
    Column("time"),
    Column("then"),
    Column("change", right=True),
    Column("cost", rank=2),
    Column("then", rank=2),
    Column("change", right=True, rank=2),
)


@dataclass(frozen=True, slots=True)
class OpChange:
    """One op in both plans; a side is ``None`` where the op is not in that plan."""

    id: str
    before: OpPlan | None
    after: OpPlan | None

    @property
    def status(self) -> Literal["same", "changed", "new", "gone"]:
        """Whether it is in both plans, and if so whether anything about it differs."""
        if self.before is None or self.after is None:
            return "new" if self.before is None else "gone"
        priced = (self.before.cost_usd is None) == (self.after.cost_usd is None)
        alike = priced and self.moved == () and abs(self.seconds) < _NOTHING and abs(self.cost_usd or 0.0) < _NOTHING
        return "same" if alike else "changed"

    @property
    def moved(self) -> tuple[str, ...]:
        """Where it was and where it is; empty when that is the same."""
        if self.before is None or self.after is None:
            return ()
        places = tuple(place_of(each) for each in (self.before, self.after))
        return places if places[0] != places[1] else ()

    @property
    def seconds(self) -> float:
        """More (or less) seconds in one run, at the middle estimate."""
        return _change(_seconds(self.before), _seconds(self.after)) or 0.0

    @property
    def high_seconds(self) -> float:
        """The same at the high end of the estimate."""
        before, after = (each.seconds.hi * each.count.hi if each else 0.0 for each in (self.before, self.after))
        return after - before

    @property
    def cost_usd(self) -> float | None:
        """More (or less) USD in one run; ``None`` when a price is unknown on either side."""
        return _change(_cost(self.before), _cost(self.after))


@dataclass(frozen=True)
class PlanDiff:
    """``before`` and ``after``, and every op of either without others inside it, in program order."""

    before: Plan
    after: Plan
    ops: tuple[OpChange, ...]

    @property
    def workflow_changed(self) -> bool:
        """Whether the plans are of different code."""
        return self.before.ir_hash != self.after.ir_hash

    @property
    def changed(self) -> tuple[OpChange, ...]:
        """The ops that differ, those that add the most seconds first."""
        return tuple(sorted((op for op in self.ops if op.status != "same"), key=lambda op: -op.seconds))

    def as_dict(self) -> dict[str, object]:
        """A JSON-ready form."""
        fields = ("seconds", "p95_s", "cost_usd", "objective", "rate_per_s", "sla_s", "ir_hash")
        totals = {name: [getattr(self.before, name), getattr(self.after, name)] for name in fields}
        data = {
            "workflow": [self.before.workflow, self.after.workflow],
            "workflow_changed": self.workflow_changed,
            **totals,
            "ops": [_op_dict(op) for op in self.ops if op.status != "same"],
        }
        found: dict[str, object] = to_jsonable_python(data)
        return found


def diff(before: Plan, after: Plan) -> PlanDiff:
    """Match the ops of two plans by id."""
    names = [op.id for op in _leaves(after)]
    names += [op.id for op in _leaves(before) if op.id not in after.by_id]
    return PlanDiff(
        before, after, tuple(OpChange(name, before.by_id.get(name), after.by_id.get(name)) for name in names)
    )


def _leaves(plan: Plan) -> list[OpPlan]:
    regions = {op.parent for op in plan.ops}
    return [op for op in plan.ops if op.id not in regions]


def render_diff(found: PlanDiff, before: str, after: str, width: int | None = None) -> str:
    """The ops that differ as a table of ``width`` cells (as wide as it is where there is no terminal), and the totals;
    the plans by their names."""
    return "\n".join(_lines(found, before, after, width)) + "\n"


def _lines(found: PlanDiff, before: str, after: str, width: int | None) -> Iterator[str]:
    yield from fitted(f"`{found.after.workflow}`: {before} → {after}. Time is of one run, cost of 1,000.", width)
    yield ""
    rows = [_row(op) for op in found.changed]
    if rows:
        yield from table(_COLUMNS, rows, width)
        yield ""
    same = sum(op.status == "same" for op in found.ops)
    unchanged = [f"unchanged  {same} op{'s' * (same != 1)}"] if same else []
    for line in (*totals(found), *unchanged, *_settings(found)):
        yield from fitted(line, width)


def totals(found: PlanDiff) -> Iterator[str]:
    """A line for time, p95 and cost."""
    a, b = found.before, found.after
    yield f"total      {_pair(a.seconds.mid, b.seconds.mid, figures.duration)}"
    if a.p95_s is not None or b.p95_s is not None:
        yield f"p95        {_pair(a.p95_s, b.p95_s, figures.duration)}"
    hourly_a, hourly_b = (each.bill.usd_per_hour if each.bill is not None else None for each in (a, b))
    if hourly_a is not None and hourly_b is not None:
        yield f"bill       {_pair(hourly_a, hourly_b, figures.dollars)} an hour"
    yield f"cost       {_pair(_mid(a.cost_usd), _mid(b.cost_usd), _dollars)} for 1,000 runs"


def signed(change: float, form: Callable[[float], str]) -> str:
    """A difference with its sign: ``+1.2s``, ``-$0.003``, ``=``."""
    if abs(change) < _NOTHING:
        return "="
    return f"{'+' if change > 0 else '-'}{form(abs(change))}"


def place_of(op: OpPlan) -> str:
    """Where an op runs, with its device where it has one."""
    return f"{op.place} on {op.device}" if op.device is not None and op.place.startswith("engine:") else op.place


def _settings(found: PlanDiff) -> Iterator[str]:
    a, b = found.before, found.after
    if a.workflow != b.workflow:
        yield f"workflow   {a.workflow} → {b.workflow}"
    elif found.workflow_changed:
        yield f"workflow   changed: {a.ir_hash[:12] or 'unknown'} → {b.ir_hash[:12] or 'unknown'}"
    if a.objective != b.objective:
        yield f"objective  {a.objective} → {b.objective}"
    if a.rate_per_s != b.rate_per_s:
        yield f"rate       {_rate(a.rate_per_s)} → {_rate(b.rate_per_s)}"
    hardware = [
        ", ".join(f"{each.count} x {each.type}" for each in plan.cluster.devices) or "unknown" for plan in (a, b)
    ]
    if hardware[0] != hardware[1]:
        yield f"hardware   {hardware[0]} → {hardware[1]}"


def _row(op: OpChange) -> list[str]:
    where = " → ".join(op.moved) or place_of(op.after or op.before)  # type: ignore[arg-type]
    seconds = [_figure(_seconds(each), figures.duration) if each else "" for each in (op.before, op.after)]
    costs = [_figure(_cost(each), _dollars) if each else "" for each in (op.before, op.after)]
    more = op.cost_usd
    change = op.status if op.status in ("new", "gone") else signed(op.seconds, figures.duration)
    return [op.id, where, *seconds, change, *costs, "?" if more is None else signed(more, _dollars)]


def _op_dict(op: OpChange) -> dict[str, object]:
    sides: dict[str, object] = {
        name: None
        if each is None
        else {"place": each.place, "device": each.device, "seconds": _seconds(each), "cost_usd": _cost(each)}
        for name, each in (("before", op.before), ("after", op.after))
    }
    return {"id": op.id, "status": op.status, **sides, "seconds_change": op.seconds, "cost_usd_change": op.cost_usd}


def _seconds(op: OpPlan | None) -> float:
    return op.seconds.mid * op.count.mid if op else 0.0


def _cost(op: OpPlan | None) -> float | None:
    if op is None:
        return 0.0
    return op.cost_usd.mid * op.count.mid if op.cost_usd is not None else None


def _change(before: float | None, after: float | None) -> float | None:
    return after - before if before is not None and after is not None else None


def _mid(interval: Interval | None) -> float | None:
    return interval.mid if interval is not None else None


def _figure(value: float | None, form: Callable[[float], str]) -> str:
    return "?" if value is None else form(value)


def _pair(before: float | None, after: float | None, form: Callable[[float], str]) -> str:
    both = f"{_figure(before, form)} → {_figure(after, form)}"
    if before is None or after is None:
        return both
    relative = f", {after / before - 1:+.0%}" if before > 0 and abs(after - before) > _NOTHING else ""
    return f"{both} ({signed(after - before, form)}{relative})"


def _dollars(usd: float) -> str:
    return figures.dollars(1000 * usd)


def _rate(rate_per_s: float | None) -> str:
    return "one at a time" if rate_per_s is None else f"{rate_per_s:g} runs/s"


def names(ops: Sequence[OpChange], most: int = 3) -> str:
    """The first few ops with their change, for a sentence."""
    said = [f"{op.id} ({signed(op.seconds, figures.duration)})" for op in ops[:most]]
    return ", ".join(said) + (" …" if len(ops) > most else "")
