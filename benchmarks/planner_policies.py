"""Scheduling policies for text-to-SQL programs on 2 x A100, RTX A6000 and L40S, from light load to overload. Simulated.

    python -m benchmarks.planner_policies [--quick] [--json FILE]

The load is ``planner/study/text2sql.py``, the cluster ``benchmarks/scheduling/cluster.py``. Four policies see the same
programs with the same predictions (means of each step over 500 earlier programs). The alpha of workload-balanced +
urgency is tuned for each load on the tuning seeds; ours has one setting for all loads, chosen on those seeds too.
Everything printed is of other seeds.

``p95_reduction`` is one less our p95 over that of workload-balanced + urgency, seed by seed; ``possible_reduction`` the
same for programs that do not meet each other at all, which no policy can be much below. ``rate_at_slo`` is the highest
rate at which the stated share of programs is done within the SLO, a multiple of the 51 s that a program takes on
average on an A100 of its own; ``rate_ratio`` is ours over round robin's. ``low`` and ``high`` are the range over seeds.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields, replace
from pathlib import Path

from benchmarks.harness.machine import describe, versions
from benchmarks.harness.record import FOLDER, Report, Result
from benchmarks.harness.record import OURS as OUR_ARM
from benchmarks.harness.stats import spread
from benchmarks.scheduling.compare import Plan, alone, capacities, measure, middle, reductions, tune
from benchmarks.scheduling.trial import BALANCED, OURS, POLICY_NAMES, ROUND_ROBIN, Outcome, run

ALONE_MEAN_S = 51.0
SLO_FACTOR = 5.0
LEVELS = ((5.0, 0.90), (5.0, 0.95), (3.0, 0.90))
"""SLO, as a multiple of ``ALONE_MEAN_S``, and the share of programs that must meet it."""
MOST_SEEDS_OF_RATES = 5
RATES_PER_S = (0.05, 0.1, 0.2, 0.3, 0.4, 0.6)
"""The best tuned rival's throughput levels off at about 0.43/s: from an eighth of that to 1.4 times it."""
ALPHAS = tuple(1 / (1 + 10 ** (power / 3)) for power in range(-9, 16, 2))
"""From 0.999 (fast devices only) to 0.00001 (short queues only)."""
UNITS = {"slo_attainment": "share", "throughput_per_s": "1/s", "hit_share": "share"}
FULL = Plan(RATES_PER_S, ALPHAS, (101, 102, 103, 104), (1, 2, 3, 4, 5, 6, 7, 8), 600, SLO_FACTOR * ALONE_MEAN_S, 6)
QUICK = replace(FULL, rates_per_s=(0.1, 0.3, 0.6), alphas=ALPHAS[::2], tuning_seeds=(101, 102), seeds=(1, 2, 3, 4, 5),
                programs=200, bisections=4)  # fmt: skip


def results_of(plan: Plan, tuned: Mapping[float, float], found: Mapping[tuple[float, str], list[Outcome]],
               bound: Sequence[Outcome]) -> Iterator[Result]:  # fmt: skip
    """Every figure of every policy and load, and the paired reductions."""
    for (rate, policy), outcomes in found.items():
        case, arm = f"rate={rate:g}", OUR_ARM if policy == OURS else policy
        for field in fields(Outcome):
            values = [getattr(outcome, field.name) for outcome in outcomes]
            note = f"alpha {tuned[rate]:.3g}" if policy == BALANCED and field.name == "p95_s" else None
            yield _result(case, arm, field.name, UNITS.get(field.name, "s"), values, note)
    for rate in plan.rates_per_s:
        rival = found[rate, BALANCED]
        ours = reductions(found[rate, OURS], rival)
        yield _result(f"rate={rate:g}", OUR_ARM, "p95_reduction", "share", ours)
        yield _result(f"rate={rate:g}", "alone", "possible_reduction", "share", reductions(bound, rival))


def rates_of(plan: Plan, tuned: Mapping[float, float], pool: ProcessPoolExecutor) -> Iterator[Result]:
    """Throughput at equal SLO attainment."""
    for factor, attainment in LEVELS:
        sized = replace(plan, slo_s=factor * ALONE_MEAN_S, seeds=plan.seeds[:MOST_SEEDS_OF_RATES])
        case = f"slo={factor:g}x, {attainment:.0%}"
        by_policy = {
            policy: capacities(sized, policy, attainment, tuned, lambda trials: list(pool.map(run, trials)))
            for policy in POLICY_NAMES
        }
        for policy, rates in by_policy.items():
            yield _result(case, OUR_ARM if policy == OURS else policy, "rate_at_slo", "1/s", rates)
        pairs = list(zip(by_policy[OURS], by_policy[ROUND_ROBIN], strict=True))
        if all(theirs for _, theirs in pairs):
            yield _result(case, OUR_ARM, "rate_ratio", "x", [ours / theirs for ours, theirs in pairs])


def _result(  # noqa: PLR0917 - the fields of a result
    case: str, arm: str, metric: str, unit: str, values: Sequence[float], note: str | None = None
) -> Result:
    value, low, high = (round(figure, 5) for figure in spread(values))
    return Result(
        case=case, arm=arm, metric=metric, unit=unit, value=value, low=low, high=high, n=len(values), note=note
    )


def show(plan: Plan, tuned: Mapping[float, float], found: Mapping[tuple[float, str], list[Outcome]],
         results: Sequence[Result]) -> None:  # fmt: skip
    """Print a table a load, and the rates."""
    print(f"SIMULATED; {plan.programs} programs a run, SLO {plan.slo_s:.0f} s, medians of {len(plan.seeds)} seeds")
    for rate in plan.rates_per_s:
        print(f"\n{rate:g} programs/s (alpha {tuned[rate]:.3g} tuned on other seeds)")
        print(f"{'policy':<27}{'mean s':>8}{'p50 s':>8}{'p95 s':>8}{'p99 s':>8}{'in SLO':>8}{'done/s':>8}{'cached':>8}")
        for policy in POLICY_NAMES:
            of = middle(found[rate, policy])
            print(f"{policy:<27}{of.mean_s:8.1f}{of.p50_s:8.1f}{of.p95_s:8.1f}{of.p99_s:8.1f}{of.slo_attainment:8.1%}"
                  f"{of.throughput_per_s:8.3f}{of.hit_share:8.1%}")  # fmt: skip
        for result in results:
            if result.case == f"rate={rate:g}" and result.metric.endswith("reduction"):
                print(f"  {result.metric:<20}{result.value:7.1%}  ({result.low:.1%} to {result.high:.1%})")
    print("\nhighest rate at equal SLO attainment")
    for result in results:
        if result.metric in ("rate_at_slo", "rate_ratio"):
            label = f"{result.case}, {result.arm}"
            print(f"{label:<48}{result.metric:<12}{result.value:8.3f}  ({result.low:.3f} to {result.high:.3f})")


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planner_policies", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three loads, shorter runs, fewer seeds")
    parser.add_argument(
        "--json", type=Path, default=FOLDER / "planner_policies.json", metavar="FILE", help="default: %(default)s"
    )
    options = parser.parse_args(argv)
    machine, plan, began_s = describe(), QUICK if options.quick else FULL, time.monotonic()
    with ProcessPoolExecutor(min(2, os.cpu_count() or 1)) as pool:

        def run_all(trials: Sequence[object]) -> list[Outcome]:
            return list(pool.map(run, trials, chunksize=2))  # type: ignore[arg-type]

        tuned = tune(plan, run_all)
        found = measure(plan, tuned, run_all)
        bound = alone(plan, run_all)
        results = [*results_of(plan, tuned, found, bound), *rates_of(plan, tuned, pool)]
    seconds = time.monotonic() - began_s
    results.append(Result(case="whole run", arm=OUR_ARM, metric="seconds", value=round(seconds, 1), unit="s", n=1))
    Report(
        benchmark="planner_policies",
        quick=options.quick,
        command="python -m benchmarks.planner_policies" + (" --quick" if options.quick else ""),
        machine=machine.finished(),
        versions=versions("orchestrator"),
        seeds={f"tuning_{i}": seed for i, seed in enumerate(plan.tuning_seeds)}
        | {f"reported_{i}": seed for i, seed in enumerate(plan.seeds)},
        results=results,
    ).write(options.json)
    show(plan, tuned, found, results)
    print(f"\n{seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
