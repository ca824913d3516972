"""What a replica reserves is what the nodes call it, and nodes that lack it, or have less than they say, are named."""

from __future__ import annotations

import pytest

from orchestrator.errors import RunError
from orchestrator.planner.cluster import EngineSpec
from orchestrator.planner.plan import Site
from orchestrator.runtime.deploy.layout import GIB, Layout, layout_of
from orchestrator.runtime.deploy.nodes import Node, bundles, shown
from tests.planner.clusters import cpu, gpu
from tests.runtime.deploy.plans import plan, vllm


def layout(replicas: int = 1, tensor: int = 2) -> Layout:
    site = Site(engine="main", device="gpu", tensor_parallel=tensor, replicas=replicas)
    return layout_of(plan([vllm()], devices=[gpu(type="h100", count=8)], sites=[site]))


def nodes(*resources: dict[str, float]) -> list[Node]:
    return [Node(f"10.0.0.{number}", each) for number, each in enumerate(resources)]


def test_a_device_is_known_by_its_name_or_its_type_or_as_a_gpu() -> None:
    named = bundles(layout(), nodes({"gpu": 8.0, "GPU": 8.0}))
    assert named == {"main": {"gpu": 2.0, "GPU": 2.0}}
    assert bundles(layout(), nodes({"h100": 8.0, "GPU": 8.0})) == {"main": {"h100": 2.0, "GPU": 2.0}}
    assert bundles(layout(), nodes({"CPU": 4.0}, {"GPU": 2.0})) == {"main": {"GPU": 2.0}}
    assert shown(named["main"]) == "2 x gpu, 2 x GPU"


def test_an_engine_on_any_cpu_reserves_nothing_and_one_on_a_labelled_node_its_memory() -> None:
    engine = vllm(device="cpu", options={"kv_cache_gib": 2})
    anywhere = layout_of(plan([engine], devices=[cpu()]))
    assert bundles(anywhere, nodes({"CPU": 4.0})) == {"main": {"memory": 2.0 * GIB}}
    labelled = layout_of(plan([engine.model_copy(update={"device": "big"})], devices=[cpu(name="big")]))
    assert bundles(labelled, nodes({"big": 1.0, "memory": 4.0 * GIB}))["main"] == {"big": 1.0, "memory": 2.0 * GIB}
    with pytest.raises(RunError, match="no node has `big`"):
        bundles(labelled, nodes({"CPU": 4.0, "memory": 4.0 * GIB}))
    with pytest.raises(RunError, match="no node with it has more than 1 GiB of memory"):
        bundles(labelled, nodes({"big": 1.0, "memory": 1.0 * GIB}))


def test_a_simulated_engine_takes_no_gpu_of_its_device() -> None:
    engine = EngineSpec(name="main", kind="sim", model="m", device="gpu")
    made = bundles(layout_of(plan([engine])), nodes({"gpu": 1.0}))
    assert made == {"main": {"gpu": 1.0}}


@pytest.mark.parametrize(
    ("replicas", "tensor", "there", "code", "said"),
    [
        (1, 2, {"CPU": 4.0}, "ORCH-R122", "no node has `gpu`"),
        (1, 4, {"gpu": 2.0, "GPU": 2.0}, "ORCH-R122", "the node with most of them has 2"),
        (5, 2, {"gpu": 8.0, "GPU": 8.0}, "ORCH-R122", "the plan takes 10 x gpu in all"),
        (1, 2, {"gpu": 8.0, "GPU": 4.0}, "ORCH-R123", "10.0.0.0 has less than it says: it says 8 x gpu"),
    ],
)
def test_what_is_lacking_is_said_with_a_fix(
    replicas: int, tensor: int, there: dict[str, float], code: str, said: str
) -> None:
    with pytest.raises(RunError) as refused:
        bundles(layout(replicas, tensor), nodes(there))
    assert (refused.value.code, said in str(refused.value)) == (code, True)
    assert all(each.fix for each in refused.value.diagnostics)
