"""The event loop: programs arrive, their stages are dispatched, replicas step, tools take their time.

Six kinds of event, at equal times in this order: a replica's step (or run of steps) ends; a prompt's KV arrives where
the reply is written; requests held at the router are looked at again; a gate hears that a client has its reply, or that
time has passed; a stage becomes ready; a program arrives.
Only one arrival is waiting at any time and finished programs leave nothing but counts, so memory does not grow with the
number of programs. Everything is decided by the inputs: the same ones give the same result.

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
from dataclasses import dataclass
from heapq import heappop, heappush
from math import inf
from typing import Final

from orchestrator.errors import PlanError
from orchestrator.planner.policies.view import Policy
from orchestrator.planner.simulate.fleet import Fleet, transfer_s
from orchestrator.planner.simulate.gate import Gate, Gates
from orchestrator.planner.simulate.prediction import Predictor, StepHistory
from orchestrator.planner.simulate.program import Program, Stage
from orchestrator.planner.simulate.progress import ProgramRun
from orchestrator.planner.simulate.replica import Replica
from orchestrator.planner.simulate.report import SimulationReport
from orchestrator.planner.simulate.request import Request
from orchestrator.planner.simulate.retention import Retention
from orchestrator.planner.simulate.speed import ReplicaSpec
from orchestrator.planner.simulate.tally import Tally

_STEP_END, _SENT, _RELEASE, _GATE, _READY, _ARRIVAL = range(6)

Observer = Callable[[Program, float | None], None]
"""(program, when it was done): called as each program ends, with ``None`` for one that was rejected."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """What stands before each replica and decides what it keeps; made anew for each replica."""

    retention: Callable[[ReplicaSpec], Retention] | None = None
    gate: Callable[[ReplicaSpec], Gate] | None = None
    count_recomputed: bool = False
    """Count tokens that are prefilled again; keeps all prefix ids in memory."""


ENGINE_ALONE: Final = Lifetime()
"""Nothing but an engine's own prefix cache, as fast as programs come."""


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
    lifetime: Lifetime = ENGINE_ALONE,
) -> SimulationReport:
    """Run ``programs`` (in order of arrival; consumed one by one) to their end on ``cluster``.

    Predictions come from ``predictor``, by default a :class:`StepHistory` that has learned from ``history``.
    ``longest_run=1`` simulates step by step, which is slow and gives the same result.

    Raises :class:`PlanError`: ORCH-P063 for an empty cluster, ORCH-P064 for programs out of order, ORCH-P065 for a
    stage whose model no replica serves or that names a later stage, ORCH-P066 for a policy that answers no position,
    ORCH-P112 for a retention that keeps all memory from waiting requests, ORCH-P113 for a gate that never opens.
    """
    simulation = Simulation(
        cluster, policy, history=history, predictor=predictor, measure_from_s=measure_from_s, observer=observer,
        longest_run=longest_run, lifetime=lifetime,
    )  # fmt: skip
    return simulation.run(programs)


class Simulation:
    """State of one simulation."""

    def __init__(
        self, cluster: Sequence[ReplicaSpec], policy: Policy, *, history: Iterable[Program] = (),
        predictor: Predictor | None = None, measure_from_s: float = 0.0, observer: Observer | None = None,
        longest_run: int | None = None, lifetime: Lifetime = ENGINE_ALONE,
    ) -> None:  # fmt: skip
        if not cluster:
            raise PlanError("ORCH-P063", "the cluster is empty", why="nothing can run", fix="give at least one replica")
        self.policy = policy
        self.replicas = [
            Replica(
                i, spec, policy.order, reorder=policy.reorder, longest_run=longest_run,
                retention=None if lifetime.retention is None else lifetime.retention(spec),
                count_recomputed=lifetime.count_recomputed,
            )
            for i, spec in enumerate(cluster)
        ]  # fmt: skip
        self._gates = None if lifetime.gate is None else Gates([lifetime.gate(spec) for spec in cluster])
        self._gate_due_s: float | None = None
        self._fleets = {
            model: Fleet(model, [r for r in self.replicas if r.spec.model == model])
            for model in sorted({s.model for s in cluster})
        }
        self._predictor = predictor if predictor is not None else StepHistory()
        if predictor is None:
            for program in history:
                self._predictor.learn(program, self._alone_s)
        self._observer = observer
        self._tally = Tally(len(cluster), measure_from_s)
        self._events: list[tuple[float, int, int, int, ProgramRun | Request | None]] = []
        self._sequence = 0
        self._arrivals = 0
        self._arriving: Program
        self._now = 0.0

    def run(self, programs: Iterable[Program]) -> SimulationReport:
        """Play all events."""
        events, arrivals = self._events, iter(programs)
        self._next_arrival(arrivals, -inf)
        while events or self._release_one():
            now, kind, number, version, subject = heappop(events)
            self._now = now
            if kind == _STEP_END:
                replica = self.replicas[number]
                if version == replica.version:
                    self._advance(replica, now)
            elif kind == _GATE:
                self._ask_gates(subject, now)
            elif kind == _RELEASE:
                self._release(self._fleets[self.replicas[number].spec.model], now)
            elif isinstance(subject, ProgramRun):
                self._stage_ready(subject, version, now)
            elif subject is not None:
                self._receive(subject, now)
            else:
                run = ProgramRun(self._arriving, number)
                self._next_arrival(arrivals, now)
                self._tally.arrived(now)
                for place, waits in enumerate(run.waits):
                    if not waits:
                        self._wait_for_tool(run, place, now)
        self._check_gates()
        return self._tally.report(self.policy.name, self.replicas)

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

    def _wait_for_tool(self, run: ProgramRun, place: int, now: float) -> None:
        """Make a stage ready once its tool is done."""
        tool_s = run.program.stages[place].tool_s
        heappush(self._events, (now + tool_s, _READY, run.number, place, run))

    def _stage_ready(self, run: ProgramRun, place: int, now: float) -> None:
        """Admit, hold or send the request of a stage."""
        if run.failed:
            return
        policy = self.policy
        stage = run.program.stages[place]
        fleet = self._fleet(run.program, stage)
        prediction = self._predictor.predict(run.program, place, self._alone_s)
        request = Request(
            run, place, sequence=self._sequence, ready_s=now, output_tokens=prediction.output_tokens,
            predicted_s=fleet.alone_s(stage.prompt_tokens, prediction.output_tokens),
            remaining_s=prediction.remaining_s,
        )  # fmt: skip
        self._sequence += 1
        if stage.after:
            request.home = fleet.position.get(run.places[stage.after[-1]])
        if policy.admit is not None and max(run.places) < 0 and not policy.admit(request, fleet.replicas, now):
            self._reject(run, now)
        elif policy.hold is not None and policy.hold(request, fleet.replicas, now):
            position = self._position(request, fleet, now)
            fleet.hold(request, policy.order(request, fleet.replicas[position], now))
        else:
            self._send(request, fleet, now)

    def _send(self, request: Request, fleet: Fleet, now: float) -> None:
        """Put a request into the queue of the replica the policy chooses, or of one it fits."""
        run, replicas = request.run, fleet.replicas
        if run.failed:
            return
        position = _fitting(request, replicas, self._position(request, fleet, now))
        if position is None or not (
            replicas[position].spec.role == "whole" or _fitting(request, fleet.decoders, 0) is not None
        ):
            self._reject(run, now)
            return
        self._tally.migrations += request.home is not None and position != request.home
        request.quota = 1 if replicas[position].spec.role == "prefill" else request.output_tokens
        replica = replicas[position]
        if self._gates is None or self._gates.passes(
            request, replica.index, self.policy.order(request, replica, now), now
        ):
            self._enqueue(request, replica, now)
        else:
            self._await_gates()

    def _let_in(self, now: float) -> None:
        """Enqueue the requests that the gates let in."""
        if self._gates is not None:
            for request in self._gates.let_in():
                request.ready_s = now
                self._enqueue(request, self.replicas[request.gate], now)
            self._await_gates()

    def _await_gates(self) -> None:
        """See to it that the gates are asked again in time."""
        due_s = None if self._gates is None else self._gates.next_due_s
        if due_s is not None and (self._gate_due_s is None or due_s < self._gate_due_s):
            self._gate_due_s = due_s
            heappush(self._events, (max(due_s, self._now), _GATE, 0, 0, None))

    def _ask_gates(self, replied: ProgramRun | Request | None, now: float) -> None:
        """A client has the reply to a request, or (``None``) time has passed."""
        if self._gates is None:
            return
        if isinstance(replied, Request):
            self._gates.ended(replied, now)
        else:
            self._gate_due_s = None
            if self._gates.waits:
                self._gates.expire(now)
        self._let_in(now)

    def _check_gates(self) -> None:
        if self._gates is not None and self._gates.waits:
            raise PlanError(
                "ORCH-P113",
                f"{self._gates.waits} programs wait at a gate that never opens",
                why="nothing runs and nothing will happen any more",
                fix="let Gate.request admit a program when none is active",
            )

    def _hand_over(self, request: Request, replica: Replica, now: float) -> None:
        """Send a prompt's KV to where the rest of the reply is written."""
        arrives_s = now + transfer_s(replica, request.prompt_tokens)
        heappush(self._events, (arrives_s, _SENT, request.run.number, request.place, request))

    def _receive(self, request: Request, now: float) -> None:
        """Choose the replica that goes on with a request whose prompt was prefilled elsewhere."""
        decoders = self._fleets[request.model].decoders
        request.home = None
        request.quota, request.computed = request.output_tokens, request.target
        position = _fitting(request, decoders, self._checked(self.policy.dispatch(request, decoders, now), decoders))
        if position is not None:
            self._enqueue(request, decoders[position], now)

    def _enqueue(self, request: Request, replica: Replica, now: float) -> None:
        request.run.places[request.place] = replica.index
        version = replica.version
        replica.enqueue(request, now)
        if replica.version != version:
            heappush(self._events, (replica.next_s, _STEP_END, replica.index, replica.version, None))

    def _position(self, request: Request, fleet: Fleet, now: float) -> int:
        policy, replicas = self.policy, fleet.replicas
        choose = policy.dispatch if request.home is None or policy.migrate is None else policy.migrate
        return self._checked(choose(request, replicas, now), replicas)

    def _checked(self, position: int, replicas: Sequence[Replica]) -> int:
        if not 0 <= position < len(replicas):
            raise PlanError(
                "ORCH-P066",
                f"policy {self.policy.name!r} chose replica {position} of {len(replicas)}",
                why="a position in the sequence of replicas offered is expected",
                fix="return 0 or more, and less than the number of replicas",
            )
        return position

    def _advance(self, replica: Replica, now: float) -> None:
        """End a replica's step or run, and all that ends with it."""
        done = replica.advance(now)
        if replica.next_s < inf:
            heappush(self._events, (replica.next_s, _STEP_END, replica.index, replica.version, None))
        for request in done:
            if request.generated < request.output_tokens:
                self._hand_over(request, replica, now)
            else:
                self._stage_done(request, replica, now)
        if done and self.policy.hold is not None:
            heappush(self._events, (now, _RELEASE, replica.index, 0, None))

    def _release(self, fleet: Fleet, now: float) -> None:
        """Send requests kept back, first in order first, until one is to be kept still."""
        hold = self.policy.hold
        while hold is not None and (request := fleet.first_held) is not None:
            if not request.run.failed and hold(request, fleet.replicas, now):
                return
            self._send(fleet.release_first(), fleet, now)

    def _release_one(self) -> bool:
        """When nothing else will ever happen, send one request that is kept back; whether something will happen now."""
        for fleet in self._fleets.values():
            while not self._events and fleet.first_held is not None:
                self._send(fleet.release_first(), fleet, self._now)
        return bool(self._events)

    def _stage_done(self, request: Request, replica: Replica, now: float) -> None:
        run = request.run
        self._tally.stage_done(request, replica, now)
        run.left -= 1
        end_s = now + replica.speed.call_s
        if self._gates is not None:
            heappush(self._events, (end_s, _GATE, run.number, request.place, request))
        if run.failed:
            return
        for place in run.unlocked(request.place):
            self._wait_for_tool(run, place, end_s)
        if not run.left:
            self._tally.program_done(run.program, now, replica.speed.call_s)
            self._predictor.learn(run.program, self._alone_s)
            if self._observer is not None:
                self._observer(run.program, end_s)

    def _reject(self, run: ProgramRun, now: float) -> None:
        run.failed = True
        self._tally.rejected(run.program, now)
        if self._gates is not None:
            self._gates.over(str(run.number), now)
            self._let_in(now)
        if self._observer is not None:
            self._observer(run.program, None)

    def _alone_s(self, program: Program, stage: Stage, output_tokens: float) -> float:
        """Seconds of a stage alone on an average replica of its model."""
        return self._fleet(program, stage).alone_s(stage.prompt_tokens, output_tokens)

    def _fleet(self, program: Program, stage: Stage) -> Fleet:
        fleet = self._fleets.get(stage.model)
        if fleet is None:
            raise PlanError(
                "ORCH-P065",
                f"program {program.id}, step {stage.step!r}: no replica serves model {stage.model!r}",
                why=f"the cluster serves {sorted(self._fleets)}",
                fix="add a replica of that model",
            )
        return fleet


def _fitting(request: Request, replicas: Sequence[Replica], position: int) -> int | None:
    """``position``, or one of another replica if the request does not fit there; ``None`` when it fits none."""
    if replicas[position].fits(request):
        return position
    fitting = [i for i, other in enumerate(replicas) if other.fits(request)]
    return fitting[request.sequence % len(fitting)] if fitting else None
