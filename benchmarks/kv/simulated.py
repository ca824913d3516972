"""Play the jobs of a seed on the planner's simulator instead of an engine: the same jobs, hints and decisions.

Only two things are modelled: vLLM's scheduler (``ReplicaSpec(scheduler="vllm")``) and how long its steps take, from a
handful of measured ones (:mod:`benchmarks.kv.calibrate`). What decides is the code that runs: the retention of the
scheduler plugin, the admission of the runtime. The arm with offloading is not modelled.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from benchmarks.kv.arms import Arm, SimulatedGate
from benchmarks.kv.driving import Played
from benchmarks.kv.keeping import KeepingRetention
from benchmarks.kv.workload import BFCL, BLOCK_TOKENS, SHARED_TOKENS, SWE, Case, Job
from orchestrator.planner.policies import ROUND_ROBIN_FCFS
from orchestrator.planner.simulate.conversation import Turn, conversation
from orchestrator.planner.simulate.gate import FixedCap
from orchestrator.planner.simulate.program import Program
from orchestrator.planner.simulate.retention import Held, TurnView
from orchestrator.planner.simulate.simulation import Lifetime, simulate
from orchestrator.planner.simulate.speed import ReplicaSpec, ReplicaSpeed
from orchestrator.runtime.kv.hints import KvHint
from orchestrator.runtime.kv.load import StepClock
from orchestrator.runtime.kv.retention import Retention
from orchestrator.runtime.kv.retention_options import RetentionOptions

MOST_SEQUENCES = 64
STEP_TOKENS = 2048
"""Both as in ``benchmarks/kv/serving.py``."""
SHARED_IDS = {SWE.workflow: 0, BFCL.workflow: SHARED_TOKENS}
"""Prefix ids of what all programs of a kind begin with: far enough apart."""
PAUSE_BETWEEN_SEEDS_S = 1.0


def modelled(arm: Arm) -> bool:
    """Whether the simulator can play the arm."""
    return arm.engine != "offload"


@dataclass(slots=True)
class SimulatedEngine:
    """What an engine has learned from the loads before: of arms with our scheduler."""

    kv_blocks: int
    speed: ReplicaSpeed
    options: RetentionOptions | None
    """Of our scheduler; ``None``: vLLM's own."""
    steps: StepClock = field(default_factory=StepClock)
    clock_s: float = 0.0
    retention: Retention[Held] | None = None

    def __post_init__(self) -> None:
        if self.options is not None:
            self.retention = Retention(self.kv_blocks, self.options)

    @classmethod
    def of(cls, arm: Arm, kv_blocks: int, speed: ReplicaSpeed) -> SimulatedEngine:
        """One with the arm's scheduler."""
        options = None if arm.scheduler is None else RetentionOptions(**arm.options)  # type: ignore[arg-type]
        return cls(kv_blocks, speed, options)


class Door:
    """Where programs arrive: counts what a client sees in replies, and lets them in as an admission says; chats pass.

    ``admission`` None lets everybody pass. Programs go by their place in the load, from "1"; ``jobs`` are in order.
    """

    def __init__(self, jobs: Sequence[Job], admission: SimulatedGate | None, played: Played) -> None:
        self._jobs = {str(place): job for place, job in enumerate(jobs, 1)}
        self._admission = admission
        self._played = played
        self._turns: defaultdict[str, int] = defaultdict(int)
        self._tokens: defaultdict[str, int] = defaultdict(int)
        """In full blocks after the last turn."""
        self._said: defaultdict[str, int] = defaultdict(int)

    @property
    def next_expiry_s(self) -> float | None:
        """The admission's."""
        return None if self._admission is None else self._admission.next_expiry_s

    def request(
        self, program: str, now_s: float, *, arrival_s: float | None = None, tenant: str | None = None,
        key_s: float | None = None,
    ) -> bool:  # fmt: skip
        """What ``benchmarks.kv.driving`` tells an admission."""
        job, place = self._jobs[program], self._turns[program]
        if job.kind is None or self._admission is None:
            return True
        if isinstance(self._admission, FixedCap):
            return self._admission.request(program, now_s)
        left_s = job.turns_left(place) * job.turn_s
        key_s = (now_s if arrival_s is None else arrival_s) + left_s
        tokens = self._said[program] + job.turns[place].new_tokens
        return self._admission.request(program, now_s, arrival_s=arrival_s, key_s=key_s, tokens=tokens)

    def admitted(self) -> Sequence[str]:
        """Those the admission let in."""
        return () if self._admission is None else self._admission.admitted()

    def withdraw(self, program: str) -> None:
        """The program gave up."""
        if self._admission is not None and self._jobs[program].kind is not None:
            self._admission.withdraw(program)

    def used(
        self, program: str, session: str, *, input_tokens: int, cached_tokens: int, output_tokens: int = 0
    ) -> None:
        """A reply."""
        if self._jobs[program].kind is None:
            return
        self._played.hit_tokens += cached_tokens
        self._played.recomputed_tokens += max(self._tokens[program] - cached_tokens, 0)
        self._said[program] = input_tokens + output_tokens
        self._tokens[program] = (input_tokens + output_tokens - 1) // BLOCK_TOKENS * BLOCK_TOKENS
        self._turns[program] += 1
        if self._admission is not None:
            self._admission.used(
                program, session, input_tokens=input_tokens, cached_tokens=cached_tokens, output_tokens=output_tokens
            )

    def end(self, program: str, now_s: float, *, failed: bool = False) -> None:
        """A turn is over."""
        if self._admission is not None and self._jobs[program].kind is not None:
            self._admission.end(program, now_s, failed=failed)

    def pause(self, program: str, now_s: float, *, keep: bool, within_s: float | None = None) -> None:
        """The client of the benchmark does not tell."""

    def finish(self, program: str, now_s: float) -> None:
        """A program is over."""
        if self._admission is not None and self._jobs[program].kind is not None:
            self._admission.finish(program, now_s)

    def expire(self, now_s: float) -> None:
        """Time has passed."""
        if self._admission is not None:
            self._admission.expire(now_s)


def programs_of(jobs: Iterable[Job]) -> list[Program]:
    """Jobs as the simulator takes them, by their numbers."""
    return [
        conversation(
            job.number,
            job.arrival_s,
            [Turn(turn.new_tokens, turn.output_tokens, turn.tool, turn.tool_s) for turn in job.turns],
            block_tokens=BLOCK_TOKENS,
            shared_tokens=SHARED_TOKENS if job.kind else 0,
            shared_id=SHARED_IDS[job.kind.workflow] if job.kind else 0,
            workflow=job.kind.workflow if job.kind else "",
        )
        for job in jobs
    ]


def play(engine: SimulatedEngine, case: Case, seed: int, arm: Arm) -> Played:
    """All jobs of a seed. The cache is empty at the beginning."""
    jobs = case.draw(seed)
    numbered = {job.number: job for job in jobs}
    played = Played()
    door = Door(jobs, None if arm.gate is None else arm.gate(case.kv_blocks * BLOCK_TOKENS), played)

    def hint_of(turn: TurnView) -> KvHint | None:
        job = numbered[turn.program]
        return None if job.kind is None else arm.hint_of(job, turn.place, engine.clock_s + turn.started_s)

    def keeping(spec: ReplicaSpec) -> KeepingRetention:
        assert engine.retention is not None
        return KeepingRetention(
            engine.retention, engine.steps, hint_of, block_tokens=spec.block_tokens, step_tokens=spec.step_tokens,
            since_s=engine.clock_s,
        )  # fmt: skip

    def ended(program: Program, end_s: float | None) -> None:
        if end_s is None:
            raise RuntimeError(f"{case.name}: job {program.id} does not fit {engine.kv_blocks} blocks")
        played.makespan_s = max(played.makespan_s, end_s)
        times = played.jct_s if numbered[program.id].kind else played.chat_s
        times.append(end_s - program.arrival_s)

    spec = ReplicaSpec(
        "simulated", engine.speed, kv_blocks=engine.kv_blocks, block_tokens=BLOCK_TOKENS, max_batch=MOST_SEQUENCES,
        step_tokens=STEP_TOKENS, watermark=0.0, scheduler="vllm",
    )  # fmt: skip
    lifetime = Lifetime(retention=keeping if engine.retention is not None else None, gate=lambda _: door)
    simulate(programs_of(jobs), [spec], ROUND_ROBIN_FCFS, observer=ended, longest_run=1, lifetime=lifetime)
    if engine.retention is not None:
        engine.retention.reset()
    engine.clock_s += played.makespan_s + PAUSE_BETWEEN_SEEDS_S
    return played


@dataclass(frozen=True, slots=True)
class Load:
    """What is played of a case."""

    case: Case
    tuned: Sequence[Arm]
    """The arms that were tuned on it, as they were."""
    tuning_seeds: Sequence[int]
    seeds: Sequence[int]


def replay(arms: Iterable[Arm], loads: Sequence[Load], speed: ReplicaSpeed) -> dict[tuple[str, str], list[Played]]:
    """What the engines of the arms played, by case and arm: for loads on equal engines, in the order they had.

    The arms with our scheduler play the tuning seeds of each case first, to learn the tools.
    """
    found: dict[tuple[str, str], list[Played]] = {}
    for arm in filter(modelled, arms):
        engine = SimulatedEngine.of(arm, loads[0].case.kv_blocks, speed)
        for load in loads:
            for seed in load.tuning_seeds if arm.scheduler is not None else ():
                play(engine, load.case, seed, arm)
            found[load.case.name, arm.name] = [play(engine, load.case, seed, arm) for seed in load.seeds]
    for load in loads:
        for arm in load.tuned:
            engine = SimulatedEngine.of(arm, load.case.kv_blocks, speed)
            found[load.case.name, arm.name] = [play(engine, load.case, seed, arm) for seed in load.seeds]
    return found
