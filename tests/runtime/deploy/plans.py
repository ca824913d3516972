"""Plans and layouts that the tests of deployments share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.planner.cluster import Cluster, Device, EngineSpec
from orchestrator.planner.interval import Interval
from orchestrator.planner.plan import OpPlan, Plan, Share, Site
from tests.planner.clusters import cpu, gpu

ONE = Interval.exact(1.0)


def op(name: str, place: str, **changes: Any) -> OpPlan:
    """A call of a second that runs once."""
    figures: dict[str, Any] = {"id": name, "kind": "decode", "place": place, "seconds": ONE, "tokens_in": ONE}
    return OpPlan(**{**figures, "tokens_out": ONE, "count": ONE, **changes})


def plan(
    engines: Sequence[EngineSpec],
    *,
    devices: Sequence[Device] = (cpu(), gpu(count=8)),
    ops: Sequence[OpPlan] = (),
    sites: Sequence[Site] = (),
    **changes: Any,
) -> Plan:
    """A plan in which each engine answers one op, unless ``ops`` are given."""
    figures: dict[str, Any] = {
        "workflow": "answer",
        "ir_hash": "0" * 64,
        "cluster": Cluster(devices=tuple(devices), engines=tuple(engines)),
        "ops": tuple(ops) or tuple(op(f"ask_{each.name}", f"engine:{each.name}") for each in engines),
        "seconds": ONE,
        "tokens": ONE,
        "cost_usd": None,
        "sites": tuple(sites),
    }
    return Plan(**{**figures, **changes})


def vllm(name: str = "main", **changes: Any) -> EngineSpec:
    """A vLLM engine on the GPUs."""
    return EngineSpec(**{"name": name, "kind": "vllm", "model": "m/llama", "device": "gpu", **changes})


def shares(*pairs: tuple[str, float]) -> tuple[Share, ...]:
    """Shares by engine."""
    return tuple(Share(engine=engine, share=share) for engine, share in pairs)
