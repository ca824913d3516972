"""One model on given devices: parallelism, batch, and workers that do both phases or prefill and decode apart.

Candidates are priced by a callable, so that any cost model can stand behind it; those that miss a limit or are
dominated are dropped, and the placement program counts the workers. A request is two ops, prefill and decode, with its
KV between them: the rate variable makes both phases carry the same rate, and the KV takes its time and its room on the
link.

>>> def priced(pool, shape):
...     return Performance(ttft_s=0.1, tpot_s=0.01, tokens_per_s=100.0 * shape.devices, kv_tokens=10_000.0)
>>> pool = Pool("gpu", "round", count=4, usd_per_device_hour=1.0)
>>> plan = serve_model([pool], priced, Demand(input_tokens=1000, output_tokens=100), batches=(1,))
>>> plan.tokens_per_s
400.0
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.errors import PlanError
from orchestrator.planner.placement import solve
from orchestrator.planner.solver.problem import (
    Choice,
    Configuration,
    Link,
    Mode,
    Objective,
    Op,
    Pool,
    Problem,
    Transfer,
    Workload,
)
from orchestrator.planner.solver.solution import Solution

BATCHES: Final = tuple(sorted({round(2 ** (step / 4)) for step in range(0, 41)}))
"""1 to 1024, each about a fifth above the one before."""
_MODES: Final[tuple[Mode, ...]] = ("aggregated", "prefill", "decode")


@dataclass(frozen=True, slots=True)
class Shape:
    """One way of running one worker."""

    mode: Mode
    tensor: int = 1
    pipeline: int = 1
    expert: int = 1
    batch: int = 1

    @property
    def devices(self) -> int:
        return self.tensor * self.pipeline

    def __str__(self) -> str:
        parts = [f"tp{self.tensor}", f"pp{self.pipeline}" if self.pipeline > 1 else ""]
        parts += [f"ep{self.expert}" if self.expert > 1 else "", f"b{self.batch}", self.mode]
        return "-".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Performance:
    """What one worker does, busy all the time."""

    ttft_s: float
    """It is the time from the request to its first token; for a decode worker 0."""
    tpot_s: float
    """Between tokens; for a prefill worker 0."""
    tokens_per_s: float
    """Output tokens; for a prefill worker prompt tokens."""
    kv_tokens: float
    """Tokens whose KV it can hold; 0 or less where the weights do not fit."""


Priced = Callable[[Pool, Shape], "Performance | None"]
"""``None``: the model cannot run like that."""


@dataclass(frozen=True, slots=True)
class Demand:
    """Requests of one kind, and what they are promised."""

    input_tokens: float
    output_tokens: float
    ttft_s: float | None = None
    tpot_s: float | None = None
    rate_per_s: float | None = None
    """Requests that must be served; needed for the objective cost."""
    kv_bytes_per_token: float = 0.0
    utilisation: float = 1.0


@dataclass(frozen=True, slots=True)
class Workers:
    """Equal workers."""

    pool: str
    shape: Shape
    count: int


@dataclass(frozen=True, slots=True)
class ServingPlan:
    """How to serve the model, with the proof."""

    workers: tuple[Workers, ...]
    requests_per_s: float
    tokens_per_s: float
    """Output tokens."""
    devices: int
    """Offered, used or not."""
    ttft_s: float
    """It is that of the slowest workers, as ``tpot_s`` is."""
    tpot_s: float
    usd_per_hour: float | None
    solution: Solution
    candidates: int
    """Priced."""

    @property
    def tokens_per_s_per_device(self) -> float:
        return self.tokens_per_s / self.devices


@dataclass(frozen=True, slots=True)
class _Candidate:
    pool: Pool
    shape: Shape
    performance: Performance
    requests_per_s: float

    @property
    def name(self) -> str:
        return f"{self.pool.name}:{self.shape}"


def shapes(
    pool: Pool, *, batches: Iterable[int] = BATCHES, most_devices: int = 8, expert_parallel: bool = False
) -> Iterator[Shape]:
    """Powers of two of tensor and pipeline parallelism on up to ``most_devices`` of the pool, every batch and mode."""
    powers = [1 << power for power in range(max(1, min(pool.count, most_devices)).bit_length())]
    steps = sorted({*batches})
    for tensor in powers:
        for pipeline in (each for each in powers if tensor * each <= min(pool.count, most_devices)):
            for expert in {1, tensor} if expert_parallel else {1}:
                for mode in _MODES:
                    for batch in steps if mode != "prefill" else steps[:1]:
                        yield Shape(mode, tensor, pipeline, expert, batch)


def serve_model(
    pools: Sequence[Pool],
    priced: Priced,
    demand: Demand,
    *,
    objective: Objective = "throughput",
    links: tuple[Link, ...] = (),
    batches: Iterable[int] = BATCHES,
    expert_parallel: bool = False,
    gap: float = 1e-4,
    time_limit_s: float = 30.0,
) -> ServingPlan:
    """The workers that give the most output tokens per second, or the lowest price for ``demand.rate_per_s``.

    ``links`` lead from prefill to decode workers, within a pool too; without one there the KV's way is free. Raises
    :class:`PlanError` ORCH-P052 where no candidate meets the promises, and what ``solve`` raises.
    """
    steps = tuple(batches)
    seen = [
        (pool, shape, found)
        for pool in pools
        for shape in shapes(pool, batches=steps, expert_parallel=expert_parallel)
        if (found := priced(pool, shape)) is not None
    ]
    fitting = [each for each in seen if each[2].kv_tokens >= _tokens_held(each[1], demand)]
    usable = [_candidate(*each, demand) for each in fitting if _keeps(each[2], demand)]
    kept = list(_undominated(usable))
    if not {"aggregated"} & {each.shape.mode for each in kept} and {each.shape.mode for each in kept} != {
        "prefill",
        "decode",
    }:
        raise _unservable(demand, [found for _, _, found in fitting], len(seen))
    best = solve(_problem(pools, kept, demand, links), objective, gap=gap, time_limit_s=time_limit_s)
    return _plan(best, pools, kept, demand, len(seen))


def _tokens_held(shape: Shape, demand: Demand) -> float:
    each = demand.input_tokens + (0.0 if shape.mode == "prefill" else demand.output_tokens)
    return shape.batch * each


def _keeps(found: Performance, demand: Demand) -> bool:
    return (demand.ttft_s is None or found.ttft_s <= demand.ttft_s) and (
        demand.tpot_s is None or found.tpot_s <= demand.tpot_s
    )


def _candidate(pool: Pool, shape: Shape, found: Performance, demand: Demand) -> _Candidate:
    tokens = demand.input_tokens if shape.mode == "prefill" else demand.output_tokens
    return _Candidate(pool, shape, found, found.tokens_per_s / max(tokens, 1.0))


def _undominated(candidates: list[_Candidate]) -> Iterator[_Candidate]:
    """Per pool, mode and devices: those that no other beats in both rate and time to the first token."""
    groups: dict[tuple[str, Mode, int], list[_Candidate]] = {}
    for each in candidates:
        if each.requests_per_s > 0:
            groups.setdefault((each.pool.name, each.shape.mode, each.shape.devices), []).append(each)
    for group in groups.values():
        least = float("inf")
        for each in sorted(group, key=lambda one: (-one.requests_per_s, one.performance.ttft_s, one.name)):
            # An aggregated worker is within the promise already; after a prefill there is still the KV's way.
            if least == float("inf") or (each.shape.mode == "prefill" and each.performance.ttft_s < least):
                least = each.performance.ttft_s
                yield each


def _problem(pools: Sequence[Pool], kept: list[_Candidate], demand: Demand, links: tuple[Link, ...]) -> Problem:
    kv_bytes = demand.input_tokens * demand.kv_bytes_per_token
    prefill = [each for each in kept if each.shape.mode in ("aggregated", "prefill")]
    decode = [each for each in kept if each.shape.mode in ("aggregated", "decode")]
    return Problem(
        pools=tuple(pools),
        configurations=tuple(
            Configuration(
                each.name,
                each.pool.name,
                devices=each.shape.devices,
                tensor=each.shape.tensor,
                pipeline=each.shape.pipeline,
                expert=each.shape.expert,
                mode=each.shape.mode,
            )
            for each in kept
        ),
        ops=(
            Op("prefill", tuple(_half(each, "prefill", kv_bytes, links) for each in prefill)),
            Op("decode", tuple(_half(each, "decode", kv_bytes, links) for each in decode)),
        ),
        transfers=(Transfer("prefill", "decode", kv_bytes, pair=True),),
        links=links,
        workload=Workload(rate_per_s=demand.rate_per_s, sla_s=demand.ttft_s, utilisation=demand.utilisation),
    )


def _half(each: _Candidate, mode: Mode, kv_bytes: float, links: tuple[Link, ...]) -> Choice:
    """An aggregated worker's whole time counts for the prefill half.

    A worker of one phase is also busy for as long as its own share of the fastest link carries the KV (arXiv
    2507.19635: egress KV / (TTFT x prefill workers), ingress KV / (TPOT x decode workers)).
    """
    busy_s = 1 / each.requests_per_s
    if each.shape.mode == "aggregated":
        return Choice(each.name, each.performance.ttft_s if mode == "prefill" else 0.0, busy_s * (mode == "prefill"))
    end = "src" if mode == "prefill" else "dst"
    speed = max((link.bytes_per_s for link in links if getattr(link, end) == each.pool.name), default=float("inf"))
    seconds = each.performance.ttft_s if mode == "prefill" else 0.0
    return Choice(each.name, seconds, max(busy_s, kv_bytes / (speed * each.shape.devices)))


def _plan(
    found: Solution, pools: Sequence[Pool], kept: list[_Candidate], demand: Demand, candidates: int
) -> ServingPlan:
    by_name = {each.name: each for each in kept}
    rate = found.value if found.objective == "throughput" else found.throughput_per_s
    decode = [by_name[each.choice.configuration] for each in found.shares["decode"]]
    return ServingPlan(
        workers=tuple(
            Workers(by_name[name].pool.name, by_name[name].shape, count) for name, count in found.replicas.items()
        ),
        requests_per_s=rate,
        tokens_per_s=rate * demand.output_tokens,
        devices=sum(pool.count for pool in pools),
        ttft_s=found.seconds,
        tpot_s=max(each.performance.tpot_s for each in decode),
        usd_per_hour=found.usd_per_hour,
        solution=found,
        candidates=candidates,
    )


def _unservable(demand: Demand, fitting: list[Performance], seen: int) -> PlanError:
    if not fitting:
        return PlanError(
            "ORCH-P052",
            f"the model fits on no worker: none of {seen} shapes has KV room for one request",
            why=f"a request holds {demand.input_tokens + demand.output_tokens:g} tokens beside the weights",
            fix="use more devices per worker, devices with more memory, or a smaller dtype",
        )
    ttft = min((each.ttft_s for each in fitting if each.ttft_s > 0), default=0.0)
    tpot = min((each.tpot_s for each in fitting if each.tpot_s > 0), default=0.0)
    asked = [f"`ttft_s` {demand.ttft_s:g} s (best {ttft:.4g})"] if demand.ttft_s is not None else []
    asked += [f"`tpot_s` {demand.tpot_s:g} s (best {tpot:.4g})"] if demand.tpot_s is not None else []
    return PlanError(
        "ORCH-P052",
        f"no worker meets what is promised: {', '.join(asked) or 'no shape serves any request'}",
        why=f"{len(fitting)} shapes fit, and each misses one of the limits",
        fix="loosen the limit that is below its best, or offer faster devices",
    )
