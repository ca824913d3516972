"""How long compiling takes: trace, passes and plan of workflows of 1,000 and 10,000 ops, each in a fresh process.

    python -m benchmarks.compile [--quick] [--json FILE]

The workflow is ``benchmarks/arms/sample_workflow.py``: language-model calls, tools, prompts, fields, branches, loops
and maps. An *op* is an operation of the level-1 module as traced, region terminators not counted; the workflow is grown
until it holds the wanted number. `seconds` is the first `compile()` of it, from the function to a program that is
ready to run, in a process whose libraries are imported and whose cluster is known; `cached_seconds` a second call.
`reference_ratio` is the CPU time of an equal compilation over that of a fixed piece of pure Python run around it: it
hardly depends on the machine or on who else uses it, and so is the figure to compare between runs of this benchmark.
`trace_seconds` and the other stages come from an equal workflow compiled stage by stage afterwards. The case ``growth``
fits the exponent: 1 where time is linear in the ops.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

from benchmarks.harness.machine import describe, versions
from benchmarks.harness.process import ROOT
from benchmarks.harness.record import FOLDER, OURS, Report, Result, Skip
from benchmarks.harness.stats import growth_exponent, spread

SIZES = (1_000, 10_000)
TIMEOUT_S = 120
RATIO = "reference_ratio"
Sample = dict[str, float]


class ChildError(RuntimeError):
    """A measuring process failed; the message is its last line."""


def measure(ops: int) -> Sample:
    """One fresh process that compiles a workflow of about that many ops; seconds by stage, and the exact op count."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.arms.compile_arm", str(ops)],
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


def results_of(samples: dict[int, list[Sample]]) -> list[Result]:
    """Medians with their range per size and metric, and the growth exponent over the sizes' medians."""
    results: list[Result] = []
    medians: dict[int, float] = {}
    for size, taken in samples.items():
        ops = int(taken[0]["ops"])
        for metric in (key for key in taken[0] if key != "ops"):
            middle, low, high = spread([round(sample[metric], 6) for sample in taken])
            results.append(
                Result(
                    case=f"ops={size}", arm=OURS, metric=metric, value=middle, unit="ratio" if metric == RATIO else "s",
                    n=len(taken), low=low, high=high, note=f"{ops:,} ops" if metric == "seconds" else None,
                )
            )  # fmt: skip
            if metric == "seconds":
                medians[ops] = middle
    if len(medians) > 1:
        exponent = round(growth_exponent(list(medians), list(medians.values())), 3)
        n = sum(len(taken) for taken in samples.values())
        results.append(Result(case="growth", arm=OURS, metric="growth_exponent", value=exponent, unit="power", n=n))
    return results


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; exits 1 where a process failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compile", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="3 processes a size instead of 9")
    parser.add_argument(
        "--json", type=Path, default=FOLDER / "compile.json", metavar="FILE", help="default: %(default)s"
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    options = parser.parse_args(argv)
    machine = describe()
    samples: dict[int, list[Sample]] = {size: [] for size in options.sizes}
    skipped: list[Skip] = []
    for _ in range(3 if options.quick else 9):
        for size in options.sizes:
            try:
                samples[size].append(measure(size))
            except (ChildError, subprocess.TimeoutExpired) as error:
                skipped.append(Skip(arm=OURS, case=f"ops={size}", reason=str(error)))
        if skipped:
            break
    report = Report(
        benchmark="compile",
        quick=options.quick,
        command="python -m benchmarks.compile" + (" --quick" if options.quick else ""),
        machine=machine.finished(),
        versions=versions("orchestrator", "torch-mlir", "pydantic", "networkx"),
        results=results_of({size: taken for size, taken in samples.items() if taken}),
        skipped=skipped,
    )
    report.write(options.json)
    for result in report.results:
        print(f"{result.case:<10} {result.metric:<18} {result.value:9.4f} {result.unit:<6} {result.note or ''}")
    for skip in skipped:
        print(f"{skip.case}: {skip.reason}", file=sys.stderr)
    return int(bool(skipped))


if __name__ == "__main__":
    sys.exit(main())
