"""How long `import orchestrator` and `orch --help` take, and what they load, in fresh processes.

    python -m benchmarks.imports [--quick] [--json FILE]

Cases: ``package`` is the bare import; ``names`` imports the names a workflow file uses, which a lazy package loads only
then; ``orch-help`` is the whole process. ``python`` is an interpreter that imports nothing, for scale. The first run of
each case is a warm-up (it writes byte code), the rest take turns.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.harness.machine import describe, versions
from benchmarks.harness.process import ROOT
from benchmarks.harness.record import FOLDER, OURS, Report, Result, Skip
from benchmarks.harness.stats import spread

HEAVY = ("ray", "torch", "vllm")
"""What neither an import nor the command line's help may load."""

TIMED_IMPORT = """
import sys, time
began = time.perf_counter()
{statement}
print(time.perf_counter() - began, *(name for name in {heavy!r} if name in sys.modules))
"""
STATEMENTS = {
    "package": "import orchestrator",
    "names": "from orchestrator import branch, chat, llm, loop, map_, tool, workflow",
}
HELP = "import sys; from orchestrator.cli.main import main; sys.argv = ['orch', '--help']; sys.exit(main())"


class RunError(RuntimeError):
    """The child failed; the message is its last line."""


def _python(code: str) -> tuple[float, str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    wall = time.perf_counter() - began
    if done.returncode:
        raise RunError((done.stderr.strip().splitlines() or ["no message"])[-1])
    return wall, done.stdout


def import_seconds(statement: str) -> tuple[float, list[str]]:
    """Seconds of one import in a fresh interpreter, and which of `HEAVY` it loaded."""
    _, output = _python(TIMED_IMPORT.format(statement=statement, heavy=HEAVY))
    seconds, *loaded = output.split()
    return float(seconds), loaded


def help_seconds() -> float:
    """Wall seconds of the whole process of ``orch --help``."""
    wall, output = _python(HELP)
    if "Usage" not in output:
        raise RunError("orch --help printed no usage")
    return wall


def measure(repetitions: int) -> tuple[dict[str, list[float]], dict[str, set[str]], dict[str, str]]:
    """Seconds per case, heavy modules per import case, and the cases that failed with their reason."""
    samples: dict[str, list[float]] = {case: [] for case in (*STATEMENTS, "orch-help", "python")}
    loaded: dict[str, set[str]] = {case: set() for case in STATEMENTS}
    failed: dict[str, str] = {}
    for turn in range(repetitions + 1):
        for case, values in samples.items():
            if case in failed:
                continue
            try:
                seconds, heavy = _one(case)
            except RunError as error:
                failed[case] = str(error)
                continue
            loaded.get(case, set()).update(heavy)
            if turn:
                values.append(seconds)
    return samples, loaded, failed


def _one(case: str) -> tuple[float, list[str]]:
    if case in STATEMENTS:
        return import_seconds(STATEMENTS[case])
    return (help_seconds() if case == "orch-help" else _python("pass")[0]), []


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; exits 1 where something heavy was loaded or a case failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.imports", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="7 repetitions instead of 15")
    parser.add_argument(
        "--json", type=Path, default=FOLDER / "imports.json", metavar="FILE", help="default: %(default)s"
    )
    options = parser.parse_args(argv)
    repetitions = 7 if options.quick else 15
    machine = describe()
    samples, loaded, failed = measure(repetitions)
    results: list[Result] = []
    for case, values in samples.items():
        if case in failed:
            continue
        middle, low, high = spread([round(value, 4) for value in values])
        arm = "python" if case == "python" else OURS
        results.append(
            Result(case=case, arm=arm, metric="seconds", value=middle, unit="s", n=len(values), low=low, high=high)
        )
    for case, names in loaded.items():
        if case not in failed:
            note = ", ".join(sorted(names)) or None
            results.append(
                Result(
                    case=case, arm=OURS, metric="heavy_modules", value=len(names), unit="modules",
                    n=repetitions + 1, note=note,
                )
            )  # fmt: skip
    report = Report(
        benchmark="imports",
        quick=options.quick,
        command="python -m benchmarks.imports" + (" --quick" if options.quick else ""),
        machine=machine.finished(),
        versions=versions("orchestrator", "pydantic", "torch-mlir"),
        results=results,
        skipped=[Skip(arm=OURS, case=case, reason=reason) for case, reason in failed.items()],
    )
    report.write(options.json)
    for result in results:
        print(f"{result.case:<10} {result.metric:<14} {result.value:.3f} {result.unit} {result.note or ''}")
    for case, reason in failed.items():
        print(f"{case}: {reason}", file=sys.stderr)
    return int(bool(failed) or any(loaded.values()))


if __name__ == "__main__":
    sys.exit(main())
