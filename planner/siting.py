"""Where engines run: the exact placement of a workflow's models on the devices that a cluster offers.

An engine of kind ``vllm`` without a ``device`` is to be *sited*: the planner chooses the device type, how many of its
devices split the model (``tensor_parallel_size``), how many calls a replica batches (``max_num_seqs``), how many
replicas there are, and which op asks which. All of it is one mixed-integer program
(:mod:`orchestrator.planner.placement`); here a workflow becomes its data, and its answer a cluster.

Tokens do not depend on where an engine runs, so the workflow is estimated once, with every engine on any device that
takes it. Batched calls are priced as a batch of equal ones. Ops that are no model calls take their time and nothing
else. A run that has the cluster to itself needs no batches, so they are chosen only for a rate or for throughput.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

from pydantic import JsonValue

from orchestrator.cached import cached_property
from orchestrator.planner.cluster import Cluster, Device, EngineSpec
from orchestrator.planner.cost.call import call_cost
from orchestrator.planner.dataflow import dependencies, rounds
from orchestrator.planner.placement import Choice, Configuration, Link, Op, Pool, Problem, Solution, Transfer, Workload
from orchestrator.planner.plan import OpPlan, Plan, Share, Site
from orchestrator.planner.serving import USABLE_MEMORY, Replica, Serving, replica_of
from orchestrator.planner.solver.solution import Share as Part

ELSEWHERE: Final = "elsewhere"
"""The pool of everything that is no model call: threads, tools, people."""
BATCHES: Final = (1, 4, 16, 64, 256)
SPLITS: Final = (1, 2, 4, 8)
NETWORK_BYTES_PER_S: Final = 1.25e9
"""Between pools: 10 Gb/s Ethernet."""
NETWORK_LATENCY_S: Final = 2e-4
BYTES_PER_TOKEN: Final = 4.0
"""A token of text that moves from op to op has so many bytes."""


@dataclass(frozen=True)
class Way:
    """One way of running an engine."""

    engine: EngineSpec
    device: Device
    split: int
    batch: int | None
    """Calls that a replica holds at once; ``None``: one run has it to itself."""

    @property
    def name(self) -> str:
        batches = f", batches of {self.batch}" if self.batch else ""
        return f"{self.engine.name} on {self.split} x {self.device.name}{batches}"

    @cached_property
    def replica(self) -> Replica:
        """The engine on these devices; what is known of its model is read once."""
        return replica_of(self.engine, self.device, self.split)


@dataclass(frozen=True, slots=True)
class Sited:
    """A cluster whose engines all have devices, and who asks which."""

    cluster: Cluster
    engine_of: Mapping[str, str]
    """By op id the engine that takes most of its calls."""
    shares: Mapping[str, tuple[Share, ...]]
    """By op id, for those that several engines share."""
    sites: tuple[Site, ...]


def unsited(cluster: Cluster) -> tuple[EngineSpec, ...]:
    """The engines whose device is the planner's to choose: none where the cluster names no device, and so says nothing
    of the hardware."""
    if not cluster.devices:
        return ()
    return tuple(each for each in cluster.engines if each.kind == "vllm" and each.device is None)


def hosts(cluster: Cluster) -> tuple[Device, ...]:
    """The devices that unsited engines may be put on: GPUs, and CPUs whose price and power are known, or that have no
    GPU beside them.

    A CPU without would be the cheapest device there is, or make every cost or energy unknown.
    """
    gpus = tuple(device for device in cluster.devices if device.kind == "gpu")
    cpus = (device for device in cluster.devices if device.kind == "cpu")
    return (*gpus, *(device for device in cpus if not gpus or None not in (device.usd_per_hour, device.power_w)))


def anywhere(cluster: Cluster) -> Cluster:
    """The cluster with every unsited engine on the GPU with most memory, or else the CPU, to estimate tokens."""
    waiting = unsited(cluster)
    if not waiting:
        return cluster
    largest = max(hosts(cluster), key=lambda device: (device.kind == "gpu", device.memory_bytes))
    return cluster.model_copy(
        update={"engines": tuple(_bound(each, largest, each) if each in waiting else each for each in cluster.engines)}
    )


def _bound(engine: EngineSpec, device: Device, named: EngineSpec) -> EngineSpec:
    # As many devices as it takes: whether the model fits is the program's question, not the estimate's.
    options = {**engine.options, "tensor_parallel_size": device.count if device.kind == "gpu" else 1}
    return named.model_copy(update={"device": device.name, "options": options})


def ways(cluster: Cluster, batches: Sequence[int | None]) -> Iterator[Way]:
    """Every way to run each engine; of one that has its device, the way it is configured."""
    for engine in cluster.engines:
        if engine in unsited(cluster):
            for device in hosts(cluster):
                most = min(device.count, device.node_devices) if device.kind == "gpu" else 1
                for split in (each for each in SPLITS if each <= most):
                    yield from (Way(engine, device, split, batch) for batch in batches)
        elif engine.device is not None:
            wanted = engine.option("tensor_parallel_size")
            split = wanted if isinstance(wanted, int) and wanted > 0 else 1
            yield from (Way(engine, cluster.device(engine.device), split, batch) for batch in batches)


@dataclass(frozen=True)
class Siting:
    """What is to be sited: a workflow's estimate (its plan on :func:`anywhere`), and what it may run on."""

    estimate: Plan
    cluster: Cluster
    samples: Mapping[str, int]
    """Replies of each model call, by op id; 1 where absent."""
    batched: bool
    """Whether replicas hold several calls at once."""

    @cached_property
    def ways(self) -> dict[str, Way]:
        """The ways by their names."""
        return {way.name: way for way in ways(self.cluster, BATCHES if self.batched else (None,))}


def problem_of(siting: Siting, workload: Workload) -> Problem:
    """The placement program of a workflow."""
    estimate, cluster, found = siting.estimate, siting.cluster, siting.ways
    used = sorted({way.device.name for way in found.values()})
    pools = [_pool(cluster.device(name)) for name in used]
    pools.append(Pool(ELSEWHERE, ELSEWHERE, count=1_000_000, usd_per_device_hour=0.0, watts=0.0))
    configurations = [_configuration(way) for way in found.values()] + [Configuration(ELSEWHERE, ELSEWHERE)]
    links = [
        Link(a.name, b.name, NETWORK_BYTES_PER_S, NETWORK_LATENCY_S) for a in pools for b in pools if a.name != b.name
    ]
    after = dependencies(estimate)
    ops = [_op(siting, estimate.by_id[name]) for name in after]
    transfers = [
        Transfer(source, name, estimate.by_id[source].tokens_out.mid * BYTES_PER_TOKEN)
        for name, sources in after.items()
        for source in sources
    ]
    return Problem(tuple(pools), tuple(configurations), tuple(ops), tuple(transfers), tuple(links), workload)


def _pool(device: Device) -> Pool:
    usable = device.memory_bytes * USABLE_MEMORY[device.kind]
    return Pool(device.name, device.type, device.count, device.usd_per_hour, device.power_w, usable)


def _configuration(way: Way) -> Configuration:
    return Configuration(
        way.name,
        way.device.name,
        devices=way.split,
        tensor=way.split,
        batch=float(way.batch) if way.batch else None,
        memory_bytes=way.replica.facts.weight_bytes / way.split,
        kv_bytes=max(way.replica.kv_capacity_bytes, 0.0),
    )


def _op(siting: Siting, op: OpPlan) -> Op:
    executions, serial = max(op.count.mid, 1e-9), rounds(siting.estimate, op)
    elsewhere = Op(op.id, (Choice(ELSEWHERE, op.seconds.mid, 0.0),), executions, serial)
    if op.kind != "decode":
        return elsewhere
    engine = op.place.removeprefix("engine:")
    models = {each.model for each in siting.estimate.cluster.engines if each.name == engine}
    serving = [way for way in siting.ways.values() if way.engine.name == engine or way.engine.model in models]
    samples = siting.samples.get(op.id, 1)
    # All replies of a call are made at once.
    least = min(samples, BATCHES[-1])
    choices = tuple(_choice(op, way, samples) for way in serving if way.batch is None or way.batch >= least)
    return Op(op.id, choices, executions, serial) if choices else elsewhere


def _choice(op: OpPlan, way: Way, samples: int) -> Choice:
    # A batch is of sequences, as `max_num_seqs` is, and each reply is one.
    calls, reply = max((way.batch or 1) // samples, 1), op.tokens_out.scaled(1 / samples)
    cost = call_cost(Serving(way.engine, way.replica), op.tokens_in, op.tokens_in, reply, samples * calls)
    # While a call is in a full batch, the prompt of each other is computed once, and nothing else meanwhile.
    seconds = cost.seconds.mid + (calls - 1) * cost.exclusive_s.mid
    kv_bytes = way.replica.facts.kv_bytes(op.tokens_in.mid, reply.mid, samples)
    return Choice(way.name, seconds, seconds / calls, kv_bytes=kv_bytes)


def sited(solution: Solution, siting: Siting) -> Sited:
    """The cluster as the solution has it: an engine for each configuration in use, on devices of its own."""
    cluster, found = siting.cluster, siting.ways
    chosen = {name: found[name] for name, count in solution.replicas.items() if name in found and count}
    engines_used = [way.engine.name for way in chosen.values()]
    devices_used = [way.device.name for way in chosen.values()]
    taken = {each.name for each in cluster.devices} | {each.name for each in cluster.engines}
    engines, devices, sites, names = [], [], [], {}
    for number, (name, way) in enumerate(chosen.items(), start=1):
        replicas = solution.replicas[name]
        own = _free(way.device.name, number, taken) if devices_used.count(way.device.name) > 1 else way.device.name
        device = way.device.model_copy(update={"name": own, "count": replicas * way.split})
        called = way.engine.name
        if engines_used.count(called) > 1:
            called = _free(called, number, taken)
        site = Site(engine=called, device=device.name, tensor_parallel=way.split, replicas=replicas, batch=way.batch)
        engine = as_sited(way.engine, site)
        names[name] = engine.name
        engines.append(engine)
        devices.append(device)
        sites.append(site)
    rest = [each for each in cluster.engines if each not in unsited(cluster) and each.device is None]
    with_engines = {each.name for each in devices}
    cpus = [each for each in cluster.devices if each.kind == "cpu" and each.name not in with_engines]
    engine_of = {op: names[c.configuration] for op, c in solution.assignment.items() if c.configuration in names}
    shares = {op: _shares(each, names) for op, each in solution.shares.items() if op in engine_of and len(each) > 1}
    whole = cluster.model_copy(update={"devices": (*cpus, *devices), "engines": (*engines, *rest)})
    return Sited(whole, engine_of, shares, tuple(sites))


def _shares(parts: Sequence[Part], names: Mapping[str, str]) -> tuple[Share, ...]:
    return tuple(Share(engine=names[each.choice.configuration], share=each.share) for each in parts)


def as_sited(engine: EngineSpec, site: Site) -> EngineSpec:
    """The engine with its name, its device and the options by which all that the site says of it is started."""
    chosen: dict[str, JsonValue] = {"tensor_parallel_size": site.tensor_parallel}
    chosen |= {"max_num_seqs": site.batch} if site.batch else {}
    chosen |= {"replicas": site.replicas} if site.replicas > 1 else {}
    given = engine.options.get("extra")
    extra = {name: value for name, value in given.items() if name not in chosen} if isinstance(given, dict) else {}
    extra |= {"pipeline_parallel_size": site.pipeline_parallel} if site.pipeline_parallel > 1 else {}
    extra |= {"enable_expert_parallel": True} if site.expert_parallel > 1 else {}
    options = {**engine.options, **chosen, **({"extra": extra} if extra else {})}
    return engine.model_copy(update={"name": site.engine, "device": site.device, "options": options})


def _free(name: str, number: int, taken: set[str]) -> str:
    """A numbered name that nothing has yet; it is taken from now on."""
    found = next(each for each in (f"{name}-{n}" for n in count(number)) if each not in taken)
    taken.add(found)
    return found


def proof(solution: Solution) -> str:
    """One sentence on how good the placement is."""
    if solution.open_because:
        return (
            "placement NOT proved to be a good one for its model of the workflow: another may be better by "
            f"{100 * solution.gap:.2g} % ({solution.open_because})"
        )
    exact = "the best there is" if solution.gap < 1e-6 else f"within {100 * solution.gap:.2g} % of the best there is"
    return f"placement proved to be {exact} for its model of the workflow, in {solution.solve_s:.2g} s"
