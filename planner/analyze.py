"""A plan against the runs of it: which ops it got wrong, by how much, and what the cost model can learn from that.

An op's ratio is its measured seconds (the mean of its executions) over the middle estimate; an interval is right when
it holds about as many executions as its level says. What is learned is another ratio: a model call is compared with
the estimate *for the tokens it really processed*, so that a reply longer than guessed is not blamed on the device.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator import __version__
from orchestrator.planner import figures
from orchestrator.planner.breakdown import PREFILL
from orchestrator.planner.compare import Compared, compare
from orchestrator.planner.observations import Observation, hardware_of
from orchestrator.planner.plan import OpPlan
from orchestrator.planner.record import OpMeasured, RunRecord
from orchestrator.planner.table import Column, fitted, table
from orchestrator.planner.tail import LEVEL

_COLUMNS: Final = (
    Column("op", least=12),
    Column("where", rank=4),
    Column("×", right=True, rank=2),
    Column("measured"),
    Column("predicted", rank=1),
    Column("ratio", right=True),
    Column("inside", right=True, rank=3),
    Column("tokens out", rank=5),
    Column("predicted", rank=5),
)


@dataclass(frozen=True, slots=True)
class AnalyzedOp:
    """One op that ran."""

    compared: Compared
    place: str
    executions: int
    inside: int
    """Executions whose seconds lie within the predicted interval."""

    @property
    def id(self) -> str:
        return self.compared.id

    @property
    def ratio(self) -> float | None:
        """Measured over predicted seconds; ``None`` when nothing was predicted."""
        seconds = self.compared.seconds
        if seconds is None or seconds.expected.mid <= 0:
            return None
        return seconds.measured / seconds.expected.mid

    @property
    def covered(self) -> bool:
        """Whether the mean lies within the interval."""
        seconds = self.compared.seconds
        return seconds is not None and seconds.verdict == "as planned"

    @property
    def surprise(self) -> float:
        """How wrong the middle estimate was, as a factor either way; infinite when the plan did not know the op."""
        ratio = self.ratio
        if ratio is None:
            return math.inf
        return max(ratio, 1 / ratio) if ratio > 0 else math.inf


@dataclass(frozen=True)
class Analysis:
    """The ops that ran, worst first, and what the runs took from end to end."""

    record: RunRecord
    ops: tuple[AnalyzedOp, ...]
    did_not_run: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """A JSON-ready form."""
        plan = self.record.plan
        return {
            "workflow": plan.workflow,
            "runs": len(self.record.runs),
            "failed": self.record.failed,
            "simulated": self.record.simulated,
            "concurrency": self.record.concurrency,
            "seconds": {
                "predicted": list(plan.seconds.bounds),
                "p95": plan.p95_s,
                "measured": [run.seconds for run in self.record.runs],
            },
            "ops": [_op_dict(op) for op in self.ops],
            "did_not_run": list(self.did_not_run),
        }


def analyze(record: RunRecord) -> Analysis:
    """Compare every op of the record's plan with its executions."""
    measured = [op for run in record.runs for op in run.ops]
    by_id: dict[str, list[OpMeasured]] = {}
    for each in measured:
        by_id.setdefault(each.id, []).append(each)
    plan = record.plan
    ran = [_analyzed(row, plan.by_id.get(row.id), by_id[row.id]) for row in compare(plan, measured) if row.id in by_id]
    regions = {op.parent for op in plan.ops}
    idle = (op for op in plan.ops if op.id not in by_id and op.id not in regions and op.place != "inline")
    return Analysis(record, tuple(sorted(ran, key=lambda op: -op.surprise)), tuple(op.id for op in idle))


def observations(record: RunRecord) -> list[Observation]:
    """The model calls of a record that say something about the hardware they ran on.

    None of simulated runs, nor of runs that shared their engines with each other: their seconds are not those of a run
    alone, which is what a plan without a rate predicts. Calls of one run that overlap count as they are.
    """
    if why_not_learned(record):
        return []
    found: list[Observation] = []
    for run in record.runs:
        for each in run.ops:
            op = record.plan.by_id.get(each.id)
            hardware = hardware_of(op, record.plan.cluster) if op is not None else None
            if op is None or hardware is None or each.attempts > 1 or each.seconds <= 0:
                continue
            predicted_s = _predicted_s(op, each)
            if predicted_s > 0:
                found.append(
                    Observation(
                        run=run.run_id,
                        op=op.id,
                        frame=each.frame,
                        kind=op.kind,
                        device=hardware[0],
                        engine=hardware[1],
                        predicted_s=predicted_s,
                        measured_s=each.seconds,
                        made_by=record.made_by,
                    )
                )
    return found


def why_not_learned(record: RunRecord) -> str:
    """Why nothing can be learned from a record; empty when it can."""
    if record.simulated:
        return "its replies are simulated"
    if record.made_by != __version__:
        return f"it was planned by version {record.made_by}, and this is {__version__}"
    if record.concurrency > 1 and len(record.runs) + record.failed > 1:
        return f"up to {record.concurrency} runs shared the engines; record them with --concurrency 1"
    return ""


def render_analysis(found: Analysis, width: int | None = None) -> str:
    """The ops as a table of ``width`` cells (as wide as it is where there is no terminal), and a summary."""
    return "\n".join(_lines(found, width)) + "\n"


def _analyzed(row: Compared, op: OpPlan | None, ran: Sequence[OpMeasured]) -> AnalyzedOp:
    inside = sum(each.seconds in op.seconds for each in ran) if op is not None else 0
    return AnalyzedOp(row, ran[0].place or (op.place if op is not None else ""), len(ran), inside)


def _predicted_s(op: OpPlan, measured: OpMeasured) -> float:
    """The uncorrected estimate without waiting, stretched to the tokens of one execution."""
    waits = op.wait_s.mid if op.wait_s is not None else 0.0
    alone = (op.seconds.mid - waits) / op.correction
    usage = measured.usage
    if usage is None or op.tokens_out.mid <= 0:
        return alone
    whole = sum(part for name, part in op.spent_s.items() if name != "waiting")
    prefill = sum(part for name, part in op.spent_s.items() if name in PREFILL) / whole if whole > 0 else 0.0
    new = max(usage.input_tokens - (usage.cached_tokens or 0), 0)
    into = new / op.tokens_in.mid if op.tokens_in.mid > 0 else 1.0
    return alone * (prefill * into + (1 - prefill) * usage.output_tokens / op.tokens_out.mid)


def _lines(found: Analysis, width: int | None) -> Iterator[str]:
    record, plan = found.record, found.record.plan
    count = len(record.runs)
    label = ", SIMULATED: nothing below measures a model" if record.simulated else ""
    heading = f"`{plan.workflow}`: {count} run{'s' * (count != 1)} against the plan, worst predictions first{label}."
    yield from fitted(heading, width)
    yield ""
    if found.ops:
        yield from table(_COLUMNS, [_row(op) for op in found.ops], width)
        yield ""
    for line in _summary(found):
        yield from fitted(line, width)


def _summary(found: Analysis) -> Iterator[str]:
    record, plan = found.record, found.record.plan
    count = len(record.runs)
    if count:
        measured = sorted(run.seconds for run in record.runs)
        spread = " ".join(
            figures.duration(each) for each in dict.fromkeys((measured[0], measured[count // 2], measured[-1]))
        )
        yield f"run        {spread} measured, {figures.spread(plan.seconds, figures.duration)} predicted"
    regions = {op.parent for op in plan.ops}
    leaves = [op for op in found.ops if op.compared.planned and op.id not in regions]
    executions = sum(op.executions for op in leaves)
    if executions:
        inside = sum(op.inside for op in leaves)
        yield f"inside     {inside} of {executions} executions lie in their interval; {LEVEL:.0%} should"
    if record.failed:
        yield f"failed     {record.failed} run{'s' * (record.failed != 1)}, not counted"
    if found.did_not_run:
        more = " …" if len(found.did_not_run) > 6 else ""
        yield f"idle       {', '.join(found.did_not_run[:6])}{more} did not run"


def _row(op: AnalyzedOp) -> list[str]:
    row, ratio = op.compared, op.ratio
    assert row.seconds is not None
    tokens = ("", "")
    if row.tokens_out is not None:
        tokens = (figures.tokens(row.tokens_out.measured), figures.spread(row.tokens_out.expected, figures.tokens))
    return [
        op.id,
        op.place,
        str(op.executions),
        figures.duration(row.seconds.measured),
        figures.spread(row.seconds.expected, figures.duration) if row.planned else "not in the plan",
        "?" if ratio is None else f"{figures.two_digits(ratio)}×",
        f"{op.inside}/{op.executions}" if row.planned else "",
        *tokens,
    ]


def _op_dict(op: AnalyzedOp) -> dict[str, object]:
    row = op.compared
    assert row.seconds is not None
    tokens = row.tokens_out
    return {
        "id": op.id,
        "place": op.place,
        "planned": row.planned,
        "executions": op.executions,
        "predicted_s": list(row.seconds.expected.bounds) if row.planned else None,
        "measured_s": row.seconds.measured,
        "ratio": op.ratio,
        "covered": op.covered,
        "inside": op.inside,
        "tokens_out": {"predicted": list(tokens.expected.bounds), "measured": tokens.measured} if tokens else None,
    }
