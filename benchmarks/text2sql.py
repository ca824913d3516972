"""Execution accuracy of the bundled text-to-SQL model on schemas it was never trained on: one call against a workflow.

    python -m benchmarks.text2sql [--quick] --json FILE [--model PATH_OR_ID] [--engine vllm]

Questions are generated over databases whose tables, columns and values are named from words kept out of training
(`examples.text2sql.corpus.unseen_cases`; `SEED` was used neither for training nor for choosing the model). Both arms
answer every question through the same real engine:

- ``single-shot``: a compiled workflow of one greedy, structured call, and its query executed;
- ``workflow``: the compiled workflow of ``examples/text2sql``, the one ``orch run examples/text2sql`` runs.

An answer is right if its rows equal the reference query's rows, in order where the question asks for one. Metrics:
`execution_accuracy` with Wilson's 95 % interval; `error_ratio`, the workflow's errors over the single shot's, with a
paired bootstrap interval that draws whole schemas; tokens and wall seconds per question.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness.record import Result
from benchmarks.harness.stats import error_ratio, error_ratio_interval, wilson

if TYPE_CHECKING:
    from examples.text2sql.corpus import Case

CASE = "unseen-schemas"
SINGLE, WORKFLOW = "single-shot", "workflow"
SEED = 20261
SCHEMAS, QUESTIONS = 25, 600
QUICK_SCHEMAS, QUICK_QUESTIONS = 20, 60
IN_FLIGHT = 8
"""Questions under way at once: batching in the engine, as in any evaluation."""

Rows = Sequence[Sequence[str | int | float | None]]


@dataclass(frozen=True)
class Reply:
    """What an arm gave for one question."""

    rows: Rows
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    failure: str | None = None


@dataclass
class Outcome:
    """One arm over all questions, in their order."""

    right: list[bool] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    wall_s: float = 0.0


Ask = Callable[["Case", Path], Awaitable[Reply]]


def build_databases(cases: Sequence[Case], folder: Path) -> dict[int, Path]:
    """One SQLite file a schema."""
    paths: dict[int, Path] = {}
    for case in cases:
        if case.database_id not in paths:
            path = folder / f"{case.database_id}.db"
            case.connect(str(path)).close()
            paths[case.database_id] = path
    return paths


async def answer_all(cases: Sequence[Case], databases: dict[int, Path], ask: Ask, label: str = "") -> Outcome:
    """Ask every question, `IN_FLIGHT` at a time, and compare rows with the reference query's."""
    from examples.text2sql.corpus import same_result
    from examples.text2sql.sandbox import execute

    slots, done = asyncio.Semaphore(IN_FLIGHT), 0

    async def one(case: Case) -> tuple[Reply, bool]:
        nonlocal done
        database = databases[case.database_id]
        async with slots:
            reply = await ask(case, database)
        gold = execute(database, case.sql)
        if gold.error or gold.truncated:
            raise RuntimeError(f"the reference query of {case.question!r} failed: {gold.error or 'too many rows'}")
        done += 1
        if done % 50 == 0:
            print(f"  {label} {done}/{len(cases)}", file=sys.stderr)
        return reply, reply.failure is None and same_result(gold.rows, reply.rows, case.ordered)

    began = time.perf_counter()
    answered = await asyncio.gather(*(one(case) for case in cases))
    return Outcome([ok for _, ok in answered], [reply for reply, _ in answered], time.perf_counter() - began)


def results_of(outcomes: dict[str, Outcome], groups: Sequence[object], *, note: str | None = None) -> list[Result]:
    """Every metric of every arm."""
    results: list[Result] = []
    for arm, outcome in outcomes.items():
        n, good = len(outcome.right), sum(outcome.right)
        low, high = wilson(good, n)

        def add(
            metric: str, value: float, unit: str, low: float | None = None, high: float | None = None, *,
            arm: str = arm, n: int = n,
        ) -> None:  # fmt: skip
            results.append(
                Result(
                    case=CASE, arm=arm, metric=metric, value=round(value, 4), unit=unit, n=n, note=note,
                    low=None if low is None else round(low, 4), high=None if high is None else round(high, 4),
                )
            )  # fmt: skip

        add("execution_accuracy", good / n, "share", low, high)
        add("input_tokens", sum(r.input_tokens for r in outcome.replies) / n, "tokens/question")
        add("cached_tokens", sum(r.cached_tokens for r in outcome.replies) / n, "tokens/question")
        add("output_tokens", sum(r.output_tokens for r in outcome.replies) / n, "tokens/question")
        add("wall_seconds", outcome.wall_s / n, "s/question")
        add("failed_runs", sum(r.failure is not None for r in outcome.replies), "runs")
    if SINGLE in outcomes and WORKFLOW in outcomes and not all(outcomes[SINGLE].right):
        ours, base = outcomes[WORKFLOW].right, outcomes[SINGLE].right
        low, high = error_ratio_interval(ours, base, groups, seed=SEED)
        ratio = error_ratio(ours, base)
        results.append(
            Result(
                case=CASE, arm=WORKFLOW, metric="error_ratio", value=round(ratio, 4), unit="ratio", n=len(ours),
                low=round(min(low, ratio), 4), high=round(max(high, ratio), 4), note=note,
            )
        )  # fmt: skip
    return results
