"""How to serve one model on given devices: the calibrated cost model asks what a worker does, the solver counts them.

Every shape of a worker (devices that split it, batch, both phases or one) is priced by the calibration
(:mod:`orchestrator.planner.cost.store`), all in one call, for ``batch`` clients that always have one request open::

    aggregated   batch / (TTFT + (OSL - 1) TPOT) requests/s, both figures among that many requests, but no more than
                 1 / (prefill + OSL * own TPOT / batch): a worker does one thing at a time
    prefill      the TTFT of a request alone; busy to PREFILL_UTILISATION, so that a prompt waits as in M/D/1
    decode       batch / own TPOT tokens/s: TPOT less what prefills add to it (see below)

The calibration rests on loaded systems, and its TTFT of a request alone can be less than a prefill's kernels take; it
then counts as what they take (:mod:`orchestrator.planner.cost.steps`).

The calibration of disaggregated serving knows other backends and much larger models than the one of aggregated serving,
so figures of the two do not compare. Both kinds of worker are therefore priced by the aggregated one: of its TPOT, the
terms of interference by prefills have a share, which a decode worker does not pay. Pipeline parallelism is left out:
no measurement has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from orchestrator.errors import PlanError
from orchestrator.planner.cluster import Cluster, Device
from orchestrator.planner.cost.deployment import ENGINE_BYTES, USABLE_MEMORY, Deployment
from orchestrator.planner.interval import Interval
from orchestrator.planner.models import ModelFacts, bundled, bundled_names, read_config
from orchestrator.planner.parallel import Parallel
from orchestrator.planner.solver.one_model import BATCHES, Demand, Performance, ServingPlan, Shape, serve_model, shapes
from orchestrator.planner.solver.problem import Link, Mode, Pool

if TYPE_CHECKING:
    from orchestrator.planner.cost.calibration import Prediction

Weights = Literal["bf16", "fp8", "fp4"]
Backend = Literal["vllm", "sglang", "trtllm"]
Goal = Literal["throughput", "cost"]

PREFILL_UTILISATION: Final = 0.8
"""Share of the time that prefill workers are busy at the most; a prompt then waits twice as long as it takes."""
NETWORK_BYTES_PER_S: Final = 1.25e9
"""Between nodes whose network is unknown: 10 Gb/s Ethernet."""
MOST_DEVICES: Final = 8
"""That one worker is split over."""
GAP: Final = 1e-4


@dataclass(frozen=True, slots=True)
class ModelAsked:
    """A model to be served, and how its weights are stored."""

    facts: ModelFacts
    weights: str


@dataclass(frozen=True, slots=True)
class Worker:
    """What is expected of one worker under its load: seconds that hold 80 % of measurements."""

    performance: Performance
    ttft: Interval
    tpot: Interval
    measured: bool
    """Whether model, device and backend were measured together."""


@dataclass(frozen=True, slots=True)
class Rival:
    """The best plan of one kind only."""

    kind: Literal["aggregated", "disaggregated"]
    plan: ServingPlan | None
    why: str
    """Why there is none; empty when there is."""


@dataclass(frozen=True, slots=True)
class Served:
    """The plan, what its workers do, and what was not taken."""

    plan: ServingPlan
    workers: dict[tuple[str, Shape], Worker]
    rivals: tuple[Rival, ...]
    objective: Goal

    def worse_by(self, rival: ServingPlan) -> float:
        """Of the objective, relative to the plan: less throughput, or more money."""
        if self.objective == "throughput":
            return max(1 - rival.tokens_per_s / self.plan.tokens_per_s, 0.0)
        if rival.usd_per_hour is None or not self.plan.usd_per_hour:
            return 0.0
        return rival.usd_per_hour / self.plan.usd_per_hour - 1


def model_asked(text: str, weights: Weights | None) -> ModelAsked:
    """A bundled model by name, or the one of a ``config.json``, with other weights if asked.

    Raises :class:`PlanError`: ORCH-P100 for a name that is neither, and what reading a config raises.
    """
    path = Path(text)
    if path.is_dir():
        path /= "config.json"
    facts = read_config(path, text) if path.suffix == ".json" or path.is_file() else bundled(text)
    if facts is None:
        near = get_close_matches(text.rsplit("/", 1)[-1].lower(), bundled_names(), n=1)
        raise PlanError(
            "ORCH-P100",
            f"no model {text!r}",
            why=f"bundled are {', '.join(bundled_names())}",
            fix=f"did you mean `{near[0]}`?" if near else "name one of them, or the path of a config.json",
        )
    if weights is None:
        return ModelAsked(facts, facts.weight_dtype)
    dense = facts.dense_weight_dtype or weights
    return ModelAsked(
        replace(facts, weight_dtype=weights, dense_weight_dtype=dense if facts.experts else None), weights
    )


def serve(
    model: ModelAsked, cluster: Cluster, demand: Demand, *, objective: Goal = "throughput", backend: Backend = "vllm"
) -> Served:
    """The best way to serve ``model``; ``demand`` needs no KV figures.

    Raises :class:`PlanError`: ORCH-P101 for a cluster without a GPU, ORCH-P102 for requests that the model does not
    take, ORCH-P103 for cost without a rate, ORCH-P104 for a model that fits nowhere, and what
    :func:`~orchestrator.planner.solver.one_model.serve_model` raises.
    """
    devices = [each for each in cluster.devices if each.kind == "gpu"]
    _check(model.facts, devices, demand, objective)
    demand = replace(demand, kv_bytes_per_token=model.facts.kv_bytes(demand.input_tokens) / demand.input_tokens)
    pools = [_pool(each) for each in devices]
    workers = _priced(model, dict(zip(pools, devices, strict=True)), demand, backend)
    if not workers:
        raise _too_large(model, devices, demand)

    def solved(*modes: Mode) -> ServingPlan:
        def priced(pool: Pool, shape: Shape) -> Performance | None:
            found = workers.get((pool.name, shape))
            return found.performance if found is not None and shape.mode in modes else None

        return serve_model(
            pools,
            priced,
            demand,
            objective=objective,
            links=_links(devices),
            expert_parallel=model.facts.experts > 0,
            gap=GAP,
        )

    plan = solved("aggregated", "prefill", "decode")
    rivals = []
    for kind, modes in _KINDS.items():
        try:
            rivals.append(Rival(kind, solved(*modes), ""))
        except PlanError as impossible:
            rivals.append(Rival(kind, None, impossible.message))
    return Served(plan, workers, tuple(rivals), objective)


_KINDS: Final[dict[Literal["aggregated", "disaggregated"], tuple[Mode, ...]]] = {
    "aggregated": ("aggregated",),
    "disaggregated": ("prefill", "decode"),
}


def _check(facts: ModelFacts, devices: Sequence[Device], demand: Demand, objective: Goal) -> None:
    if not devices:
        raise PlanError(
            "ORCH-P101", "the cluster has no GPU", fix="add a [[device]] of an accelerator, for example type h100-sxm"
        )
    tokens = demand.input_tokens + demand.output_tokens
    if facts.context_tokens is not None and tokens > facts.context_tokens:
        raise PlanError(
            "ORCH-P102",
            f"{demand.input_tokens:g} input and {demand.output_tokens:g} output tokens are more than the model takes",
            why=f"the context of {facts.name} is {facts.context_tokens} tokens",
            fix="ask for fewer tokens, or another model",
        )
    if objective == "cost" and demand.rate_per_s is None:
        raise PlanError(
            "ORCH-P103",
            "the least cost of serving no requests is nothing",
            why="for the objective cost as many requests have to be served as --rate says",
            fix="give --rate, for example 5/s, or plan for throughput",
        )


def _too_large(model: ModelAsked, devices: Sequence[Device], demand: Demand) -> PlanError:
    most = max(min(each.count, each.node_devices, MOST_DEVICES) * each.memory_bytes for each in devices)
    kv_bytes = model.facts.kv_bytes(demand.input_tokens + demand.output_tokens)
    return PlanError(
        "ORCH-P104",
        f"{model.facts.name} fits on no worker: its weights take {model.facts.weight_bytes / 1e9:,.0f} GB, and the KV "
        f"of a request {kv_bytes / 1e9:,.2g} GB",
        why=f"the devices that one worker may be split over have {most / 1e9:,.0f} GB together, {USABLE_MEMORY:.0%} of "
        f"it usable, less {ENGINE_BYTES / 1e9:g} GB on each for the engine",
        fix="offer more or larger devices, store the weights in fewer bytes with --weights, or ask for fewer tokens",
    )


def _pool(device: Device) -> Pool:
    return Pool(device.name, device.type, device.count, device.usd_per_hour, device.power_w, device.memory_bytes)


def _links(devices: Sequence[Device]) -> tuple[Link, ...]:
    """For KV on its way from prefill to decode workers."""
    return tuple(Link(a.name, b.name, _link_bytes_per_s(a, b)) for a in devices for b in devices)


def _link_bytes_per_s(source: Device, target: Device) -> float:
    """Out of one device: to others of a node, or over the network of the slower end."""
    if source is target and source.count <= source.node_devices:
        return source.link_bytes_per_s or source.pcie_bytes_per_s or NETWORK_BYTES_PER_S
    return min(each.inter_node_bytes_per_s or NETWORK_BYTES_PER_S for each in (source, target))


def _priced(
    model: ModelAsked, devices: dict[Pool, Device], demand: Demand, backend: Backend
) -> dict[tuple[str, Shape], Worker]:
    """Every worker that has room for its batch's KV, by pool and shape."""
    from orchestrator.planner.cost.store import predict

    asked: list[tuple[Pool, Shape, Deployment, float]] = []
    for pool, device in devices.items():
        most = min(device.node_devices, MOST_DEVICES)
        for shape in shapes(pool, batches=BATCHES, most_devices=most, expert_parallel=model.facts.experts > 0):
            of = _deployment(model, device, demand, backend, shape)
            room = _kv_tokens(of) if shape.pipeline == 1 else 0.0
            if room >= demand.input_tokens + (shape.mode != "prefill") * demand.output_tokens:
                asked.append((pool, shape, of, room))
    deployments = [of for _, _, of, _ in asked]
    if not deployments:
        return {}
    return {
        (pool.name, shape): _worker(shape, demand, room, found, parts)
        for (pool, shape, _, room), found, parts in zip(asked, predict(deployments), _parts(deployments), strict=True)
    }


def _deployment(model: ModelAsked, device: Device, demand: Demand, backend: Backend, shape: Shape) -> Deployment:
    from orchestrator.planner.cost.rows import as_measured
    from orchestrator.planner.cost.store import newest_day

    experts = shape.expert if model.facts.experts else 1
    split = Parallel(tp=shape.tensor, moe_tp=shape.tensor // experts, moe_ep=experts)
    return Deployment(
        facts=as_measured(model.facts),
        device=device,
        backend=backend,
        isl=demand.input_tokens,
        osl=demand.output_tokens,
        concurrency=float(shape.batch),
        prefill=split,
        decode=split,
        weights=model.weights,
        day=newest_day(backend),
    )


def _kv_tokens(of: Deployment) -> float:
    """Tokens whose KV a worker has room for; 0 or less where the weights do not fit."""
    free, tokens = of.device.memory_bytes * USABLE_MEMORY - of.weight_bytes - ENGINE_BYTES, of.isl + of.osl
    return free * tokens / of.kv_bytes(tokens)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What there is to a worker's figures when only one phase is looked at."""

    prefill_s: float
    """What the kernels of one prompt take."""
    own_share: float
    """It is the share of TPOT that is left without the prefills of other requests."""


def _parts(deployments: Sequence[Deployment]) -> list[_Parts]:
    import numpy as np

    from orchestrator.planner.cost.calibration import Table
    from orchestrator.planner.cost.inputs import TPOT_TERMS
    from orchestrator.planner.cost.store import shipped

    table = Table.of(deployments)
    coefficients = shipped(False).tpot.fit.coefficients
    rows = np.array([coefficients.get(name, coefficients[""]) for name in table.backends])
    weighted = np.maximum(table.tpot * rows, 0.0)
    own = [not name.startswith("interference") for name in TPOT_TERMS]
    shares = weighted[:, own].sum(axis=1) / np.maximum(weighted.sum(axis=1), 1e-12)
    return [_Parts(shape.prefill.work_s, share) for shape, share in zip(table.shapes, shares.tolist(), strict=True)]


def _worker(shape: Shape, demand: Demand, room: float, found: Prediction, parts: _Parts) -> Worker:
    tokens = demand.output_tokens
    prefill = _at_least(found.ttft, parts.prefill_s)
    match shape.mode:
        case "aggregated":
            ttft, tpot = prefill, found.tpot
            busy_s = parts.prefill_s + tokens * found.tpot.mid * parts.own_share / shape.batch
            request_s = max(ttft.mid + max(tokens - 1, 0.0) * tpot.mid, shape.batch * busy_s)
            tpot = _at_least(tpot, (request_s - ttft.mid) / max(tokens - 1, 1.0))
            tokens_per_s = shape.batch * tokens / request_s
        case "prefill":
            waits = 1 + PREFILL_UTILISATION / (2 * (1 - PREFILL_UTILISATION))
            ttft, tpot = prefill.scaled(waits), Interval.exact(0.0)
            tokens_per_s = PREFILL_UTILISATION * demand.input_tokens / prefill.mid
        case "decode":
            ttft, tpot = Interval.exact(0.0), found.tpot.scaled(parts.own_share)
            tokens_per_s = shape.batch / tpot.mid
    return Worker(Performance(ttft.mid, tpot.mid, tokens_per_s, room), ttft, tpot, found.measured)


def _at_least(found: Interval, least: float) -> Interval:
    return Interval(*(max(each, least) for each in found.bounds)) if least > found.mid else found
