"""What an engine's options say about the replica that a plan counts with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import JsonValue

from orchestrator.planner.architecture.attention import Attention
from orchestrator.planner.architecture.latent import LatentAttention
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.planner.serving import Replica, Serving, resolve
from tests.planner.clusters import config_file, cpu, gpu, tiny


def replica(folder: Path, device: str, options: dict[str, JsonValue]) -> Replica:
    engine = EngineSpec(
        name="e", kind="vllm", model="llama", device=device, config=config_file(folder), options=options
    )  # fmt: skip
    found = resolve(engine, Cluster(devices=(gpu(count=4), cpu()), engines=(engine,))).replica
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("device", "options", "usable_bytes"),
    [
        ("gpu", {}, 0.9 * 80e9),
        ("gpu", {"gpu_memory_utilization": 0.5}, 0.5 * 80e9),
        ("gpu", {"extra": {"gpu_memory_utilization": 0.5}}, 0.5 * 80e9),
        ("gpu", {"gpu_memory_utilization": 0.5, "tensor_parallel_size": 4}, 4 * 0.5 * 80e9),
        ("gpu", {"gpu_memory_utilization": 7}, 0.9 * 80e9),
        ("gpu", {"gpu_memory_utilization": True}, 0.9 * 80e9),
        ("cpu", {"gpu_memory_utilization": 0.5, "kv_cache_gib": 1000}, 0.8 * 32e9),
    ],
)
def test_an_engine_takes_of_a_gpus_memory_what_it_is_told(
    tmp_path: Path, device: str, options: dict[str, JsonValue], usable_bytes: float
) -> None:
    found = replica(tmp_path, device, options)
    assert found.usable_bytes == pytest.approx(usable_bytes)
    assert found.kv_capacity_bytes == pytest.approx(usable_bytes - found.facts.weight_bytes)


@pytest.mark.parametrize(
    ("options", "gib"),
    [({}, 1), ({"kv_cache_gib": 4}, 4), ({"kv_cache_gib": 0}, 1), ({"kv_cache_gib": float("inf")}, 1)],
)
def test_a_local_engine_on_a_cpu_has_the_cache_that_it_is_given(
    tmp_path: Path, options: dict[str, JsonValue], gib: int
) -> None:
    assert replica(tmp_path, "cpu", options).kv_capacity_bytes == gib * 2**30


def test_devices_split_the_heads_of_a_cache_and_each_has_a_latent(tmp_path: Path) -> None:
    llama = replica(tmp_path, "gpu", {}).facts
    assert [Replica(llama, gpu(), n).kv_copies for n in (1, 8, 16)] == [1, 1, 2]
    latent = LatentAttention(kv_rank=512, rope_dim=64, q_rank=0, nope_dim=128, v_dim=128)
    four = Replica(replace(llama, attends=(), latent=latent), gpu(count=4), 4)
    assert four.kv_capacity_bytes == pytest.approx((four.usable_bytes - four.facts.weight_bytes) / 4)


@pytest.mark.parametrize(
    ("options", "devices", "experts_on"),
    [
        ({"tensor_parallel_size": 2, "pipeline_parallel_size": 2}, 4, 4),
        ({"pipeline_parallel_size": 4}, 4, 4),
        ({"tensor_parallel_size": 2, "data_parallel_size": 4, "enable_expert_parallel": True}, 2, 8),
        ({"extra": {"pipeline_parallel_size": 2}}, 2, 2),
        ({"tensor_parallel_size": 2, "pipeline_parallel_size": -1, "data_parallel_size": 10**9}, 2, 2),
        ({"tensor_parallel_size": "2", "pipeline_parallel_size": None, "enable_expert_parallel": 1}, 1, 1),
    ],
)
def test_a_replica_is_split_as_its_options_say(
    tmp_path: Path, options: dict[str, JsonValue], devices: int, experts_on: int
) -> None:
    """Each copy of data parallelism is a replica, but holds its part of the experts only."""
    config = config_file(tmp_path, num_local_experts=8, num_experts_per_tok=2)
    engine = EngineSpec(name="e", kind="vllm", model="m", device="gpu", config=config, options=options)
    found = resolve(engine, Cluster(devices=(gpu(count=8),), engines=(engine,))).replica
    assert found is not None
    facts = found.facts
    assert found.parallel == devices
    assert found.weight_bytes == pytest.approx(
        facts.shared_weight_bytes + facts.routed_weight_bytes * devices / experts_on
    )


def test_a_long_sequence_of_a_model_with_windows_leaves_room_for_more() -> None:
    facts = tiny(attends=(Attention(5, 5, 1, 50, 50, 50), Attention(5, 5, 1, 50, 50, 50, window=100)))
    replica = Replica(facts, gpu())
    assert replica.kv_blocks(16, 100) == replica.kv_blocks(16) == Replica(tiny(), gpu()).kv_blocks(16)
    assert replica.kv_blocks(16, 10_000) == pytest.approx(replica.kv_blocks(16) * 10_000 / 5050, abs=1)


def test_blocks_fill_what_the_weights_leave() -> None:
    """72 of 80 GB less 1 GB of weights, at 16 kB a block."""
    assert Replica(tiny(), gpu()).kv_blocks(16) == (0.9 * 80e9 - tiny().weight_bytes) // (16 * 1000)
    assert Replica(tiny(), gpu(memory_bytes=1e9)).kv_blocks(16) == 0


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 10**30])
def test_an_option_without_end_is_none(tmp_path: Path, value: float) -> None:
    spec = EngineSpec(name="e", kind="sim", model="m", options={"max_num_batched_tokens": value})
    assert Serving(spec, None).option("max_num_batched_tokens") is None
