"""What a step costs: no-op steps of about 200 bytes through our executor and through its peers, side by side.

    python -m benchmarks.overhead [--quick] [--json FILE] [--arms orchestrator,burr] [--cases W1,W4] [--venvs DIR]

Every arm builds a workload (`build_s`, outside the clock) and runs it when it is its turn
(``benchmarks/harness/turns.py``). Ray's background processes would slow the others down: the Ray arm runs after them.

Metrics: `us_per_step` (median wall time over the number of steps), `us_per_step_net` (the same less the time the main
thread waited for a core: the fairer figure on a busy machine), `build_s`, and for W4 `efficiency` (0.70 s over the wall
time). The workloads are in ``benchmarks/arms/workloads.py``.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

from benchmarks.arms.workloads import SEED, SIZES
from benchmarks.harness.machine import describe, versions
from benchmarks.harness.record import FOLDER, OURS, Report
from benchmarks.harness.turns import Arm, Bench
from benchmarks.harness.venvs import default_root

VARIANTS = ("W2-static", "W4-runs", "W4-effects")
"""Other ways to write a workload, which only our own arm has."""

ARMS = (
    Arm("asyncio", "asyncio_floor"),
    Arm("asyncio+uvloop", "uvloop_floor"),
    Arm(OURS, "orchestrator_arm"),
    Arm("hamilton", "hamilton_peer", ("sf-hamilton",)),
    Arm("burr", "burr_peer", ("apache-burr[tracking]",)),
    Arm("pydantic-graph", "pydantic_graph_peer", ("pydantic-graph",), quick_sizes=(("W3", 400),)),
    Arm("langgraph", "langgraph_peer", ("langgraph",)),
    Arm(f"{OURS}-ray", "orchestrator_ray_arm", turn=1),
)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; exits 1 where our own arm failed in some case."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, and a smaller W3 for pydantic-graph")
    parser.add_argument(
        "--json", type=Path, default=FOLDER / "overhead.json", metavar="FILE", help="default: %(default)s"
    )
    parser.add_argument("--arms", default=",".join(arm.name for arm in ARMS))
    parser.add_argument("--cases", default=",".join((*SIZES, *VARIANTS)))
    parser.add_argument("--repetitions", type=int, help="timed runs per arm and case (7, with --quick 3)")
    parser.add_argument("--venvs", type=Path, default=default_root(), help="where the peers' venvs are kept")
    options = parser.parse_args(argv)
    chosen = [arm for arm in ARMS if arm.name in options.arms.split(",")]
    cases = options.cases.split(",")

    bench = Bench(options.repetitions or (3 if options.quick else 7), SIZES, quick=options.quick, variants=VARIANTS)
    interpreters = bench.interpreters(chosen, options.venvs)
    machine = describe()
    found = versions("orchestrator", "torch-mlir", "ray", "uvloop", "pydantic")
    for turn in sorted({arm.turn for arm in chosen}):
        with ExitStack() as stack:
            live = bench.start([arm for arm in chosen if arm.turn == turn], interpreters, stack)
            for each in live:
                found.update(each.process.hello["versions"])
            for case in cases:
                bench.measure(case, live)
    report = Report(
        benchmark="overhead",
        quick=options.quick,
        command="python -m benchmarks.overhead" + (" --quick" if options.quick else ""),
        machine=machine.finished(),
        versions=found,
        seeds={"W3": SEED},
        results=bench.results,
        skipped=bench.skipped,
    )
    report.write(options.json)
    print(table(report))
    return int(any(skip.arm == OURS for skip in bench.skipped))


def table(report: Report) -> str:
    """A text table: one row an arm, one column a case."""
    arms = list(dict.fromkeys(result.arm for result in report.results))
    columns = [(case, "us_per_step") for case in SIZES] + [("W4", "efficiency")]
    lines = [
        "{:<18}".format("us per step") + "".join(f"{c if m != 'efficiency' else 'W4 eff.':>12}" for c, m in columns)
    ]
    for arm in arms:
        cells = (report.find(case, metric, arm) for case, metric in columns)
        lines.append(f"{arm:<18}" + "".join(f"{cell.value:>12.2f}" if cell else f"{'-':>12}" for cell in cells))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
