"""The replicas that a cluster file's engines stand for, as the simulator needs them.

An engine that serves a model on a device with 8 pieces and ``tensor_parallel_size = 2`` is four replicas, unless
``data_parallel_size`` says how many; engines on the same device share its pieces in equal parts. An engine without a
device, which a plan would put where it is best, is on every accelerator of the file that can hold its model, split over
as few of them as can. ``max_num_seqs``, ``max_num_batched_tokens``, ``block_size`` and ``enable_prefix_caching`` are
read as vLLM reads them, and memory as a plan counts it. Speeds are the planner's roofline at its expected efficiency.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from orchestrator.errors import Diagnostic, PlanError, SourceLoc
from orchestrator.planner.cluster import Cluster, Device, EngineSpec
from orchestrator.planner.cluster_file import read_cluster
from orchestrator.planner.models import ModelFacts, facts_of
from orchestrator.planner.serving import replica_of
from orchestrator.planner.simulate.speed import ReplicaSpec, roofline_speed
from orchestrator.planner.siting import SPLITS, unsited

DEFAULT_CLUSTER: Final = Path(__file__).with_name("default.toml")
MOST_REPLICAS: Final = 2_000
"""An engine may have so many; each is played."""
LEAST_TOKENS: Final = 8192
"""A replica has room for so many tokens of KV at least, where the split is ours to choose."""


def replicas_of(path: Path, model: str | None = None) -> tuple[ReplicaSpec, ...]:
    """Read a cluster file; of its engines those that serve ``model`` (or have that name), or all.

    Raises :class:`PlanError`: as :func:`~orchestrator.planner.cluster_file.read_cluster`, ORCH-P076 for engines that
    cannot be simulated (on no known device, without room for the model, or of another model than the first), ORCH-P077
    for a file without engines, or none of ``model``.
    """
    cluster = read_cluster(path)
    if not cluster.engines:
        raise PlanError(
            "ORCH-P077",
            f"{path.name} has no engine",
            where=SourceLoc(str(path), 1),
            why="a device serves nothing by itself",
            fix="add an [[engine]] table with `name`, `kind`, `model` and `device`",
        )
    meant = [each for each in cluster.engines if model is None or model in (each.model, each.name)]
    if not meant:
        served = ", ".join(dict.fromkeys(each.model for each in cluster.engines))
        raise PlanError(
            "ORCH-P077",
            f"no engine of {path.name} serves {model}",
            where=SourceLoc(str(path), 1),
            fix=f"name one of {served}",
        )
    placed = [each for engine in meant for each in _placed(engine, cluster)]
    first = facts_of(meant[0])
    found: list[ReplicaSpec] = []
    problems: list[Diagnostic] = []
    for engine in placed:
        facts = facts_of(engine)
        problem = _problem(engine, facts, first, cluster)
        if problem is None:
            sharing = sum(other.device == engine.device for other in placed)
            found += _replicas(engine, facts, cluster, sharing)
        else:
            why, fix = problem
            message = f"engine {engine.name!r} cannot be simulated"
            problems.append(Diagnostic("ORCH-P076", message, SourceLoc(str(path), 1), why=why, fix=fix))
    if problems:
        raise PlanError.collect(problems)
    return tuple(found)


def _placed(engine: EngineSpec, cluster: Cluster) -> list[EngineSpec]:
    """The engine on each device that it may run on; as it is where that is none."""
    if engine not in unsited(cluster):
        return [engine]
    found: list[EngineSpec] = []
    wanted = (_parallel(engine),) if engine.option("tensor_parallel_size") is not None else SPLITS
    for device in (each for each in cluster.devices if each.kind == "gpu"):
        for split in (each for each in wanted if each <= min(device.count, device.node_devices)):
            if replica_of(engine, device, split).kv_blocks(1) >= LEAST_TOKENS:
                options = {**engine.options, "tensor_parallel_size": split}
                name = f"{engine.name} on {device.name}"
                found.append(engine.model_copy(update={"name": name, "device": device.name, "options": options}))
                break
    return found or [engine]


def _problem(  # noqa: PLR0911 - a case each
    engine: EngineSpec, facts: ModelFacts, first: ModelFacts, cluster: Cluster
) -> tuple[str, str] | None:
    """Why an engine cannot be simulated, and what to do; ``None``: it can."""
    if engine.device is None and engine in unsited(cluster):
        return f"no accelerator of the file can hold {engine.model}", "add a larger device, or more of one"
    if engine.device is None:
        why = f"it is a service ({engine.kind}) whose hardware is unknown"
        return why, "name another engine's model with --model, or give it a `device`"
    if (facts.layers, facts.hidden) != (first.layers, first.hidden):
        return (
            f"it serves {engine.model}, the first engine another model; a trace does not say which call wants which",
            f"simulate one model at a time, as with --model {engine.model}",
        )
    device, parallel = cluster.device(engine.device), _parallel(engine)
    if parallel > device.count:
        return f"tensor_parallel_size is {parallel}, and there are {device.count} of {device.name}", "raise `count`"
    if not replica_of(engine, device, parallel).kv_blocks(_block_tokens(engine)):
        return (
            f"{facts.weight_bytes / 1e9:.1f} GB of weights leave no room for KV in {parallel} x "
            f"{device.memory_bytes / 1e9:.1f} GB",
            "use a larger device, more of them, or fewer bytes a weight",
        )
    replicas = _whole(engine, "data_parallel_size", device.count // parallel)
    if replicas > MOST_REPLICAS:
        return f"{replicas:,} replicas are more than can be simulated: {MOST_REPLICAS:,}", "lower the device's `count`"
    return None


def _replicas(engine: EngineSpec, facts: ModelFacts, cluster: Cluster, sharing: int) -> list[ReplicaSpec]:
    """Those of an engine that shares its device's pieces among ``sharing`` engines."""
    assert engine.device is not None
    device, parallel = cluster.device(engine.device), _parallel(engine)
    count = _whole(engine, "data_parallel_size", max(1, device.count // (parallel * sharing)))
    step_tokens = _whole(engine, "max_num_batched_tokens", 2048)
    return [
        ReplicaSpec(
            engine.name if count == 1 else f"{engine.name}/{number}",
            roofline_speed(facts, device, parallel=parallel),
            replica_of(engine, device, parallel).kv_blocks(_block_tokens(engine)),
            block_tokens=_block_tokens(engine),
            max_batch=_whole(engine, "max_num_seqs", min(256, step_tokens)),
            step_tokens=step_tokens,
            kv_bytes_per_token=facts.kv_bytes_per_token,
            link_bytes_per_s=_link(device),
            prefix_cache=engine.option("enable_prefix_caching") is not False,
        )
        for number in range(count)
    ]


def _parallel(engine: EngineSpec) -> int:
    return _whole(engine, "tensor_parallel_size", 1)


def _block_tokens(engine: EngineSpec) -> int:
    return _whole(engine, "block_size", 16)


def _whole(engine: EngineSpec, name: str, default: int) -> int:
    """A whole option above 0, or the default."""
    value = engine.option(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else default


def _link(device: Device) -> float:
    """Out of the device; PCIe 3.0 x16 where it is unknown."""
    return device.pcie_bytes_per_s or device.link_bytes_per_s or 1.6e10
