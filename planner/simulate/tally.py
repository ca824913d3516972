"""Counts of a simulation while it runs; of fixed size."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.planner.simulate.program import Program
from orchestrator.planner.simulate.quantiles import Quantiles
from orchestrator.planner.simulate.replica import Replica
from orchestrator.planner.simulate.report import Latency, ReplicaReport, SimulationReport
from orchestrator.planner.simulate.request import Request


class Tally:
    """Streams of latencies and counts; programs that arrive before ``measure_from_s`` are left out of both."""

    __slots__ = (
        "_area", "_began_s", "_changed_s", "_ended_s", "_from_s", "_in_system", "_latency", "_met", "_programs",
        "_queueing", "_rejected", "_requests", "_stage_latency", "_tpot", "_ttft", "migrations",
    )  # fmt: skip

    def __init__(self, replicas: int, measure_from_s: float) -> None:
        self._from_s = measure_from_s
        self._latency, self._ttft, self._tpot = Quantiles(), Quantiles(), Quantiles()
        self._stage_latency, self._queueing = Quantiles(), Quantiles()
        self._requests = [0] * replicas
        self._programs = self._rejected = self._met = 0
        self._in_system = 0
        self._area = 0.0
        self._began_s: float | None = None
        self._changed_s = self._ended_s = 0.0
        self.migrations = 0

    def arrived(self, now: float) -> None:
        """A program came."""
        if self._began_s is None:
            self._began_s = self._changed_s = now
        self._count(1, now)

    def stage_done(self, request: Request, replica: Replica, now: float) -> None:
        """The engine wrote a stage's last token."""
        self._requests[replica.index] += 1
        if request.started_s < self._from_s:
            return
        call_s = replica.speed.call_s
        ready_s = request.ready_s
        self._ttft.add(request.first_token_s - ready_s + call_s)
        self._stage_latency.add(now - ready_s + call_s)
        self._queueing.add(request.admitted_s - ready_s)
        if request.output_tokens > 1:
            self._tpot.add((now - request.first_token_s) / (request.output_tokens - 1))

    def program_done(self, program: Program, now: float, call_s: float) -> None:
        """The engine wrote a program's last token; it left the system ``call_s`` later."""
        self._count(-1, now)
        self._area += call_s
        self._ended_s = max(self._ended_s, now + call_s)
        if program.arrival_s >= self._from_s:
            latency_s = now + call_s - program.arrival_s
            self._programs += 1
            self._latency.add(latency_s)
            self._met += latency_s <= program.slo_s

    def rejected(self, program: Program, now: float) -> None:
        """A program was not taken on, or fits nowhere."""
        self._count(-1, now)
        self._rejected += program.arrival_s >= self._from_s

    def _count(self, change: int, now: float) -> None:
        """Keep the integral of the number of programs in the system."""
        self._area += self._in_system * (now - self._changed_s)
        self._changed_s = now
        self._in_system += change
        self._ended_s = max(self._ended_s, now)

    def report(self, policy: str, replicas: Sequence[Replica]) -> SimulationReport:
        """What it came to."""
        duration_s = self._ended_s - self._began_s if self._began_s is not None else 0.0
        return SimulationReport(
            policy=policy,
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
            migrations=self.migrations,
            replicas=tuple(_of_replica(r, self._requests[r.index], duration_s) for r in replicas),
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
        hit_tokens=replica.memory.hit_tokens,
        recomputed_tokens=replica.memory.recomputed_tokens,
        preemptions=replica.preemptions,
        evicted_units=replica.pool.evicted_units,
        yielded_pins=replica.pool.yielded_pins,
    )
