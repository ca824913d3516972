"""What the demonstration shows when its questions are answered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from orchestrator.cli.app import Facts, Job, Outcome, Report
from orchestrator.cli.output import cost_text, total_cost, total_usage, usage_data, usage_text
from orchestrator.planner.compare import Difference, compare
from orchestrator.planner.figures import dollars, duration, spread, tokens
from orchestrator.planner.interval import Interval
from orchestrator.runtime.engines.base import Usage

from .questions import Reference, same_rows
from .sandbox import execute
from .schema_text import rows_text
from .workflow import Answer

WIDE = 110
"""Columns from which question, query and answer stand side by side instead of one below the other."""
_ARROWS = {"over": "↑", "under": "↓"}
BUNDLED = "the small bundled model (6.2 M parameters, trained for this example), which is honestly imperfect"


@dataclass(frozen=True, slots=True)
class Row:
    """One question and how it went."""

    question: str
    answer: Answer | None
    failure: str | None
    correct: bool | None
    """Whether the rows equal the reference query's; None where there is none."""
    reference: str | None
    turns: int | None
    """Model calls; five drafts of one prompt are one. None for an answer that was there before."""
    usage: Usage
    seconds: float
    cost_usd: float | None
    otherwise: tuple[str, ...]
    """The figures of the whole run that fell outside the plan: ``time over``, ``tokens under``."""

    @property
    def mark(self) -> Text:
        """✓, ✗, or – where nothing is known."""
        if self.correct is None:
            return Text("–", style="dim")
        return Text("✓", style="bold green") if self.correct else Text("✗", style="bold red")

    @property
    def said(self) -> str:
        """The answer in words, or why there is none."""
        if self.answer is None:
            return f"failed: {self.failure}"
        return self.answer.text or f"no answer: {self.answer.problem}"


def report(job: Job, outcomes: Sequence[Outcome], facts: Facts) -> Report:
    """The table and its footer, and the same as data."""
    del job
    rows = [_row(outcome, facts) for outcome in outcomes]
    answered = [outcome for outcome in outcomes if outcome.result is not None]
    own = all(row.correct is None for row in rows)
    parts: list[RenderableType] = [Group(*map(_card, rows))] if own and len(rows) <= 3 else [_Answers(rows), Text()]
    surprises = list(_surprises(outcomes, facts))
    view = Group(*parts, *_plan_view(surprises, facts, len(answered)), *_footer(rows, outcomes, facts))
    return Report(_data(rows, outcomes, facts, surprises), view, failed=not answered)


def _row(outcome: Outcome, facts: Facts) -> Row:
    reference = outcome.case.expected if isinstance(outcome.case.expected, Reference) else None
    question, sql = outcome.case.name, reference.sql if reference else None
    result = outcome.result
    if result is None:
        failure = outcome.error.message if outcome.error else ""
        return Row(question, None, failure, None if sql is None else False, sql, 0, Usage(), 0.0, None, ())
    value: Answer = result.value
    correct = None
    if reference is not None:
        expected = execute(str(outcome.case.inputs["database"]), reference.sql)
        correct = not value.problem and same_rows(expected.rows, value.rows, reference.ordered)
    turns = sum(op.place.startswith("engine") for op in result.ops) if result.ops else None
    total = result.usage.input_tokens + result.usage.output_tokens
    measured = (("time", result.seconds, facts.plan.seconds), ("tokens", total, facts.plan.tokens))
    otherwise = tuple(
        f"{name} {'over' if figure > planned.hi else 'under'}"
        for name, figure, planned in measured
        if turns is not None and not planned.lo <= figure <= planned.hi
    )
    return Row(
        question, value, None, correct, sql, turns, result.usage, result.seconds, result.cost_usd, otherwise
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Answers:
    """The table, laid out for the width there is."""

    rows: Sequence[Row]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = options.max_width >= WIDE
        table = Table(box=None, padding=(0, 1, 0, 0), show_edge=False, header_style="bold", expand=wide)
        table.add_column("")
        if wide:
            for name, ratio in (("question", 5), ("SQL", 7), ("answer", 5)):
                table.add_column(name, ratio=ratio, overflow="fold")
        else:
            table.add_column("question, SQL, answer", overflow="fold", ratio=1)
        for name in ("turns", "tokens", "cached", "time", "cost"):
            table.add_column(name, justify="right", no_wrap=True)
        for row in self.rows:
            sql, said = row.answer.sql if row.answer else "", row.said
            texts = [Text(row.question), Text(sql, style="cyan"), Text(said)]
            cells: list[RenderableType] = [row.mark]
            cells += texts if wide else [Text("\n").join(text for text in texts if text.plain)]
            table.add_row(*cells, *_figures(row))
            if not wide:
                table.add_row()
        yield table


def _figures(row: Row) -> list[Text]:
    total = row.usage.input_tokens + row.usage.output_tokens
    marks = {name: _ARROWS[way] for name, way in (each.split() for each in row.otherwise)}
    return [
        Text("–" if row.turns is None else str(row.turns)),
        Text(tokens(total) + marks.get("tokens", ""), style="yellow" if "tokens" in marks else ""),
        Text("?" if row.usage.cached_tokens is None else tokens(row.usage.cached_tokens)),
        Text(
            "–" if row.turns is None else duration(row.seconds) + marks.get("time", ""),
            style="yellow" if "time" in marks else "",
        ),
        Text("?" if row.cost_usd is None else dollars(row.cost_usd)),
    ]


def _card(row: Row) -> RenderableType:
    """One question of the user's own, with its rows."""
    lines = [Text(row.question, style="bold"), Text(row.said)]
    if row.answer is not None:
        lines.append(Text(row.answer.sql, style="cyan"))
        if len(row.answer.rows) > 1:
            lines.append(Text(rows_text(row.answer.rows), style="dim"))
    return Group(*lines, Text())


@dataclass(frozen=True, slots=True)
class Surprise:
    """A figure of an op that fell outside of its planned interval in some runs."""

    op: str
    figure: str
    planned: Interval
    measured: float
    """Median over the runs in which it fell outside."""
    runs: int


def _surprises(outcomes: Iterable[Outcome], facts: Facts) -> Iterator[Surprise]:
    """What the plan got wrong, in its order."""
    found: dict[tuple[str, str], list[Difference]] = {}
    for outcome in outcomes:
        for each in compare(facts.plan, outcome.result.ops) if outcome.result else ():
            if not each.planned or facts.plan.by_id[each.id].place == "inline":
                continue
            figures = {"time": each.seconds, "tokens in": each.tokens_in, "tokens out": each.tokens_out}
            for name, difference in figures.items():
                if difference is not None and difference.verdict != "as planned":
                    found.setdefault((each.id, name), []).append(difference)
    for (op, name), differences in found.items():
        yield Surprise(
            op, name, differences[0].expected, median(each.measured for each in differences), len(differences)
        )


def _plan_view(surprises: Sequence[Surprise], facts: Facts, runs: int) -> Iterator[RenderableType]:
    plan = facts.plan
    expected = f"{spread(plan.seconds, duration)}, {spread(plan.tokens, tokens)} tokens"
    if not surprises:
        yield Text(f"The plan expected of each run {expected}; every op of every run stayed within its intervals.")
        return
    yield Text(f"The plan expected of each run {expected}. It said otherwise about:")
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="bold")
    table.add_column("  op")
    table.add_column("figure")
    for name in ("planned", "measured", "in runs"):
        table.add_column(name, justify="right")
    for each in surprises:
        form = duration if each.figure == "time" else tokens
        table.add_row(
            f"  {each.op}", each.figure, spread(each.planned, form), form(each.measured), f"{each.runs} of {runs}"
        )
    yield table


def _footer(rows: Sequence[Row], outcomes: Sequence[Outcome], facts: Facts) -> Iterator[RenderableType]:
    results = [outcome.result for outcome in outcomes if outcome.result is not None]
    known = [row for row in rows if row.correct is not None]
    yield Text()
    if known:
        right = sum(bool(row.correct) for row in known)
        yield Text(f"{right} of {len(known)} equal the reference answers.", style="bold")
    yield Text(
        f"{usage_text(total_usage(results))}; {duration(facts.seconds)}, "
        f"and {duration(facts.start_seconds)} to start; {cost_text(total_cost(results))}."
    )
    if facts.simulated:
        yield Text("SIMULATED: no model answered; replies were made up by the simulator.", style="bold red")
    else:
        bundled = f": {BUNDLED}" if facts.model.endswith("examples/text2sql/model") else ""
        yield Text(f"Answered by {facts.model} on {facts.engine}{bundled}.")
    yield Text()
    for line in _next():
        yield Text(line, style="dim")


def _next() -> Iterator[str]:
    yield "Next:"
    yield '  orch run examples/text2sql "Which section has the most packages?"'
    yield '  orch run examples/text2sql --csv FILE.csv "How many rows are there?"'
    yield "  orch run examples/text2sql --model Qwen/Qwen2.5-Coder-1.5B-Instruct"
    yield "  orch explain examples/text2sql"
    yield ""
    yield "The same model behind a server, on a CPU or a small machine:"
    yield "  python -m vllm.entrypoints.openai.api_server \\"
    yield "    --model examples/text2sql/model --served-model-name text2sql \\"
    yield "    --scheduler-cls orchestrator.kv.Scheduler \\"
    yield "    --kv-cache-memory-bytes 1G --enforce-eager"
    yield "  orch run examples/text2sql --model text2sql \\"
    yield "    --base-url http://localhost:8000/v1"


def _data(
    rows: Sequence[Row], outcomes: Sequence[Outcome], facts: Facts, surprises: Sequence[Surprise]
) -> dict[str, Any]:
    results = [outcome.result for outcome in outcomes if outcome.result is not None]
    known = [row for row in rows if row.correct is not None]
    return {
        "model": facts.model,
        "engine": facts.engine,
        "simulated": facts.simulated,
        "correct": sum(bool(row.correct) for row in known) if known else None,
        "compared": len(known),
        "usage": usage_data(total_usage(results)),
        "cost_usd": total_cost(results),
        "seconds": round(facts.seconds, 3),
        "start_seconds": round(facts.start_seconds, 3),
        "planned": {"seconds": facts.plan.seconds, "tokens": facts.plan.tokens, "cost_usd": facts.plan.cost_usd},
        "otherwise": [
            {
                "op": each.op,
                "figure": each.figure,
                "planned": each.planned,
                "measured": each.measured,
                "runs": each.runs,
            }
            for each in surprises
        ],
        "questions": [
            {
                "question": row.question,
                "sql": row.answer.sql if row.answer else None,
                "rows": row.answer.rows if row.answer else None,
                "answer": row.said,
                "equals_reference": row.correct,
                "reference": row.reference,
                "turns": row.turns,
                "usage": usage_data(row.usage),
                "seconds": round(row.seconds, 4),
                "cost_usd": row.cost_usd,
                "otherwise": row.otherwise,
            }
            for row in rows
        ],
    }
