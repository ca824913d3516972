"""Arms that take turns: each is a process of its own that builds a workload and runs it on request.

The arms of a case run A B C A B C, so that whatever else the machine does hits all of them. The value each run returns
is checked; an arm that returns another one, or fails, is skipped with the reason. The first run of every arm is a
warm-up, unless it alone takes longer than `SLOW_S`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.arms.workloads import IDEAL_S, expected, shape, steps
from benchmarks.harness.process import ArmError, ArmProcess
from benchmarks.harness.record import Result, Skip
from benchmarks.harness.stats import spread
from benchmarks.harness.venvs import VenvError, venv_python

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
    lacks: tuple[tuple[str, str], ...] = ()
    """Cases that it cannot run, each with the reason; of another one it is said that it has no such construct."""

    def interpreter(self, venvs: Path) -> Path:
        """What runs it; builds its venv on first use. Raises VenvError."""
        if self.requirements is None:
            return Path(sys.executable)
        return venv_python(venvs, self.name, self.requirements)


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
    """Collects results and skips over all cases.

    ``variants`` are cases that not every arm has, which is then not worth a word; ``between`` is called after each run.
    """

    def __init__(
        self,
        repetitions: int,
        sizes: dict[str, int],
        *,
        quick: bool,
        variants: Iterable[str] = (),
        between: Callable[[], object] = lambda: None,
    ) -> None:
        self.repetitions, self.sizes, self.quick = repetitions, sizes, quick
        self.variants, self.between = frozenset(variants), between
        self.results: list[Result] = []
        self.skipped: list[Skip] = []

    def skip(self, arm: str, reason: object, case: str | None = None) -> None:
        """Record and say that an arm, or one case of it, is left out."""
        self.skipped.append(Skip(arm=arm, case=case, reason=str(reason)))
        print(f"  {arm} {case or ''}: skipped: {reason}", file=sys.stderr)

    def interpreters(self, arms: Iterable[Arm], venvs: Path) -> dict[str, Path]:
        """The interpreter of each arm by name; an arm whose venv cannot be built is skipped."""
        found: dict[str, Path] = {}
        for arm in arms:
            try:
                found[arm.name] = arm.interpreter(venvs)
            except VenvError as error:
                self.skip(arm.name, error)
        return found

    def start(self, arms: Iterable[Arm], interpreters: dict[str, Path], stack: ExitStack) -> list[Live]:
        """The arms that started, until the stack is left; the others are skipped."""
        live: list[Live] = []
        for arm in arms:
            if arm.name not in interpreters:
                continue
            try:
                process = ArmProcess(interpreters[arm.name], f"benchmarks.arms.{arm.script}")
            except ArmError as error:
                self.skip(arm.name, error)
                continue
            live.append(Live(arm, stack.enter_context(process)))
        return live

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
            if case not in self.variants:
                self.skip(live.arm.name, dict(live.arm.lacks).get(case, "has no such construct"), case)
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
        self.between()
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
