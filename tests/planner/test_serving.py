"""What an engine's options say about the replica that a plan counts with."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import JsonValue

from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.planner.placer import kv_capacity_bytes
from orchestrator.planner.serving import Replica, resolve
from tests.planner.clusters import config_file, cpu, gpu


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
        ("cpu", {"gpu_memory_utilization": 0.5}, 0.8 * 32e9),
    ],
)
def test_an_engine_takes_of_a_gpus_memory_what_it_is_told(
    tmp_path: Path, device: str, options: dict[str, JsonValue], usable_bytes: float
) -> None:
    found = replica(tmp_path, device, options)
    assert found.usable_bytes == pytest.approx(usable_bytes)
    assert kv_capacity_bytes(found) == pytest.approx(usable_bytes - found.facts.weight_bytes)
