"""The event loop: programs arrive, their stages are dispatched, replicas step, tools take their time.

Three kinds of event, at equal times in this order: a replica's step (or run of steps) ends; a stage becomes ready; a
program arrives. Only one arrival is waiting at any time and finished programs leave nothing but counts, so memory does
not grow with the number of programs. Everything is decided by the inputs: the same ones give the same result.

>>> from orchestrator.planner.policies import ROUND_ROBIN_FCFS
>>> from orchestrator.planner.simulate.program import Program, Stage
>>> from orchestrator.planner.simulate.speed import ReplicaSpec, ReplicaSpeed
>>> speed = ReplicaSpeed(token_s=1e-3, weight_s=0.0, kv_token_s=0.0, step_s=1e-3)
>>> load = [Program(0, 0.0, (Stage(prompt_tokens=9, output_tokens=3),))]
>>> simulate(load, [ReplicaSpec("gpu", speed, kv_blocks=8)], ROUND_ROBIN_FCFS).latency.count
1
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import heappop, heappush
from math import inf

from orchestrator.errors import PlanError
from orchestrator.planner.policies.view import Policy
from orchestrator.planner.simulate.prediction import AloneSeconds, Predictor, StepHistory
from orchestrator.planner.simulate.program import Program
from orchestrator.planner.simulate.progress import ProgramRun
from orchestrator.planner.simulate.quantiles import Quantiles
from orchestrator.planner.simulate.replica import Replica
from orchestrator.planner.simulate.report import Latency, ReplicaReport, SimulationReport
from orchestrator.planner.simulate.request import Request
from orchestrator.planner.simulate.speed import ReplicaSpec

_STEP_END, _READY, _ARRIVAL = 0, 1, 2

Observer = Callable[[Program, float | None], None]
"""(program, when it was done): called as each program ends, with ``None`` for one that was rejected."""


def simulate(
    programs: Iterable[Program],
    cluster: Sequence[ReplicaSpec],
    policy: Policy,
    *,
    history: Iterable[Program] = (),
    predictor: Predictor | None = None,
    measure_from_s: float = 0.0,
    observer: Observer | None = None,
    longest_run: int | None = None,
) -> SimulationReport:
    """Run ``programs`` (in order of arrival; consumed one by one) to their end on ``cluster``.

    Predictions come from ``predictor``, by default a :class:`StepHistory` that has learned from ``history``.
    ``longest_run=1`` simulates step by step, which is slow and gives the same result.

    Raises :class:`PlanError`: ORCH-P063 for an empty cluster, ORCH-P064 for programs out of order, ORCH-P065 for a
    stage whose model no replica serves or that names a later stage, ORCH-P066 for a policy that answers no position.
    """
    simulation = Simulation(
        cluster, policy, history=history, predictor=predictor, measure_from_s=measure_from_s, observer=observer,
        longest_run=longest_run,
    )  # fmt: skip
    return simulation.run(programs)


class _Pool:
    """The replicas of one model."""

    __slots__ = ("alone_s", "position", "replicas")

    def __init__(self, replicas: list[Replica]) -> None:
        self.replicas = replicas
        self.position = {replica.index: i for i, replica in enumerate(replicas)}
        kinds: dict[object, tuple[Replica, int]] = {}
        for replica in replicas:
            kind = (replica.speed, replica.spec.step_tokens)
            kinds[kind] = (replica, kinds.get(kind, (replica, 0))[1] + 1)
        weights = [(replica.alone_s, count / len(replicas)) for replica, count in kinds.values()]
        self.alone_s: AloneSeconds = lambda prompt, output: sum(w * alone_s(prompt, output) for alone_s, w in weights)


class Simulation:
    """State of one simulation."""

    def __init__(
        self, cluster: Sequence[ReplicaSpec], policy: Policy, *, history: Iterable[Program] = (),
        predictor: Predictor | None = None, measure_from_s: float = 0.0, observer: Observer | None = None,
        longest_run: int | None = None,
    ) -> None:  # fmt: skip
        if not cluster:
            raise PlanError("ORCH-P063", "the cluster is empty", why="nothing can run", fix="give at least one replica")
        self.policy = policy
        self.replicas = [
            Replica(i, spec, policy.order, reorder=policy.reorder, longest_run=longest_run)
            for i, spec in enumerate(cluster)
        ]
        self._pools = {
            model: _Pool([r for r in self.replicas if r.spec.model == model]) for model in {s.model for s in cluster}
        }
        self._alone_s = (
            next(iter(self._pools.values())).alone_s if len(self._pools) == 1 else _Pool(self.replicas).alone_s
        )
        if predictor is None:
            predictor = StepHistory().learn_all(history, self._alone_s)
        self._predictor = predictor
        self._observer = observer
        self._from_s = measure_from_s
        self._events: list[tuple[float, int, int, int, ProgramRun | None]] = []
        self._sequence = 0
        self._arrivals = 0
        self._arriving: Program
        self._latency, self._ttft, self._tpot = Quantiles(), Quantiles(), Quantiles()
        self._stage_latency, self._queueing = Quantiles(), Quantiles()
        self._requests = [0] * len(cluster)
        self._programs = self._rejected = self._met = self._migrations = 0
        self._in_system = 0
        self._area = 0.0
        self._changed_s: float | None = None
        self._began_s = self._ended_s = 0.0

    def run(self, programs: Iterable[Program]) -> SimulationReport:
        """Play all events."""
        events, arrivals = self._events, iter(programs)
        self._next_arrival(arrivals, -inf)
        while events:
            now, kind, number, version, program_run = heappop(events)
            if kind == _STEP_END:
                replica = self.replicas[number]
                if version == replica.version:
                    done = replica.advance(now)
                    if replica.next_s < inf:
                        heappush(events, (replica.next_s, _STEP_END, number, replica.version, None))
                    for request in done:
                        self._stage_done(request, now)
            elif program_run is not None:
                self._dispatch(program_run, version, now)
            else:
                run = ProgramRun(self._arriving, number)
                self._next_arrival(arrivals, now)
                self._arrive(run, now)
        return self._report()

    def _next_arrival(self, arrivals: Iterator[Program], now: float) -> None:
        program = next(arrivals, None)
        if program is None:
            return
        if program.arrival_s < now:
            raise PlanError(
                "ORCH-P064",
                f"program {program.id} arrives at {program.arrival_s} s, after one at {now} s",
                why="arrivals are read as a stream",
                fix="sort the programs by arrival_s",
            )
        self._arriving = program
        self._arrivals += 1
        heappush(self._events, (program.arrival_s, _ARRIVAL, self._arrivals, 0, None))

    def _arrive(self, run: ProgramRun, now: float) -> None:
        if self._changed_s is None:
            self._began_s = self._changed_s = now
        self._count(1, now)
        for place, waits in enumerate(run.waits):
            if not waits:
                self._ready(run, place, now)

    def _ready(self, run: ProgramRun, place: int, now: float) -> None:
        """Dispatch a stage once its tool is done."""
        tool_s = run.program.stages[place].tool_s
        heappush(self._events, (now + tool_s, _READY, run.number, place, run))

    def _dispatch(self, run: ProgramRun, place: int, now: float) -> None:
        if run.failed:
            return
        program, policy = run.program, self.policy
        stage = program.stages[place]
        pool = self._pools.get(stage.model)
        if pool is None:
            raise PlanError(
                "ORCH-P065",
                f"program {program.id}, stage {place}: no replica serves model {stage.model!r}",
                why=f"the cluster serves {sorted(self._pools)}",
                fix="add a replica of that model",
            )
        prediction = self._predictor.predict(program, place, pool.alone_s)
        request = Request(
            run, place, sequence=self._sequence, ready_s=now, output_tokens=prediction.output_tokens,
            predicted_s=pool.alone_s(stage.prompt_tokens, prediction.output_tokens), remaining_s=prediction.remaining_s,
        )  # fmt: skip
        self._sequence += 1
        replicas = pool.replicas
        home = run.places[stage.after[-1]] if stage.after else -1
        request.home = pool.position.get(home)
        if policy.admit is not None and max(run.places) < 0 and not policy.admit(request, replicas, now):
            self._reject(run, now)
            return
        choose = policy.dispatch if request.home is None or policy.migrate is None else policy.migrate
        position = choose(request, replicas, now)
        if not 0 <= position < len(replicas):
            raise PlanError(
                "ORCH-P066",
                f"policy {policy.name!r} chose replica {position} of {len(replicas)}",
                why="a position in the sequence of replicas offered is expected",
                fix="return 0 or more, and less than the number of replicas",
            )
        replica = replicas[position]
        if not replica.fits(request):
            fitting = [i for i, other in enumerate(replicas) if other.fits(request)]
            if not fitting:
                self._reject(run, now)
                return
            replica = replicas[fitting[request.sequence % len(fitting)]]
        if request.home is not None and replica.index != home:
            self._migrations += 1
        run.places[place] = replica.index
        version = replica.version
        replica.enqueue(request, now)
        if replica.version != version:
            heappush(self._events, (replica.next_s, _STEP_END, replica.index, replica.version, None))

    def _stage_done(self, request: Request, now: float) -> None:
        run = request.run
        call_s = self.replicas[run.places[request.place]].speed.call_s
        end_s = now + call_s
        self._requests[run.places[request.place]] += 1
        if request.started_s >= self._from_s:
            self._ttft.add(request.first_token_s - request.ready_s + call_s)
            self._stage_latency.add(end_s - request.ready_s)
            self._queueing.add(request.admitted_s - request.ready_s)
            if request.output_tokens > 1:
                self._tpot.add((now - request.first_token_s) / (request.output_tokens - 1))
        run.left -= 1
        if run.failed:
            return
        if not run.left:
            self._count(-1, now)
            self._area += call_s
            self._program_done(run.program, end_s)
            return
        for place in run.unlocked(request.place):
            self._ready(run, place, end_s)

    def _program_done(self, program: Program, end_s: float) -> None:
        self._ended_s = max(self._ended_s, end_s)
        self._predictor.learn(program, self._alone_s)
        if program.arrival_s >= self._from_s:
            latency_s = end_s - program.arrival_s
            self._programs += 1
            self._latency.add(latency_s)
            self._met += latency_s <= program.slo_s
        if self._observer is not None:
            self._observer(program, end_s)

    def _reject(self, run: ProgramRun, now: float) -> None:
        run.failed = True
        self._count(-1, now)
        self._rejected += run.program.arrival_s >= self._from_s
        if self._observer is not None:
            self._observer(run.program, None)

    def _count(self, change: int, now: float) -> None:
        """Keep the integral of the number of programs in the system."""
        changed = self._changed_s
        if changed is not None and now > changed:
            self._area += self._in_system * (now - changed)
            self._changed_s = now
        self._in_system += change
        self._ended_s = max(self._ended_s, now)

    def _report(self) -> SimulationReport:
        duration_s = self._ended_s - self._began_s
        return SimulationReport(
            policy=self.policy.name,
            programs=self._programs,
            rejected=self._rejected,
            met_slo=self._met,
            requests=sum(self._requests),
            duration_s=duration_s,
            latency=Latency.of(self._latency),
            ttft=Latency.of(self._ttft),
            tpot=Latency.of(self._tpot),
            stage_latency=Latency.of(self._stage_latency),
            queueing=Latency.of(self._queueing),
            mean_programs=self._area / duration_s if duration_s > 0 else 0.0,
            migrations=self._migrations,
            replicas=tuple(_of_replica(r, self._requests[r.index], duration_s) for r in self.replicas),
        )


def _of_replica(replica: Replica, requests: int, duration_s: float) -> ReplicaReport:
    return ReplicaReport(
        name=replica.spec.name,
        requests=requests,
        busy_s=replica.busy_s,
        utilisation=replica.busy_s / duration_s if duration_s > 0 else 0.0,
        steps=replica.steps,
        mean_batch=replica.decode_tokens / replica.steps if replica.steps else 0.0,
        prefill_tokens=replica.prefill_tokens,
        decode_tokens=replica.decode_tokens,
        hit_tokens=replica.hit_tokens,
        preemptions=replica.preemptions,
        evicted_units=replica.pool.evicted_units,
        yielded_pins=replica.pool.yielded_pins,
    )
