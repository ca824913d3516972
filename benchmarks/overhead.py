"""What a step costs: no-op steps of about 200 bytes through our executor and through its peers, side by side.

    python -m benchmarks.overhead [--quick] [--json FILE] [--arms orchestrator,burr] [--cases W1,W4] [--venvs DIR]

Every arm is a process of its own that builds a workload (`build_s`, outside the clock) and runs it on request; the arms
take turns, run by run, so that whatever else the machine does hits all of them. The value each run returns is checked.
The first run of every arm is a warm-up, unless it alone takes longer than `SLOW_S`. Ray's background processes would
slow the others down, so the Ray arm runs after them.

Metrics: `us_per_step` (median wall time over the number of steps), `us_per_step_net` (the same less the time the main
thread waited for a core: the fairer figure on a busy machine), `build_s`, and for W4 `efficiency` (0.70 s over the wall
time). The workloads are in ``benchmarks/arms/workloads.py``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.arms.workloads import IDEAL_S, SEED, SIZES, expected, shape, steps
from benchmarks.harness.machine import describe, versions
from benchmarks.harness.process import ArmError, ArmProcess
from benchmarks.harness.record import FOLDER, OURS, Report, Result, Skip
from benchmarks.harness.stats import spread
from benchmarks.harness.venvs import VenvError, default_root, venv_python

VARIANTS = ("W2-static", "W4-runs", "W4-effects")
"""Other ways to write a workload, which only our own arm has."""
SLOW_S = 3.0
"""An arm whose first run takes longer is measured by that one run."""
BUILD_TIMEOUT_S = 180.0
RUN_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Arm:
    """A script of ``benchmarks/arms`` and what its venv holds; None runs it in this interpreter."""

    name: str
    script: str
    requirements: tuple[str, ...] | None = None
    turn: int = 0
    """Arms of one turn take turns with each other; the next turn starts when they are done."""
    quick_sizes: tuple[tuple[str, int], ...] = ()
    """Cases that ``--quick`` runs smaller."""


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


@dataclass
class Live:
    """A started arm and its samples of the case at hand."""

    arm: Arm
    process: ArmProcess
    build_s: float = 0.0
    walls_s: list[float] = field(default_factory=list)
    nets_s: list[float] = field(default_factory=list)
    slow: bool = False


class Bench:
    """Collects results and skips over all cases."""

    def __init__(self, repetitions: int, sizes: dict[str, int], *, quick: bool) -> None:
        self.repetitions, self.sizes, self.quick = repetitions, sizes, quick
        self.results: list[Result] = []
        self.skipped: list[Skip] = []

    def skip(self, arm: str, reason: object, case: str | None = None) -> None:
        """Record and say that an arm, or one case of it, is left out."""
        self.skipped.append(Skip(arm=arm, case=case, reason=str(reason)))
        print(f"  {arm} {case or ''}: skipped: {reason}", file=sys.stderr)

    def size(self, arm: Arm, case: str) -> int:
        """The workload's size for that arm."""
        size = self.sizes[shape(case)]
        return min(size, dict(arm.quick_sizes).get(case, size)) if self.quick else size

    def measure(self, case: str, arms: list[Live]) -> None:
        """Build the case in every arm, then run them in turns."""
        print(f"{case}: {', '.join(live.arm.name for live in arms)}", file=sys.stderr)
        alive = [live for live in arms if self._build(case, live)]
        for turn in range(self.repetitions + 1):
            alive = [live for live in alive if (live.slow and turn) or self._run(case, live, warmup=turn == 0)]
        for live in alive:
            self._record(case, live)

    def _build(self, case: str, live: Live) -> bool:
        if case not in live.process.hello["cases"]:
            if case not in VARIANTS:
                self.skip(live.arm.name, "has no such construct", case)
            return False
        live.walls_s, live.nets_s, live.slow = [], [], False
        try:
            reply = live.process.request(BUILD_TIMEOUT_S, do="build", case=case, size=self.size(live.arm, case))
        except ArmError as error:
            self.skip(live.arm.name, error, case)
            return False
        live.build_s = float(reply["build_s"])
        return True

    def _run(self, case: str, live: Live, *, warmup: bool) -> bool:
        try:
            reply = live.process.request(RUN_TIMEOUT_S, do="run")
        except ArmError as error:
            self.skip(live.arm.name, error, case)
            return False
        want = expected(case, self.size(live.arm, case))
        if reply["value"] != want:
            self.skip(live.arm.name, f"returned {reply['value']} instead of {want}", case)
            return False
        wall = float(reply["wall_s"])
        live.slow = warmup and wall > SLOW_S
        if not warmup or live.slow:
            live.walls_s.append(wall)
            live.nets_s.append(max(0.0, wall - float(reply["cpu_wait_s"])))
        return True

    def _record(self, case: str, live: Live) -> None:
        size = self.size(live.arm, case)
        count, n = steps(case, size), len(live.walls_s)
        note = None if size == self.sizes[shape(case)] else f"size {size} instead of {self.sizes[shape(case)]}"

        def add(metric: str, unit: str, values: Iterable[float]) -> None:
            middle, low, high = spread([round(value, 4) for value in values])
            self.results.append(
                Result(
                    case=case, arm=live.arm.name, metric=metric, value=middle, unit=unit,
                    n=1 if metric == "build_s" else n, low=low, high=high, note=note,
                )
            )  # fmt: skip

        add("us_per_step", "us", (wall / count * 1e6 for wall in live.walls_s))
        add("us_per_step_net", "us", (net / count * 1e6 for net in live.nets_s))
        if shape(case) == "W4":
            add("efficiency", "ratio", (IDEAL_S / wall for wall in live.walls_s))
        add("build_s", "s", [live.build_s])


def _interpreter(arm: Arm, venvs: Path) -> Path:
    if arm.requirements is None:
        return Path(sys.executable)
    return venv_python(venvs, arm.name, arm.requirements)


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

    bench = Bench(options.repetitions or (3 if options.quick else 7), SIZES, quick=options.quick)
    interpreters: dict[str, Path] = {}
    for arm in chosen:
        try:
            interpreters[arm.name] = _interpreter(arm, options.venvs)
        except VenvError as error:
            bench.skip(arm.name, error)
    machine = describe()
    found = versions("orchestrator", "torch-mlir", "ray", "uvloop", "pydantic")
    for turn in sorted({arm.turn for arm in chosen}):
        with ExitStack() as stack:
            live: list[Live] = []
            for arm in chosen:
                if arm.turn != turn or arm.name not in interpreters:
                    continue
                try:
                    process = stack.enter_context(ArmProcess(interpreters[arm.name], f"benchmarks.arms.{arm.script}"))
                except ArmError as error:
                    bench.skip(arm.name, error)
                    continue
                found.update(process.hello["versions"])
                live.append(Live(arm, process))
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
