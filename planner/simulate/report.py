"""What a simulation found: latencies, SLO attainment, utilisation, cache and preemptions. Fixed size."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from orchestrator.planner.simulate.quantiles import Quantiles


@dataclass(frozen=True, slots=True)
class Latency:
    """Of one kind of duration; seconds, ``None`` where nothing was measured. Quantiles are within 0.5 %."""

    count: int
    mean_s: float | None
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    max_s: float | None

    @classmethod
    def of(cls, values: Quantiles) -> Latency:
        """Summarise a stream."""
        largest = values.largest if values.count else None
        p50_s, p95_s, p99_s = (values.quantile(share) for share in (0.5, 0.95, 0.99))
        return cls(values.count, values.mean, p50_s, p95_s, p99_s, largest)


@dataclass(frozen=True, slots=True)
class ReplicaReport:
    """One replica over the whole simulation."""

    name: str
    requests: int
    busy_s: float
    utilisation: float
    """Share of the time in which it was in a step."""
    steps: int
    """Engine steps."""
    mean_batch: float
    """Decoding sequences of an average step."""
    prefill_tokens: int
    decode_tokens: int
    hit_tokens: int
    recomputed_tokens: int | None
    """Tokens prefilled whose KV the replica had had before; ``None``: not counted."""
    preemptions: int
    evicted_units: int
    yielded_pins: int


@dataclass(frozen=True, slots=True)
class SimulationReport:
    """The outcome. Program figures leave out programs that arrived before ``measure_from_s``."""

    policy: str
    programs: int
    """Measured programs that were done."""
    rejected: int
    """Measured programs that were not taken on, or had a stage that fits no replica."""
    met_slo: int
    requests: int
    """All stages done, measured or not."""
    duration_s: float
    """It is the time from the first arrival to the end of the last program."""
    latency: Latency
    """Of programs, from arrival to the end of their last stage."""
    ttft: Latency
    """Of stages, from readiness to the first token."""
    tpot: Latency
    """Of stages with two tokens or more: per token after the first."""
    stage_latency: Latency
    queueing: Latency
    """Of stages, from readiness to the first time they are admitted to a batch."""
    mean_programs: float
    """So many programs were in the system, on average over time; all are counted."""
    migrations: int
    """Stages that ran elsewhere than the stage before them."""
    replicas: tuple[ReplicaReport, ...]

    @property
    def slo_attainment(self) -> float | None:
        """Share of measured programs done within their SLO; rejected ones are missed; ``None`` without any."""
        total = self.programs + self.rejected
        return self.met_slo / total if total else None

    @property
    def goodput_per_s(self) -> float | None:
        """Programs done within their SLO, a second."""
        return self.met_slo / self.duration_s if self.duration_s > 0 else None

    @property
    def throughput_per_s(self) -> float | None:
        """Programs done, a second."""
        return self.programs / self.duration_s if self.duration_s > 0 else None

    @property
    def preemptions(self) -> int:
        """The preemptions on all replicas."""
        return sum(replica.preemptions for replica in self.replicas)

    @property
    def hit_share(self) -> float | None:
        """Share of prompt tokens found in a cache; ``None`` without prompts."""
        hits = sum(replica.hit_tokens for replica in self.replicas)
        total = hits + sum(replica.prefill_tokens for replica in self.replicas)
        return hits / total if total else None

    def as_dict(self) -> dict[str, object]:
        """JSON-ready, the derived figures included."""
        derived = ("slo_attainment", "goodput_per_s", "throughput_per_s", "preemptions", "hit_share")
        return {**asdict(self), **{name: getattr(self, name) for name in derived}}
