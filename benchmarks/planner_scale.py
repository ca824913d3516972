"""How long the simulator takes for a large cluster, and that its memory does not grow with the number of requests.

    python -m benchmarks.planner_scale [--quick] [--json FILE] [--arms orchestrator]

1,000,000 requests pass through 1,000 replicas (three kinds of GPU, one model; see ``benchmarks/arms/simulate_arm.py``),
under the simplest policy (arm ``orchestrator``) and under ours (arm ``critical-path``), each in a fresh process that
uses one core. `seconds` is the simulation with the generation of its load, without imports, and `cpu_seconds` what of
it the process had a core for; `peak_rss_mib` is the most memory the whole process held; `rss_ratio` that of a million
requests over that of a quarter of them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, cast

from benchmarks.harness.machine import describe, versions
from benchmarks.harness.process import ROOT
from benchmarks.harness.record import FOLDER, OURS, Report, Result, Skip

ARMS: Final = {OURS: "round-robin+fcfs", "critical-path": "critical-path+laxity"}
SIZES: Final = (250_000, 1_000_000)
REPLICAS: Final = 1_000
QUICK_SIZES: Final = (25_000, 100_000)
QUICK_REPLICAS: Final = 100
SEED: Final = 1
TIMEOUT_S: Final = 1_800
UNITS: Final = {"seconds": "s", "cpu_seconds": "s", "peak_rss_mib": "MiB"}


class ChildError(RuntimeError):
    """A measuring process failed; the message is its last line."""


def measure(requests: int, replicas: int, policy: str) -> dict[str, float]:
    """The figures of one simulation in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.arms.simulate_arm", str(requests), str(replicas), policy, str(SEED)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    if done.returncode:
        raise ChildError((done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1])
    return cast("dict[str, Any]", json.loads(done.stdout.splitlines()[-1]))


def case_of(requests: int, replicas: int) -> str:
    """The name a size goes by."""
    return f"requests={requests},replicas={replicas}"


def results_of(arm: str, replicas: int, figures: dict[int, dict[str, float]]) -> list[Result]:
    """Seconds and memory of each size, and how memory grew from the smallest to the largest."""
    results: list[Result] = []
    for requests, found in figures.items():
        note = (
            f"{found['simulated_s']:,.0f} s, {found['steps']:,.0f} engine steps and {found['tokens'] / 1e9:.2f} billion"
            f" tokens simulated; mean batch {found['mean_batch']:.0f}, p95 {found['p95_s']:.1f} s"
        )
        for metric, unit in UNITS.items():
            results.append(
                Result(
                    case=case_of(requests, replicas), arm=arm, metric=metric, value=round(found[metric], 3), unit=unit,
                    n=1, note=note if metric == "seconds" else None,
                )
            )  # fmt: skip
    if len(figures) > 1:
        least, most = min(figures), max(figures)
        ratio = round(figures[most]["peak_rss_mib"] / figures[least]["peak_rss_mib"], 3)
        case = case_of(most, replicas)
        note = f"over that of {least:,} requests"
        results.append(Result(case=case, arm=arm, metric="rss_ratio", value=ratio, unit="ratio", n=1, note=note))
    return results


def _arms(given: str) -> list[str]:
    return [] if given == ",".join(ARMS) else ["--arms", given]


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; exits 1 where a process failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planner_scale", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the requests on a tenth of the replicas")
    parser.add_argument(
        "--json", type=Path, default=FOLDER / "planner_scale.json", metavar="FILE", help="default: %(default)s"
    )
    parser.add_argument("--arms", default=",".join(ARMS), help="comma-separated, of " + ", ".join(ARMS))
    options = parser.parse_args(argv)
    unknown = sorted(set(options.arms.split(",")) - set(ARMS))
    if unknown:
        parser.error(f"no such arm: {', '.join(unknown)}")
    sizes, replicas = (QUICK_SIZES, QUICK_REPLICAS) if options.quick else (SIZES, REPLICAS)
    machine = describe()
    results: list[Result] = []
    skipped: list[Skip] = []
    for arm in options.arms.split(","):
        figures: dict[int, dict[str, float]] = {}
        for size in sizes:
            try:
                figures[size] = measure(size, replicas, ARMS[arm])
            except (ChildError, subprocess.TimeoutExpired) as error:
                skipped.append(Skip(arm=arm, case=case_of(size, replicas), reason=str(error)))
        results.extend(results_of(arm, replicas, figures))
    report = Report(
        benchmark="planner_scale",
        quick=options.quick,
        command=" ".join(["python -m benchmarks.planner_scale", *["--quick"] * options.quick, *_arms(options.arms)]),
        machine=machine.finished(),
        versions=versions("orchestrator"),
        seeds={"load": SEED},
        results=results,
        skipped=skipped,
    )
    report.write(options.json)
    for result in report.results:
        print(f"{result.arm:<14} {result.case:<32} {result.metric:<13} {result.value:10.3f} {result.unit}")
    for skip in skipped:
        print(f"{skip.arm} {skip.case}: {skip.reason}", file=sys.stderr)
    return int(bool(skipped))


if __name__ == "__main__":
    sys.exit(main())
