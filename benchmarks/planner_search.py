"""How good the placement solver's plans are, and how long the proof takes.

    python -m benchmarks.planner_search [--quick] [--json FILE]

``brute-force``: random workflows of 2 to 10 ops, solved for cost, latency and energy, against all plans there are
(`max_gap`, and a difference about whether there is a plan counts as infinite). ``60x8``: 60 ops on 8 pools, the cost
of a run under an SLA along the critical path, to a proved gap of 1 %; ``60x8-rate`` the same with one run arriving each
second, so that whole replicas must carry them (60 s at most, then the gap is what was proved). ``llama-70b-8gpu``:
parallelism, batch and workers, aggregated or apart, for 4,000 tokens in and 500 out under 2 s to the first token and
30 ms between tokens. ``4096gpu``: 20 model calls, each a prefill and a decode with its own choice of six types of GPU,
and 10 tools, at 40 runs a second.

`seconds` is the whole call, from the problem as data to the checked plan, in a process whose libraries are imported;
`cpu_seconds` is the processor's time for it, which other work on the machine does not stretch. Peers: aiconfigurator
takes 7 to 9 s for a 70B model on 8 GPUs (whole process), APEX 10 to 110 s (both measured elsewhere on the same kind of
machine).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from benchmarks.arms import placement_cases as cases
from benchmarks.harness.machine import describe, versions
from benchmarks.harness.record import FOLDER, OURS, Report, Result
from benchmarks.harness.stats import spread
from orchestrator.errors import PlanError
from orchestrator.planner.placement import Link, Objective, Problem, solve
from orchestrator.planner.solver.one_model import Demand, ServingPlan, serve_model
from tests.planner.placements import brute_force, random_problem, with_call

OBJECTIVES: tuple[Objective, ...] = ("cost", "latency", "energy")
GAP = 0.01
LIMIT_S = 60.0
NO_PLAN = ("ORCH-P044", "ORCH-P047")
MOST_PLANS = 6_000
"""Assignments brute force looks at per workflow."""


def results(case: str, metric: str, values: list[float], unit: str, note: str | None = None) -> Result:
    """Median with its range."""
    middle, low, high = spread([round(value, 6) for value in values])
    return Result(
        case=case, arm=OURS, metric=metric, value=middle, unit=unit, n=len(values), low=low, high=high, note=note
    )


def against_brute_force(graphs: int) -> list[Result]:
    """The largest relative distance to the optimum, and how many workflows had a plan at all."""
    worst, planned = 0.0, 0
    for seed in range(graphs):
        problem = random_problem(seed, most_ops=10, most_plans=MOST_PLANS)
        if seed % 4 == 0:
            problem = with_call(random_problem(seed, most_ops=4, most_plans=MOST_PLANS / 36), seed)
        oracle = brute_force(problem)
        planned += oracle is not None
        for objective in OBJECTIVES:
            worst = max(worst, distance(problem, objective, oracle and oracle[objective]))
    note = f"{len(OBJECTIVES)} objectives each; {planned} have a plan, for the others both say that there is none"
    # Both add the same figures in another order.
    worst = 0.0 if worst < 1e-9 else worst
    return [
        Result(case="brute-force", arm=OURS, metric="max_gap", value=min(worst, 1e9), unit="ratio", n=graphs, note=note)
    ]


def distance(problem: Problem, objective: Objective, best: float | None) -> float:
    """Relative; infinite where solver and oracle disagree about whether there is a plan."""
    try:
        value = solve(problem, objective, gap=0.0).value
    except PlanError as error:
        if error.code not in NO_PLAN:
            raise
        return 0.0 if best is None else float("inf")
    return float("inf") if best is None else abs(value - best) / max(abs(best), 1e-12)


def timed_plans(case: str, problems: list[Problem], note: str) -> list[Result]:
    """Seconds to a proved gap, and the gaps."""
    seconds, worked, gaps = [], [], []
    for problem in problems:
        began, began_cpu = time.perf_counter(), time.process_time()
        plan = solve(problem, "cost", gap=GAP, time_limit_s=LIMIT_S)
        seconds.append(time.perf_counter() - began)
        worked.append(time.process_time() - began_cpu)
        gaps.append(plan.gap)
    return [
        results(case, "seconds", seconds, "s", note),
        results(case, "cpu_seconds", worked, "s"),
        results(case, "proved_gap", gaps, "ratio"),
    ]


def one_model(repeats: int) -> list[Result]:
    """Llama-3.1-70B in BF16 on 8 H100, priced by the roofline."""
    pool = cases.pool_of("h100-sxm", 8)
    demand = Demand(4000, 500, 2.0, 0.03, kv_bytes_per_token=cases.facts("llama-3.1-70b").kv_bytes_per_token)
    link = (Link(pool.name, pool.name, 5e10, 1e-3),)
    seconds, plan = [], None
    for _ in range(repeats):
        began = time.perf_counter()
        plan = serve_model(
            [pool], lambda on, shape: cases.roofline("llama-3.1-70b", on, shape, 4000, 500), demand, links=link
        )
        seconds.append(time.perf_counter() - began)
    assert plan is not None
    return [
        results("llama-70b-8gpu", "seconds", seconds, "s", described(plan)),
        results("llama-70b-8gpu", "tokens_per_s_per_gpu", [plan.tokens_per_s_per_device], "tokens/s", "predicted"),
    ]


def described(plan: ServingPlan) -> str:
    workers = " + ".join(f"{each.count} x {each.shape}" for each in plan.workers)
    return f"{workers}; {plan.candidates} candidates; TTFT {plan.ttft_s:.3f} s, TPOT {1000 * plan.tpot_s:.1f} ms"


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planner_search", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer graphs and seeds")
    parser.add_argument(
        "--json", type=Path, default=FOLDER / "planner_search.json", metavar="FILE", help="default: %(default)s"
    )
    options = parser.parse_args(argv)
    machine = describe()
    seeds = range(3 if options.quick else 11)
    # The first plan pays for the import of the solver.
    one_model(1)
    found = [
        *against_brute_force(20 if options.quick else 420),
        *timed_plans("60x8", [cases.random_workflow(seed, 60, 8, None) for seed in seeds], "cost of a run"),
        *timed_plans(
            "60x8-rate", [cases.random_workflow(seed, 60, 8, 1.0) for seed in seeds[:5]], "with whole replicas"
        ),
        *one_model(3 if options.quick else 11),
        *timed_plans(
            "4096gpu", [cases.big_workflow(20, seed) for seed in seeds[: 1 if options.quick else 5]], "50 ops, 6 types"
        ),
    ]
    report = Report(
        benchmark="planner_search",
        quick=options.quick,
        command="python -m benchmarks.planner_search" + (" --quick" if options.quick else ""),
        machine=machine.finished(),
        versions=versions("orchestrator", "highspy", "numpy"),
        seeds={"first": 0, "workflows": len(seeds)},
        results=found,
    )
    report.write(options.json)
    for result in report.results:
        low, high = result.low or 0.0, result.high or 0.0
        print(f"{result.case:<15} {result.metric:<21} {result.value:10.5g} ({low:.3g}-{high:.3g}) {result.note or ''}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
