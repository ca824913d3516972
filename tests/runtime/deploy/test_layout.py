"""A plan becomes groups of engines with all that was chosen for them, and what cannot be started is said."""

from __future__ import annotations

import pytest

from orchestrator.errors import RunError
from orchestrator.planner.cluster import EngineSpec
from orchestrator.planner.interval import Interval
from orchestrator.planner.plan import Site
from orchestrator.runtime.deploy.layout import GIB, Layout, Reserved, layout_of, scaled
from orchestrator.runtime.engines.registry import check_options
from tests.planner.clusters import cpu, gpu
from tests.runtime.deploy.plans import op, plan, shares, vllm


def test_a_site_says_how_its_engine_is_started() -> None:
    site = Site(engine="main", device="gpu", tensor_parallel=2, pipeline_parallel=2, replicas=2, batch=64)
    (group,) = layout_of(plan([vllm(options={"dtype": "bfloat16"})], sites=[site])).groups
    assert (group.replicas, group.devices, group.batch) == (2, 4, 64)
    assert group.reserved == Reserved(device="gpu", device_type="round", count=4, gpus=4)
    told = {"dtype": "bfloat16", "tensor_parallel_size": 2, "max_num_seqs": 64}
    assert group.engine.options == told | {"extra": {"pipeline_parallel_size": 2}}
    check_options(group.engine)


def test_an_engine_without_a_site_is_started_as_its_file_says() -> None:
    options = {"replicas": 3, "tensor_parallel_size": 2, "extra": {"data_parallel_size": 2, "swap_space": 1}}
    (group,) = layout_of(plan([vllm(options=options)])).groups
    assert (group.replicas, group.tensor_parallel, group.data_parallel, group.devices) == (3, 2, 2, 4)
    assert group.engine.options == {
        "tensor_parallel_size": 2,
        "extra": {"swap_space": 1, "data_parallel_size": 2},
    }
    check_options(group.engine)


def test_experts_are_shared_out_over_all_devices_of_a_layer_or_not_at_all() -> None:
    site = Site(engine="main", device="gpu", tensor_parallel=4, expert_parallel=4, replicas=1)
    (group,) = layout_of(plan([vllm()], sites=[site])).groups
    assert group.engine.options["extra"] == {"enable_expert_parallel": True}
    assert not list(group.cannot_start())
    site = site.model_copy(update={"expert_parallel": 2})
    (group,) = layout_of(plan([vllm()], sites=[site])).groups
    assert ["over 2 devices" in reason for reason in group.cannot_start()] == [True]


def test_only_engines_that_somebody_is_to_start_are_groups() -> None:
    remote = EngineSpec(name="far", kind="openai", model="gpt")
    ops = [op("one", "engine:main", shares=shares(("main", 0.5), ("second", 0.5))), op("two", "engine:far")]
    layout = layout_of(plan([vllm(), vllm("second"), vllm("idle"), remote], ops=ops))
    assert [group.name for group in layout.groups] == ["main", "second"]
    assert layout.services == (remote,)


def test_a_cpu_engine_reserves_the_memory_of_its_kv_cache_and_no_gpu() -> None:
    engine = vllm(device="cpu", options={"kv_cache_gib": 4})
    (group,) = layout_of(plan([engine], devices=[cpu()])).groups
    assert group.reserved == Reserved(device="cpu", device_type="round", count=1, memory_bytes=4 * GIB)


def test_parts_of_a_device_that_a_plan_has_numbered_are_known_by_its_name() -> None:
    engines = [vllm("one", device="gpu-1"), vllm("two", device="gpu-2")]
    parts = [gpu(name="gpu-1", type="h100"), gpu(name="gpu-2", type="h100")]
    assert [each.reserved.device for each in layout_of(plan(engines, devices=parts)).groups] == ["gpu", "gpu"]
    others = [gpu(name="gpu-1", type="h100"), gpu(name="gpu-2", type="l4")]
    assert [each.reserved.device for each in layout_of(plan(engines, devices=others)).groups] == ["gpu-1", "gpu-2"]
    alone = layout_of(plan([vllm(device="a100-80")], devices=[gpu(name="a100-80")]))
    assert alone.groups[0].reserved.device == "a100-80"


def test_prefill_and_decode_apart_are_planned_and_not_started() -> None:
    sites = [
        Site(engine="main", device="gpu", tensor_parallel=1, replicas=1, role="prefill"),
        Site(engine="main", device="gpu", tensor_parallel=2, replicas=2, role="decode"),
    ]
    layout = layout_of(plan([vllm()], sites=sites))
    assert [(group.name, group.devices) for group in layout.groups] == [("main-prefill", 1), ("main-decode", 2)]
    with pytest.raises(RunError, match="ORCH-R121") as refused:
        layout.require_startable()
    assert ("prefill alone" in str(refused.value), "--emit vllm" in str(refused.value)) == (True, True)


def test_a_replica_over_several_nodes_is_not_started() -> None:
    site = Site(engine="main", device="gpu", tensor_parallel=4, pipeline_parallel=4, replicas=1)
    layout = layout_of(plan([vllm()], devices=[gpu(count=16, node_devices=8)], sites=[site]))
    with pytest.raises(RunError, match="takes 16 devices, and a node of `gpu` has 8"):
        layout.require_startable()


def test_a_plan_without_engines_is_refused() -> None:
    with pytest.raises(RunError, match="ORCH-R120"):
        layout_of(plan([EngineSpec(name="far", kind="openai", model="gpt")])).require_startable()


def test_tools_have_their_load_and_limit_and_pools_their_ops() -> None:
    twice = Interval.exact(2.0)
    ops = [
        op("search_1", "ray-actor", kind="tool", what="search", device="cpu", seconds=twice),
        op("search_2", "ray-actor", kind="tool", what="search", device="cpu"),
        op("count_1", "inline", kind="builtin", device="cpu"),
        op("ask", "engine:main"),
    ]
    layout = layout_of(plan([vllm()], ops=ops, rate_per_s=0.5))
    (tool,) = layout.tools
    assert (tool.tool, tool.ops, tool.limit, tool.busy) == ("search", ("search_1", "search_2"), 1, 1.5)
    (pool,) = layout.pools
    assert (pool.device, pool.cores, pool.ops) == ("cpu", 4, ("search_1", "search_2", "count_1"))


def test_a_layout_is_the_same_after_json() -> None:
    layout = layout_of(plan([vllm(), vllm("second", options={"extra": {"a": [1, None]}})]), "mine")
    assert layout.name == "mine"
    again = Layout.model_validate_json(layout.model_dump_json())
    assert again == layout
    assert [group.fingerprint for group in again.groups] == [group.fingerprint for group in layout.groups]


def test_two_groups_of_one_name_are_refused() -> None:
    (group,) = layout_of(plan([vllm()])).groups
    with pytest.raises(ValueError, match="the same name"):
        Layout(name="x", groups=(group, group))


def test_a_count_can_be_given_to_an_engine_that_there_is() -> None:
    layout = layout_of(plan([vllm(), vllm("second")]))
    assert [group.replicas for group in scaled(layout, {"second": 3}).groups] == [1, 3]
    with pytest.raises(RunError, match="it has `main`, `second`"):
        scaled(layout, {"third": 1})
